"""The bytes of an image or of a device: read anywhere, written anywhere, each write through one place.

And what is said of a plain file that is copied into an image or onto a device.
"""

import os
import stat
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from barelm.errors import BarelmError
from barelm.host_files import refuse_pipe

_HINT = "Write the image again, or check that it was copied whole."


class DamagedError(BarelmError):
    """What is on an image is not what has to be there."""


class Medium:
    """An open image or block device.  Threads may share it for reading.

    `after_write(n)` is called after the n-th write, from 1: a test that raises there, or a machine that ends there,
    has cut the power.
    """

    def __init__(self, path: Path, writable: bool = False) -> None:
        """Open `path`; one that is to be written is kept from others of this package.  Raises BarelmError."""
        self.path = path
        self.writable = writable
        self.writes = 0
        self.after_write: Callable[[int], None] = lambda number: None
        self._lock = threading.Lock()
        refuse_pipe(path)
        try:
            with ExitStack() as undo:
                self._file: BinaryIO = open(path, "r+b" if writable else "rb", buffering=0, opener=_exclusive)
                undo.callback(self._file.close)
                if writable:
                    _keep_others_out(self._file)
                self.n_bytes = self._file.seek(0, os.SEEK_END)
                undo.pop_all()
        except BlockingIOError as error:
            raise BarelmError(f"{path} is being written by another program",
                              "Wait until it is done, or end it.") from error
        except OSError as error:
            raise self._refused("write" if writable else "read", error) from error

    def close(self) -> None:
        """Close it; what was written is on the device by then."""
        if self._file.closed:
            return
        try:
            if self.writes:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused("write", error) from error
        finally:
            self._file.close()

    def status(self) -> os.stat_result:
        """What the system says of the open file: its kind, size, time of the last change."""
        return os.fstat(self._file.fileno())

    def read(self, offset: int, n: int) -> bytes:
        """n bytes from `offset` on."""
        buffer = bytearray(n)
        self.fill(offset, memoryview(buffer))
        return bytes(buffer)

    def fill(self, offset: int, buffer: memoryview) -> None:
        """Fill the whole buffer from `offset` on; BarelmError where there is less, or the system refuses."""
        self._transfer("read", offset, buffer)

    def write(self, offset: int, content: bytes | memoryview) -> None:
        """Write at `offset`, in one go as far as the system takes it; counts as one write."""
        self._transfer("write", offset, memoryview(content))
        self.writes += 1
        self.after_write(self.writes)

    def damaged(self, what: str) -> DamagedError:
        """The error that says what is wrong with the image."""
        return DamagedError(f"{self.path} is not a sound disk image: {what}", _HINT)

    def _refused(self, verb: str, error: OSError) -> BarelmError:
        return BarelmError(f"cannot {verb} {self.path}: {error.strerror}", "Check the path and its permissions.")

    def _transfer(self, verb: str, offset: int, view: memoryview) -> None:
        """Read or write all of a view."""
        if offset + len(view) > self.n_bytes:
            raise self.damaged("something in it lies past its end")
        done = 0
        while done < len(view):
            try:
                n = self._some(verb == "read", offset + done, view[done:])
            except OSError as error:
                raise self._refused(verb, error) from error
            if not n:
                raise self.damaged("it was cut short while it was being read")
            done += n

    def _some(self, read: bool, offset: int, view: memoryview) -> int:
        """Read or write as many bytes as the system takes at a time."""
        if hasattr(os, "preadv"):
            file = self._file.fileno()
            return os.preadv(file, [view], offset) if read else os.pwrite(file, view, offset)
        with self._lock:
            self._file.seek(offset)
            return (self._file.readinto(view) if read else self._file.write(view)) or 0  # type: ignore[attr-defined]


def _exclusive(path: str, flags: int) -> int:
    """Open a file; a block device that is to be written only where nothing on it is mounted (open(2), O_EXCL)."""
    with suppress(OSError):                         # opening it says what is wrong
        if flags & os.O_RDWR and stat.S_ISBLK(os.stat(path).st_mode):
            flags |= os.O_EXCL
    return os.open(path, flags)


def _keep_others_out(file: BinaryIO) -> None:
    """Lock the file where the system has locks; BlockingIOError where another holds it."""
    with suppress(ImportError):
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def changed(what: Path | str) -> BarelmError:
    """The error of a file that is no longer what it was when copying it began."""
    return BarelmError(f"{what} changed while it was being copied", "Let whatever writes it end, then try again.")
