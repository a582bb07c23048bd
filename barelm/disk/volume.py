"""The FAT32 volume of a disk image as a tree: found, listed, looked up, read.  Trusts nothing.

Opening reads every directory, so what is listed is consistent; work and memory are bounded by the size
of the image and by fixed limits, whatever its headers say.
"""

from pathlib import Path
from typing import Self

from barelm.disk import gpt
from barelm.disk.directory import ATTR_DIRECTORY, Facts, Folder, Node, parse_label
from barelm.disk.fat32 import DIRECTORY_SLOTS, FIRST_CLUSTER, VOLUME_SLOTS, Geometry, parse_boot_sector
from barelm.disk.medium import Medium
from barelm.disk.names import PATH_LIMIT, SLOT_BYTES
from barelm.disk.table import AllocationTable, Chain

_CACHED_FILES = 64


class Volume:
    """The FAT32 volume of an image, open for reading; a context manager.  Threads may share it.

    `offset` is where it begins in the image, `cluster_bytes` the size of a cluster, `total_bytes` that of all clusters.
    """

    def __init__(self, image: Path, writable: bool = False) -> None:
        """Open the FAT32 volume in a disk image: the EFI system partition of a GPT, or the image as a whole.

        Raises BarelmError where the image cannot be read, is neither, or is damaged, and says what is wrong.
        """
        self.medium = Medium(image, writable)
        try:
            self.offset, self.geometry = self._locate()
            self.cluster_bytes = self.geometry.cluster_bytes
            self.total_bytes = self.geometry.cluster_count * self.cluster_bytes
            self._table = AllocationTable(self._read, self._write, self.geometry)
            self._chains: dict[Node, Chain] = {}
            self._n_slots = 0
            self.root = self._load()
        except BaseException as error:
            self.medium.close()
            if isinstance(error, ValueError):
                raise self.medium.damaged(str(error)) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the image: reading afterwards fails, and what was written is on the disk by then."""
        self.medium.close()

    @property
    def writable(self) -> bool:
        """Whether it may be changed."""
        return self.medium.writable

    @property
    def free_bytes(self) -> int:
        """Bytes of the clusters that are free."""
        return self._table.free * self.cluster_bytes

    @property
    def label(self) -> str:
        """The label of the volume; empty where it has none."""
        return parse_label(bytes(self.root.content))

    def files(self) -> list[Node]:
        """All files, in the order of their directories."""
        return [node for folder in self.root.walk() for node in folder.listed() if not isinstance(node, Folder)]

    def find(self, path: str, start: Folder | None = None) -> Node | None:
        """What is at a path, or None: either case, either separator, long or 8.3 names, "." and "..".

        The path starts at `start`, where it begins with a separator and without `start` at the root.
        """
        parts = path.replace("\\", "/").split("/")
        node: Node | None = self.root if start is None or len(parts) > 1 and not parts[0] else start
        for part in parts:
            if part in ("", "."):
                continue
            if not isinstance(node, Folder):
                return None
            node = node.parent if part == ".." else node.get(part)
        return node

    def lookup(self, path: str) -> Node | None:
        """The file at a path from the root on, or None: `find`, but not for directories."""
        found = self.find(path)
        return None if isinstance(found, Folder) else found

    def extents(self, node: Node) -> list[tuple[int, int]]:
        """(offset in the image, bytes) of the pieces of a file, in order; one where it is contiguous."""
        return [(self.offset + at, n) for at, n in self._chain(node).places(0, node.size, self.geometry)]

    def read(self, node: Node, offset: int, n: int) -> bytes:
        """Up to `n` bytes of a file from `offset` on; fewer only where the file ends."""
        buffer = bytearray(max(min(n, node.size - offset), 0))
        self.readinto(node, offset, memoryview(buffer))
        return bytes(buffer)

    def readinto(self, node: Node, offset: int, buffer: memoryview) -> int:
        """Fill a buffer of bytes from a file, from `offset` on; returns how many bytes the file had for it.

        Raises BarelmError where the cluster chain is damaged or the image cannot be read, ValueError where
        `offset` is negative.
        """
        if offset < 0:
            raise ValueError("a file has no bytes before its first")
        want = max(min(len(buffer), node.size - offset), 0)
        done = 0
        if want:
            for at, n in self._chain(node).places(offset, want, self.geometry):
                self.medium.fill(self.offset + at, buffer[done:done + n])
                done += n
        return done

    def _read(self, offset: int, n: int) -> bytes:
        return self.medium.read(self.offset + offset, n)

    def _write(self, offset: int, content: bytes | memoryview) -> None:
        self.medium.write(self.offset + offset, content)

    def _locate(self) -> tuple[int, Geometry]:
        """Offset and geometry of the FAT32 volume; ValueError, with the reason, where there is none."""
        if self.medium.n_bytes < gpt.SECTOR:
            raise ValueError("it is too short to be one")
        offset, size = gpt.find_esp(self.medium.read, self.medium.n_bytes) or (0, self.medium.n_bytes)
        return offset, parse_boot_sector(self.medium.read(offset, gpt.SECTOR), size)

    def _load(self) -> Folder:
        """All directories, from the root down; ValueError, with the reason, where they cannot be."""
        root = Folder("", None, Facts(ATTR_DIRECTORY, self.geometry.root_cluster))
        owned: set[int] = set()
        for folder in root.walk():
            runs = self._table.runs(folder.facts.first_cluster, self._clusters(DIRECTORY_SLOTS * SLOT_BYTES) + 1)
            clusters = [c for head, count in runs for c in range(head, head + count)]
            if len(clusters) > self._clusters(DIRECTORY_SLOTS * SLOT_BYTES):
                raise ValueError("one of its directories is longer than FAT allows")
            if not owned.isdisjoint(clusters):
                raise ValueError("two of its directories share clusters")
            owned.update(clusters)
            self._n_slots += len(clusters) * self.cluster_bytes // SLOT_BYTES
            if self._n_slots > VOLUME_SLOTS:
                raise ValueError("its directories are larger than any boot image needs")
            folder.load(b"".join(self._read(self.geometry.cluster_offset(head), count * self.cluster_bytes)
                                 for head, count in runs), clusters)
            self._check(folder)
        return root

    def _check(self, folder: Folder) -> None:
        """Raise ValueError, with the reason, where what a directory lists cannot be; chains are not followed."""
        room = PATH_LIMIT - (len(folder.path) + 1 if folder.parent is not None else 0)
        end = FIRST_CLUSTER + self.geometry.cluster_count
        for node in folder.children.values():
            if node.size:
                if not FIRST_CLUSTER <= node.facts.first_cluster < end:
                    raise ValueError(f"the file {node.name!r} in it lies outside the volume")
                if node.size > self.total_bytes:
                    raise ValueError(f"the file {node.name!r} in it is larger than the volume")
            if len(node.name) > room:
                raise ValueError(f"it has a path of more than {PATH_LIMIT} characters")

    def _chain(self, node: Node, whole: bool = False) -> Chain:
        """The clusters of a file as far as its bytes reach; all of it, also what it has no use for, if `whole`."""
        found = self._chains.get(node)
        if found is None or whole and not found.is_whole:
            need = self._clusters(node.size)
            limit = self.geometry.cluster_count + 1 if whole and node.facts.first_cluster else need
            try:
                found = Chain(self._table.runs(node.facts.first_cluster, limit), whole)
            except ValueError as reason:
                raise self.medium.damaged(f"{reason} ({'in' if whole else 'reading'} {node.path})") from reason
            if found.n_clusters < need:
                raise self.medium.damaged(f"the cluster chain of {node.path} ends before the file does")
            if len(self._chains) >= _CACHED_FILES:
                self._chains.clear()
            self._chains[node] = found
        return found

    def _clusters(self, n_bytes: int) -> int:
        """How many clusters so many bytes take."""
        return -(-n_bytes // self.cluster_bytes)
