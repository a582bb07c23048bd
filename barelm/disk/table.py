"""The file allocation table of a volume that is written: find clusters, chain them, give them back.

What is in memory and what is on the disk differ only between a change and its `_commit`, which writes sector by sector
so that at any moment the chains a directory leads to are whole.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from barelm.disk.fat32 import END_OF_CHAIN, FIRST_CLUSTER, Geometry
from barelm.errors import BarelmError

Run = tuple[int, int]
"""The first of some consecutive clusters, and how many they are."""

_MASK = 0x0FFFFFFF                      # the upper four bits of an entry are kept
_SEARCHED = 1 << 16                     # entries looked at in one go
_ENTRY_BYTES = 4
_LEAD, _STRUCTURE, _COUNTS = (0, 0x41615252), (484, 0x61417272), 488    # of the FSInfo sector: where and what


class VolumeFullError(BarelmError):
    """There is no room for what was to be written; nothing of it was."""


class AllocationTable:
    """All copies of the table, through `read(offset, n)` and `write(offset, content)` of the volume."""

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None],
                 geometry: Geometry) -> None:
        self._write = write
        self._geometry = geometry
        self._end = FIRST_CLUSTER + geometry.cluster_count
        self._table = np.frombuffer(read(geometry.fat_offset, self._end * _ENTRY_BYTES), "<u4").copy()
        self._per_sector = geometry.sector_bytes // _ENTRY_BYTES
        self._rest = read(geometry.fat_offset + self._table.nbytes, -self._table.nbytes % geometry.sector_bytes)
        self._dirty: set[int] = set()
        self.free = int(np.count_nonzero((self._table[FIRST_CLUSTER:] & _MASK) == 0))
        self._next = FIRST_CLUSTER
        self._info = self._read_info(read)
        self._told = self.free

    def find(self, n: int, after: int = 0) -> list[Run]:
        """n free clusters, next to cluster `after` where there are some; they stay free until they are linked."""
        if n > self.free:
            raise self.full(n * self._geometry.cluster_bytes)
        near = after + 1
        is_free = after and near < self._end and not int(self._table[near]) & _MASK
        start = near if is_free else min(max(self._next, FIRST_CLUSTER), self._end)
        found: list[Run] = []
        missing = n
        for clusters in self._free_from(start):
            if not missing:
                break
            clusters = clusters[:missing]
            missing -= len(clusters)
            cuts = np.flatnonzero(np.diff(clusters) != 1) + 1
            for head, count in zip(clusters[np.r_[0, cuts]].tolist(), np.diff(np.r_[0, cuts, len(clusters)]).tolist()):
                if found and sum(found[-1]) == head:
                    head, count = found[-1][0], found.pop()[1] + count
                found.append((head, count))
        return found

    def full(self, n_bytes: int) -> VolumeFullError:
        """The error of a volume without room for `n_bytes`."""
        free = self.free * self._geometry.cluster_bytes
        return VolumeFullError(f"the volume is full: it has {free:,} bytes free, and {n_bytes:,} are needed",
                               "Delete something on it, or write the image again with more --free.")

    def link(self, runs: Iterable[Run], after: int = 0) -> None:
        """Make a chain of clusters, and append it to the chain that ends in `after` where given."""
        head = 0
        for first, count in reversed(list(runs)):
            self._set(first, np.arange(first + 1, first + count + 1))
            self._set(first + count - 1, np.array([head or END_OF_CHAIN]))
            head = first
            self.free -= count
            self._next = max(self._next, first + count)
        if self._next >= self._end:
            self._next = FIRST_CLUSTER
        if after and head:
            self._set(after, np.array([head]))
        self._commit(last=after)

    def release(self, runs: Iterable[Run], after: int = 0) -> None:
        """Free clusters; the chain of which they were the rest then ends in `after` where given."""
        if after:
            self._set(after, np.array([END_OF_CHAIN]))
            self._commit()
        for first, count in runs:
            self._set(first, np.zeros(count, np.int64))
            self.free += count
        self._commit()

    def write_info(self) -> None:
        """Bring the FSInfo sector up to date, where there is one and the number of free clusters changed."""
        if self._info is not None and self._told != self.free:
            struct.pack_into("<II", self._info, _COUNTS, self.free, self._next)
            self._write(self._geometry.info_offset, bytes(self._info))
            self._told = self.free

    def _read_info(self, read: Callable[[int, int], bytes]) -> bytearray | None:
        if not self._geometry.info_offset:
            return None
        sector = bytearray(read(self._geometry.info_offset, self._geometry.sector_bytes))
        if any(struct.unpack_from("<I", sector, at)[0] != signature for at, signature in (_LEAD, _STRUCTURE)):
            return None
        hint = struct.unpack_from("<I", sector, _COUNTS + 4)[0]
        if FIRST_CLUSTER <= hint < self._end:
            self._next = hint
        return sector

    def _free_from(self, start: int) -> Iterator[np.ndarray]:
        """The free clusters from `start` to the end of the volume, then those before, some at a time."""
        for low, high in ((start, self._end), (FIRST_CLUSTER, start)):
            for at in range(low, high, _SEARCHED):
                clusters = np.flatnonzero((self._table[at:min(at + _SEARCHED, high)] & _MASK) == 0)
                if len(clusters):
                    yield clusters + at

    def _set(self, first: int, entries: np.ndarray) -> None:
        part = self._table[first:first + len(entries)]
        part[:] = (part & ~np.uint32(_MASK)) | entries.astype(np.uint32)
        self._dirty.update(range(first // self._per_sector, (first + len(entries) - 1) // self._per_sector + 1))

    def _commit(self, last: int = 0) -> None:
        """Write the sectors that changed, to every copy of the table; the one with the entry of `last` at the end."""
        link = last // self._per_sector if last else -1
        for sector in sorted(self._dirty, key=lambda number: (number == link, number)):
            low = sector * self._per_sector
            content = self._table[low:low + self._per_sector].tobytes()
            content += self._rest[:self._geometry.sector_bytes - len(content)]
            for table in (self._geometry.fat_offset, *self._geometry.mirrors):
                self._write(table + sector * self._geometry.sector_bytes, content)
        self._dirty.clear()
