"""The file allocation table of a volume: cluster chains followed, and, where it is written, made and given back.

What is in memory and what is on the disk differ only between a change and its `_commit`, which writes sector by sector
so that at any moment the chains a directory leads to are whole.
"""

import bisect
import functools
import struct
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from barelm.disk.fat32 import END_OF_CHAIN, FIRST_CLUSTER, INFO_COUNTS, Geometry, Run, parse_info
from barelm.errors import BarelmError

_MASK = 0x0FFFFFFF                      # the upper four bits of an entry are reserved, and kept
_CHAIN_END = 0x0FFFFFF8                 # this or more
_BLOCK = 1 << 14                        # entries of a chain that are read at a time
_CACHED_BLOCKS = 16
_MAX_RUNS = 1 << 20                     # far above any real fragmentation; bounds memory on a hostile chain
_SEARCHED = 1 << 16                     # entries looked at in one go
_ENTRY_BYTES = 4


class VolumeFullError(BarelmError):
    """There is no room for what was to be written; nothing of it was."""


class Chain:
    """The clusters of a file in order; `is_whole` where they are known beyond the end of its bytes."""

    def __init__(self, runs: Iterable[Run] = (), is_whole: bool = False) -> None:
        self.runs: list[Run] = []
        self.is_whole = is_whole
        self.n_clusters = 0
        self._starts: list[int] = []            # how many clusters come before each run
        for first, count in runs:
            if self.runs and sum(self.runs[-1]) == first:
                self.runs[-1] = self.runs[-1][0], self.runs[-1][1] + count
            else:
                self.runs.append((first, count))
                self._starts.append(self.n_clusters)
            self.n_clusters += count

    @property
    def first(self) -> int:
        """The first cluster; 0 where there is none."""
        return self.runs[0][0] if self.runs else 0

    @property
    def last(self) -> int:
        """The last cluster; 0 where there is none."""
        return sum(self.runs[-1]) - 1 if self.runs else 0

    def before(self, n: int) -> list[Run]:
        """The first n clusters."""
        return [(first, min(count, n - start)) for (first, count), start in zip(self.runs, self._starts) if start < n]

    def after(self, n: int) -> list[Run]:
        """The clusters behind the first n."""
        return [(first + max(n - start, 0), count - max(n - start, 0))
                for (first, count), start in zip(self.runs, self._starts) if start + count > n]

    def places(self, offset: int, n: int, geometry: Geometry) -> Iterator[tuple[int, int]]:
        """(offset in the volume, bytes) of the consecutive parts that hold bytes `offset` to `offset` + `n`."""
        run = bisect.bisect_right(self._starts, offset // geometry.cluster_bytes) - 1
        while n:
            inside = offset - self._starts[run] * geometry.cluster_bytes
            part = min(n, self.runs[run][1] * geometry.cluster_bytes - inside)
            yield geometry.cluster_offset(self.runs[run][0]) + inside, part
            offset, n, run = offset + part, n - part, run + 1


class AllocationTable:
    """All copies of the table, through `read(offset, n)` and `write(offset, content)` of the volume.

    Chains are followed on the disk, a block at a time; the table as a whole is read when something is to be written.
    """

    def __init__(self, read: Callable[[int, int], bytes], write: Callable[[int, bytes], None],
                 geometry: Geometry) -> None:
        """`geometry` must have been checked against the volume's size (parse_boot_sector does)."""
        self._read, self._write, self._geometry = read, write, geometry
        self._end = FIRST_CLUSTER + geometry.cluster_count
        self._per_sector = geometry.sector_bytes // _ENTRY_BYTES
        self._blocks: dict[int, tuple[list[int], list[int]]] = {}
        self._dirty: set[int] = set()

    def runs(self, first: int, limit: int) -> list[Run]:
        """The runs of the chain from `first` on, cut off after `limit` clusters.

        Raises ValueError, with the reason, where the chain leaves the volume, or meets itself.
        """
        found: list[Run] = []
        heads: set[int] = set()
        total, cluster = 0, first
        while total < limit:
            if not FIRST_CLUSTER <= cluster < self._end:
                raise ValueError("a cluster chain leaves the volume")
            if cluster in heads:
                raise ValueError("a cluster chain runs in a circle")
            if len(found) == _MAX_RUNS:
                raise ValueError("a file is in too many fragments")
            heads.add(cluster)
            count, after = self._run(cluster, limit - total)
            found.append((cluster, count))
            total += count
            if after >= _CHAIN_END:
                break
            cluster = after
        ordered = sorted(found)
        if any(head + count > following for (head, count), (following, _) in zip(ordered, ordered[1:])):
            raise ValueError("a cluster chain crosses itself")
        return found

    @functools.cached_property
    def free(self) -> int:
        """How many clusters are free."""
        return int(np.count_nonzero((self._table[FIRST_CLUSTER:self._end] & _MASK) == 0))

    def find(self, n: int, after: int = 0) -> list[Run]:
        """n free clusters, next to cluster `after` where there are some; they stay free until they are linked."""
        if n > self.free:
            raise self.full(n * self._geometry.cluster_bytes)
        near = after + 1
        is_free = after and near < self._end and not int(self._table[near]) & _MASK
        found: list[Run] = []
        for clusters in self._free_from(near if is_free else self._next) if n else ():
            clusters, n = clusters[:n], n - min(n, len(clusters))
            heads = np.r_[0, np.flatnonzero(np.diff(clusters) != 1) + 1]
            found += zip(clusters[heads].tolist(), np.diff(np.r_[heads, len(clusters)]).tolist())
            if not n:
                break
        return Chain(found).runs

    def full(self, n_bytes: int) -> VolumeFullError:
        """The error of a volume without room for `n_bytes`."""
        free = self.free * self._geometry.cluster_bytes
        return VolumeFullError(f"the volume is full: it has {free:,} bytes free, and {n_bytes:,} are needed",
                               "Delete something on it, or write the image again with more --free.")

    def link(self, runs: Iterable[Run], after: int = 0) -> None:
        """Make a chain of clusters, and append it to the chain that ends in `after` where given."""
        head = 0
        for first, count in reversed(list(runs)):
            self._set(first, np.r_[np.arange(first + 1, first + count), head or END_OF_CHAIN])
            head = first
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
        self._commit()

    def write_info(self) -> None:
        """Bring the FSInfo sector up to date, where there is one and it tells another number of free clusters."""
        told = self._info and parse_info(self._info)
        if told and told[0] != self.free:
            struct.pack_into("<II", self._info, INFO_COUNTS, self.free, self._next)
            self._write(self._geometry.info_offset, bytes(self._info))

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """Every entry, and what is behind them in their last sector."""
        n_sectors = -(-self._end // self._per_sector)
        raw = self._read(self._geometry.fat_offset, n_sectors * self._geometry.sector_bytes)
        return np.frombuffer(raw, "<u4").copy()

    @functools.cached_property
    def _info(self) -> bytearray:
        """The FSInfo sector; empty where there is none."""
        at = self._geometry.info_offset
        return bytearray(self._read(at, self._geometry.sector_bytes)) if at else bytearray()

    @functools.cached_property
    def _next(self) -> int:
        """Where a free cluster is looked for first."""
        told = self._info and parse_info(self._info)
        return told[1] if told and FIRST_CLUSTER <= told[1] < self._end else FIRST_CLUSTER

    def _run(self, cluster: int, limit: int) -> tuple[int, int]:
        """How many clusters follow each other from `cluster` on, at most `limit`; the last one's entry."""
        start = cluster
        while True:
            breaks, entries = self._block(cluster // _BLOCK)
            i = bisect.bisect_left(breaks, cluster)
            if i < len(breaks):
                count = breaks[i] + 1 - start
                return (count, entries[i]) if count <= limit else (limit, start + limit)
            cluster = (cluster // _BLOCK + 1) * _BLOCK
            if cluster - start >= limit:
                return limit, start + limit

    def _block(self, number: int) -> tuple[list[int], list[int]]:
        """The clusters of a block of the table whose next is not their neighbour, and their entries."""
        cached = self._blocks.get(number)
        if cached is None:
            start = number * _BLOCK
            count = min(_BLOCK, self._end - start)
            raw = self._read(self._geometry.fat_offset + start * _ENTRY_BYTES, count * _ENTRY_BYTES)
            table = np.frombuffer(raw, "<u4") & _MASK
            breaks = np.flatnonzero(table != np.arange(start + 1, start + count + 1))
            cached = (breaks + start).tolist(), table[breaks].tolist()
            if len(self._blocks) >= _CACHED_BLOCKS:
                self._blocks.clear()
            self._blocks[number] = cached
        return cached

    def _free_from(self, start: int) -> Iterator[np.ndarray]:
        """The free clusters from `start` to the end of the volume, then those before, some at a time."""
        for low, high in ((start, self._end), (FIRST_CLUSTER, start)):
            for at in range(low, high, _SEARCHED):
                clusters = np.flatnonzero((self._table[at:min(at + _SEARCHED, high)] & _MASK) == 0)
                if len(clusters):
                    yield clusters + at

    def _set(self, first: int, entries: np.ndarray) -> None:
        part = self._table[first:first + len(entries)]
        self.free += int(np.count_nonzero(part & _MASK)) - int(np.count_nonzero(entries))
        part[:] = (part & ~np.uint32(_MASK)) | entries.astype(np.uint32)
        self._dirty.update(range(first // self._per_sector, (first + len(entries) - 1) // self._per_sector + 1))

    def _commit(self, last: int = 0) -> None:
        """Write the sectors that changed, to every copy of the table; the one with the entry of `last` at the end."""
        link = last // self._per_sector if last else -1
        for sector in sorted(self._dirty, key=lambda number: (number == link, number)):
            low = sector * self._per_sector
            content = self._table[low:low + self._per_sector].tobytes()
            for table in (self._geometry.fat_offset, *self._geometry.mirrors):
                self._write(table + sector * self._geometry.sector_bytes, content)
        self._dirty.clear()
        self._blocks.clear()
