"""The picture of docs/SERVING.md: a node's page in a headless Chromium, behind a question and its answer.

    barelm serve MODEL -s 1 &
    python -m tools.page_picture http://127.0.0.1:8080/ "Why is the sky blue?"
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.metal.serving.browser import Browser, chromium

SIZE = (760, 540)
ANSWERED = """document.getElementById('stop').hidden && !document.querySelector('.wrong') &&
              (document.querySelector('.turn.answer > .said')?.innerText || '') !== ''"""


def main() -> int:
    """Ask, wait for the answer, and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("question")
    parser.add_argument("--output", type=Path, default=Path("docs/pictures/page.png"))
    options = parser.parse_args()
    program = chromium()
    if program is None:
        print("No Chromium is installed: the package is called chromium.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, Path(folder))
        browser.size(*SIZE)
        browser.open(options.url)
        browser.until("document.getElementById('context').textContent !== ''")
        browser.ask("document.getElementById('text').focus()")
        browser.type(options.question)
        browser.press("Enter")
        browser.until(ANSWERED)
        options.output.write_bytes(browser.picture())
        browser.close()
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
