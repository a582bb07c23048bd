"""Files into a bootable disk image: plans the volume, streams the data, leaves nothing half-written."""

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from barelm.disk import gpt
from barelm.disk.fat32 import plan_volume
from barelm.disk.gpt import SECTOR
from barelm.disk.medium import changed
from barelm.errors import BarelmError
from barelm.host_files import Portion, Progress, Source, no_progress, reading, renamed_at_the_end

_CHUNK = 8 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Report = Callable[[int], None]


@dataclass(frozen=True)
class ImageLayout:
    """Where things are in an image.

    `bytes` is its size, `esp_offset` where the FAT32 volume starts, `cluster_bytes` the size of a cluster,
    and `extents` the (offset in the image, size) of each file by its path as given; an empty one at (0, 0).
    """

    bytes: int
    esp_offset: int
    cluster_bytes: int
    extents: dict[str, tuple[int, int]]


def write_image(out: Path, files: Mapping[str, Source], *, plain: bool = False, sector: int = SECTOR,
                label: str = "BARELM", free_bytes: int = 0, progress: Progress | None = None,
                lasting: bool = True) -> ImageLayout:
    """Write a disk image that holds `files`: a GPT with one EFI system partition, or a bare FAT32 if `plain`, for
    disks with sectors of `sector` bytes.

    The keys of `files` are paths in the image, "/" between their parts ("EFI/BOOT/BOOTX64.EFI"); the values
    are files to copy, parts of some, or bytes.  Each file is contiguous, in the order given, on a 4 KiB boundary of the
    image; at least `free_bytes` are left free.  The same names, content, label and room give the same bytes.
    `progress(done, total)` is called with bytes of file data.  `out` appears only when it is complete; where it is to
    be `lasting`, when it is on the disk.

    Raises BarelmError for what FAT32 cannot hold or a disk be, a source that cannot be read or changes meanwhile, and
    an `out` that cannot be written.
    """
    target = Path(os.path.realpath(out))
    _check_target(target, files, sector)
    sizes = {path: _source_size(path, source) for path, source in files.items()}
    seed = hashlib.sha256(ascii((label, free_bytes, list(sizes.items()))).encode()).digest()
    start = 0 if plain else gpt.ALIGNMENT
    volume = plan_volume(sizes, label=label, volume_id=int.from_bytes(seed[:4], "little"),
                         hidden_sectors=start // sector, free_bytes=free_bytes, sector=sector)
    # Whole sectors of any disk: the largest would lose the rest of a last one.
    n_bytes = -(-volume.n_bytes // max(gpt.SECTORS)) * max(gpt.SECTORS)
    metadata = [(start + offset, content) for offset, content in volume.metadata]
    if not plain:
        end = gpt.align_up(start + volume.n_bytes) // sector
        n_bytes = gpt.align_up((end + gpt.table_sectors(sector) + 1) * sector)  # the backup is behind the partition
        metadata += gpt.partition_table(n_bytes // sector, start // sector, end - 1, _uuid(seed, b"disk"),
                                        _uuid(seed, b"partition"), sector)
    extents = {path: (start + offset if size else 0, size) for path, (offset, size) in volume.extents.items()}
    try:
        with renamed_at_the_end(target, lasting=lasting) as beside, open(beside, "w+b", buffering=0) as image:
            image.truncate(n_bytes)
            for offset, content in metadata:
                _write_at(image, offset, memoryview(content))
            _write_files(image, files, extents, progress or no_progress)
    except OSError as error:
        raise _target_error(target, n_bytes, error) from error
    return ImageLayout(n_bytes, start, volume.cluster_bytes, extents)


def _write_files(image: FileIO, files: Mapping[str, Source], extents: dict[str, tuple[int, int]],
                 progress: Progress) -> None:
    """The data of each file."""
    total = sum(size for _, size in extents.values())
    done = 0
    progress(done, total)
    for path, (offset, size) in extents.items():
        source = files[path]

        def report(copied: int, before: int = done) -> None:
            progress(before + copied, total)

        if isinstance(source, bytes):
            _write_at(image, offset, memoryview(source))
            report(size)
        else:
            part = source if isinstance(source, Portion) else Portion(b"", source, 0, size)
            _write_at(image, offset, memoryview(part.head))
            _copy_file(part, part is not source, image, offset + len(part.head), report)
        done += size


def _write_at(image: FileIO, offset: int, content: memoryview) -> None:
    """Write all of `content`; the system may take less at a time than it is offered."""
    image.seek(offset)
    while content:
        content = content[image.write(content[:_CHUNK]):]


def _copy_file(part: Portion, is_whole: bool, image: FileIO, offset: int, report: Report) -> None:
    """Copy what a portion has of its file to `offset` of the image, without the holes; all there is, if `is_whole`.

    Raises BarelmError where the file cannot be read or is no longer what it was, OSError for the image.
    """
    with reading(part.path):
        source = open(part.path, "rb", buffering=0)
    end = part.start + part.n_bytes
    with source:
        before = os.fstat(source.fileno())
        if before.st_size < end or is_whole and before.st_size != end:
            raise changed(part.path)
        for lo, hi in _data_spans(source, part.start, end):
            _copy_span(part, source, lo, hi, image, offset, report)
        report(len(part.head) + part.n_bytes)
        after = os.fstat(source.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise changed(part.path)


def _data_spans(source: FileIO, lo: int, hi: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what between two places of a file is no hole; all of it where the system cannot tell."""
    if not hasattr(os, "SEEK_DATA"):
        yield lo, hi
        return
    end = lo
    try:
        while end < hi:
            start = os.lseek(source.fileno(), end, os.SEEK_DATA)
            stop = os.lseek(source.fileno(), start, os.SEEK_HOLE)
            if start < hi:
                yield start, min(stop, hi)
            end = stop
    except OSError as error:
        if error.errno != errno.ENXIO:              # ENXIO: only a hole is left
            yield end, hi


def _copy_span(part: Portion, source: FileIO, lo: int, hi: int, image: FileIO, offset: int, report: Report) -> None:
    """Copy bytes `lo` to `hi` of the source, a chunk at a time; its byte `part.start` goes to `offset`.

    It is done in the kernel, which shares blocks where the file system can, until that refuses: then the ordinary way,
    through memory, goes on, and finds out whose fault it was.
    """
    in_kernel = hasattr(os, "copy_file_range")
    while lo < hi:
        n, target = 0, offset + lo - part.start
        if in_kernel:
            try:
                n = os.copy_file_range(source.fileno(), image.fileno(), min(hi - lo, _CHUNK), lo, target)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise
            in_kernel = n > 0
        if not n:
            with reading(part.path):
                source.seek(lo)
                content = source.read(min(hi - lo, _CHUNK))
            if not content:
                raise changed(part.path)
            _write_at(image, target, memoryview(content))
            n = len(content)
        lo += n
        report(len(part.head) + lo - part.start)


def _source_size(path: str, source: Source) -> int:
    """Bytes of one source; BarelmError where it is not a readable regular file."""
    if isinstance(source, bytes):
        return len(source)
    file = source.path if isinstance(source, Portion) else source
    with reading(file):
        status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):
        raise BarelmError(f"{file}, meant for {path!r} in the image, is not a regular file", "Give a file.")
    return len(source.head) + source.n_bytes if isinstance(source, Portion) else status.st_size


def _check_target(target: Path, files: Mapping[str, Source], sector: int) -> None:
    """Raise BarelmError where replacing `target` by an image would be a mistake or cannot succeed."""
    if sector not in gpt.SECTORS:
        raise BarelmError(f"there are no disks with sectors of {sector} bytes", "Give 512 or 4096.")
    try:
        if not target.parent.is_dir():
            raise BarelmError(f"cannot write {target}: there is no directory {target.parent}",
                              "Create it first.")
        if not target.exists():
            return
        if target.is_dir():
            raise BarelmError(f"cannot write {target}: it is a directory", "Give the name of a file.")
        if not target.is_file():
            raise BarelmError(f"cannot write {target}: it is a device, not a file",
                              "Write an image file, then copy it to the device.")
        for source in files.values():
            file = source.path if isinstance(source, Portion) else source
            if isinstance(file, Path) and file.exists() and file.samefile(target):
                raise BarelmError(f"{target} is to be both the image and a file in it",
                                  "Give the image another name.")
    except OSError as error:
        raise _target_error(target, 0, error) from error


def _target_error(target: Path, n_bytes: int, error: OSError) -> BarelmError:
    if error.errno in _NO_ROOM:
        return BarelmError(f"cannot write {target}, an image of {n_bytes:,} bytes: {error.strerror}",
                           "Free some space, or write the image to another disk.")
    return BarelmError(f"cannot write {target}: {error.strerror}", "Choose a place where you may write.")


def _uuid(seed: bytes, purpose: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.sha256(seed + purpose).digest()[:16], version=4)
