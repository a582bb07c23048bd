"""FAT names: which are allowed, their 8.3 aliases, and the long-name slots stored before an entry.

Source: Microsoft, FAT32 File System Specification ("fatgen103"), sections "FAT Directory Structure" and
"FAT Long Directory Entries", cited below by the headings there.
"""

import string
import struct
from collections.abc import Collection, Iterable, Sequence

from barelm.errors import BarelmError

NAME_LIMIT = 255            # UTF-16 code units in one long name
PATH_LIMIT = 1024           # characters in a path; ours: bounds what a hostile image makes a reader build
SLOT_BYTES = 32
UNITS_PER_SLOT = 13

LAST_LONG_ENTRY = 0x40
ATTR_LONG_NAME = 0x0F
CASE_LOWER_BASE = 0x08      # byte 12 of a short entry, as Windows NT and Linux use it
CASE_LOWER_EXTENSION = 0x10

_SHORT = frozenset(string.ascii_uppercase + string.digits + "!#$%&'()-@^_`{}~")
_FORBIDDEN = frozenset('"*/:<>?\\|\x7f') | {chr(c) for c in range(0x20)}
_DEVICES = frozenset(("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$",
                      *(kind + digit for kind in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3")))
_MAX_TAIL = 999_999
_LONG_SLOT = struct.Struct("<B10sBBB12sH4s")


def fold(name: str) -> str:
    """The form under which two names are the same file: each character in upper case, where that is one."""
    return "".join(upper if len(upper := c.upper()) == 1 else c for c in name)


def name_fault(name: str) -> str | None:
    """Why `name` cannot name a file or directory on FAT ("Long Directory Entries"), or None if it can."""
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "is reserved for the directory itself"
    bad = sorted(set(name) & _FORBIDDEN)
    if bad:
        return f"has the character {bad[0]!r}"
    if name[-1] in " .":
        return "ends in a space or a full stop"
    if any("\ud800" <= c <= "\udfff" for c in name):
        return "has half of a surrogate pair"
    if len(name.encode("utf-16-le")) > 2 * NAME_LIMIT:
        return f"is longer than {NAME_LIMIT} UTF-16 characters"
    return None


def refuse_device(name: str) -> None:
    """Raise BarelmError where a name is a device's on Windows: FAT takes it, and there nobody could open the file."""
    if name.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        raise BarelmError(f"the name {name!r} is a device's on Windows, where nobody could open the file",
                          "Take another name.")


def encode_label(label: str) -> bytes:
    """A volume label as its 11 bytes on disk, in upper case.

    Raises BarelmError where the label is empty, longer than 11 characters, or has a character outside the set
    for short names and the inner space.
    """
    upper = label.upper()
    legal = label.isascii() and not set(upper) - _SHORT - {" "}
    if not legal or not 1 <= len(label) <= 11 or label != label.strip():
        raise BarelmError(f"{label!r} is not a FAT volume label",
                          "Use 1 to 11 letters, digits, hyphens or underscores.")
    return upper.ljust(11).encode("ascii")


def short_names(names: Sequence[str], taken: Collection[bytes] = ()) -> dict[str, bytes]:
    """An 8.3 name of 11 bytes for each long name of one directory ("The Basis-Name Generation Algorithm").

    A name that fits 8.3 but for its case keeps it, where it is not `taken`; the others get a numeric tail that clashes
    with nothing else there.  The names must be valid and differ by more than case.
    """
    shorts = {name: exact for name in names if (exact := _exact_short(name)) is not None and exact not in taken}
    used = {*taken, *shorts.values()}
    tails: dict[tuple[str, str], int] = {}
    for name in names:
        if name in shorts:
            continue
        base, extension = _basis(name)
        key = base[:6], extension
        for tail in range(tails.get(key, 0) + 1, _MAX_TAIL + 1):
            short = _pack_short(f"{base[:7 - len(str(tail))]}~{tail}", extension)
            if short not in used:
                break
        else:
            raise BarelmError(f"too many names in one directory resemble {name!r}",
                              "Spread the files over several directories.")
        tails[key] = tail
        used.add(short)
        shorts[name] = short
    return shorts


def _exact_short(name: str) -> bytes | None:
    """The 8.3 name that says the same as `name` but for its case, if there is one."""
    base, dot, extension = name.partition(".")
    upper = base + extension
    if not name.isascii() or set(upper.upper()) - _SHORT:
        return None
    if not 1 <= len(base) <= 8 or len(extension) > 3 or (dot and not extension):
        return None
    return _pack_short(base.upper(), extension.upper())


def _basis(name: str) -> tuple[str, str]:
    """Base and extension of a long name in the short character set, before the numeric tail."""
    base, dot, extension = name.lstrip(" .").rpartition(".")
    if not dot:
        base, extension = extension, ""

    def convert(text: str) -> str:
        upper = (c.upper() if c.isascii() else "_" for c in text if c not in " .")
        return "".join(c if c in _SHORT else "_" for c in upper)

    return convert(base) or "_", convert(extension)[:3]


def _pack_short(base: str, extension: str) -> bytes:
    return (base.ljust(8) + extension.ljust(3)).encode("ascii")


def checksum(short: bytes) -> int:
    """The sum by which long-name slots are tied to their short entry ("ChkSum")."""
    total = 0
    for byte in short:
        total = ((total >> 1 | total << 7) + byte) & 0xFF
    return total


def count_slots(name: str, short: bytes) -> int:
    """How many slots the entry of `name` takes, those of its long name, where `short` does not say it all, included."""
    n_units = 0 if decode_short(short, 0) == name else len(name.encode("utf-16-le")) // 2
    return -(-n_units // UNITS_PER_SLOT) + 1


def long_slots(name: str, short: bytes) -> bytes:
    """The long-name slots that go before the short entry of `name`; empty where `short` says it all."""
    count = count_slots(name, short) - 1
    units = name.encode("utf-16-le")
    if len(units) % (2 * UNITS_PER_SLOT):
        units = (units + b"\0\0").ljust(count * 2 * UNITS_PER_SLOT, b"\xff")
    slots = []
    for ordinal in range(count, 0, -1):
        part = units[(ordinal - 1) * 2 * UNITS_PER_SLOT:ordinal * 2 * UNITS_PER_SLOT]
        flag = LAST_LONG_ENTRY if ordinal == count else 0
        slots.append(_LONG_SLOT.pack(ordinal | flag, part[:10], ATTR_LONG_NAME, 0, checksum(short),
                                     part[10:22], 0, part[22:]))
    return b"".join(slots)


def decode_short(short: bytes, case_flags: int) -> str:
    """The 8.3 name as text; `case_flags` is byte 12 of its entry.  May be illegal: see name_fault."""
    raw = b"\xe5" + short[1:] if short[0] == 0x05 else short
    base, extension = raw[:8].decode("cp437").rstrip(" "), raw[8:11].decode("cp437").rstrip(" ")
    if case_flags & CASE_LOWER_BASE:
        base = base.lower()
    if case_flags & CASE_LOWER_EXTENSION:
        extension = extension.lower()
    return f"{base}.{extension}" if extension else base


def decode_long(slots: Iterable[bytes], short: bytes) -> str | None:
    """The long name in `slots` (in disk order), or None where they do not belong to `short` or are malformed.

    Drivers ignore orphaned slots and use the short name; so do we.
    """
    stored = list(slots)
    total = checksum(short)
    units = b""
    for position, slot in enumerate(stored):
        ordinal, a, _, _, tied, b, _, c = _LONG_SLOT.unpack(slot)
        if ordinal != len(stored) - position | (LAST_LONG_ENTRY if position == 0 else 0) or tied != total:
            return None
        units = a + b + c + units
    end = next((i for i in range(0, len(units), 2) if units[i:i + 2] == b"\0\0"), len(units))
    try:
        name = units[:end].decode("utf-16-le")
    except UnicodeDecodeError:
        return None
    return None if name_fault(name) else name
