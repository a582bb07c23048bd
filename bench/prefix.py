"""How soon the first answer starts with a long system text that was read when the image was written.

    python bench/prefix.py [--rounds 9]

Seconds from Enter to the first letters of the answer, on the hosted firmware, three images in turn: without a system
text; with one of about 200 tokens; with the same one, to be read by the machine.  `ratio` is the second by the first.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from talking import chat_image, in_turn, print_row

from barelm.commands.progress import ProgressBar
from barelm.machine.hosted import Hosted
from barelm.settings import Settings

SYSTEM = ("You are a careful librarian who answers in one or two plain sentences, names a book where one fits, "
          "and says so when you do not know. ") * 7
QUESTION = "Which book should I read about the sea?"


def main() -> None:
    """Write the images, ask each in turn, print the row."""
    parser = argparse.ArgumentParser(description="How soon the first answer starts with a stored system text.")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ProgressBar() as bar:
        plain = Settings("", 0.0, tokens=8)
        long = Settings("", 0.0, tokens=8, system=SYSTEM.strip())
        specs = {"none": chat_image(Path(folder) / "none.img", options.model, plain, bar),
                 "stored": chat_image(Path(folder) / "stored.img", options.model, long, bar),
                 "to be read": chat_image(Path(folder) / "read.img", options.model, long, bar, prefix=False)}
        answers = in_turn({name: (spec, Hosted()) for name, spec in specs.items()}, QUESTION, options.rounds)
    print_row("start of the first answer", {name: [answer.start_s for answer in found]
                                            for name, found in answers.items()}, "s", min,
              read={name: found[0].read for name, found in answers.items()})


if __name__ == "__main__":
    main()
