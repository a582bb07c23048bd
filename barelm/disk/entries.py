"""The entries of directories as they are written: names and their slots, room for them, one sector after the other."""

from __future__ import annotations

import functools

from barelm.disk.directory import Facts
from barelm.disk.fat32 import DIRECTORY_SLOTS, VOLUME_SLOTS
from barelm.disk.names import PATH_LIMIT, SLOT_BYTES, long_slots, name_fault, short_name
from barelm.disk.nodes import Folder, Node
from barelm.disk.table import AllocationTable
from barelm.disk.tree import Tree
from barelm.errors import BarelmError


class Entries(Tree):
    """A tree whose directories can be written."""

    @functools.cached_property
    def _table(self) -> AllocationTable:
        return AllocationTable(self._read, self._write, self.geometry)

    @property
    def _per_sector(self) -> int:
        return self.geometry.sector_bytes // SLOT_BYTES

    def _write(self, offset: int, content: bytes | memoryview) -> None:
        self.medium.write(self._offset + offset, content)

    def _check_name(self, parent: Folder, name: str, node: Node | None = None) -> None:
        """Raise BarelmError where a name, for `node` or for something new, is not for FAT or is taken."""
        if fault := name_fault(name):
            raise BarelmError(f"the name {name!r} {fault}, which FAT32 forbids", "Take another name.")
        there = parent.get(name)
        if there is not None and there is not node:
            raise BarelmError(f"there is already {there.path}", "Take another name, or delete that first.")
        path = f"{parent.path}/{name}"
        if len(path) + (_depth(node) if isinstance(node, Folder) else 0) > PATH_LIMIT:
            raise BarelmError(f"the path {path[:40]!r}... would be longer than {PATH_LIMIT} characters",
                              "Take a shorter name.")

    def _slots(self, parent: Folder, name: str, node: Node | None = None) -> bytes:
        """The slots of a name in a directory; the last begins with its 8.3 name and is to be filled."""
        taken = parent.shorts() - ({node.short} if node is not None and node.parent is parent else set())
        short = short_name(name, taken)
        return long_slots(name, short) + short.ljust(SLOT_BYTES, b"\0")

    def _check_room(self, parent: Folder, slots: bytes, n_clusters: int, directory: bool = False) -> None:
        """Raise BarelmError unless a directory has room for slots, and the volume for that and `n_clusters` more."""
        k = len(slots) // SLOT_BYTES
        more = self._more_clusters(parent, parent.place(k) + k)
        per_cluster = self.cluster_bytes // SLOT_BYTES
        if more and len(parent.content) // SLOT_BYTES + more * per_cluster > max(DIRECTORY_SLOTS, per_cluster):
            raise BarelmError(f"the directory {parent.path or '/'} has too many files for FAT32",
                              "Spread the files over several directories.")
        if self._n_slots + (more + directory) * per_cluster > VOLUME_SLOTS:
            raise BarelmError("the volume has too many directories", "Delete some, or put the files into fewer.")
        if more + n_clusters > self._table.free:
            raise self._table.full((more + n_clusters) * self.cluster_bytes)

    def _more_clusters(self, folder: Folder, n_slots: int) -> int:
        """By how many clusters a directory has to grow to have so many slots."""
        return max(self._clusters(n_slots * SLOT_BYTES - len(folder.content)), 0)

    def _add(self, parent: Folder, node: Node, slots: bytes) -> None:
        """Enter a node into a directory; it is there with the last write."""
        k = len(slots) // SLOT_BYTES
        start = parent.place(k)
        more = self._more_clusters(parent, start + k)
        if more:
            last = parent.clusters[-1]
            runs = self._table.find(more, last)
            for first, count in runs:
                self._write(self.geometry.cluster_offset(first), bytes(count * self.cluster_bytes))
            self._table.link(runs, last)
            parent.grow([c for first, count in runs for c in range(first, first + count)], self.cluster_bytes)
            parent.is_whole = False
            self._n_slots += more * self.cluster_bytes // SLOT_BYTES
        self._clear_garbage(parent, start + k)
        parent.put(start, self._named(parent, node, start, slots))
        self._write_slots(parent, range(start, start + k))

    def _exchange(self, parent: Folder, node: Node, start: int, slots: bytes, before: range) -> None:
        """Rename within a directory at a place of `place_beside`: what counts happens in the write of one sector."""
        end = start + len(slots) // SLOT_BYTES
        low = max((end - 1) // self._per_sector * self._per_sector, start)
        self._clear_garbage(parent, end)
        content = self._named(parent, node, start, slots)
        if start < low:
            parent.put(start, content[:(low - start) * SLOT_BYTES])
            self._write_slots(parent, range(start, low))
        sector = (end - 1) // self._per_sector * self._per_sector
        parent.erase(range(max(before.start, sector), before.stop))
        parent.put(low, content[(low - start) * SLOT_BYTES:])
        self._write_slots(parent, range(end - 1, end))
        if before.start < sector:
            parent.erase(range(before.start, sector))
            self._write_slots(parent, range(before.start, sector))

    def _named(self, parent: Folder, node: Node, start: int, slots: bytes) -> bytes:
        """Tell a node where its slots are, and list it there; returns the slots filled."""
        node.parent, node.slot, node.n_slots = parent, start, len(slots) // SLOT_BYTES
        node.short, node.case_flags = slots[-SLOT_BYTES:][:11], 0
        parent.adopt(node)
        return slots[:-SLOT_BYTES] + node.facts.pack(node.short)

    def _erase(self, parent: Folder, slots: range) -> None:
        """Take a name out of a directory, the short entry first."""
        parent.erase(slots)
        self._write_slots(parent, slots, backwards=True)

    def _update(self, node: Node, facts: Facts) -> None:
        """Write a node's short entry anew."""
        node.facts = facts
        if node.parent is not None:
            last = node.slot + node.n_slots - 1
            node.parent.put(last, facts.pack(node.short, node.case_flags))
            self._write_slots(node.parent, range(last, last + 1))

    def _clear_garbage(self, folder: Folder, end: int) -> None:
        """Before the end of a directory moves to `end`: make sure that nothing but zeros comes to light behind it."""
        if folder.has_garbage and end > folder.end:
            behind = (folder.end // self._per_sector + 1) * self._per_sector
            self._write_slots(folder, range(behind, len(folder.content) // SLOT_BYTES))
            folder.has_garbage = False

    def _write_slots(self, folder: Folder, slots: range, backwards: bool = False) -> None:
        """Write the sectors that hold some slots, one by one."""
        n_bytes = self.geometry.sector_bytes
        if not slots:
            return
        sectors = range(slots.start // self._per_sector, (slots.stop - 1) // self._per_sector + 1)
        for sector in reversed(sectors) if backwards else sectors:
            cluster, inside = divmod(sector * n_bytes, self.cluster_bytes)
            self._write(self.geometry.cluster_offset(folder.clusters[cluster]) + inside,
                        bytes(folder.content[sector * n_bytes:(sector + 1) * n_bytes]))


def _depth(folder: Folder) -> int:
    """How many characters the longest path below a directory has."""
    return max((1 + len(node.name) + (_depth(node) if isinstance(node, Folder) else 0)
                for node in folder.children.values()), default=0)
