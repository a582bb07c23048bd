"""Directory entries to bytes and back ("FAT Directory Structure" of the FAT32 File System Specification)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from barelm.disk.names import ATTR_LONG_NAME, SLOT_BYTES, decode_long, decode_short, name_fault

ATTR_VOLUME_ID = 0x08
ATTR_DIRECTORY = 0x10
ATTR_ARCHIVE = 0x20

_DATE, _TIME = 1 << 5 | 1, 0            # 1980-01-01 00:00:00, the epoch: images must not depend on the clock
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_DOT, _DOT_DOT = b".".ljust(11), b"..".ljust(11)
_END, _DELETED = 0x00, 0xE5
_LONG_MASK = 0x3F


def pack_entry(short: bytes, attributes: int, first_cluster: int, size: int) -> bytes:
    """One short entry of 32 bytes; times are the epoch of FAT."""
    return _ENTRY.pack(short, attributes, 0, 0, _TIME, _DATE, _DATE, first_cluster >> 16, _TIME, _DATE,
                       first_cluster & 0xFFFF, size)


def pack_dots(first_cluster: int, parent_cluster: int) -> bytes:
    """The "." and ".." entries that open a subdirectory; a parent that is the root counts as cluster 0."""
    return (pack_entry(_DOT, ATTR_DIRECTORY, first_cluster, 0)
            + pack_entry(_DOT_DOT, ATTR_DIRECTORY, parent_cluster, 0))


@dataclass(frozen=True)
class DirectoryEntry:
    """A file or directory as its parent lists it: `name` is the long name where there is a sound one."""

    name: str
    short_name: str
    is_directory: bool
    first_cluster: int
    size: int


def parse_directory(content: bytes) -> Iterator[DirectoryEntry]:
    """The entries of a directory, in order, without label, dots, deleted and orphaned slots.

    Raises ValueError, with the reason, for a name that no driver could have written.
    """
    long: list[bytes] = []
    for at in range(0, len(content) - SLOT_BYTES + 1, SLOT_BYTES):
        slot = content[at:at + SLOT_BYTES]
        if slot[0] == _END:
            return
        if slot[0] != _DELETED and slot[11] & _LONG_MASK == ATTR_LONG_NAME:
            long.append(slot)
            continue
        before, long = long, []
        short, attributes, case_flags, _, _, _, _, high, _, _, low, size = _ENTRY.unpack(slot)
        if slot[0] == _DELETED or attributes & ATTR_VOLUME_ID or short in (_DOT, _DOT_DOT):
            continue
        short_name = decode_short(short, case_flags)
        name = decode_long(before, short) or short_name
        if fault := name_fault(name) or name_fault(short_name):
            raise ValueError(f"the file name {name!r} in it {fault}")
        yield DirectoryEntry(name, short_name, bool(attributes & ATTR_DIRECTORY), high << 16 | low, size)
