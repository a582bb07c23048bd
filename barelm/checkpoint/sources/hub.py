"""Files from the Hugging Face Hub: looked up, downloaded, taken up where they stopped, checked, put in place.

The package huggingface_hub says where the hub is, who asks, and what its answers mean; HF_ENDPOINT, HF_TOKEN and
HF_HUB_OFFLINE are its variables.  Its own download starts anew after an interruption and checks no digest: here the
bytes that have come wait in a `.part` beside the file, which gets its name only when its digest is the hub's.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from barelm.errors import BarelmError
from barelm.host_files import Progress, reading, sync_folder

TIMEOUT_S = 30
_DIGEST = re.compile("[0-9a-f]{64}|[0-9a-f]{40}")
NETWORK = ("Is there a network? What has come is kept: try again.  Or put the file into a folder and set BARELM_MODELS "
           "to that.")
DISTURBED = "What has come is kept: try again."
SOMEWHERE_ELSE = "Make room, or set XDG_CACHE_HOME to a folder that may be written and has room."


@dataclass(frozen=True)
class OfferedFile:
    """A file of a repository as the hub describes it: the digest is a SHA-256, or for small ones Git's SHA-1."""

    path: str
    n_bytes: int
    digest: str


@dataclass(frozen=True)
class Repository:
    """A repository at a commit; the architecture of its GGUF files where the hub knows it."""

    name: str
    commit: str
    files: dict[str, OfferedFile]
    architecture: str | None

    def file(self, path: str) -> OfferedFile:
        """The file of that name, whatever its case.  Raises BarelmError where there is none."""
        for known in self.files:
            if path.lower() == known.lower():
                return self.files[known]
        near = get_close_matches(path, self.files, 3, 0.5)
        raise BarelmError(f"{self.name} has no file {path}", f"Did you mean {' or '.join(near)}?" if near else
                          f"Look at https://huggingface.co/{self.name}/tree/main.")


def look_up(repository: str, revision: str = "main") -> Repository:
    """What the hub says of a repository.  Raises BarelmError where it cannot be asked or refuses."""
    with _answering(repository) as hub:
        api = hub.HfApi(endpoint=_endpoint())
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
        found = [OfferedFile(file.rfilename, int(file.size or 0), str(file.lfs.sha256 if file.lfs else file.blob_id))
                 for file in info.siblings or ()]
        files = {file.path: file for file in found if _DIGEST.fullmatch(file.digest)}
        return Repository(repository, info.sha, files, (getattr(info, "gguf", None) or {}).get("architecture"))


def fetch(repository: Repository, file: OfferedFile, target: Path, progress: Progress) -> None:
    """Download a file to its place, from where the last attempt stopped.

    `progress` is told the bytes done and in all.  Raises BarelmError where it does not come whole or is another;
    interrupted in any way, what has come is kept for the next attempt.
    """
    part = target.with_name(f".{target.name[:120]}.{file.digest[:16]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "ab") as out:
            _take(out, part)
            if part.exists():  # another process has not just done all of this
                _complete(repository, file, out, target, progress)
                _check_digest(file, part)
                os.fsync(out.fileno())
                os.replace(part, target)
                sync_folder(target.parent)
    except OSError as error:
        raise BarelmError(f"cannot write {target}: {error.strerror or error}", SOMEWHERE_ELSE) from error


def _take(out: IO[bytes], part: Path) -> None:
    """Let no other process write to the part until this one is done."""
    import fcntl

    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BarelmError(f"another process is downloading to {part}", "Wait until it is done.") from error


def _complete(repository: Repository, file: OfferedFile, out: IO[bytes], target: Path, progress: Progress) -> None:
    """Receive what is missing of a part; an empty one does not stay."""
    if out.tell() > file.n_bytes:
        _empty(out)
    try:
        _check_space(file, target, file.n_bytes - out.tell())
        with _answering(repository.name) as hub:
            _receive(hub, repository, file, out, progress)
    finally:
        if not out.tell():
            os.unlink(out.name)


def _check_space(file: OfferedFile, target: Path, missing: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if missing > free:
        raise BarelmError(f"{file.path} needs {missing / 1e6:,.0f} MB more and {target.parent} has {free / 1e6:,.0f} "
                          "MB free", SOMEWHERE_ELSE)


def _receive(hub: Any, repository: Repository, file: OfferedFile, out: IO[bytes], progress: Progress) -> None:
    """Write what is missing; a connection that breaks is taken up again as long as that brings anything."""
    url = hub.hf_hub_url(repository.name, file.path, revision=repository.commit, endpoint=_endpoint())
    progress(out.tell(), file.n_bytes)
    while (before := out.tell()) < file.n_bytes:
        try:
            _append(hub, url, file, out, progress)
        except hub.errors.HfHubHTTPError:
            raise
        except Exception as error:
            if isinstance(error, BarelmError) or out.tell() <= before:
                raise
        if out.tell() <= before:
            raise BarelmError(f"{file.path} breaks off after {out.tell():,} of {file.n_bytes:,} bytes", DISTURBED)


def _append(hub: Any, url: str, file: OfferedFile, out: IO[bytes], progress: Progress) -> None:
    """One request for what is missing; the bytes received are in the file whatever happens then."""
    done = out.tell()
    headers = {**hub.utils.build_hf_headers(), "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    with hub.get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True) as answer:
        hub.utils.hf_raise_for_status(answer)
        if done and answer.status_code != 206:  # it sends the whole again
            _empty(out)
        for chunk in answer.iter_bytes():
            if out.tell() + len(chunk) > file.n_bytes:
                _empty(out)
                raise BarelmError(f"{file.path} is longer than the {file.n_bytes:,} bytes the hub says", "Try again.")
            _write(out, chunk)
            progress(out.tell(), file.n_bytes)


def _write(out: IO[bytes], chunk: bytes) -> None:
    """A disk that is full is no fault of the connection."""
    try:
        out.write(chunk)
        out.flush()
    except OSError as error:
        raise BarelmError(f"cannot write {out.name}: {error.strerror or error}", SOMEWHERE_ELSE) from error


def _empty(out: IO[bytes]) -> None:
    out.seek(0)
    out.truncate()


def _check_digest(file: OfferedFile, part: Path) -> None:
    """Compare with what the hub says; what differs is not kept."""
    with reading(part), open(part, "rb") as content:
        if len(file.digest) == 64:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        else:
            found = hashlib.sha1(b"blob %d\0" % file.n_bytes + content.read()).hexdigest()
    if found != file.digest:
        part.unlink()
        raise BarelmError(f"what came as {file.path} has the digest {found[:12]}..., not the hub's "
                          f"{file.digest[:12]}...", "It was thrown away: try again.")


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


@contextmanager
def _answering(repository: str) -> Iterator[Any]:
    """The hub's library, for questions about a repository; what goes wrong becomes a sentence."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise BarelmError(f"{repository} is not on this computer, and HF_HUB_OFFLINE forbids to ask the hub for it",
                          "Unset HF_HUB_OFFLINE, or give the path of a file.")
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise BarelmError(f"cannot fetch {repository}: the package huggingface_hub is not installed",
                          "Install it with `pip install 'barelm[hub]'`, or give the path of a file.") from error
    try:
        yield huggingface_hub
    except (BarelmError, KeyboardInterrupt):
        raise
    # The library raises its own errors, those of whichever HTTP client it uses, and the system's.
    except Exception as error:
        raise _refusal(repository, error, huggingface_hub.errors) from error


def _refusal(repository: str, error: Exception, known: Any) -> BarelmError:
    """What an error of the library means to a person."""
    host = urlsplit(_endpoint()).netloc
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, known.GatedRepoError) or (
            status in (401, 403) and not isinstance(error, known.RepositoryNotFoundError)):
        return BarelmError(f"{repository} is given only to who has accepted its licence",
                           f"Accept it at https://huggingface.co/{repository}, make a token in your settings there, "
                           "set HF_TOKEN to it and try again.")
    if isinstance(error, known.RepositoryNotFoundError):
        return BarelmError(f"{host} has no repository {repository}, or a private one",
                           "Check the name; for a private one set HF_TOKEN to a token of yours.")
    if isinstance(error, known.RevisionNotFoundError):
        return BarelmError(f"{repository} has no longer the revision that is asked for", "Look for a newer barelm.")
    if status:
        return BarelmError(f"{host} refuses {repository} with the status {status}", "Try again later.")
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return BarelmError(f"cannot fetch {repository} from {host}: {reason.rstrip('.')}", NETWORK)
