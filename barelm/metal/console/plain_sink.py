"""Text on the firmware's console (UEFI 12.4), gathered in UTF-16 before it is called."""

import numpy as np

from barelm.contract.console_state import PlainState
from barelm.dialect.types import I64
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.text_output import console_row, output_string, set_attribute, set_cursor_position

ATTRIBUTES: I64 = np.array([0x07, 0x0B, 0x03, 0x0E, 0x0C], np.int64)
"""How it is asked for a colour (12.4.7); dark grey, 8, can hardly be read on some screens."""


def draw(fw: Firmware, p: PlainState, code_point: int) -> None:
    """One character where the cursor is."""
    if code_point >= 0x10000:
        p.units[p.filled] = 0xD800 + ((code_point - 0x10000) >> 10)
        p.filled += 1
        code_point = 0xDC00 + ((code_point - 0x10000) & 0x3FF)
    p.units[p.filled] = code_point
    p.filled += 1
    if p.filled + 3 > len(p.units):
        show(fw, p)


def next_row(fw: Firmware, p: PlainState) -> None:
    """To the beginning of the next row."""
    draw(fw, p, 13)
    draw(fw, p, 10)


def go_to(fw: Firmware, p: PlainState, up: int, column: int) -> None:
    """So many rows up (down where negative), to a column."""
    show(fw, p)
    set_cursor_position(fw, column, max(console_row(fw) - up, 0))


def clear_rest(fw: Firmware, p: PlainState, column: int, below: int) -> None:
    """Blank from a column, where the cursor is, to the end of the row, and so many rows below."""
    for _ in range(column, p.width):
        draw(fw, p, 32)
    for _ in range(below):
        next_row(fw, p)
        for _ in range(p.width):
            draw(fw, p, 32)
    go_to(fw, p, below, column)


def set_colour(fw: Firmware, p: PlainState, colour: int) -> None:
    """The colour of what comes next."""
    show(fw, p)
    set_attribute(fw, int(ATTRIBUTES[colour]))


def show(fw: Firmware, p: PlainState) -> None:
    """Show what was gathered."""
    if p.filled > 0:
        p.units[p.filled] = 0
        output_string(fw, p.units)
        p.filled = 0
