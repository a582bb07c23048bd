"""The program, compiled once for all tests and all parallel workers, in the cache this host has anyway."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
from pathlib import Path

import pytest

from barelm.aot.build import build_program, source_key
from barelm.errors import BarelmError
from barelm.host_files import cache_folder

CHECKED = "BARELM_TEST_CHECKED" in os.environ
"""Whether tests run the program that looks at every access of memory: `BARELM_TEST_CHECKED=1 pytest tests/machine`."""

_CACHE = os.environ.get("XDG_CACHE_HOME")  # before any test points it elsewhere


def program() -> Path:
    """The `.efi`, built where it is not in the cache; other workers wait for it."""
    built = _built()
    if isinstance(built, BarelmError):
        pytest.fail(f"the program does not compile: {built.message}. {built.hint}", pytrace=False)
    return built


@functools.cache
def _built() -> Path | BarelmError:
    """Once a process, whether it works or not."""
    with pytest.MonkeyPatch.context() as patch:
        if _CACHE is None:
            patch.delenv("XDG_CACHE_HOME", raising=False)
        else:
            patch.setenv("XDG_CACHE_HOME", _CACHE)
        with open(cache_folder("programs") / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                return build_program(checked=CHECKED)
            except BarelmError as error:
                return error


def seeded_cache(folder: Path) -> Path:
    """A cache folder (a value for XDG_CACHE_HOME) of the test's own that holds the program and nothing else."""
    programs = folder / "barelm" / "programs"
    programs.mkdir(parents=True)
    shutil.copyfile(program(), programs / f"{source_key()}.efi")
    return folder
