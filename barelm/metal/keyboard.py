"""A line from the keyboard: shown as it is typed, taken back with Backspace, kept as UTF-8."""

from __future__ import annotations

from barelm.dialect.memory import text
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8
from barelm.metal import board, tables
from barelm.metal.config import put_utf8
from barelm.metal.console import Console, flush, put_text, put_unit
from barelm.metal.firmware import Firmware, new_line, read_key, wait_for_key

CONTROL_C, CONTROL_D, BACKSPACE, TAB, LINE_FEED, RETURN, DELETE = 3, 4, 8, 9, 10, 13, 127
LEFT = -1
"""What `read_line` returns where whoever typed wants to leave."""


@metal
def stop_asked(fw: Firmware, b: I64) -> bool:
    """Whether Esc or Ctrl-C was pressed; other keys are kept for `next_key`."""
    key = read_key(fw)
    while key != 0:
        if key >> 16 == tables.SCAN_ESC or key & 0xFFFF == CONTROL_C:
            return True
        if b[board.KEYS_PUT] - b[board.KEYS_TAKEN] < board.N_KEYS:
            b[board.KEYS + b[board.KEYS_PUT] % board.N_KEYS] = key
            b[board.KEYS_PUT] += 1
        key = read_key(fw)
    return False


@metal
def next_key(fw: Firmware, b: I64) -> int:
    """The next key, one kept first; 0 where none waits."""
    if b[board.KEYS_TAKEN] < b[board.KEYS_PUT]:
        key = b[board.KEYS + b[board.KEYS_TAKEN] % board.N_KEYS]
        b[board.KEYS_TAKEN] += 1
        return key
    return read_key(fw)


@metal
def read_line(con: Console, b: I64, line: U8) -> int:
    """Read a line into `line`; returns its bytes, or LEFT after Esc, Ctrl-C or Ctrl-D, or without a keyboard."""
    n = 0
    while True:
        key = next_key(con.fw, b)
        if key == 0:
            if wait_for_key(con.fw) != 0:
                return LEFT
            continue
        unit = key & 0xFFFF
        if key >> 16 == tables.SCAN_ESC or unit == CONTROL_C or unit == CONTROL_D:
            new_line(con.fw)
            return LEFT
        if unit == RETURN or unit == LINE_FEED:
            new_line(con.fw)
            return n
        if unit == BACKSPACE or unit == DELETE:
            n = take_back(con, line, n)
        elif (unit >= 32 or unit == TAB) and not 0xD800 <= unit < 0xE000 and n + 4 <= len(line):
            n = put_utf8(line, n, unit)
            put_unit(con, unit)
            flush(con)


@metal
def take_back(con: Console, line: U8, n: int) -> int:
    """Remove the last character; returns the bytes left."""
    if n == 0:
        return 0
    put_text(con, text("\b \b"))
    flush(con)
    n -= 1
    while n > 0 and int(line[n]) & 0xC0 == 0x80:
        n -= 1
    return n
