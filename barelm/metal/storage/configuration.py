"""The configuration on the volume: `barelm.toml`, the subset of TOML that is one `key = value` a line.

Values are whole numbers, decimals, true and false, basic strings in double quotes with their escapes, and arrays of
strings.  A line that is none of this, or a key nobody knows, is named on the screen and passed over; a number above
what its row allows counts as that.  The keys are the rows of `contract.settings`.
"""

from barelm.contract import uefi
from barelm.contract.layout import TEXT_BYTES
from barelm.contract.regions import Workspace
from barelm.contract.settings import (
    FLAG,
    LARGEST_WHOLE,
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
from barelm.contract.storage_state import MOST_COMPLAINTS, Complaints
from barelm.contract.trust.hashing import FileHash
from barelm.dialect.memory import address_of, store_i64, text
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8
from barelm.kernels.sha256 import begin_sha256, extend_sha256, finish_sha256
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.writing import say, say_line
from barelm.metal.storage import toml_values
from barelm.metal.storage.toml_values import CARRIAGE_RETURN, EQUALS, HASH, LINE_FEED, SPACE, TAB
from barelm.metal.storage.whole_files import close_open, reads_whole
from barelm.metal.uefi.file_protocol import file_size, is_folder, open_file

KEY_NAMES = " ".join(ROWS)
KEY_KINDS = tuple(row.kind for row in ROWS.values())
KEY_PLACES = tuple(SettingsView.offset_of(name) for name in ROWS)
KEY_DEFAULTS = tuple(row.word(row.default) for row in ROWS.values())
KEY_MOST = tuple(row.word(row.most) if row.kind in (WHOLE, REAL) else LARGEST_WHOLE for row in ROWS.values())
NAMES, NAMES_AT = joined("false true" if row.kind == FLAG else " ".join(row.names) for row in ROWS.values())


def read_configuration(settings: SettingsView, workspace: Workspace, root: int) -> None:
    """The settings of barelm.toml; where there is none, the defaults.  What is wrong with it `complain` says."""
    target = workspace.configuration
    n = 0
    file = open_file(root, text("barelm.toml"))
    if file == 0:  # asked again: it is a stick's first file, and without it other words come, and nobody knows why
        file = open_file(root, text("barelm.toml"))
    size = file_size(file) if file > 0 else file
    if size > 0:
        n = min(size, len(target))
        if not reads_whole(file, target[:n]):
            size = -1
    folder = size < 0 < file and is_folder(file)
    close_open(file)
    if folder:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "barelm.toml is a folder", "Put the file of that name in its place.")
    if size < 0:
        raise Failure(uefi.EFI_DEVICE_ERROR, "the disk reports an error while barelm.toml is read",
                      "Write the image again, or try another stick or port.")
    note_hash(workspace, target[:n], size)
    workspace.complaints.is_cut = int(size > n)
    while n < size and n > 0 and target[n - 1] != LINE_FEED:
        n -= 1
    read_settings(settings, workspace.complaints, target[:n], n)


def note_hash(workspace: Workspace, data: U8, size: int) -> None:
    """Hash the file as it lies on the volume: reading it unescapes its strings in place."""
    found = workspace.configuration_hash
    begin_sha256(found.state)
    extend_sha256(found.state, data)
    finish_sha256(found.state, found.digest)
    found.n_bytes = size


def hash_in(workspace: Workspace) -> FileHash:
    """The hash of the configuration."""
    return workspace.configuration_hash


def complain(con: Console, workspace: Workspace) -> None:
    """Say what of barelm.toml was passed over."""
    c = workspace.complaints
    if c.wide != 0:
        say_line(con, ALARM, text("barelm.toml is UTF-16 and passed over: save it as UTF-8."))
    for i in range(min(c.n, MOST_COMPLAINTS)):
        say(con, ALARM, sentence("barelm.toml: line {} is not understood and passed over.", (c.lines[i],)))
    if c.n > MOST_COMPLAINTS:
        say(con, ALARM, sentence("barelm.toml: so are {} more lines.", (c.n - MOST_COMPLAINTS,)))
    if c.is_cut != 0:
        say(con, ALARM, sentence("barelm.toml is too long: what is behind {} bytes is passed over.", (TEXT_BYTES,)))


def read_settings(settings: SettingsView, complaints: Complaints, data: U8, n: int) -> None:
    """Read the file data[:n] over the defaults; strings are unescaped in place."""
    for key in range(len(KEY_KINDS)):
        store_i64(settings.address + KEY_PLACES[key], KEY_DEFAULTS[key])
        if KEY_KINDS[key] == TEXT or KEY_KINDS[key] == TEXTS:
            found = Text(settings.address + KEY_PLACES[key])
            found.address = address_of(data)
            found.n_bytes = 0
    complaints.n = 0
    # UTF-16 begins with a mark or a zero in a letter; editors of some systems put a mark in front of UTF-8 too.
    complaints.wide = int(n >= 2 and (min(data[0], data[1]) == 0xFE and max(data[0], data[1]) == 0xFF
                                      or min(data[0], data[1]) == 0 and max(data[0], data[1]) > 0))
    line = 1
    at = 3 if n >= 3 and data[0] == 0xEF and data[1] == 0xBB and data[2] == 0xBF else 0
    while at < n and complaints.wide == 0:
        end = at
        while end < n and data[end] != LINE_FEED and not (
                data[end] == CARRIAGE_RETURN and end + 1 < n and data[end + 1] != LINE_FEED):
            end += 1
        if not read_line(settings, data, at, end):
            if complaints.n < MOST_COMPLAINTS:
                complaints.lines[complaints.n] = line
            complaints.n += 1
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
        store_i64(place, min(value, KEY_MOST[key]))
    return value >= 0
