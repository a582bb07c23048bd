"""Which characters are letters, numbers and white space: Unicode 16.0, pinned.

Python's own `unicodedata` differs from one Python to the next, and the same checkpoint must pack to the same bytes
under each.  16.0 is what the regular expressions of the `tokenizers` wheel know, checked by a test over every code
point.  (Its `Digits` step is compiled with Rust's newer tables: 13 digits that came with Unicode 17 differ.)

They lie in `unicode-16.0.ranges`: by category, ranges of code points in hexadecimal, both ends included.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.kernels.text.pretokenizer import LETTER, NUMBER, OTHER, SPACE

RANGES = Path(__file__).with_name("unicode-16.0.ranges")
CATEGORIES = {"spaces": SPACE, "numbers": NUMBER, "letters": LETTER}


def category_table() -> NDArray[np.int32]:
    """The section CATEGORIES: sorted, `first code point << 2 | category`, each up to where the next begins."""
    spans = []
    for paragraph in RANGES.read_text("ascii").split("\n\n"):
        name, *ranges = paragraph.split()
        for lo, _, hi in (item.partition("-") for item in ranges):
            spans.append((int(lo, 16), int(hi or lo, 16), CATEGORIES[name]))
    starts = {0: OTHER} | {hi + 1: OTHER for _, hi, _ in spans} | {lo: category for lo, _, category in spans}
    return np.array([first << 2 | category for first, category in sorted(starts.items())], np.int32)
