"""Text on the terminal behind a serial line, by control sequences (ECMA-48)."""

import numpy as np

from barelm.contract.console_state import SerialState
from barelm.dialect.memory import address_of, cells, memory
from barelm.dialect.sentences import sentence
from barelm.dialect.types import I64, U8
from barelm.kernels.text.utf8 import byte_at, encode_utf8
from barelm.metal.console.serial_line import close_serial, flush_serial, put_byte, send
from barelm.metal.uefi.boot_services import Firmware

TINTS: I64 = np.array([39, 36, 90, 33, 31], np.int64)
"""How it is asked for a colour (8.3.117)."""

LEAST_ROWS = 8
ENDLESS = 1000
"""What reports so many columns is no terminal but a program, which wants lines that are not wrapped."""


def row_width(s: SerialState) -> int:
    """How many characters a row takes.  The last column is left alone: what terminals do there differs."""
    return max(s.columns - 1, 8)


def draw(s: SerialState, code_point: int, colour: int) -> None:
    """One character where the cursor is."""
    if s.colour != colour:
        s.colour = colour
        send(s, sentence("\x1b[{}m", (int(TINTS[colour]),)))
    encoded = cells(1)
    block = memory(address_of(encoded), 8)
    for i in range(encode_utf8(block, code_point)):
        put_byte(s, byte_at(block, i))


def next_row(s: SerialState) -> None:
    """To the beginning of the next row."""
    send(s, sentence("\r\n", ()))


def go_to(s: SerialState, up: int, column: int) -> None:
    """So many rows up (down where negative), to a column."""
    if up > 0:
        send(s, sentence("\x1b[{}A", (up,)))
    elif up < 0:
        send(s, sentence("\x1b[{}B", (-up,)))
    put_byte(s, 13)
    if column > 0:
        send(s, sentence("\x1b[{}C", (column,)))


def clear_rest(s: SerialState, below: int) -> None:
    """Blank to the end of the row, and so many rows below."""
    send(s, sentence("\x1b[0K", ()))
    for _ in range(below):
        send(s, sentence("\x1b[1B\x1b[2K", ()))
    if below > 0:
        send(s, sentence("\x1b[{}A", (below,)))


def fit_status(s: SerialState) -> None:
    """Where the terminal has said how large it is: keep its last row for the status, if it is one to look at."""
    if s.sized != 0 and s.rows != s.status_row:
        keep_row(s, s.rows if s.rows >= LEAST_ROWS and s.columns < ENDLESS else 0)


def keep_row(s: SerialState, row: int) -> None:
    """Keep a row, the last one, for the status: text scrolls above it.  0: keep none."""
    if s.status_row > 0:
        send(s, sentence("\x1b7\x1b[{}H\x1b[2K\x1b[r\x1b8", (s.status_row,)))
    s.status_row = row
    if row > 0:
        # A line feed first: the cursor must not stay in the row that is kept.
        send(s, sentence("\n\x1b7\x1b[1;{}r\x1b8\x1b[A", (row - 1,)))


def show_status(s: SerialState, line: U8) -> None:
    """The row that is kept, in reverse, as far as the columns go; the cursor stays where it is."""
    send(s, sentence("\x1b7\x1b[{}H\x1b[2K\x1b[7m", (s.status_row,)))
    left = s.columns - 1
    for i in range(len(line)):
        left -= int(byte_at(line, i) & 0xC0 != 0x80)
        if left >= 0:
            put_byte(s, byte_at(line, i))
    send(s, sentence("\x1b[0m\x1b8", ()))


def leave(fw: Firmware, s: SerialState, returns: bool) -> None:
    """The terminal as it was; where the program returns to it, the firmware has the line again, and clears it."""
    keep_row(s, 0)
    send(s, sentence("\x1b[?2004l\x1b[?25h\x1b[0m", ()))
    flush_serial(s)
    if returns:
        close_serial(fw, s)
