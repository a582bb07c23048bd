"""The configuration on the volume: `barelm.toml`, the subset of TOML that is one `key = value` a line.

Values are whole numbers, decimals, true and false, and basic strings in double quotes with their escapes.  A line
that is none of this, or a key nobody knows, is named on the screen and passed over.
"""

from __future__ import annotations

from barelm.dialect.memory import address_of, f32_array, memory, text
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8, U16, f32
from barelm.metal import board
from barelm.metal.console import write_number
from barelm.metal.firmware import Firmware, new_line, say

DEFAULT_WAIT_S = 30

TAB, LINE_FEED, SPACE, QUOTE, HASH, BACKSLASH = 9, 10, 32, 34, 35, 92
CARRIAGE_RETURN, MINUS, PLUS, DOT, ZERO, NINE, EQUALS, LOWER_U = 13, 45, 43, 46, 48, 57, 61, 117


@metal
def read_settings(fw: Firmware, b: I64, data: U8, n: int) -> None:
    """Put the settings of the file data[:n] on the board, over the defaults; strings are unescaped in place."""
    set_real(b, board.TEMPERATURE, 1.0)
    set_real(b, board.TOP_P, 0.9)
    b[board.WAIT_S] = DEFAULT_WAIT_S
    b[board.PROMPT] = address_of(data)
    b[board.SYSTEM] = address_of(data)
    b[board.TEMPLATE] = 1
    line = 1
    at = 0
    while at < n:
        end = at
        while end < n and data[end] != LINE_FEED:
            end += 1
        if not read_line(b, data, at, end):
            say(fw, text("barelm.toml: line "))
            write_number(fw, line)
            say(fw, text(" is not understood and passed over."))
            new_line(fw)
        line += 1
        at = end + 1


@metal
def read_line(b: I64, data: U8, lo: int, hi: int) -> bool:
    """One line; False where it says nothing we know."""
    lo = skip_blanks(data, lo, hi)
    if lo == hi or data[lo] == HASH:
        return True
    key_end = lo
    while key_end < hi and data[key_end] != EQUALS and data[key_end] != SPACE and data[key_end] != TAB:
        key_end += 1
    at = skip_blanks(data, key_end, hi)
    if at == hi or data[at] != EQUALS:
        return False
    at = skip_blanks(data, at + 1, hi)
    if is_word(data, lo, key_end, text("prompt")):
        return read_string(b, board.PROMPT, data, at, hi)
    if is_word(data, lo, key_end, text("system")):
        return read_string(b, board.SYSTEM, data, at, hi)
    if is_word(data, lo, key_end, text("at_end")):
        return read_at_end(b, data, at, hi)
    if is_word(data, lo, key_end, text("report")):
        return read_flag(b, board.REPORT, data, at, hi)
    if is_word(data, lo, key_end, text("template")):
        return read_flag(b, board.TEMPLATE, data, at, hi)
    if is_word(data, lo, key_end, text("chat")):
        return read_flag(b, board.CHAT, data, at, hi)
    if is_word(data, lo, key_end, text("temperature")):
        return read_real(b, board.TEMPERATURE, data, at, hi)
    if is_word(data, lo, key_end, text("top_p")):
        return read_real(b, board.TOP_P, data, at, hi)
    slot = whole_number_slot(data, lo, key_end)
    if slot < 0:
        return False
    return read_whole(b, slot, data, at, hi)


@metal
def whole_number_slot(data: U8, lo: int, hi: int) -> int:
    """The word of the board that a key with a whole number sets, or -1."""
    if is_word(data, lo, hi, text("seed")):
        return board.SEED
    if is_word(data, lo, hi, text("tokens")):
        return board.TOKENS
    if is_word(data, lo, hi, text("cores")):
        return board.CORES
    if is_word(data, lo, hi, text("wait")):
        return board.WAIT_S
    return -1


@metal
def skip_blanks(data: U8, lo: int, hi: int) -> int:
    """The first place from lo on that is not blank."""
    while lo < hi and (data[lo] == SPACE or data[lo] == TAB or data[lo] == CARRIAGE_RETURN):
        lo += 1
    return lo


@metal
def rest_is_blank(data: U8, at: int, hi: int) -> bool:
    """Whether nothing but blanks and a comment follows."""
    at = skip_blanks(data, at, hi)
    return at >= hi or data[at] == HASH


@metal
def is_word(data: U8, lo: int, hi: int, word: U16) -> bool:
    """Whether data[lo:hi] spells the constant `word`."""
    if hi - lo != len(word) - 1 or hi > len(data):
        return False
    for i in range(hi - lo):
        if int(data[lo + i]) != int(word[i]):
            return False
    return True


@metal
def is_digit(byte: int) -> bool:
    """0 to 9."""
    return ZERO <= byte <= NINE


@metal
def read_whole(b: I64, slot: int, data: U8, at: int, hi: int) -> bool:
    """A whole number, not negative, of at most eighteen digits."""
    start = at
    value = 0
    while at < hi and is_digit(int(data[at])):
        value = value * 10 + int(data[at]) - ZERO
        at += 1
    if at == start or at - start > 18 or not rest_is_blank(data, at, hi):
        return False
    b[slot] = value
    return True


@metal
def read_real(b: I64, slot: int, data: U8, at: int, hi: int) -> bool:
    """A decimal, not negative, as the nearest float32: 15 digits from the first that is not 0, 18 after the dot."""
    seen_digit = False
    digits = 0
    decimals = 0
    scale = 1
    value = 0
    seen_dot = False
    while at < hi and (is_digit(int(data[at])) or (data[at] == DOT and not seen_dot)):
        if data[at] == DOT:
            seen_dot = True
        else:
            value = value * 10 + int(data[at]) - ZERO
            seen_digit = True
            digits += int(value > 0)
            if seen_dot:
                scale *= 10
                decimals += 1
        at += 1
    if not seen_digit or digits > 15 or decimals > 18 or not rest_is_blank(data, at, hi):
        return False
    set_real(b, slot, float(value) / float(scale))
    return True


@metal
def read_flag(b: I64, slot: int, data: U8, at: int, hi: int) -> bool:
    """true or false."""
    if is_word(data, at, at + 4, text("true")) and rest_is_blank(data, at + 4, hi):
        b[slot] = 1
        return True
    if is_word(data, at, at + 5, text("false")) and rest_is_blank(data, at + 5, hi):
        b[slot] = 0
        return True
    return False


@metal
def set_real(b: I64, slot: int, value: float) -> None:
    """Put a number on the board as the bits of a float32."""
    b[slot] = 0
    f32_array(memory(address_of(b) + 8 * slot, 4), 0, 1)[0] = f32(value)


@metal
def read_at_end(b: I64, data: U8, at: int, hi: int) -> bool:
    """What to do at the end, by name."""
    end = at + 1
    while end < hi and data[end] != QUOTE:
        end += 1
    end += 1
    if not rest_is_blank(data, end, hi):
        return False
    if is_word(data, at, end, text('"return"')):
        b[board.AT_END] = board.AT_END_RETURN
    elif is_word(data, at, end, text('"shutdown"')):
        b[board.AT_END] = board.AT_END_SHUTDOWN
    elif is_word(data, at, end, text('"restart"')):
        b[board.AT_END] = board.AT_END_RESTART
    else:
        return False
    return True


@metal
def read_string(b: I64, slot: int, data: U8, at: int, hi: int) -> bool:
    """A basic string, unescaped where it stands: its address into a slot of the board, its length into the next."""
    if at == hi or data[at] != QUOTE:
        return False
    at += 1
    start = at
    to = at
    while at < hi and data[at] != QUOTE:
        if data[at] != BACKSLASH:
            data[to] = data[at]
            to += 1
            at += 1
            continue
        if at + 1 == hi:
            return False
        if data[at + 1] == LOWER_U:
            to = put_utf8(data, to, hexadecimal(data, at + 2, hi))
            at += 6
            continue
        data[to] = unescaped(int(data[at + 1]))
        to += 1
        at += 2
    if at >= hi or not rest_is_blank(data, at + 1, hi):
        return False
    b[slot] = address_of(data) + start
    b[slot + 1] = to - start
    return True


@metal
def unescaped(letter: int) -> int:
    """The character a backslash and this letter stand for; any other stands for itself."""
    if letter == 110:
        return LINE_FEED
    if letter == 116:
        return TAB
    if letter == 114:
        return CARRIAGE_RETURN
    return letter


@metal
def hexadecimal(data: U8, at: int, hi: int) -> int:
    """Four hexadecimal digits as a number."""
    value = 0
    for i in range(at, min(at + 4, hi)):
        digit = int(data[i]) | 32
        value = value << 4 | ((digit - 87) & 15 if digit >= 97 else (digit - ZERO) & 15)
    return value


@metal
def put_utf8(data: U8, to: int, code_point: int) -> int:
    """Write a character below 0x10000 as UTF-8; returns where the next one goes."""
    if code_point < 0x80:
        data[to] = code_point
        return to + 1
    if code_point < 0x800:
        data[to] = 0xC0 | code_point >> 6
        data[to + 1] = 0x80 | (code_point & 0x3F)
        return to + 2
    data[to] = 0xE0 | code_point >> 12
    data[to + 1] = 0x80 | (code_point >> 6 & 0x3F)
    data[to + 2] = 0x80 | (code_point & 0x3F)
    return to + 3
