"""The font: which glyph a character has, and how many cells it takes.  The bitmaps are frozen into the program.

`font.npz` comes from `tools/font.py`: 8x16 and 12x24 pixels, bits from the left, row after row, one glyph after the
other.
"""

import numpy as np

from barelm.dialect.types import I32, U8, U16

with np.load(__file__.rpartition("glyphs")[0] + "font.npz") as _font:
    CODE_POINTS: I32 = _font["code_points"]
    NUMBERS: U16 = _font["numbers"]
    SMALL: U8 = _font["glyphs_8x16"]
    LARGE: U8 = np.append(_font["glyphs_12x24"], np.uint8(0))  # the last row is read with the byte behind it

BLANK = 0
MISSING = 1
"""The glyph of a character that has none: an empty frame."""

# First and last of the characters without a cell of their own: controls, marks set over or under the letter before
# (Unicode general categories Mn and Me, as far as letters here meet them), joiners, directions, variation selectors.
NO_CELL: I32 = np.array([
    0x00, 0x1F, 0x7F, 0x9F, 0x300, 0x36F, 0x483, 0x489, 0x591, 0x5BD, 0x610, 0x61A, 0x64B, 0x65F, 0x1AB0, 0x1AFF,
    0x1DC0, 0x1DFF, 0x200B, 0x200F, 0x2028, 0x202E, 0x2060, 0x206F, 0x20D0, 0x20FF, 0xFE00, 0xFE0F, 0xFE20, 0xFE2F,
    0xFEFF, 0xFEFF, 0x1F3FB, 0x1F3FF, 0xE0000, 0xE0FFF], np.int32)

# Wide on every terminal, first to last (Unicode 15, East Asian width W and F; within a block, whatever is unassigned).
WIDE: I32 = np.array([
    0x1100, 0x115F, 0x231A, 0x231B, 0x23E9, 0x23EC, 0x2E80, 0x303E, 0x3041, 0x33FF, 0x3400, 0x4DBF, 0x4E00, 0xA4CF,
    0xA960, 0xA97C, 0xAC00, 0xD7A3, 0xF900, 0xFAFF, 0xFE30, 0xFE6B, 0xFF01, 0xFF60, 0xFFE0, 0xFFE6, 0x16FE0, 0x18CFF,
    0x1B000, 0x1B2FB, 0x1F300, 0x1F320, 0x1F337, 0x1F37C, 0x1F3E0, 0x1F3F0, 0x1F400, 0x1F43E, 0x1F442, 0x1F4FC,
    0x1F600, 0x1F64F, 0x1F680, 0x1F6C5, 0x1F90C, 0x1F9FF, 0x20000, 0x3FFFD], np.int32)


def glyph_of(code_point: int) -> int:
    """The number of a character's glyph."""
    low = 0
    high = len(CODE_POINTS)
    while low < high:
        middle = (low + high) // 2
        if int(CODE_POINTS[middle]) < code_point:
            low = middle + 1
        else:
            high = middle
    if low < len(CODE_POINTS) and int(CODE_POINTS[low]) == code_point:
        return int(NUMBERS[low])
    return MISSING


def cell_width(code_point: int) -> int:
    """How many cells a character takes: 1, or 0 for controls, combining marks and what is never seen."""
    for i in range(0, len(NO_CELL), 2):
        if int(NO_CELL[i]) <= code_point <= int(NO_CELL[i + 1]):
            return 0
    return 1


def terminal_width(code_point: int) -> int:
    """How many columns a terminal gives a character: East Asian ones and pictures take two."""
    for i in range(0, len(WIDE), 2):
        if int(WIDE[i]) <= code_point <= int(WIDE[i + 1]):
            return 2
    return cell_width(code_point)
