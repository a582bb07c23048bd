"""Opening files of unknown origin: what is not a file, cannot be read or is empty is refused, with the reason."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.errors import BarelmError


def read_start(path: Path, n_bytes: int, hint: str) -> tuple[bytes, int]:
    """The first bytes of a file, at most `n_bytes`, and its size.  Raises BarelmError with `hint` where it cannot."""
    try:
        # Asked before opening: a pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise BarelmError(f"{path} is {kind}", hint)
        with open(path, "rb") as file:
            start = file.read(n_bytes)
            size = file.seek(0, os.SEEK_END)
    except (OSError, ValueError) as error:
        # ValueError: a name with a zero byte in it.
        raise BarelmError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}", hint) from error
    if not size:
        raise BarelmError(f"{path} is empty", "Was its download or export interrupted? Fetch it again.")
    return start, size


def map_bytes(path: Path) -> NDArray[np.uint8]:
    """A file's bytes, read as they are looked at.  Raises BarelmError where it cannot be read."""
    try:
        mapped: Any = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise BarelmError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
                          "It was there a moment ago: is something else changing it?") from error
    return np.asarray(mapped)
