"""Read files out of a disk image: finds the FAT32 in it, lists it, follows cluster chains.  Trusts nothing.

Opening reads every directory, so what is listed is consistent; work and memory are bounded by the size
of the image and by fixed limits, whatever its headers say.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from barelm.disk import gpt
from barelm.disk.chains import ClusterChains
from barelm.disk.directory import DirectoryEntry, parse_directory
from barelm.disk.fat32 import DIRECTORY_SLOTS, FIRST_CLUSTER, VOLUME_SLOTS, Geometry, parse_boot_sector
from barelm.disk.medium import Medium
from barelm.disk.names import PATH_LIMIT, SLOT_BYTES, fold

_CACHED_FILES = 64


@dataclass(frozen=True)
class Entry:
    """A file of a volume: its path with "/" between the parts, its size in bytes, where its chain starts."""

    path: str
    size: int
    first_cluster: int = field(default=0, repr=False)


@dataclass(frozen=True)
class _Extents:
    """A file as runs of bytes: run i holds it from `starts[i]` on, at `offsets[i]` of the image."""

    starts: list[int]
    offsets: list[int]


class _Directory(dict[str, "Entry | _Directory"]):
    """Entries by folded name, long and short."""


def open_volume(image: Path) -> Volume:
    """Open the FAT32 volume in a disk image: the EFI system partition of a GPT, or the image as a whole.

    Raises BarelmError where the image cannot be read, is neither, or is damaged, and says what is wrong.
    """
    return Volume(image)


class Volume:
    """The FAT32 volume of an image, open for reading; a context manager.  Threads may share it."""

    def __init__(self, image: Path) -> None:
        """Open `image` and read its directories; raises BarelmError as open_volume does."""
        self.path = image
        self._extents: dict[tuple[int, int], _Extents] = {}
        self._medium = Medium(image)
        try:
            self.offset, self.geometry = self._locate()
            self._chains = ClusterChains(lambda at, n: self._medium.read(self.offset + at, n), self.geometry)
            self._root, self._files = self._read_tree()
        except BaseException as error:
            self._medium.close()
            if isinstance(error, ValueError):
                raise self._medium.damaged(str(error)) from error
            raise

    def __enter__(self) -> Volume:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the image; reading afterwards fails."""
        self._medium.close()

    @property
    def cluster_bytes(self) -> int:
        """Bytes of one cluster."""
        return self.geometry.cluster_bytes

    def files(self) -> list[Entry]:
        """All files, in the order of their directories."""
        return list(self._files)

    def lookup(self, path: str) -> Entry | None:
        """The file at `path`, or None.  Either case, either separator, long or 8.3 names, "." and "..".

        As in EFI_FILE_PROTOCOL.Open(), the path starts at the root with or without a leading separator.
        """
        trail: list[_Directory] = [self._root]
        found: Entry | _Directory | None = self._root
        for part in path.replace("\\", "/").split("/"):
            if part in ("", "."):
                continue
            if not isinstance(found, _Directory):
                return None
            if part == "..":
                if len(trail) == 1:
                    return None
                trail.pop()
                found = trail[-1]
                continue
            found = found.get(fold(part))
            if isinstance(found, _Directory):
                trail.append(found)
        return found if isinstance(found, Entry) else None

    def extents(self, entry: Entry) -> list[tuple[int, int]]:
        """(offset in the image, bytes) of the pieces of a file, in order; one where it is contiguous."""
        chain = self._extents_of(entry)
        ends = [*chain.starts[1:], entry.size]
        return [(offset, end - start) for start, offset, end in zip(chain.starts, chain.offsets, ends)]

    def read(self, entry: Entry, offset: int, n: int) -> bytes:
        """Up to `n` bytes of a file from `offset` on; fewer only where the file ends."""
        buffer = bytearray(max(min(n, entry.size - offset), 0))
        self.readinto(entry, offset, memoryview(buffer))
        return bytes(buffer)

    def readinto(self, entry: Entry, offset: int, buffer: memoryview) -> int:
        """Fill a buffer of bytes from a file, from `offset` on; returns how many bytes the file had for it.

        Raises BarelmError where the cluster chain is damaged or the image cannot be read, ValueError where
        `offset` is negative.
        """
        if offset < 0:
            raise ValueError("a file has no bytes before its first")
        want = max(min(len(buffer), entry.size - offset), 0)
        if not want:
            return 0
        chain = self._extents_of(entry)
        done = 0
        run = bisect.bisect_right(chain.starts, offset) - 1
        while done < want:
            at = offset + done
            end = chain.starts[run + 1] if run + 1 < len(chain.starts) else entry.size
            n = min(want - done, end - at)
            self._medium.fill(chain.offsets[run] + at - chain.starts[run], buffer[done:done + n])
            done += n
            run += 1
        return done

    def _locate(self) -> tuple[int, Geometry]:
        """Offset and geometry of the FAT32 volume; ValueError, with the reason, where there is none."""
        if self._medium.n_bytes < gpt.SECTOR:
            raise ValueError("it is too short to be one")
        offset, size = gpt.find_esp(self._medium.read, self._medium.n_bytes) or (0, self._medium.n_bytes)
        return offset, parse_boot_sector(self._medium.read(offset, gpt.SECTOR), size)

    def _read_tree(self) -> tuple[_Directory, list[Entry]]:
        """The directories from the root down, and all files in them."""
        root = _Directory()
        files: list[Entry] = []
        pending = [("", self.geometry.root_cluster, root)]
        owned: set[int] = set()
        budget = VOLUME_SLOTS
        for path, first, directory in pending:
            content = self._directory_content(first, owned)
            budget -= len(content) // SLOT_BYTES
            if budget < 0:
                raise ValueError("its directories are larger than any boot image needs")
            for listed in parse_directory(content):
                if fold(listed.name) in directory:
                    continue                        # as for any driver, the first of a name hides the others
                child: Entry | _Directory
                if listed.is_directory:
                    child = _Directory()
                    pending.append((_joined(path, listed.name), listed.first_cluster, child))
                else:
                    child = self._file_entry(path, listed)
                    files.append(child)
                directory[fold(listed.name)] = child
                directory.setdefault(fold(listed.short_name), child)
        return root, files

    def _directory_content(self, first: int, owned: set[int]) -> bytes:
        """The slots of a directory; `owned` collects the clusters of all, so that none is part of two."""
        geometry = self.geometry
        limit = -(-DIRECTORY_SLOTS * SLOT_BYTES // geometry.cluster_bytes)
        runs = self._chains.runs(first, limit + 1)
        if sum(count for _, count in runs) > limit:
            raise ValueError("one of its directories is longer than FAT allows")
        clusters = [c for head, count in runs for c in range(head, head + count)]
        if not owned.isdisjoint(clusters):
            raise ValueError("two of its directories share clusters")
        owned.update(clusters)
        return b"".join(
            self._medium.read(self.offset + geometry.cluster_offset(head), count * geometry.cluster_bytes)
            for head, count in runs)

    def _file_entry(self, path: str, listed: DirectoryEntry) -> Entry:
        """The entry of a file in the directory at `path`, checked against the volume but for its chain."""
        end = FIRST_CLUSTER + self.geometry.cluster_count
        if listed.size and not FIRST_CLUSTER <= listed.first_cluster < end:
            raise ValueError(f"the file {listed.name!r} in it lies outside the volume")
        if listed.size > self.geometry.cluster_count * self.geometry.cluster_bytes:
            raise ValueError(f"the file {listed.name!r} in it is larger than the volume")
        return Entry(_joined(path, listed.name), listed.size, listed.first_cluster)

    def _extents_of(self, entry: Entry) -> _Extents:
        """Where the bytes of a file are, found once per file."""
        key = entry.first_cluster, entry.size
        found = self._extents.get(key)
        if found is None:
            cluster_bytes = self.geometry.cluster_bytes
            try:
                runs = self._chains.runs(entry.first_cluster, -(-entry.size // cluster_bytes))
            except ValueError as reason:
                raise self._medium.damaged(f"{reason} (reading {entry.path})") from reason
            found = _Extents([], [])
            at = 0
            for head, count in runs:
                found.starts.append(at)
                found.offsets.append(self.offset + self.geometry.cluster_offset(head))
                at += count * cluster_bytes
            if at < entry.size:
                raise self._medium.damaged(f"the cluster chain of {entry.path} ends before the file does")
            if len(self._extents) >= _CACHED_FILES:
                self._extents.clear()
            self._extents[key] = found
        return found


def _joined(path: str, name: str) -> str:
    joined = f"{path}/{name}" if path else name
    if len(joined) > PATH_LIMIT:
        raise ValueError(f"it has a path of more than {PATH_LIMIT} characters")
    return joined
