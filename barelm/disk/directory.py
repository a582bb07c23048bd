"""Directories of FAT: entries to bytes and back, and the files and folders they make, in memory.

Source: "FAT Directory Structure" of the FAT32 File System Specification.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from barelm.disk import names

ATTR_VOLUME_ID = 0x08
ATTR_DIRECTORY = 0x10
ATTR_ARCHIVE = 0x20

_DATE, _TIME = 1 << 5 | 1, 0            # 1980-01-01 00:00:00, the epoch: images must not depend on the clock
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_DOT, _DOT_DOT = b".".ljust(11), b"..".ljust(11)
_END, _DELETED = 0x00, 0xE5             # first bytes of slots: the first that was never used, one that is no more
_LONG_MASK = 0x3F
_LAST_YEAR = 2107


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
    """What a short entry says beside its name; times as (date, time) of FAT, its epoch where none are given."""

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


@dataclass(eq=False)
class Node:
    """A file, or what all directories have in common.

    `name` is the long one where there is a sound one.  Its slots, the long name's first and the short entry last, are
    `n_slots` from number `slot` of its directory on.  `parent` is None for the root and for what was deleted.
    """

    name: str
    parent: Folder | None
    facts: Facts
    short: bytes = b""
    case_flags: int = 0
    slot: int = 0
    n_slots: int = 0

    @property
    def size(self) -> int:
        """Bytes of a file; 0 for a directory."""
        return 0 if isinstance(self, Folder) else self.facts.size

    @property
    def path(self) -> str:
        """The names from the root on, "/" between them."""
        above = self.parent.path if self.parent is not None else ""
        return f"{above}/{self.name}" if above else self.name

    @property
    def slots(self) -> range:
        """The numbers of its slots."""
        return range(self.slot, self.slot + self.n_slots)

    def packed(self) -> bytes:
        """Its slots as bytes: of the long name, where there has to be one, and the short entry."""
        return names.long_slots(self.name, self.short) + self.facts.pack(self.short, self.case_flags)


@dataclass(eq=False)
class Folder(Node):
    """A directory: `content` are its slots as on the disk, but zeros behind the first that was never used."""

    children: dict[str, Node] = field(default_factory=dict, repr=False)
    clusters: list[int] = field(default_factory=list, repr=False)
    content: bytearray = field(default_factory=bytearray, repr=False)
    end: int = 0                        # the first slot that was never used
    has_garbage: bool = False           # whether the disk has anything but zeros behind it
    _aliases: dict[str, Node] = field(default_factory=dict, repr=False)     # by 8.3 name
    _taken: bytearray = field(default_factory=bytearray, repr=False)        # 1 for a slot in use

    def load(self, content: bytes, clusters: list[int]) -> None:
        """Take over what is on the disk, and make children of its entries; ValueError as parse_directory."""
        slots = np.frombuffer(content, np.uint8).reshape(-1, names.SLOT_BYTES)
        unused = np.flatnonzero(slots[:, 0] == _END)
        self.end = int(unused[0]) if len(unused) else len(slots)
        used = self.end * names.SLOT_BYTES
        self.has_garbage = any(content[used:])
        self.content, self.clusters = bytearray(content[:used].ljust(len(content), b"\0")), clusters
        taken = (slots[:, 0] != _DELETED) & (slots[:, 11] & _LONG_MASK != names.ATTR_LONG_NAME)
        taken[self.end:] = False
        self._taken = bytearray(taken.tobytes())
        for node in parse_directory(content, self):
            self._taken[node.slot:node.slot + node.n_slots] = b"\1" * node.n_slots
            if self.get(node.name) is None:                 # as for any driver, the first of a name hides the others
                self.adopt(node)

    def adopt(self, node: Node) -> None:
        """List a child by its names."""
        self.children[names.fold(node.name)] = node
        self._aliases.setdefault(_short_key(node), node)

    def disown(self, node: Node) -> None:
        """Take a child off the list."""
        del self.children[names.fold(node.name)]
        if self._aliases.get(_short_key(node)) is node:
            del self._aliases[_short_key(node)]

    def get(self, name: str) -> Node | None:
        """The child of a name, long or 8.3, in either case."""
        return self.children.get(names.fold(name)) or self._aliases.get(names.fold(name))

    def listed(self) -> list[Node]:
        """The children in the order of the directory."""
        return sorted(self.children.values(), key=lambda node: node.slot)

    def walk(self) -> Iterator[Folder]:
        """This directory and all below, parents first; one may be filled until the next is asked for."""
        pending = [self]
        for folder in pending:
            yield folder
            pending += [child for child in folder.children.values() if isinstance(child, Folder)]

    def shorts(self) -> set[bytes]:
        """The 8.3 names that are taken, also by what a name before it hides."""
        return {bytes(self.content[i * names.SLOT_BYTES:i * names.SLOT_BYTES + 11]) for i in range(self.end)
                if self._taken[i] and not self.content[i * names.SLOT_BYTES + 11] & ATTR_VOLUME_ID}

    def grow(self, clusters: list[int], cluster_bytes: int) -> None:
        """Have room in further clusters, which are zeros on the disk."""
        self.clusters += clusters
        self.content += bytes(len(clusters) * cluster_bytes)
        self._taken += bytes(len(clusters) * cluster_bytes // names.SLOT_BYTES)

    def place(self, k: int) -> int:
        """Where k slots in a row are free; the last may lie behind the directory's end, which then must grow."""
        start = self._taken.find(bytes(k))
        return start if start >= 0 else len(self._taken.rstrip(b"\0"))

    def place_beside(self, node: Node, k: int, per_sector: int) -> int | None:
        """Where k slots end in the sector of a child's short entry and are free, or in that sector the child's own.

        There one write of that sector takes the child from its old name to a new one.  None where nowhere.
        """
        low = node.slots[-1] // per_sector * per_sector
        free = bytearray(self._taken)
        own = range(max(node.slot, low), node.slots.stop)
        free[own.start:own.stop] = bytes(len(own))
        starts = range(max(low - k + 1, 0), min(low + per_sector, len(free)) - k + 1)
        return next((start for start in starts if start <= self.end and not any(free[start:start + k])), None)

    def put(self, start: int, content: bytes) -> None:
        """Fill slots."""
        self.content[start * names.SLOT_BYTES:start * names.SLOT_BYTES + len(content)] = content
        n = len(content) // names.SLOT_BYTES
        self._taken[start:start + n] = b"\1" * n
        self.end = max(self.end, start + n)

    def erase(self, slots: range) -> None:
        """Mark slots as deleted."""
        for i in slots:
            self.content[i * names.SLOT_BYTES] = _DELETED
            self._taken[i] = 0


def _short_key(node: Node) -> str:
    """The 8.3 name under which a child is found."""
    return names.fold(names.decode_short(node.short, 0))


def pack_dots(first_cluster: int, parent: Folder) -> bytes:
    """The "." and ".." entries that open a subdirectory; a parent that is the root counts as cluster 0."""
    above = parent.facts.first_cluster if parent.parent is not None else 0
    return Facts(ATTR_DIRECTORY, first_cluster).pack(_DOT) + Facts(ATTR_DIRECTORY, above).pack(_DOT_DOT)


def parse_label(content: bytes) -> str:
    """The volume label in the root directory; empty where there is none."""
    for _, slot in _slots(content):
        if slot[0] != _DELETED and slot[11] & (ATTR_VOLUME_ID | ATTR_DIRECTORY) == ATTR_VOLUME_ID \
                and slot[11] & _LONG_MASK != names.ATTR_LONG_NAME:
            return slot[:11].decode("cp437").rstrip()
    return ""


def parse_directory(content: bytes, parent: Folder) -> Iterator[Node]:
    """The entries of a directory, in order, without label, dots, deleted and orphaned slots.

    Raises ValueError, with the reason, for a name that no driver could have written.
    """
    long: list[bytes] = []
    for number, slot in _slots(content):
        if slot[0] != _DELETED and slot[11] & _LONG_MASK == names.ATTR_LONG_NAME:
            # A set begins anew at its mark: what a power cut left before it belongs to nothing.
            if slot[0] & names.LAST_LONG_ENTRY:
                long.clear()
            long.append(slot)
            continue
        before, long = long, []
        (short, attributes, case_flags, _, created, created_on, accessed, high, modified, modified_on, low,
         size) = _ENTRY.unpack(slot)
        if slot[0] == _DELETED or attributes & ATTR_VOLUME_ID or short in (_DOT, _DOT_DOT):
            continue
        short_name = names.decode_short(short, case_flags)
        long_name = names.decode_long(before, short) if before else None
        name = long_name or short_name
        if fault := names.name_fault(name) or names.name_fault(short_name):
            raise ValueError(f"the file name {name!r} in it {fault}")
        n_slots = 1 + (len(before) if long_name else 0)
        facts = Facts(attributes, high << 16 | low, size, (created_on, created), accessed, (modified_on, modified))
        yield (Folder if attributes & ATTR_DIRECTORY else Node)(name, parent, facts, short, case_flags,
                                                                number - n_slots + 1, n_slots)


def _slots(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The slots of a directory with their numbers, up to the first that was never used."""
    for at in range(0, len(content) - names.SLOT_BYTES + 1, names.SLOT_BYTES):
        if content[at] == _END:
            return
        yield at // names.SLOT_BYTES, content[at:at + names.SLOT_BYTES]
