"""Read files out of a disk image: finds the FAT32 in it, lists it, follows cluster chains.  Trusts nothing.

Opening reads every directory, so what is listed is consistent; work and memory are bounded by the image's size
and by fixed limits, whatever its headers say.
"""

from __future__ import annotations

import bisect
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from barelm.disk import gpt
from barelm.disk.fat32 import (
    ATTR_DIRECTORY,
    ATTR_VOLUME_ID,
    DIRECTORY_SLOTS,
    FIRST_CLUSTER,
    VOLUME_SLOTS,
    Geometry,
    parse_boot_sector,
)
from barelm.disk.names import ATTR_LONG_NAME, PATH_LIMIT, SLOT_BYTES, decode_long, decode_short, fold, name_fault
from barelm.errors import BarelmError

_HINT = "Write the image again, or check that it was copied whole."
_CLUSTER_MASK = 0x0FFFFFFF              # the upper four bits of an entry are reserved
_CHAIN_END = 0x0FFFFFF8                 # this or more
_FAT_BLOCK = 1 << 14                    # table entries read at a time
_CACHED_BLOCKS = 64
_END_SLOT, _DELETED_SLOT = 0x00, 0xE5
_ATTRIBUTES, _CASE_FLAGS = 11, 12
_LONG_MASK = 0x3F
_TAIL = struct.Struct("<HHHHI")         # cluster high, time, date, cluster low, size: from byte 20


@dataclass(frozen=True)
class Entry:
    """A file of a volume: its path with "/" between the parts, its size in bytes, and where its chain starts."""

    path: str
    size: int
    first_cluster: int = field(default=0, repr=False)


@dataclass(frozen=True)
class _Extents:
    """Runs of clusters as bytes: run i holds the file from `starts[i]` on, at `offsets[i]` of the image."""

    starts: list[int]
    offsets: list[int]


class _Directory(dict[str, "Entry | _Directory"]):
    """Entries by folded name, long and short."""


class Volume:
    """The FAT32 volume of an image, open for reading; a context manager.  Reads may come from several threads."""

    def __init__(self, image: Path) -> None:
        """Open `image` and read its directories; raises BarelmError as open_volume does."""
        self.path = image
        self._lock = threading.Lock()
        self._extents: dict[tuple[int, int], _Extents] = {}
        self._fat: dict[int, tuple[list[int], list[int]]] = {}
        try:
            self._file = open(image, "rb", buffering=0)
        except OSError as error:
            raise BarelmError(f"cannot read {image}: {error.strerror}",
                              "Check the path and its permissions.") from error
        try:
            self._image_bytes = self._file.seek(0, os.SEEK_END)
            self.offset, self._geometry = self._locate()
            self._files: list[Entry] = []
            self._root = self._read_tree()
        except OSError as error:
            self.close()
            raise BarelmError(f"cannot read {image}: {error.strerror}", "Check the disk.") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Volume:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the image; reading afterwards fails."""
        self._file.close()

    @property
    def cluster_bytes(self) -> int:
        """Bytes of one cluster."""
        return self._geometry.cluster_bytes

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
        chain = self._chain_of(entry)
        ends = [*chain.starts[1:], entry.size]
        return [(offset, end - start) for start, offset, end in zip(chain.starts, chain.offsets, ends)]

    def read(self, entry: Entry, offset: int, n: int) -> bytes:
        """Up to `n` bytes of a file from `offset` on; fewer only where the file ends."""
        buffer = bytearray(max(min(n, entry.size - offset), 0))
        self.readinto(entry, offset, memoryview(buffer))
        return bytes(buffer)

    def readinto(self, entry: Entry, offset: int, buffer: memoryview) -> int:
        """Fill a buffer of bytes from a file, starting at `offset`; returns how many bytes the file had for it.

        Raises BarelmError where the cluster chain is damaged or the image cannot be read, ValueError where
        `offset` is negative.
        """
        if offset < 0:
            raise ValueError("a file has no bytes before its first")
        want = max(min(len(buffer), entry.size - offset), 0)
        if not want:
            return 0
        chain = self._chain_of(entry)
        done = 0
        run = bisect.bisect_right(chain.starts, offset) - 1
        while done < want:
            at = offset + done
            end = chain.starts[run + 1] if run + 1 < len(chain.starts) else entry.size
            n = min(want - done, end - at)
            self._fill(chain.offsets[run] + at - chain.starts[run], buffer[done:done + n])
            done += n
            run += 1
        return done

    def _damaged(self, what: str) -> BarelmError:
        return BarelmError(f"{self.path} is not a sound disk image: {what}", _HINT)

    def _bytes_at(self, offset: int, n: int) -> bytes:
        buffer = bytearray(n)
        self._fill(offset, memoryview(buffer))
        return bytes(buffer)

    def _fill(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from the image at `offset`."""
        if offset + len(buffer) > self._image_bytes:
            raise self._damaged("something in it lies past its end")
        done = 0
        while done < len(buffer):
            try:
                if hasattr(os, "preadv"):
                    n = os.preadv(self._file.fileno(), [buffer[done:]], offset + done)
                else:
                    with self._lock:
                        self._file.seek(offset + done)
                        n = self._file.readinto(buffer[done:]) or 0
            except OSError as error:
                raise BarelmError(f"cannot read {self.path}: {error.strerror}", "Check the disk.") from error
            if not n:
                raise self._damaged("it was cut short while it was being read")
            done += n

    def _locate(self) -> tuple[int, Geometry]:
        """Offset and geometry of the FAT32 volume: the EFI system partition, or the image itself."""
        if self._image_bytes < gpt.SECTOR:
            raise self._damaged("it is too short to be one")
        try:
            offset, size = gpt.find_esp(self._bytes_at, self._image_bytes) or (0, self._image_bytes)
            return offset, parse_boot_sector(self._bytes_at(offset, gpt.SECTOR), size)
        except ValueError as reason:
            raise self._damaged(str(reason)) from reason

    def _read_tree(self) -> _Directory:
        """All directories from the root down, filling the list of files on the way."""
        root = _Directory()
        pending = [("", self._geometry.root_cluster, root)]
        owned: set[int] = set()
        budget = VOLUME_SLOTS
        while pending:
            path, first, directory = pending.pop(0)
            content = self._directory_content(path, first, owned)
            budget -= len(content) // SLOT_BYTES
            if budget < 0:
                raise self._damaged("its directories are larger than any boot image needs")
            for name, short, entry in self._parse(path, content):
                child: Entry | _Directory = entry
                if isinstance(entry, _Subdirectory):
                    child = _Directory()
                    pending.append((entry.path, entry.first_cluster, child))
                elif fold(name) not in directory:
                    self._files.append(entry)
                directory.setdefault(fold(name), child)
                directory.setdefault(fold(short), child)
        return root
