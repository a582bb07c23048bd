"""The configuration on the volume: `barelm.toml`, the subset of TOML that is one `key = value` a line.

Values are whole numbers, decimals, true and false, basic strings in double quotes with their escapes, and arrays of
strings.  A line that is none of this, or a key nobody knows, is named on the screen and passed over.  The keys are the
rows of `contract.settings`.
"""

from __future__ import annotations

from barelm.contract.settings import (
    MOST_STOP_BYTES,
    MOST_STOPS,
    NAME,
    REAL,
    ROWS,
    TEXT,
    TEXTS,
    WHOLE,
    SettingsView,
    Text,
    joined,
)
from barelm.dialect.memory import address_of, store_i64, text
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8
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
    parse_name,
    parse_real,
    parse_whole,
    rest_is_blank,
    skip_blanks,
    unescape,
    word_number,
)
from barelm.metal.uefi.boot_services import Firmware, new_line, say

KEY_NAMES = " ".join(ROWS)
KEY_KINDS = tuple(row.kind for row in ROWS.values())
KEY_PLACES = tuple(SettingsView.offset_of(name) for name in ROWS)
KEY_DEFAULTS = tuple(row.word(row.default) for row in ROWS.values())
NAMES, NAMES_AT = joined(" ".join(row.names) for row in ROWS.values())  # of flags and names; of others none


@metal
def read_settings(fw: Firmware, settings: SettingsView, data: U8, n: int) -> None:
    """Read the file data[:n] over the defaults; strings are unescaped in place."""
    for key in range(len(KEY_KINDS)):
        store_i64(settings.address + KEY_PLACES[key], KEY_DEFAULTS[key])
        if KEY_KINDS[key] == TEXT or KEY_KINDS[key] == TEXTS:
            found = Text(settings.address + KEY_PLACES[key])
            found.address = address_of(data)
            found.n_bytes = 0
    line = 1
    at = 0
    while at < n:
        end = at
        while end < n and data[end] != LINE_FEED:
            end += 1
        if not read_line(settings, data, at, end):
            say(fw, text("barelm.toml: line "))
            write_number(fw, line)
            say(fw, text(" is not understood and passed over."))
            new_line(fw)
        line += 1
        at = end + 1


@metal
def read_line(settings: SettingsView, data: U8, lo: int, hi: int) -> bool:
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
    place = settings.address + KEY_PLACES[key]
    if kind == TEXT:
        return read_string(Text(place), data, at, hi)
    if kind == TEXTS:
        return read_strings(Text(place), data, at, hi)
    if kind == WHOLE:
        value = parse_whole(data, at, hi)
    elif kind == REAL:
        value = parse_real(data, at, hi)
    else:
        value = parse_name(data, at, hi, kind == NAME, text(NAMES)[NAMES_AT[key]:NAMES_AT[key + 1]])
    if value >= 0:
        store_i64(place, value)
    return value >= 0


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
