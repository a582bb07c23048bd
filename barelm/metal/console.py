"""Text on the screen: numbers, and UTF-8 as it comes, turned into the UTF-16 the firmware shows."""

from __future__ import annotations

from typing import NamedTuple

from barelm.dialect.memory import address_of, cells, i64_array, memory, text, u16_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8, U16
from barelm.metal.firmware import Firmware, output_string, say

UNITS = 512
"""UTF-16 units gathered before the firmware is called."""

STATE_WORDS = 8
CONSOLE_BYTES = 2 * UNITS + 8 * STATE_WORDS

FILLED = 0  # words of Console.state
CODE_POINT = 1
PENDING = 2
COLUMN = 3  # where a line for a program stands
SHOWN_AT = 4  # cycles when the firmware was last called

REPLACEMENT = 0xFFFD


class Console(NamedTuple):
    """The firmware's text output with a line of units gathered before it."""

    fw: Firmware
    units: U16
    state: I64


@metal
def open_console(fw: Firmware, address: int) -> Console:
    """A console over CONSOLE_BYTES of zeroed memory."""
    block = memory(address, CONSOLE_BYTES)
    return Console(fw, u16_array(block, 8 * STATE_WORDS, UNITS), i64_array(block, 0, STATE_WORDS))


@metal
def write_number(fw: Firmware, number: int) -> None:
    """Show a whole number in decimal."""
    digits = cells(8)
    units = u16_array(memory(address_of(digits), 64), 0, 32)
    at = 31
    rest = abs(number)
    while True:
        at -= 1
        units[at] = 48 + rest % 10
        rest //= 10
        if rest == 0:
            break
    if number < 0:
        at -= 1
        units[at] = 45
    output_string(fw, units, at)


@metal
def write_ratio(fw: Firmware, amount: int, per: int) -> None:
    """Show amount / per with one decimal below a hundred, and none above."""
    if per <= 0:
        say(fw, text("-"))
        return
    tenths = (amount * 10 + per // 2) // per
    if tenths >= 1000:
        write_number(fw, (amount + per // 2) // per)
        return
    write_number(fw, tenths // 10)
    say(fw, text("."))
    write_number(fw, tenths % 10)


@metal
def write_utf8(con: Console, words: I64) -> None:
    """Show zero-padded UTF-8 held in int64 words."""
    data = memory(address_of(words), 8 * len(words))
    n = 0
    while n < len(data) and data[n] != 0:
        n += 1
    write_bytes(con, data, 0, n)
    flush(con)


@metal
def put_text(con: Console, units: U16) -> None:
    """Gather a constant text."""
    for i in range(len(units) - 1):
        put_unit(con, int(units[i]))


@metal
def put_number(con: Console, number: int) -> int:
    """Gather a whole number, not negative; returns how many digits it has."""
    divisor = 1
    n = 1
    while number // divisor >= 10:
        divisor *= 10
        n += 1
    while divisor > 0:
        put_unit(con, 48 + number // divisor % 10)
        divisor //= 10
    return n


@metal
def write_bytes(con: Console, data: U8, lo: int, hi: int) -> None:
    """Gather data[lo:hi], UTF-8 that may be cut anywhere; the rest of a character may come with the next call."""
    for i in range(lo, hi):
        decode_byte(con, int(data[i]))


@metal
def decode_byte(con: Console, byte: int) -> None:
    """One byte of UTF-8 into the decoder; what is not UTF-8 shows as the replacement character."""
    if con.state[PENDING] > 0:
        if byte & 0xC0 == 0x80:
            con.state[CODE_POINT] = con.state[CODE_POINT] << 6 | (byte & 0x3F)
            con.state[PENDING] -= 1
            if con.state[PENDING] == 0:
                put_code_point(con, con.state[CODE_POINT])
            return
        con.state[PENDING] = 0
        put_code_point(con, REPLACEMENT)
    if byte < 0x80:
        put_code_point(con, byte)
    elif byte & 0xE0 == 0xC0:
        con.state[CODE_POINT] = byte & 0x1F
        con.state[PENDING] = 1
    elif byte & 0xF0 == 0xE0:
        con.state[CODE_POINT] = byte & 0x0F
        con.state[PENDING] = 2
    elif byte & 0xF8 == 0xF0:
        con.state[CODE_POINT] = byte & 0x07
        con.state[PENDING] = 3
    else:
        put_code_point(con, REPLACEMENT)


@metal
def put_code_point(con: Console, code_point: int) -> None:
    """Gather one character; a line feed becomes the two the firmware wants, other controls are dropped."""
    if code_point == 10:
        put_unit(con, 13)
        put_unit(con, 10)
    elif code_point >= 0x10000:
        put_unit(con, 0xD800 + ((code_point - 0x10000) >> 10))
        put_unit(con, 0xDC00 + ((code_point - 0x10000) & 0x3FF))
    elif code_point >= 32 or code_point == 9:
        put_unit(con, code_point)


@metal
def put_unit(con: Console, unit: int) -> None:
    """Gather one UTF-16 unit, showing the line when it is full."""
    filled = con.state[FILLED]
    con.units[filled] = unit
    con.state[FILLED] = filled + 1
    if filled + 3 >= UNITS and (unit < 0xD800 or unit >= 0xDC00):
        flush(con)


@metal
def flush(con: Console) -> None:
    """Show what was gathered."""
    if con.state[FILLED] > 0:
        con.units[con.state[FILLED]] = 0
        output_string(con.fw, con.units, 0)
        con.state[FILLED] = 0
    con.state[SHOWN_AT] = cycles()
