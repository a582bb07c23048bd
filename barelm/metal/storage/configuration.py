"""The configuration on the volume: `barelm.toml`, the subset of TOML that is one `key = value` a line.

Values are whole numbers, decimals, true and false, basic strings in double quotes with their escapes, and arrays of
strings.  A line that is none of this, or a key nobody knows, is named on the screen and passed over.  The keys are the
rows of `contract.settings`.
"""

from barelm.contract.settings import FLAG, NAME, REAL, ROWS, TEXT, TEXTS, WHOLE, SettingsView, Text, joined
from barelm.dialect.memory import address_of, store_i64, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8
from barelm.metal.console.writing import say_early
from barelm.metal.storage import toml_values
from barelm.metal.storage.toml_values import EQUALS, HASH, LINE_FEED, SPACE, TAB
from barelm.metal.uefi.boot_services import Firmware

KEY_NAMES = " ".join(ROWS)
KEY_KINDS = tuple(row.kind for row in ROWS.values())
KEY_PLACES = tuple(SettingsView.offset_of(name) for name in ROWS)
KEY_DEFAULTS = tuple(row.word(row.default) for row in ROWS.values())
NAMES, NAMES_AT = joined("false true" if row.kind == FLAG else " ".join(row.names) for row in ROWS.values())


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
            say_early(fw, sentence("barelm.toml: line {} is not understood and passed over.\n", (line,)))
        line += 1
        at = end + 1


def read_line(settings: SettingsView, data: U8, lo: int, hi: int) -> bool:
    """One line; False where it says nothing we know."""
    lo = toml_values.skip_blanks(data, lo, hi)
    if lo == hi or data[lo] == HASH:
        return True
    end = lo
    while end < hi and data[end] != EQUALS and data[end] != SPACE and data[end] != TAB:
        end += 1
    key = toml_values.word_number(data, lo, end, text(KEY_NAMES))
    at = toml_values.skip_blanks(data, end, hi)
    if key < 0 or at == hi or data[at] != EQUALS:
        return False
    at = toml_values.skip_blanks(data, at + 1, hi)
    kind = KEY_KINDS[key]
    place = settings.address + KEY_PLACES[key]
    if kind == TEXT:
        return toml_values.read_string(Text(place), data, at, hi)
    if kind == TEXTS:
        return toml_values.read_strings(Text(place), data, at, hi)
    if kind == WHOLE:
        value = toml_values.parse_whole(data, at, hi)
    elif kind == REAL:
        value = toml_values.parse_real(data, at, hi)
    else:
        value = toml_values.parse_name(data, at, hi, kind == NAME, text(NAMES)[NAMES_AT[key]:])
    if value >= 0:
        store_i64(place, value)
    return value >= 0
