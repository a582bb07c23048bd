"""The configuration on the volume: `barelm.toml`, the subset of TOML that is one `key = value` a line.

Values are whole numbers, decimals, true and false, basic strings in double quotes with their escapes, and arrays of
strings.  A line that is none of this, or a key nobody knows, is named on the screen and passed over.
"""

from __future__ import annotations

from barelm.contract import layout
from barelm.contract.board import Board, SettingsView, Text
from barelm.dialect.memory import address_of, store_i64, text
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8, f32
from barelm.metal.console.writing import write_number
from barelm.metal.storage.toml_values import (
    COMMA,
    EQUALS,
    HASH,
    LEFT_BRACKET,
    LINE_FEED,
    QUOTE,
    RIGHT_BRACKET,
    SPACE,
    TAB,
    parse_real,
    parse_whole,
    rest_is_blank,
    skip_blanks,
    unescape,
    word_number,
)
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.text_output import new_line, say

DEFAULT_TEMPERATURE = f32(1.0)
DEFAULT_TOP_P = f32(0.9)
NO_PENALTY = f32(1.0)
DEFAULT_WAIT_S = 30
DEFAULT_COUNTDOWN_S = 5
MOST_STOPS = 8
MOST_STOP_BYTES = 256

WHOLE, REAL, FLAG, STRING, STRINGS, AT_END, KEYBOARD = 0, 1, 2, 3, 4, 5, 6
KEYS = (
    ("prompt", STRING, "prompt"),
    ("system", STRING, "system"),
    ("model", STRING, "model"),
    ("stop", STRINGS, "stops"),
    ("temperature", REAL, "temperature"),
    ("top_p", REAL, "top_p"),
    ("min_p", REAL, "min_p"),
    ("repeat", REAL, "repeat"),
    ("top_k", WHOLE, "top_k"),
    ("seed", WHOLE, "seed"),
    ("tokens", WHOLE, "tokens"),
    ("cores", WHOLE, "cores"),
    ("wait", WHOLE, "wait_s"),
    ("countdown", WHOLE, "countdown_s"),
    ("template", FLAG, "template"),
    ("chat", FLAG, "chat"),
    ("report", FLAG, "report"),
    ("prefix", FLAG, "prefix"),
    ("selftest", FLAG, "selftest"),
    ("screen", FLAG, "screen"),
    ("at_end", AT_END, "at_end"),
    ("keyboard", KEYBOARD, "keyboard"),
)
KEY_NAMES = " ".join(name for name, _, _ in KEYS)
KEY_KINDS = tuple(kind for _, kind, _ in KEYS)
KEY_SLOTS = tuple(SettingsView.offset_of(field) for _, _, field in KEYS)
AT_END_NAMES = "return shutdown restart"  # in the order of AT_END_RETURN and the next
KEYBOARD_NAMES = " ".join(layout.KEYBOARDS)


@metal
def read_settings(fw: Firmware, b: Board, data: U8, n: int) -> None:
    """Put the settings of the file data[:n] on the board, over the defaults; strings are unescaped in place."""
    b.settings.temperature = DEFAULT_TEMPERATURE
    b.settings.top_p = DEFAULT_TOP_P
    b.settings.repeat = NO_PENALTY
    b.settings.wait_s = DEFAULT_WAIT_S
    b.settings.countdown_s = DEFAULT_COUNTDOWN_S
    b.settings.prompt.address = address_of(data)
    b.settings.system.address = address_of(data)
    b.settings.stops.address = address_of(data)
    b.settings.model.address = address_of(data)
    b.settings.template = 1
    b.settings.screen = 1
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
def read_line(b: Board, data: U8, lo: int, hi: int) -> bool:
    """One line; False where it says nothing we know."""
    lo = skip_blanks(data, lo, hi)
    if lo == hi or data[lo] == HASH:
        return True
    end = lo
    while end < hi and data[end] != EQUALS and data[end] != SPACE and data[end] != TAB:
        end += 1
    key = word_number(data, lo, end, text(KEY_NAMES))
    at = skip_blanks(data, end, hi)
    if key < 0 or at == hi or data[at] != EQUALS:
        return False
    at = skip_blanks(data, at + 1, hi)
    kind = KEY_KINDS[key]
    if kind == STRING:
        return read_string(Text(b.settings.address + KEY_SLOTS[key]), data, at, hi)
    if kind == STRINGS:
        return read_strings(Text(b.settings.address + KEY_SLOTS[key]), data, at, hi)
    value = -1
    if kind == WHOLE:
        value = parse_whole(data, at, hi)
    elif kind == REAL:
        value = parse_real(data, at, hi)
    else:
        value = read_name(data, at, hi, kind)
    if value >= 0:
        store_i64(b.settings.address + KEY_SLOTS[key], value)
    return value >= 0


@metal
def read_name(data: U8, lo: int, hi: int, kind: int) -> int:
    """The number of a flag or, in double quotes, of one of the names its kind has; -1: none."""
    end = lo
    if kind == FLAG:
        while end < hi and 97 <= data[end] <= 122:
            end += 1
        value = word_number(data, lo, end, text("false true"))
    else:
        if lo == hi or data[lo] != QUOTE:
            return -1
        lo += 1
        end = lo
        while end < hi and data[end] != QUOTE:
            end += 1
        if end == hi:
            return -1
        if kind == AT_END:
            value = word_number(data, lo, end, text(AT_END_NAMES))
        else:
            value = word_number(data, lo, end, text(KEYBOARD_NAMES))
        end += 1
    if not rest_is_blank(data, end, hi):
        return -1
    return value


@metal
def read_string(found: Text, data: U8, lo: int, hi: int) -> bool:
    """A string, unescaped where it stands: its place into `found`."""
    end, to = unescape(data, lo, hi, lo + 1)
    if end < 0 or not rest_is_blank(data, end, hi):
        return False
    found.address = address_of(data) + lo + 1
    found.n_bytes = to - (lo + 1)
    return True


@metal
def read_strings(found: Text, data: U8, lo: int, hi: int) -> bool:
    """A short string or an array of some, the same way, each with a zero behind it; empty ones are left out."""
    at = lo
    to = lo
    count = 0
    listed = lo < hi and data[lo] == LEFT_BRACKET
    if listed:
        at = skip_blanks(data, lo + 1, hi)
    while at < hi and data[at] == QUOTE and count < MOST_STOPS:
        start = to
        at, to = unescape(data, at, hi, start)
        if at < 0 or to - start > MOST_STOP_BYTES:
            return False
        if to > start:
            data[to] = 0
            to += 1
        count += 1
        at = skip_blanks(data, at, hi)
        if not listed or at == hi or data[at] != COMMA:
            break
        at = skip_blanks(data, at + 1, hi)
    if listed:
        if at == hi or data[at] != RIGHT_BRACKET:
            return False
        at += 1
    elif count == 0:
        return False
    if not rest_is_blank(data, at, hi):
        return False
    found.address = address_of(data) + lo
    found.n_bytes = to - lo
    return True
