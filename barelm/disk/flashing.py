"""An image onto a device: written, read back, every byte compared.

The image is a disk of its own size; on a larger device the backup of its partition table moves to the end
(`gpt.stretched`).  The first bytes are written last, so that what was interrupted does not boot.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from barelm.disk import gpt
from barelm.disk.devices import Device
from barelm.disk.medium import DamagedError, changed
from barelm.disk.volume import Volume
from barelm.errors import BarelmError
from barelm.host_files import Progress

if sys.platform != "win32":
    import fcntl

CHUNK = 4 << 20
_SYNC_EVERY = 4                 # chunks: what is called written has arrived, and Ctrl-C does not wait long
_BLKRRPART, _BLKFLSBUF = 0x125F, 0x1261     # linux/fs.h
_BLKGETDISKSEQ = 0x80081280
_F_NOCACHE = 48                 # macOS, sys/fcntl.h
_WHO_ELSE = ("Close what uses it: a pool of ZFS (zpool export), multipath, a container or a virtual machine that has "
             "it mounted.")
_NOT_FOR_DEVICES = (errno.EINVAL, errno.ENOTTY, errno.ENOTSUP)

Span = tuple[int, int]
"""Where a part of a device begins, and how many bytes it has."""


class Content:
    """What a device of `device_bytes` is to hold: an image and the changes its partition table needs.

    A context manager.  Raises BarelmError where the image is unsound or changes while this lasts.
    """

    def __init__(self, image: Path, device_bytes: int) -> None:
        self._volume = Volume(image)
        self._medium = self._volume.medium
        self._was, self.bytes = self._medium.status(), self._medium.n_bytes
        try:
            if not stat.S_ISREG(self._was.st_mode):
                raise ValueError("it is no plain file")
            self._changes = self._find_changes(device_bytes)
        except BaseException as error:
            self._volume.close()
            if isinstance(error, ValueError):
                raise BarelmError(f"{image} is not a sound disk image: {error}", "Write the image again.") from error
            raise

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *how: object) -> None:
        self._volume.close()

    @property
    def sector(self) -> int:
        """Bytes of a sector of the disks it is for, by its table; by the volume where that is all of it."""
        if self._volume.offset:
            return gpt.sector_of(self._image_bytes, self.bytes)
        own = self._volume.geometry.sector_bytes
        return own if own in gpt.SECTORS else gpt.SECTOR

    def spans(self) -> list[Span]:
        """The parts of the device that are written, in order: the image in chunks, what lies behind it."""
        end = -(-self.bytes // gpt.SECTOR) * gpt.SECTOR
        behind = [(max(at, end), at + len(piece)) for at, piece in self._changes if at + len(piece) > end]
        return [(at, min(CHUNK, end - at)) for at in range(0, end, CHUNK)] + [
            (start, stop - start) for start, stop in behind]

    def read(self, span: Span) -> bytes:
        """The bytes of one span."""
        start, size = span
        held = max(min(size, self.bytes - start), 0)
        content = bytearray((self._image_bytes(start, held) if held else b"").ljust(size, b"\0"))
        for at, piece in self._changes:
            low, high = max(at, start), min(at + len(piece), start + size)
            if low < high:
                content[low - start:high - start] = piece[low - at:high - at]
        return bytes(content)

    def check_unchanged(self) -> None:
        """Raise BarelmError where the image is no longer what it was."""
        now = self._medium.status()
        if (now.st_size, now.st_mtime_ns) != (self._was.st_size, self._was.st_mtime_ns):
            raise changed(self._medium.path)

    def _find_changes(self, device_bytes: int) -> list[tuple[int, bytes]]:
        if self._volume.offset:
            return gpt.stretched(self._image_bytes, self.bytes, device_bytes)
        # A bare volume: the backup table of whatever was there before must not be found again.
        end = device_bytes // gpt.SECTOR * gpt.SECTOR
        last = max(end - max(gpt.SECTORS), -(-self.bytes // gpt.SECTOR) * gpt.SECTOR)
        return [(last, bytes(end - last))] if last < end else []

    def _image_bytes(self, offset: int, size: int) -> bytes:
        try:
            return self._medium.read(offset, size)
        except DamagedError:
            self.check_unchanged()
            raise


@contextmanager
def opened(device: Device) -> Iterator[int]:
    """A device open for writing, its descriptor; for this long nobody else can mount it.

    Raises BarelmError where the system refuses.
    """
    # On a block device O_EXCL asks Linux for it alone: whatever `devices` overlooked, a mounted disk is refused here.
    alone = os.O_EXCL if sys.platform == "linux" and not device.is_file else 0
    path = device.write_to or device.path
    try:
        fd = os.open(path, os.O_RDWR | alone | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise _refused(device, error) from error
    try:
        _check_identity(fd, device)
        yield fd
    finally:
        os.close(fd)


def check_free(device: Device) -> None:
    """Raise BarelmError where Linux gives a disk to nobody alone: whoever has it, a mount elsewhere or a driver."""
    if sys.platform != "linux" or device.is_file:
        return
    try:
        os.close(os.open(device.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise BarelmError(f"{device.path} is in use by something that does not show here", _WHO_ELSE) from error


def _check_identity(fd: int, device: Device) -> None:
    """Raise BarelmError where what was opened is not what was looked at: names of disks are given again."""
    if sys.platform != "linux":
        return
    status = os.fstat(fd)
    number = "" if device.is_file else f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if (os.lseek(fd, 0, os.SEEK_END) != device.bytes or device.identity.number not in ("", number)
            or device.identity.sequence not in (0, _sequence_of(fd) or device.identity.sequence)
            or device.is_file and not stat.S_ISREG(status.st_mode)):
        raise BarelmError(f"{device.path} is no longer the disk that was looked at", "Nothing was written: try again.")


def _sequence_of(fd: int) -> int:
    """The number that Linux gave a disk when it came, never twice; 0 where it does not say."""
    answer = bytearray(8)
    with suppress(OSError):
        fcntl.ioctl(fd, _BLKGETDISKSEQ, answer)
    return int.from_bytes(answer, sys.byteorder)


def write(content: Content, fd: int, device: Device, progress: Progress) -> None:
    """Write everything, and wait until it has arrived.

    Raises BarelmError where the device or the image fails.
    """
    first, *others = content.spans()
    _write_at(fd, first[0], bytes(first[1]), device)
    for number, span in enumerate(_counted([*others, first], progress)):
        _write_at(fd, span[0], content.read(span), device)
        if number % _SYNC_EVERY == 0:
            _sync(fd, device)
    _sync(fd, device)
    content.check_unchanged()


def verify(content: Content, fd: int, device: Device, progress: Progress) -> None:
    """Read everything back from the device itself and compare it.

    Raises BarelmError with the offset of the first byte that differs.
    """
    _forget(fd)
    for start, size in _counted(content.spans(), progress):
        wanted, found = content.read((start, size)), _read_at(fd, start, size, device)
        if found != wanted:
            content.check_unchanged()
            at = next((i for i, (a, b) in enumerate(zip(wanted, found)) if a != b), len(found))
            raise BarelmError(f"{device.path} does not hold what was written to it, from byte {start + at:,} on",
                              "It is broken or smaller than it pretends to be: take another.")
    content.check_unchanged()


def _counted(spans: list[Span], progress: Progress) -> Iterator[Span]:
    """The spans; `progress` learns of each when it is done."""
    total, done = sum(size for _, size in spans), 0
    for span in spans:
        yield span
        done += span[1]
        progress(done, total)


def reread_partitions(fd: int) -> None:
    """Let the kernel see the new partitions, where it may and can."""
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.ioctl(fd, _BLKRRPART)


def _forget(fd: int) -> None:
    """Drop what the system remembers of a device, so that reading asks the device."""
    with suppress(OSError):
        if sys.platform == "linux":
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            fcntl.ioctl(fd, _BLKFLSBUF)
        elif sys.platform == "darwin":
            fcntl.fcntl(fd, _F_NOCACHE, 1)


def _write_at(fd: int, offset: int, content: bytes, device: Device) -> None:
    at, view = 0, memoryview(content)
    while at < len(view):
        try:
            at += os.pwrite(fd, view[at:], offset + at)
        except OSError as error:
            raise _failed(f"write to {device.path} at byte {offset + at:,}", error) from error


def _read_at(fd: int, offset: int, size: int, device: Device) -> bytes:
    """Bytes of a device; fewer where it ends before."""
    content = b""
    while len(content) < size:
        try:
            got = os.pread(fd, size - len(content), offset + len(content))
        except OSError as error:
            raise _failed(f"read back {device.path} at byte {offset + len(content):,}", error) from error
        if not got:
            break
        content += got
    return content


def _sync(fd: int, device: Device) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NOT_FOR_DEVICES:  # raw devices of macOS keep nothing back
            raise _failed(f"write to {device.path}", error) from error


def _failed(what: str, error: OSError) -> BarelmError:
    return BarelmError(f"cannot {what}: {error.strerror}", "Try another port, then another device.")


def _refused(device: Device, error: OSError) -> BarelmError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return no_permission(device)
    hint = {errno.EBUSY: "Unmount it, and close what uses it.", errno.EROFS: "Move its lock, or take another.",
            getattr(errno, "ENOMEDIUM", -1): "Insert a card."}
    return BarelmError(f"cannot open {device.path}: {error.strerror}",
                       hint.get(error.errno or 0, "Plug it in again, then try once more."))


def no_permission(device: Device) -> BarelmError:
    """The error of a device that this person may not write to."""
    if device.is_file:
        return BarelmError(f"no permission to write to {device.path}", "Give a file that may be written.")
    return BarelmError(f"no permission to write to {device.path}",
                       f"Run the same command as root: sudo {sys.executable} -P -m barelm flash ...")
