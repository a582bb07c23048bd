"""A FAT32 volume that is written in place: files and directories made, changed, renamed, deleted.

The power may fail between any two writes.  So data goes first, then the file allocation table, then the one sector of
the directory that makes it count; what is given up goes the other way round.  What a power cut leaves behind at worst
is clusters that belong to nothing, and a damaged file where that very file was being written to.
"""

import itertools
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from barelm.disk.directory import ATTR_ARCHIVE, ATTR_DIRECTORY, Facts, Folder, Node, pack_dots, stamp
from barelm.disk.fat32 import DIRECTORY_SLOTS, FILE_LIMIT, VOLUME_SLOTS, Run
from barelm.disk.medium import DamagedError, changed
from barelm.disk.names import PATH_LIMIT, SLOT_BYTES, count_slots, name_fault, refuse_device, short_names
from barelm.disk.table import Chain, VolumeFullError
from barelm.disk.volume import Volume
from barelm.errors import BarelmError
from barelm.host_files import Portion, Progress, Source, no_progress, reading

_CHUNK = 8 << 20
_ZEROS = memoryview(bytes(1 << 20))


class Editor(Volume):
    """The volume of an image, open for writing; a context manager.  For one thread at a time.

    Every method that changes something raises VolumeFullError where there is no room, and BarelmError for what FAT
    does not allow; then nothing was changed.  `medium.after_write` is where power cuts are made.
    """

    def __init__(self, image: Path, *, writable: bool = True,
                 clock: Callable[[], time.struct_time] = time.localtime) -> None:
        """Open the FAT32 volume of an image or device to change it, or only to look; what changes gets `clock`'s time.

        Raises BarelmError where it cannot be opened, is damaged, or another program of this package writes it.
        """
        super().__init__(image, writable)
        self._clock = clock
        self._alone: set[Node] = set()  # whose clusters are known to be nobody else's
        self._per_sector = self.geometry.sector_bytes // SLOT_BYTES
        self._per_cluster = self.cluster_bytes // SLOT_BYTES

    def create(self, parent: Folder, name: str, *, directory: bool = False) -> Node:
        """Make an empty file or directory."""
        short, k = self._name(parent, name)
        self._check_room(parent, k, int(directory), directory)
        if directory:
            runs = self._table.find(1)
            first = runs[0][0]
            dots = pack_dots(first, parent).ljust(self.cluster_bytes, b"\0")
            self._write(self.geometry.cluster_offset(first), dots)
            self._table.link(runs)
            folder = Folder(name, parent, self._new(ATTR_DIRECTORY, first), short)
            folder.load(dots, [first])
            self._n_slots += self._per_cluster
            node: Node = folder
        else:
            node = Node(name, parent, self._new(ATTR_ARCHIVE), short)
        self._add(parent, node, k)
        self._table.write_info()
        return node

    def make_directories(self, path: str) -> Folder:
        """The directory at a path, made where it is missing together with those it is in."""
        with self._descended(path) as folder:
            return folder

    def save(self, path: str, content: Source, progress: Progress | None = None) -> Node:
        """Put a file on the volume, with the directories it is in, or replace one: all of it in one moment, at the end.

        `progress(done, total)` is told the bytes of it that are there.
        """
        above, _, name = path.replace("\\", "/").rstrip("/").rpartition("/")
        with self._descended(above) as folder:
            if isinstance(content, bytes):
                return self.store(folder, name, len(content), [content])
            told = progress or no_progress
            if isinstance(content, Portion):
                with _opened(content.path) as source:
                    source.seek(content.start)
                    pieces = itertools.chain([content.head], _pieces(source, content.n_bytes, told, 0))
                    return self.store(folder, name, len(content.head) + content.n_bytes, pieces)
            with _opened(content) as source:
                size = os.fstat(source.fileno()).st_size
                return self.store(folder, name, size, _pieces(source, size, told))

    def write(self, node: Node, offset: int, content: bytes | memoryview) -> None:
        """Write into a file from `offset` on; it grows where that is needed, with zeros up to `offset`."""
        view = memoryview(content).cast("B")
        size = max(node.size, offset + len(view))
        if size > FILE_LIMIT:
            raise VolumeFullError(f"{node.path} would grow to {size:,} bytes, and a file on FAT32 has {FILE_LIMIT:,} "
                                  "at most", "Split it over several files.")
        old = self._own(node)
        more = self._table.find(max(self._clusters(size) - old.n_clusters, 0), old.last)
        grown = Chain(old.runs + more, is_whole=True)
        for start in range(node.size, offset, len(_ZEROS)):
            self._write_data(grown, start, _ZEROS[:offset - start])
        self._write_data(grown, offset, view)
        self._table.link(more, old.last)
        self._settle(node, grown, size)
        self._table.write_info()

    def resize(self, node: Node, size: int) -> None:
        """Cut a file off, or let it grow by zeros."""
        if size >= node.size:
            self.write(node, size, b"")
            return
        old, keep = self._own(node), self._clusters(size)
        kept = Chain(old.before(keep), is_whole=True)
        self._settle(node, kept, size)
        self._table.release(old.after(keep), kept.last)
        self._table.write_info()

    def store(self, parent: Folder, name: str, size: int, pieces: Iterable[bytes | memoryview]) -> Node:
        """Make a file of `size` bytes, or give one that is there new content: all of it in one moment, at the end.

        Raises BarelmError where the pieces are not `size` bytes in all.
        """
        there = parent.get(name)
        if isinstance(there, Folder):
            raise BarelmError(f"{there.path} is a directory", "Give the file another name.")
        if size > FILE_LIMIT:
            raise BarelmError(f"{name} has {size:,} bytes, but a file on FAT32 can have {FILE_LIMIT:,} at most",
                              "Split it over several files.")
        short, k, old = b"", 0, Chain()
        if there is None:
            short, k = self._name(parent, name)
            self._check_room(parent, k, self._clusters(size))
        else:
            old = self._own(there)
        chain = Chain(self._table.find(self._clusters(size)), is_whole=True)
        done = 0
        for piece in pieces:
            view = memoryview(piece).cast("B")
            if done + len(view) > size:
                raise changed(name)
            self._write_data(chain, done, view)
            done += len(view)
        if done != size:
            raise changed(name)
        self._table.link(chain.runs)
        if there is None:
            there = Node(name, parent, self._new(ATTR_ARCHIVE, chain.first, size), short)
            self._add(parent, there, k)
        else:
            self._settle(there, chain, size)
            self._table.release(old.runs)
        self._table.write_info()
        return there

    def rename(self, node: Node, parent: Folder, name: str) -> None:
        """Give a file or directory another name that nothing there has, a file also another directory.

        Within a directory it has at any moment one name or the other, wherever one sector can hold the new one; else,
        as from one directory to another, both names for the moment in between.
        """
        above, before = node.parent, node.slots
        if above is None:
            raise BarelmError("the root directory cannot be renamed", "Name something in it.")
        short, k = self._name(parent, name, node)
        start = parent.place_beside(node, k, self._per_sector) if above is parent else None
        if start is None:
            if isinstance(node, Folder):
                raise BarelmError(f"the directory {node.path} cannot be renamed to {name!r} in one write",
                                  "Take a shorter name in the same directory, or make a new directory.")
            self._check_room(parent, k, 0)
        above.disown(node)
        node.name, node.short, node.case_flags = name, short, 0
        if start is None:
            self._add(parent, node, k)
            self._erase(above, before)
        else:
            self._exchange(parent, node, range(start, start + k), before)
        self._table.write_info()

    def delete(self, node: Node) -> None:
        """Delete a file or an empty directory."""
        if node.parent is None or isinstance(node, Folder) and node.children:
            raise BarelmError(f"the directory {node.path or '/'} is not empty", "Delete what is in it first.")
        runs = self._own(node).runs
        node.parent.disown(node)
        self._erase(node.parent, node.slots)
        node.parent = None
        if isinstance(node, Folder):
            self._n_slots -= len(node.content) // SLOT_BYTES
        self._chains.pop(node, None)
        self._table.release(runs)
        self._table.write_info()

    def describe(self, node: Node, facts: Facts) -> None:
        """Change what a file's entry says; not where it is, how large it is, or that it is a directory."""
        own = node.facts
        kind = own.attributes & ATTR_DIRECTORY
        self._update(node, replace(facts, attributes=facts.attributes & ~ATTR_DIRECTORY | kind,
                                   first_cluster=own.first_cluster, size=own.size))

    def _own(self, node: Node) -> Chain:
        """All clusters of what is to change; DamagedError where something else has one of them, and would too."""
        chain = self._chain(node, whole=True)
        if chain.runs and node not in self._alone:
            for other in (below for folder in self.root.walk() for below in (folder, *folder.children.values())):
                if other is not node and _meet(chain.runs, self._runs_of(other)):
                    raise self.medium.damaged(f"{node.path} and {other.path or '/'} share clusters")
            self._alone.add(node)
        return chain

    def _runs_of(self, node: Node) -> list[Run]:
        """The clusters of a directory, or of a file, unless they cannot be followed."""
        if isinstance(node, Folder):
            return [(cluster, 1) for cluster in node.clusters]
        try:
            return self._chain(node).runs
        except DamagedError:
            return []

    def _new(self, attributes: int, first_cluster: int = 0, size: int = 0) -> Facts:
        """What the entry of something made now says."""
        now = stamp(self._clock())
        return Facts(attributes, first_cluster, size, now, now[0], now)

    def _settle(self, node: Node, chain: Chain, size: int) -> None:
        """Let a file have its bytes in a chain; this is what makes a change of its content count."""
        self._chains[node] = chain
        now = stamp(self._clock())
        self._update(node, replace(node.facts, first_cluster=chain.first, size=size, modified=now, accessed=now[0]))

    def _write_data(self, chain: Chain, offset: int, content: memoryview) -> None:
        done = 0
        for at, n in chain.places(offset, len(content), self.geometry):
            self._write(at, content[done:done + n])
            done += n

    @contextmanager
    def _descended(self, path: str) -> Iterator[Folder]:
        """The directory at a path; those on the way that had to be made go again where what is done in it fails."""
        folder: Folder = self.root
        made: list[Node] = []
        try:
            for part in (part for part in path.replace("\\", "/").split("/") if part not in ("", ".")):
                below = folder.parent if part == ".." else folder.get(part)
                if below is None:
                    below = self.create(folder, part, directory=True)
                    made.append(below)
                if not isinstance(below, Folder):
                    raise BarelmError(f"{below.path} is a file, not a directory", "Give another path.")
                folder = below
            yield folder
        except BarelmError:
            for node in reversed(made):
                self.delete(node)
            raise

    def _name(self, parent: Folder, name: str, node: Node | None = None) -> tuple[bytes, int]:
        """The 8.3 name for a name in a directory, and how many slots both take; `node` is what is renamed, if it is.

        Raises BarelmError where the name is not for FAT or is taken.
        """
        if fault := name_fault(name):
            raise BarelmError(f"the name {name!r} {fault}, which FAT32 forbids", "Take another name.")
        refuse_device(name)
        there = parent.get(name)
        if there is not None and there is not node:
            raise BarelmError(f"there is already {there.path}", "Take another name, or delete that first.")
        path = f"{parent.path}/{name}"
        if len(path) + (_depth(node) if isinstance(node, Folder) else 0) > PATH_LIMIT:
            raise BarelmError(f"the path {path[:40]!r}... would be longer than {PATH_LIMIT} characters",
                              "Take a shorter name.")
        own = {node.short} if node is not None and node.parent is parent else set()
        short = short_names([name], parent.shorts() - own)[name]
        return short, count_slots(name, short)

    def _check_room(self, parent: Folder, k: int, n_clusters: int, directory: bool = False) -> None:
        """Raise BarelmError unless a directory has room for k slots, and the volume for that and `n_clusters` more."""
        more = self._more_clusters(parent, parent.place(k) + k)
        if more and len(parent.content) // SLOT_BYTES + more * self._per_cluster > max(DIRECTORY_SLOTS,
                                                                                       self._per_cluster):
            raise BarelmError(f"the directory {parent.path or '/'} has too many files for FAT32",
                              "Spread the files over several directories.")
        if self._n_slots + (more + directory) * self._per_cluster > VOLUME_SLOTS:
            raise BarelmError("the volume has too many directories", "Delete some, or put the files into fewer.")
        if more + n_clusters > self._table.free:
            raise self._table.full((more + n_clusters) * self.cluster_bytes)

    def _more_clusters(self, folder: Folder, n_slots: int) -> int:
        """By how many clusters a directory has to grow to have so many slots."""
        return max(self._clusters(n_slots * SLOT_BYTES - len(folder.content)), 0)

    def _add(self, parent: Folder, node: Node, k: int) -> None:
        """Enter a node with its k slots into a directory; it is there with the last write."""
        start = parent.place(k)
        if more := self._more_clusters(parent, start + k):
            last = parent.clusters[-1]
            runs = self._table.find(more, last)
            for first, count in runs:
                self._write(self.geometry.cluster_offset(first), bytes(count * self.cluster_bytes))
            self._table.link(runs, last)
            parent.grow([c for first, count in runs for c in range(first, first + count)], self.cluster_bytes)
            self._chains.pop(parent, None)
            self._n_slots += more * self._per_cluster
        self._clear_garbage(parent, start + k)
        parent.put(start, self._placed(parent, node, start, k))
        self._write_slots(parent, node.slots)

    def _exchange(self, parent: Folder, node: Node, slots: range, before: range) -> None:
        """Rename within a directory at a place of `place_beside`: what counts happens in the write of one sector."""
        sector = slots[-1] // self._per_sector * self._per_sector
        low = max(sector, slots.start)
        self._clear_garbage(parent, slots.stop)
        content = self._placed(parent, node, slots.start, len(slots))
        ahead = (low - slots.start) * SLOT_BYTES
        if ahead:
            parent.put(slots.start, content[:ahead])
            self._write_slots(parent, range(slots.start, low))
        parent.erase(range(max(before.start, sector), before.stop))
        parent.put(low, content[ahead:])
        self._write_slots(parent, slots[-1:])
        self._erase(parent, range(before.start, sector))

    def _placed(self, parent: Folder, node: Node, start: int, k: int) -> bytes:
        """Tell a node where its slots are, and list it there; returns them filled."""
        node.parent, node.slot, node.n_slots = parent, start, k
        parent.adopt(node)
        return node.packed()

    def _erase(self, parent: Folder, slots: range) -> None:
        """Take slots out of a directory, the last first."""
        parent.erase(slots)
        self._write_slots(parent, slots, backwards=True)

    def _update(self, node: Node, facts: Facts) -> None:
        """Write a node's short entry anew."""
        node.facts = facts
        if node.parent is not None:
            node.parent.put(node.slots[-1], facts.pack(node.short, node.case_flags))
            self._write_slots(node.parent, node.slots[-1:])

    def _clear_garbage(self, folder: Folder, end: int) -> None:
        """Before the end of a directory moves to `end`: make sure that nothing but zeros comes to light behind it."""
        if folder.has_garbage and end > folder.end:
            behind = (folder.end // self._per_sector + 1) * self._per_sector
            self._write_slots(folder, range(behind, len(folder.content) // SLOT_BYTES))
            folder.has_garbage = False

    def _write_slots(self, folder: Folder, slots: range, backwards: bool = False) -> None:
        """Write the sectors that hold some slots, one by one."""
        if not slots:
            return
        n_bytes = self.geometry.sector_bytes
        sectors = range(slots.start // self._per_sector, (slots.stop - 1) // self._per_sector + 1)
        for sector in reversed(sectors) if backwards else sectors:
            cluster, inside = divmod(sector * n_bytes, self.cluster_bytes)
            self._write(self.geometry.cluster_offset(folder.clusters[cluster]) + inside,
                        bytes(folder.content[sector * n_bytes:(sector + 1) * n_bytes]))


def _meet(some: list[Run], others: list[Run]) -> bool:
    """Whether two chains, none of which meets itself, have a cluster in common."""
    ordered = sorted([*some, *others])
    return any(head + count > following for (head, count), (following, _) in zip(ordered, ordered[1:]))


def _depth(folder: Folder) -> int:
    """How many characters the longest path below a directory adds to its own."""
    longest = max((len(node.path) for below in folder.walk() for node in below.children.values()), default=0)
    return max(longest - len(folder.path), 0)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file of the host, open; BarelmError where it cannot be read or is none."""
    with reading(path):
        if path.is_dir():
            raise BarelmError(f"{path} is a directory", "Directories are not copied: name the files in it.")
        with open(path, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BarelmError(f"{path} is not a regular file", "Give a file.")
            yield file


def _pieces(source: BinaryIO, size: int, progress: Progress, more: int = 1) -> Iterator[bytes]:
    """A file in chunks, as it is read; up to so many bytes `more` than `size` where it has grown."""
    done = 0
    while piece := source.read(min(_CHUNK, size - done + more)):
        done += len(piece)
        yield piece
        progress(done, size)
