"""Other people's tools for FAT and GPT, against which images are checked; a test skips where one is absent."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# mtools reads its configuration from the environment and shows names in the locale's encoding.
_ENVIRONMENT = {**os.environ, "MTOOLSRC": os.devnull, "MTOOLS_SKIP_CHECK": "0", "LC_ALL": "C.UTF-8"}
_SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def run(tool: str, *arguments: str | Path) -> str:
    """What `tool` prints; fails the test on a status other than 0."""
    program = shutil.which(tool, path=_SYSTEM_PATH)
    if program is None:
        pytest.skip(f"{tool} is not installed (packages: dosfstools, gdisk, mtools)")
    done = subprocess.run([program, *map(str, arguments)], env=_ENVIRONMENT, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, check=False)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, f"{tool} ended with {done.returncode}: {output}"
    return output


def check_volume(volume: Path) -> str:
    """fsck.vfat finds nothing wrong with a plain FAT32 volume; returns its report."""
    return run("fsck.vfat", "-n", "-v", volume)


def check_disk(image: Path, esp_offset: int) -> str:
    """sgdisk finds nothing wrong with a GPT image, nor fsck.vfat with its partition; returns sgdisk's report."""
    report = run("sgdisk", "-v", image)
    assert "No problems found" in report
    assert "Caution" not in report
    partition = image.with_suffix(".esp")
    run("dd", f"if={image}", f"of={partition}", f"bs={1 << 20}", f"skip={esp_offset >> 20}", "conv=sparse")
    check_volume(partition)
    partition.unlink()
    return report


def extract(image: Path, offset: int, into: Path) -> dict[str, bytes]:
    """Every file of the FAT32 at `offset` of an image as mcopy sees it, by path."""
    into.mkdir()
    run("mcopy", "-s", "-n", "-Q", "-i", f"{image}@@{offset}", "::", into)
    return {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}
