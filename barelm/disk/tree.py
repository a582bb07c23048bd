"""The volume of an image as a tree of nodes, with what is on the disk at this moment: listed, looked up, read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from barelm.disk.chains import ClusterChains
from barelm.disk.directory import ATTR_DIRECTORY, Facts, parse_label
from barelm.disk.fat32 import DIRECTORY_SLOTS
from barelm.disk.medium import Medium
from barelm.disk.names import SLOT_BYTES, fold
from barelm.disk.nodes import Chain, Folder, Node
from barelm.disk.table import Run
from barelm.disk.volume import open_volume


class Tree:
    """What there is on a volume; a context manager.  For one thread at a time."""

    def __init__(self, image: Path, writable: bool) -> None:
        """Open the volume of `image`; raises BarelmError where it cannot be opened or is damaged."""
        self.medium = Medium(image, writable)
        try:
            with open_volume(image) as volume:              # which finds everything that could be wrong
                self._offset, self.geometry = volume.offset, volume.geometry
            self._n_slots = 0
            self.root = self._load()
        except BaseException:
            self.medium.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the image; what was written is on the disk by then."""
        self.medium.close()

    @property
    def writable(self) -> bool:
        """Whether it may be changed."""
        return self.medium.writable

    @property
    def cluster_bytes(self) -> int:
        """Bytes of one cluster."""
        return self.geometry.cluster_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of all clusters."""
        return self.geometry.cluster_count * self.geometry.cluster_bytes

    @property
    def label(self) -> str:
        """The label of the volume; empty where it has none."""
        return parse_label(bytes(self.root.content))

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

    def read(self, node: Node, offset: int, n: int) -> bytes:
        """Up to `n` bytes of a file from `offset` on; fewer only where the file ends."""
        buffer = bytearray(max(min(n, node.size - offset), 0))
        self.readinto(node, offset, memoryview(buffer))
        return bytes(buffer)

    def readinto(self, node: Node, offset: int, buffer: memoryview) -> int:
        """Fill a buffer from a file, from `offset` on; returns how many bytes the file had for it."""
        want = max(min(len(buffer), node.size - offset), 0)
        if want:
            done = 0
            for at, n in self._places(self._chain(node), offset, want):
                self.medium.fill(self._offset + at, buffer[done:done + n])
                done += n
        return want

    def _read(self, offset: int, n: int) -> bytes:
        return self.medium.read(self._offset + offset, n)

    def _load(self) -> Folder:
        """All directories, from the root down."""
        root = Folder("", None, Facts(ATTR_DIRECTORY, self.geometry.root_cluster))
        pending = [root]
        for folder in pending:
            runs = self._runs(folder, DIRECTORY_SLOTS)
            content = b"".join(self._read(self.geometry.cluster_offset(first), count * self.cluster_bytes)
                               for first, count in runs)
            self._n_slots += len(content) // SLOT_BYTES
            for entry in folder.load(content, [c for first, count in runs for c in range(first, first + count)]):
                if fold(entry.name) in folder.children:
                    continue                                # as for any driver, the first of a name hides the others
                kind = Folder if entry.is_directory else Node
                node = kind(entry.name, folder, entry.facts, entry.short, entry.case_flags, entry.slot, entry.n_slots)
                folder.adopt(node)
                if isinstance(node, Folder):
                    pending.append(node)
        return root

    def _runs(self, node: Node, limit: int) -> list[Run]:
        """The chain of a node, up to `limit` clusters."""
        try:
            return ClusterChains(self._read, self.geometry).runs(node.facts.first_cluster, limit)
        except ValueError as reason:
            raise self.medium.damaged(f"{reason} (in {node.path or '/'})") from reason

    def _chain(self, node: Node) -> Chain:
        """The clusters of a file as far as its bytes reach."""
        need = self._clusters(node.size)
        if node.chain is None:
            chain = Chain()
            chain.extend(self._runs(node, need))
            if chain.n_clusters < need:
                raise self.medium.damaged(f"the cluster chain of {node.path} ends before the file does")
            node.chain = chain
        return node.chain

    def _whole(self, node: Node) -> Chain:
        """All clusters of a file or directory, also such as it has no use for."""
        if not node.is_whole:
            self._chain(node)
            chain = Chain()
            if node.facts.first_cluster:
                chain.extend(self._runs(node, self.geometry.cluster_count + 1))
            node.chain, node.is_whole = chain, True
        assert node.chain is not None
        return node.chain

    def _clusters(self, n_bytes: int) -> int:
        return -(-n_bytes // self.cluster_bytes)

    def _places(self, chain: Chain, offset: int, n: int) -> Iterator[tuple[int, int]]:
        """(offset in the volume, bytes) of a part of a file."""
        for cluster, inside, part in chain.pieces(offset, n, self.cluster_bytes):
            yield self.geometry.cluster_offset(cluster) + inside, part
