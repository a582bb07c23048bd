"""Directory entries to bytes and back ("FAT Directory Structure" of the FAT32 File System Specification)."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from barelm.disk.names import (
    ATTR_LONG_NAME,
    LAST_LONG_ENTRY,
    SLOT_BYTES,
    decode_long,
    decode_short,
    name_fault,
)

ATTR_READ_ONLY = 0x01
ATTR_VOLUME_ID = 0x08
ATTR_DIRECTORY = 0x10
ATTR_ARCHIVE = 0x20

_DATE, _TIME = 1 << 5 | 1, 0            # 1980-01-01 00:00:00, the epoch: images must not depend on the clock
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_DOT, _DOT_DOT = b".".ljust(11), b"..".ljust(11)
END, DELETED = 0x00, 0xE5               # first bytes of slots: the first that was never used, one that is no more
_LONG_MASK = 0x3F
_LAST_YEAR = 2107


def pack_entry(short: bytes, attributes: int, first_cluster: int, size: int) -> bytes:
    """One short entry of 32 bytes; times are the epoch of FAT."""
    return _ENTRY.pack(short, attributes, 0, 0, _TIME, _DATE, _DATE, first_cluster >> 16, _TIME, _DATE,
                       first_cluster & 0xFFFF, size)


def pack_dots(first_cluster: int, parent_cluster: int) -> bytes:
    """The "." and ".." entries that open a subdirectory; a parent that is the root counts as cluster 0."""
    return (pack_entry(_DOT, ATTR_DIRECTORY, first_cluster, 0)
            + pack_entry(_DOT_DOT, ATTR_DIRECTORY, parent_cluster, 0))


def stamp(moment: time.struct_time) -> tuple[int, int]:
    """A moment as FAT's date and time, two seconds apart at the finest; years from 1980 to 2107."""
    if moment.tm_year < 1980:
        return _DATE, _TIME
    return stamp_of(min(moment.tm_year, _LAST_YEAR), moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min,
                    min(moment.tm_sec, 59))


def stamp_of(year: int, month: int, day: int, hour: int, minute: int, second: int) -> tuple[int, int]:
    """The same from numbers that are in their ranges."""
    return (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2


def moment_of(date: int, clock: int = 0) -> tuple[int, int, int, int, int, int]:
    """Year, month, day, hour, minute, second of FAT's date and time; the epoch where it is none."""
    month, day = date >> 5 & 0x0F, date & 0x1F
    if not 1 <= month <= 12 or not day:
        return 1980, 1, 1, 0, 0, 0
    return 1980 + (date >> 9), month, day, min(clock >> 11, 23), min(clock >> 5 & 0x3F, 59), min(clock & 0x1F, 29) * 2


@dataclass(frozen=True)
class Facts:
    """What a short entry says beside its name; times as (date, time) of FAT."""

    attributes: int
    first_cluster: int = 0
    size: int = 0
    created: tuple[int, int] = (_DATE, _TIME)
    accessed: int = _DATE
    modified: tuple[int, int] = (_DATE, _TIME)

    def pack(self, short: bytes, case_flags: int = 0) -> bytes:
        """The entry of 32 bytes under a name of 11; the case flags say how 8.3 letters are shown."""
        return _ENTRY.pack(short, self.attributes, case_flags, 0, self.created[1], self.created[0], self.accessed,
                           self.first_cluster >> 16, self.modified[1], self.modified[0],
                           self.first_cluster & 0xFFFF, self.size)


@dataclass(frozen=True)
class DirectoryEntry:
    """A file or directory as its parent lists it: `name` is the long name where there is a sound one.

    Its slots, the long name's first and the short entry last, are `n_slots` from number `slot` on.
    """

    name: str
    short_name: str
    is_directory: bool
    first_cluster: int
    size: int
    short: bytes
    case_flags: int
    facts: Facts
    slot: int
    n_slots: int


def parse_label(content: bytes) -> str:
    """The volume label in the root directory; empty where there is none."""
    for at in range(0, len(content) - SLOT_BYTES + 1, SLOT_BYTES):
        slot = content[at:at + SLOT_BYTES]
        if slot[0] == END:
            break
        if slot[0] != DELETED and slot[11] & (ATTR_VOLUME_ID | ATTR_DIRECTORY) == ATTR_VOLUME_ID \
                and slot[11] & _LONG_MASK != ATTR_LONG_NAME:
            return slot[:11].decode("cp437").rstrip()
    return ""


def parse_directory(content: bytes) -> Iterator[DirectoryEntry]:
    """The entries of a directory, in order, without label, dots, deleted and orphaned slots.

    Raises ValueError, with the reason, for a name that no driver could have written.
    """
    long: list[bytes] = []
    for at in range(0, len(content) - SLOT_BYTES + 1, SLOT_BYTES):
        slot = content[at:at + SLOT_BYTES]
        if slot[0] == END:
            return
        if slot[0] != DELETED and slot[11] & _LONG_MASK == ATTR_LONG_NAME:
            # A set begins anew at its mark: what a power cut left before it belongs to nothing.
            if slot[0] & LAST_LONG_ENTRY:
                long.clear()
            long.append(slot)
            continue
        before, long = long, []
        (short, attributes, case_flags, _, created, created_on, accessed, high, modified, modified_on, low,
         size) = _ENTRY.unpack(slot)
        if slot[0] == DELETED or attributes & ATTR_VOLUME_ID or short in (_DOT, _DOT_DOT):
            continue
        short_name, long_name = decode_short(short, case_flags), decode_long(before, short) if before else None
        name = long_name or short_name
        if fault := name_fault(name) or name_fault(short_name):
            raise ValueError(f"the file name {name!r} in it {fault}")
        n_slots = 1 + (len(before) if long_name else 0)
        first = high << 16 | low
        facts = Facts(attributes, first, size, (created_on, created), accessed, (modified_on, modified))
        yield DirectoryEntry(name, short_name, bool(attributes & ATTR_DIRECTORY), first, size, short, case_flags, facts,
                             at // SLOT_BYTES - n_slots + 1, n_slots)
