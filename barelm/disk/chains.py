"""Follow cluster chains of a file allocation table, a run of consecutive clusters at a time."""

from __future__ import annotations

import bisect
from collections.abc import Callable

import numpy as np

from barelm.disk.fat32 import FIRST_CLUSTER, Geometry

_MASK = 0x0FFFFFFF                      # the upper four bits of an entry are reserved
_CHAIN_END = 0x0FFFFFF8                 # this or more
_BLOCK = 1 << 14                        # table entries read at a time
_CACHED_BLOCKS = 16
_MAX_RUNS = 1 << 20                     # far above any real fragmentation; bounds memory on a hostile chain


class ClusterChains:
    """The chains of one volume, read through `read(offset, n)`, which returns n bytes of the volume."""

    def __init__(self, read: Callable[[int, int], bytes], geometry: Geometry) -> None:
        """`geometry` must have been checked against the volume's size (parse_boot_sector does)."""
        self._read = read
        self._geometry = geometry
        self._end = FIRST_CLUSTER + geometry.cluster_count
        self._blocks: dict[int, tuple[list[int], list[int]]] = {}

    def runs(self, first: int, limit: int) -> list[tuple[int, int]]:
        """(first cluster, count) of the runs of the chain from `first` on, cut off after `limit` clusters.

        Raises ValueError, with the reason, where the chain leaves the volume, or meets itself.
        """
        found: list[tuple[int, int]] = []
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
            raw = self._read(self._geometry.fat_offset + start * 4, count * 4)
            table = np.frombuffer(raw, "<u4") & _MASK
            breaks = np.flatnonzero(table != np.arange(start + 1, start + count + 1))
            cached = (breaks + start).tolist(), table[breaks].tolist()
            if len(self._blocks) >= _CACHED_BLOCKS:
                self._blocks.clear()
            self._blocks[number] = cached
        return cached
