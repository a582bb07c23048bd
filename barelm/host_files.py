"""The folders for cache and data; reading files; replacing a file: written beside it, then renamed."""

import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from barelm.errors import BarelmError

PACKAGE = Path(__file__).parent
SOURCES = (".py", ".npz", ".ranges", ".html")
Progress = Callable[[int, int], None]  # told how many bytes are done, of how many in all
_MOST_OF_A_NAME = 50                    # characters: with what is added, it is no longer than a file system allows


@dataclass(frozen=True)
class Portion:
    """What a file on a volume is to hold: some bytes, then a part of a file of the host."""

    head: bytes
    path: Path
    start: int
    n_bytes: int  # of the file, from `start` on


Source = Path | bytes | Portion
"""What a file on a volume is made of."""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


def sources_digest(*rooms: str) -> bytes:
    """SHA-256 over the sources of some rooms, data files among them: what was made by others is made again."""
    digest = hashlib.sha256()
    for path in (path for room in rooms for path in sorted((PACKAGE / room).rglob("*")) if path.suffix in SOURCES):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


def cache_folder(kind: str) -> Path:
    """The folder for what can be made again, created: $XDG_CACHE_HOME/barelm/`kind`, ~/.cache without it.

    Raises BarelmError where it cannot be created.
    """
    return _folder("XDG_CACHE_HOME", Path.home() / ".cache", kind)


def data_folder() -> Path:
    """The folder for what a person keeps, created: $XDG_DATA_HOME/barelm, ~/.local/share without it.

    Nobody else may look into it.  Raises BarelmError where it cannot be created.
    """
    folder = _folder("XDG_DATA_HOME", Path.home() / ".local" / "share", "")
    with suppress(OSError):
        folder.chmod(0o700)
    return folder


def _folder(variable: str, otherwise: Path, kind: str) -> Path:
    folder = Path(os.environ.get(variable) or otherwise) / "barelm" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BarelmError(f"cannot create {folder}: {error.strerror}",
                          f"Set {variable} to a folder that may be written.") from error
    return folder


def refuse_pipe(path: Path) -> None:
    """Before a file is opened that is read here and there: a pipe would wait for who writes.  Raises BarelmError."""
    with suppress(OSError, ValueError):
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise BarelmError(f"{path} is a pipe", "Write what comes through it into a file, and give that.")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """For a read of `path`.  Raises BarelmError where the file system refuses, or it is a pipe."""
    refuse_pipe(path)
    try:
        yield
    except OSError as error:
        raise BarelmError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from error


@contextmanager
def renamed_at_the_end(target: Path, *, lasting: bool = True, mode: int = 0o666) -> Iterator[Path]:
    """An empty file to write to that becomes `target` at the end, or vanishes if anything goes wrong.

    Its name cannot be foretold, it is never a link, and it is renamed only if it is still the one that was made: others
    may write to the folder.  Where it is to be `lasting`, the disk has it before it has the name.  It takes the place
    of no device and no pipe.
    """
    with suppress(FileNotFoundError):
        kind = os.stat(target).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise OSError(errno.EINVAL, "it is no file, but a device or a pipe")
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    beside = target.with_name(f".{target.name[:_MOST_OF_A_NAME]}.{secrets.token_hex(8)}.part")
    made = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
    try:
        with open(made, "rb") as file:
            yield beside
            if lasting:
                os.fsync(file.fileno())
            if not os.path.samestat(os.fstat(file.fileno()), os.lstat(beside)):
                raise OSError(errno.ESTALE, f"somebody has replaced {beside.name}")
        os.replace(beside, target)
        if lasting:
            sync_folder(target.parent)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system lets a folder be opened."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


@contextmanager
def written_beside(target: Path, mode: int = 0o666) -> Iterator[Path]:
    """The same.  Raises BarelmError where the file system refuses."""
    try:
        with renamed_at_the_end(target, mode=mode) as beside:
            yield beside
    except OSError as error:
        raise BarelmError(f"cannot write {target}: {error.strerror or error}",
                          "Choose a place that exists, may be written and has room.") from error


def check_not_read(out: Path, *inputs: Path | None) -> None:
    """Refuse to write over what is read to make it."""
    for path in inputs:
        if path is not None and path.exists() and out.exists() and path.samefile(out):
            raise BarelmError(f"{out} is what is read, and would be lost", "Give another --output.")


def replace_file(target: Path, content: bytes, mode: int = 0o666) -> None:
    """Give a file new content at once: readers see the old or the new, never a part."""
    with written_beside(target, mode) as beside:
        beside.write_bytes(content)


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder for one run, on the cache's disk so that large files need not be copied; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache_folder("runs")) as folder:
        yield Path(folder)
