"""What is on a volume that is written, in memory: files with their clusters, directories slot by slot."""

from __future__ import annotations

import bisect
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from barelm.disk.directory import ATTR_VOLUME_ID, DELETED, END, DirectoryEntry, Facts, parse_directory, stamp
from barelm.disk.names import ATTR_LONG_NAME, SLOT_BYTES, decode_short, fold
from barelm.disk.table import Run


@dataclass
class Chain:
    """The clusters of a file in order; `starts[i]` is how many come before run i."""

    runs: list[Run] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    n_clusters: int = 0

    def extend(self, runs: list[Run]) -> None:
        """Append clusters."""
        for first, count in runs:
            if self.runs and sum(self.runs[-1]) == first:
                self.runs[-1] = self.runs[-1][0], self.runs[-1][1] + count
            else:
                self.runs.append((first, count))
                self.starts.append(self.n_clusters)
            self.n_clusters += count

    @property
    def last(self) -> int:
        """The last cluster; 0 where there is none."""
        return sum(self.runs[-1]) - 1 if self.runs else 0

    def after(self, n: int) -> list[Run]:
        """The clusters behind the first n."""
        return [(first + max(n - start, 0), count - max(n - start, 0))
                for (first, count), start in zip(self.runs, self.starts) if start + count > n]

    def pieces(self, offset: int, n: int, cluster_bytes: int) -> Iterator[tuple[int, int, int]]:
        """(cluster, byte in it, bytes) of the consecutive parts that hold bytes `offset` to `offset` + `n`."""
        run = bisect.bisect_right(self.starts, offset // cluster_bytes) - 1
        while n:
            inside = offset - self.starts[run] * cluster_bytes
            part = min(n, self.runs[run][1] * cluster_bytes - inside)
            yield self.runs[run][0] + inside // cluster_bytes, inside % cluster_bytes, part
            offset, n, run = offset + part, n - part, run + 1


@dataclass(eq=False)
class Node:
    """A file, or what all directories have in common.  `parent` is None for the root and for what was deleted."""

    name: str
    parent: Folder | None
    facts: Facts
    short: bytes = b""
    case_flags: int = 0
    slot: int = 0
    n_slots: int = 0
    chain: Chain | None = field(default=None, repr=False)       # None until it is needed
    is_whole: bool = False                                      # whether the chain is known beyond the file's end

    @property
    def size(self) -> int:
        """Bytes of a file; 0 for a directory."""
        return self.facts.size

    @property
    def path(self) -> str:
        """The names from the root on, "/" between them."""
        above = self.parent.path if self.parent is not None else ""
        return f"{above}/{self.name}" if above else self.name

    def changed(self, moment: time.struct_time, first_cluster: int, size: int) -> Facts:
        """What its entry says after its content was changed."""
        now = stamp(moment)
        return replace(self.facts, first_cluster=first_cluster, size=size, modified=now, accessed=now[0])


@dataclass(eq=False)
class Folder(Node):
    """A directory: `content` are its slots as on the disk, but zeros behind the first that was never used."""

    children: dict[str, Node] = field(default_factory=dict, repr=False)
    aliases: dict[str, Node] = field(default_factory=dict, repr=False)      # by 8.3 name
    clusters: list[int] = field(default_factory=list, repr=False)
    content: bytearray = field(default_factory=bytearray, repr=False)
    end: int = 0                        # the first slot that was never used
    has_garbage: bool = False           # whether the disk has anything but zeros behind it
    _taken: bytearray = field(default_factory=bytearray, repr=False)

    def load(self, content: bytes, clusters: list[int]) -> list[DirectoryEntry]:
        """Take over what is on the disk; returns the entries, of which the caller makes children with `adopt`."""
        self.content, self.clusters = bytearray(content), clusters
        n = len(content) // SLOT_BYTES
        self.end = next((i for i in range(n) if content[i * SLOT_BYTES] == END), n)
        behind = n * SLOT_BYTES - self.end * SLOT_BYTES
        self.has_garbage = any(content[self.end * SLOT_BYTES:])
        self.content[self.end * SLOT_BYTES:] = bytes(behind)
        self._taken = bytearray(n)
        for i in range(self.end):
            kind = content[i * SLOT_BYTES + 11] & 0x3F
            self._taken[i] = content[i * SLOT_BYTES] != DELETED and kind != ATTR_LONG_NAME
        entries = list(parse_directory(content))
        for entry in entries:
            self._taken[entry.slot:entry.slot + entry.n_slots] = b"\1" * entry.n_slots
        return entries

    def adopt(self, node: Node) -> None:
        """List a child by its names."""
        self.children[fold(node.name)] = node
        self.aliases[_short_key(node.short)] = node

    def disown(self, node: Node) -> None:
        """Take a child off the list."""
        del self.children[fold(node.name)]
        self.aliases.pop(_short_key(node.short), None)

    def get(self, name: str) -> Node | None:
        """The child of a name, long or 8.3, in either case."""
        return self.children.get(fold(name)) or self.aliases.get(fold(name))

    def listed(self) -> list[Node]:
        """The children in the order of the directory."""
        return sorted(self.children.values(), key=lambda node: node.slot)

    def shorts(self) -> set[bytes]:
        """The 8.3 names that are taken, also by what a name before it hides."""
        return {bytes(self.content[i * SLOT_BYTES:i * SLOT_BYTES + 11]) for i in range(self.end)
                if self._taken[i] and not self.content[i * SLOT_BYTES + 11] & ATTR_VOLUME_ID}

    def grow(self, clusters: list[int], cluster_bytes: int) -> None:
        """Have room in further clusters, which are zeros on the disk."""
        self.clusters += clusters
        self.content += bytes(len(clusters) * cluster_bytes)
        self._taken += bytes(len(clusters) * cluster_bytes // SLOT_BYTES)

    def place(self, k: int) -> int:
        """Where k slots in a row are free; the last may lie behind the directory's end, which then must grow."""
        start = 0
        for i in range(len(self._taken)):
            if self._taken[i]:
                start = i + 1
            elif i - start + 1 == k:
                return start
        return start

    def place_beside(self, node: Node, k: int, per_sector: int) -> int | None:
        """Where k slots end in the sector of a child's short entry and are free, or in that sector the child's own.

        There one write of that sector takes the child from its old name to a new one.  None where nowhere.
        """
        own = range(node.slot, node.slot + node.n_slots)
        low = own[-1] // per_sector * per_sector
        for last in range(low, min(low + per_sector, len(self._taken))):
            start = last - k + 1
            if 0 <= start <= self.end and all(not self._taken[i] or i >= low and i in own
                                              for i in range(start, last + 1)):
                return start
        return None

    def put(self, start: int, content: bytes) -> None:
        """Fill slots."""
        self.content[start * SLOT_BYTES:start * SLOT_BYTES + len(content)] = content
        n = len(content) // SLOT_BYTES
        self._taken[start:start + n] = b"\1" * n
        self.end = max(self.end, start + n)

    def erase(self, slots: range) -> None:
        """Mark slots as deleted."""
        for i in slots:
            self.content[i * SLOT_BYTES] = DELETED
            self._taken[i] = 0


def _short_key(short: bytes) -> str:
    """The 8.3 name under which a child is found."""
    return fold(decode_short(short, 0))
