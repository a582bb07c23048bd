"""Where a model may lie already: folders a person names, what was downloaded, and the caches of other programs.

Nothing here downloads or writes.  A name found in a file of another program is never used as a path: of Ollama's
manifests only digests are taken, and only well-formed ones.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from barelm.checkpoint.gguf import MAGIC
from barelm.checkpoint.sources.repository_names import encoding_of, is_safe, parts_of
from barelm.host_files import cache_folder

FOLDERS_VARIABLE = "BARELM_MODELS"
FETCHED = "fetched"
OLLAMA_MODEL = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MOST_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file that is there, and what found it: a variable, FETCHED, or the program whose cache it is in."""

    path: Path
    where: str


def model_folders() -> list[Path]:
    """The folders that BARELM_MODELS names, separated as in PATH."""
    return [Path(folder) for folder in os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep) if folder]


def downloads() -> Path:
    """Where files are downloaded to: OWNER/REPO/FILE."""
    return cache_folder("downloads")


def find_file(repository: str, file: str, ollama: str = "", n_bytes: int | None = None) -> Found | None:
    """A file of a repository of the hub, from the first place that has it; all its parts where it is one of several.

    `ollama` is the model's name there.  A file of another size than `n_bytes`, where given, is passed over.
    """
    for where, paths in _places(repository, file, ollama):
        with suppress(OSError):
            for path in paths:
                if _is_whole(path, n_bytes):
                    return Found(path, where)
    return None


def files_at_hand(repository: str) -> list[str]:
    """The GGUF files of a repository that lie where folders are named as on the hub, by their names in it."""
    roots = [downloads() / repository, *_snapshots(repository), *(root / repository for root in _lm_studio())]
    found: set[str] = set()
    for root in roots:
        with suppress(OSError):
            found |= {path.relative_to(root).as_posix() for path in root.rglob("*.gguf") if _is_whole(path)}
    return sorted(filter(is_safe, found))


def _places(repository: str, file: str, ollama: str) -> Iterator[tuple[str, Iterator[Path]]]:
    """Every place with the paths where the file would be there."""
    name = file.rpartition("/")[2]
    yield FOLDERS_VARIABLE, (folder / name for folder in model_folders())
    yield FETCHED, iter([downloads() / repository / file])
    yield "Hugging Face", (snapshot / file for snapshot in _snapshots(repository))
    flat = f"{repository}/{file}".replace("/", "_")
    yield "llama.cpp", (_llama_cpp() / candidate for candidate in (flat, name))
    yield "LM Studio", (path for root in _lm_studio()
                        for path in (root / repository / file, *sorted(root.glob(f"*/*/{_literal(name)}"))))
    names = [ollama, f"hf.co/{repository}:{encoding_of(file) or 'latest'}"]
    yield "Ollama", (blob for root in _ollama() for wanted in names if wanted for blob in _blobs(root, wanted))


def _is_whole(path: Path, n_bytes: int | None = None) -> bool:
    """Whether a file is there with all its parts; a GGUF file begins like one.  Ollama's have no name to tell it."""
    for part in (path.with_name(name) for name in parts_of(path.name)):
        if not part.is_file() or n_bytes is not None and part.stat().st_size != n_bytes:
            return False
        if path.suffix != ".bin":
            with open(part, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    return False
    return True


def _folder(variable: str, *otherwise: str) -> Path:
    given = os.environ.get(variable)
    return Path(given) if given else Path.home().joinpath(*otherwise)


def _snapshots(repository: str) -> list[Path]:
    """The revisions of a repository in the cache of huggingface_hub, that of `main` first."""
    home = os.environ.get("HF_HOME") or _folder("XDG_CACHE_HOME", ".cache") / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    folder = hub / f"models--{repository.replace('/', '--')}"
    main = ""
    with suppress(OSError, UnicodeDecodeError):
        main = (folder / "refs" / "main").read_text("ascii").strip()
    with suppress(OSError):
        return sorted((folder / "snapshots").iterdir(), key=lambda path: (path.name != main, path.name))
    return []


def _llama_cpp() -> Path:
    given = os.environ.get("LLAMA_CACHE")
    return Path(given) if given else _folder("XDG_CACHE_HOME", ".cache") / "llama.cpp"


def _lm_studio() -> list[Path]:
    return [Path.home() / ".lmstudio" / "models", Path.home() / ".cache" / "lm-studio" / "models"]


def _ollama() -> list[Path]:
    """Where a person's own Ollama keeps models, and where one that runs as a service does."""
    return [_folder("OLLAMA_MODELS", ".ollama", "models"), Path("/usr/share/ollama/.ollama/models")]


def _blobs(root: Path, name: str) -> Iterator[Path]:
    """The weights that Ollama keeps of `[HOST/OWNER/]MODEL:TAG`."""
    model, _, tag = name.rpartition(":")
    manifest = root / "manifests" / (model if "/" in model else f"registry.ollama.ai/library/{model}") / tag
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        with open(manifest, "rb") as file:
            layers = json.loads(file.read(_MOST_MANIFEST_BYTES))["layers"]
        for layer in layers:
            digest = _DIGEST.fullmatch(layer["digest"])
            blob = root / "blobs" / f"sha256-{digest[1]}" if digest else None
            if blob and layer["mediaType"] == OLLAMA_MODEL and blob.stat().st_size == layer.get("size"):
                yield blob


def _literal(name: str) -> str:
    """A file's name as a pattern that matches it alone."""
    return re.sub(r"([*?[])", r"[\1]", name)
