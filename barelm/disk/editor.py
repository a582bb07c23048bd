"""A FAT32 volume that is written in place: files and directories made, changed, renamed, deleted.

The power may fail between any two writes.  So data goes first, then the file allocation table, then the one sector of
the directory that makes it count; what is given up goes the other way round.  What a power cut leaves behind at worst
is clusters that belong to nothing, and a damaged file where that very file was being written to.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from barelm.disk.directory import ATTR_ARCHIVE, ATTR_DIRECTORY, Facts, pack_dots, stamp
from barelm.disk.entries import Entries
from barelm.disk.fat32 import FILE_LIMIT
from barelm.disk.names import SLOT_BYTES
from barelm.disk.nodes import Chain, Folder, Node
from barelm.disk.table import VolumeFullError
from barelm.errors import BarelmError

_CHUNK = 8 << 20
_ZEROS = memoryview(bytes(1 << 20))


def open_editor(image: Path, *, writable: bool = True,
                clock: Callable[[], time.struct_time] = time.localtime) -> Editor:
    """Open the FAT32 volume of an image or device to change it, or only to look at it as it is now.

    Raises BarelmError where it cannot be opened, is damaged, or another program of this package writes it.
    """
    return Editor(image, writable, clock)


class Editor(Entries):
    """The volume of an image, open for writing; a context manager.  For one thread at a time.

    Every method that changes something raises VolumeFullError where there is no room, and BarelmError for what FAT
    does not allow; then nothing was changed.  `medium.after_write` is where power cuts are made.
    """

    def __init__(self, image: Path, writable: bool, clock: Callable[[], time.struct_time]) -> None:
        """As open_editor; what changes gets the time of `clock`."""
        super().__init__(image, writable)
        self._clock = clock

    @property
    def free_bytes(self) -> int:
        """Bytes of the clusters that are free."""
        return self._table.free * self.geometry.cluster_bytes

    def create(self, parent: Folder, name: str, *, directory: bool = False) -> Node:
        """Make an empty file or directory."""
        self._check_name(parent, name)
        slots = self._slots(parent, name)
        self._check_room(parent, slots, int(directory), directory)
        now = stamp(self._clock())
        facts = Facts(ATTR_DIRECTORY if directory else ATTR_ARCHIVE, 0, 0, now, now[0], now)
        if directory:
            runs = self._table.find(1)
            first = runs[0][0]
            dots = pack_dots(first, 0 if parent is self.root else parent.facts.first_cluster)
            self._write(self.geometry.cluster_offset(first), dots.ljust(self.cluster_bytes, b"\0"))
            self._table.link(runs)
            folder = Folder(name, parent, replace(facts, first_cluster=first))
            folder.load(dots.ljust(self.cluster_bytes, b"\0"), [first])
            self._n_slots += self.cluster_bytes // SLOT_BYTES
            node: Node = folder
        else:
            node = Node(name, parent, facts, chain=Chain(), is_whole=True)
        self._add(parent, node, slots)
        self._table.write_info()
        return node

    def make_directories(self, path: str) -> Folder:
        """The directory at a path, made where it is missing together with those it is in."""
        return self._descend(path)[0]

    def save(self, path: str, content: bytes | Path, progress: Callable[[int, int], None] | None = None) -> Node:
        """Put a file on the volume, with the directories it is in, or replace one: all of it in one moment, at the end.

        `progress(done, total)` is told the bytes of it that are there.
        """
        *above, name = path.replace("\\", "/").rstrip("/").split("/")
        folder, made = self._descend("/".join(above))
        try:
            if isinstance(content, bytes):
                return self.store(folder, name, len(content), [content])
            with reading(content) as source:
                size = os.fstat(source.fileno()).st_size
                return self.store(folder, name, size, _pieces(content, source, size, progress or _quiet))
        except BarelmError:
            for node in reversed(made):
                self.delete(node)
            raise

    def write(self, node: Node, offset: int, content: bytes | memoryview) -> None:
        """Write into a file from `offset` on; it grows where that is needed, with zeros up to `offset`."""
        view = memoryview(content).cast("B")
        size = max(node.size, offset + len(view))
        if size > FILE_LIMIT:
            raise VolumeFullError(f"{node.path} would grow to {size:,} bytes, and a file on FAT32 has {FILE_LIMIT:,} "
                                  "at most", "Split it over several files.")
        old = self._whole(node)
        more = self._table.find(max(self._clusters(size) - old.n_clusters, 0), old.last)
        grown = Chain(list(old.runs), list(old.starts), old.n_clusters)
        grown.extend(more)
        self._write_zeros(grown, node.size, offset)
        self._write_data(grown, offset, view)
        self._table.link(more, old.last)
        node.chain = grown
        first = grown.runs[0][0] if grown.runs else 0
        self._update(node, node.changed(self._clock(), first, size))
        self._table.write_info()

    def resize(self, node: Node, size: int) -> None:
        """Cut a file off, or let it grow by zeros."""
        if size >= node.size:
            self.write(node, size, b"")
            return
        old = self._whole(node)
        keep = self._clusters(size)
        rest = old.after(keep)
        kept = Chain()
        kept.extend([(first, min(count, keep - start)) for (first, count), start in zip(old.runs, old.starts)
                     if start < keep])
        self._update(node, node.changed(self._clock(), node.facts.first_cluster if keep else 0, size))
        node.chain = kept
        self._table.release(rest, kept.last)
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
        slots = b""
        if there is None:
            self._check_name(parent, name)
            slots = self._slots(parent, name)
            self._check_room(parent, slots, self._clusters(size))
        old = self._whole(there).runs if there is not None else []
        chain = Chain()
        chain.extend(self._table.find(self._clusters(size)))
        done = 0
        for piece in pieces:
            view = memoryview(piece).cast("B")
            if done + len(view) > size:
                raise _changed(name)
            self._write_data(chain, done, view)
            done += len(view)
        if done != size:
            raise _changed(name)
        self._table.link(chain.runs)
        first, now = chain.runs[0][0] if chain.runs else 0, stamp(self._clock())
        if there is None:
            there = Node(name, parent, Facts(ATTR_ARCHIVE, first, size, now, now[0], now), chain=chain, is_whole=True)
            self._add(parent, there, slots)
        else:
            self._update(there, there.changed(self._clock(), first, size))
            there.chain = chain
            self._table.release(old)
        self._table.write_info()
        return there

    def rename(self, node: Node, parent: Folder, name: str) -> None:
        """Give a file or directory another name that nothing there has, a file also another directory.

        Within a directory it has at any moment one name or the other, wherever one sector can hold the new one; else,
        as from one directory to another, both names for the moment in between.
        """
        if node.parent is None:
            raise BarelmError("the root directory cannot be renamed", "Name something in it.")
        self._check_name(parent, name, node)
        slots = self._slots(parent, name, node)
        k = len(slots) // SLOT_BYTES
        start = node.parent.place_beside(node, k, self._per_sector) if node.parent is parent else None
        if start is None:
            if isinstance(node, Folder):
                raise BarelmError(f"the directory {node.path} cannot be renamed to {name!r} in one write",
                                  "Take a shorter name in the same directory, or make a new directory.")
            self._check_room(parent, slots, 0)
        before, above = range(node.slot, node.slot + node.n_slots), node.parent
        above.disown(node)
        node.name = name
        if start is None:
            self._add(parent, node, slots)
            self._erase(above, before)
        else:
            self._exchange(parent, node, start, slots, before)
        self._table.write_info()

    def delete(self, node: Node) -> None:
        """Delete a file or an empty directory."""
        if node.parent is None or isinstance(node, Folder) and node.children:
            raise BarelmError(f"the directory {node.path or '/'} is not empty", "Delete what is in it first.")
        runs = self._whole(node).runs
        node.parent.disown(node)
        self._erase(node.parent, range(node.slot, node.slot + node.n_slots))
        node.parent = None
        if isinstance(node, Folder):
            self._n_slots -= len(node.content) // SLOT_BYTES
        self._table.release(runs)
        self._table.write_info()

    def describe(self, node: Node, facts: Facts) -> None:
        """Change what a file's entry says; not where it is, how large it is, or that it is a directory."""
        own = node.facts
        kind = own.attributes & ATTR_DIRECTORY
        self._update(node, replace(facts, attributes=facts.attributes & ~ATTR_DIRECTORY | kind,
                                   first_cluster=own.first_cluster, size=own.size))

    def _write_data(self, chain: Chain, offset: int, content: memoryview) -> None:
        done = 0
        for at, n in self._places(chain, offset, len(content)):
            self._write(at, content[done:done + n])
            done += n

    def _write_zeros(self, chain: Chain, start: int, end: int) -> None:
        while start < end:
            n = min(len(_ZEROS), end - start)
            self._write_data(chain, start, _ZEROS[:n])
            start += n

    def _descend(self, path: str) -> tuple[Folder, list[Node]]:
        """The directory at a path, and those on the way that had to be made."""
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
        except BarelmError:
            for node in reversed(made):
                self.delete(node)
            raise
        return folder, made

@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """A file of the host, open; BarelmError where it cannot be read or is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BarelmError(f"{path} is not a regular file", "Give a file.")
            yield file
    except IsADirectoryError as error:
        raise BarelmError(f"{path} is a directory", "Directories are not copied: name the files in it.") from error
    except OSError as error:
        raise BarelmError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from error


def _pieces(path: Path, source: BinaryIO, size: int, progress: Callable[[int, int], None]) -> Iterator[bytes]:
    """A file in chunks, as it is read; one byte more than `size` where it has grown."""
    done = 0
    while piece := source.read(min(_CHUNK, size - done + 1)):
        done += len(piece)
        yield piece
        progress(done, size)


def _quiet(done: int, total: int) -> None:
    """Report nothing."""


def _changed(name: str) -> BarelmError:
    return BarelmError(f"{name} changed while it was being copied", "Let whatever writes it end, then try again.")
