"""Which characters are letters, numbers, white space, marks, punctuation and symbols: Unicode 16.0, pinned.

Python's own `unicodedata` differs from one Python to the next, and the same checkpoint must pack to the same bytes
under each.  16.0 is what the regular expressions of the `tokenizers` wheel know, checked by a test over every code
point.  (Its `Digits` step is compiled with Rust's newer tables: 13 digits that came with Unicode 17 differ.  llama.cpp
knows 15.1.)

They lie in `unicode-16.0.ranges`: by category, ranges of code points in hexadecimal, both ends included.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.kernels.text.pretokenizer import LETTER, MARK, NUMBER, OTHER, PUNCTUATION, SPACE, SYMBOL
from barelm.pack.word_rules import WordRule

RANGES = Path(__file__).with_name("unicode-16.0.ranges")
CATEGORIES = {"spaces": SPACE, "numbers": NUMBER, "letters": LETTER, "marks": MARK, "punctuation": PUNCTUATION,
              "symbols": SYMBOL}


def category_table(rule: WordRule | None = None) -> NDArray[np.int32]:
    """The section CATEGORIES: sorted, `first code point << 3 | category`, each up to where the next begins.

    Where a rule has categories of its own, they are its.
    """
    categories = np.full(0x110000 + 1, OTHER, np.int32)
    for paragraph in RANGES.read_text("ascii").split("\n\n"):
        name, _, ranges = paragraph.partition("\n")
        if rule is None or name not in rule.without:
            _assign(categories, ranges, CATEGORIES[name])
    for name, ranges in rule.ranges.items() if rule else ():
        _assign(categories, ranges, CATEGORIES[name])
    first = np.flatnonzero(np.diff(categories, prepend=-1))
    return (first << 3 | categories[first]).astype(np.int32)


def _assign(categories: NDArray[np.int32], ranges: str, category: int) -> None:
    for lo, _, hi in (item.partition("-") for item in ranges.split()):
        categories[int(lo, 16):int(hi or lo, 16) + 1] = category
