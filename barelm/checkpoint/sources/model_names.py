"""What a person calls a model: a file, a name of the catalogue, or `hf:OWNER/REPO[:FILE]`.

A file wins, then one of that name in a folder of BARELM_MODELS.  Anything else is looked for on this computer
(`places`) before it is downloaded.
"""

import hashlib
import os
import urllib.request
from difflib import get_close_matches
from pathlib import Path

from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.gguf_metadata import KINDS
from barelm.checkpoint.read import tokenizer_beside
from barelm.checkpoint.sources import default_model, hub
from barelm.checkpoint.sources.catalogue import CATALOGUE, LLAMA2_TOKENIZER, ROWS, KnownModel
from barelm.checkpoint.sources.places import Found, downloads, files_at_hand, find_file, model_folders
from barelm.checkpoint.sources.repository_names import PREFIX, choose_file, is_safe, parse_repository_name, parts_of
from barelm.errors import BarelmError
from barelm.host_files import Progress, no_progress, replace_file

SUFFIXES = (".bin", ".gguf", ".blm")
TOKENIZER_URL = "https://raw.githubusercontent.com/karpathy/llama2.c/master/tokenizer.bin"
TOKENIZER_SHA256 = "50a52ef822ee9e83de5ce9d0be0a025a773d019437f58b5ff9dcafb063ece361"
TOKENIZER_BYTES = 433_869
_NEAR = 0.75  # how alike a word and a name are, of 1, for the word to be a misspelling


def resolve_model(model: str, tokenizer: Path | None = None,
                  progress: Progress | None = None) -> tuple[Path, Path | None]:
    """The files behind what a person calls a model: a path that exists, else a name.

    Returns the checkpoint and its tokenizer; the tokenizer is None for a packed or GGUF model, which carries its own.
    `progress` is called with bytes done and bytes in all while fetching.  Raises BarelmError where there is no such
    file or name, no fitting tokenizer, or where a file cannot be fetched.
    """
    if os.path.exists(model) and not (model in CATALOGUE and os.path.isdir(model)):
        return Path(model), tokenizer or tokenizer_beside(Path(model))
    if model.startswith(PREFIX):
        return _of_repository(model, progress or no_progress), tokenizer
    if model not in CATALOGUE:
        if (path := _in_folders(model)) is None:
            raise _unknown(model)
        return path, tokenizer or tokenizer_beside(path)
    row = CATALOGUE[model]
    if model == default_model.NAME:
        return default_model.default_model(progress), tokenizer
    path = _have(row.repository, row.file, row, progress or no_progress)
    if row.tokenizer and tokenizer is None:
        tokenizer = _have(row.repository, row.tokenizer, row, progress or no_progress)
    return path, tokenizer


def is_model(argument: str) -> bool:
    """Whether an argument is a file or the name of a model, perhaps misspelt, rather than something to say to one."""
    if os.path.exists(argument) or _in_folders(argument) is not None or any(argument == row.name for row in ROWS):
        return True
    like_a_file = os.sep in argument or Path(argument).suffix in SUFFIXES or argument.startswith(PREFIX)
    like_a_name = any(character.isdigit() for character in argument) and bool(near_names(argument))
    return " " not in argument and (like_a_file or like_a_name)


def find_known(row: KnownModel) -> Found | None:
    """A model of the catalogue where it is on this computer."""
    if row.name == default_model.NAME:
        return default_model.locate_default_model()
    return find_file(row.repository, row.file, row.ollama)


def fetched_by_repository() -> list[tuple[str, Path]]:
    """What was downloaded that is in no row of the catalogue, by the names that `resolve_model` takes."""
    known = {(row.repository, row.file) for row in ROWS}
    found = []
    for path in sorted(downloads().glob("*/*/**/*.gguf")):
        owner, repository, *file = path.relative_to(downloads()).parts
        name = (f"{owner}/{repository}", "/".join(file))
        if name not in known and not path.name.startswith(".") and parts_of(path.name)[0] == path.name:
            found.append((f"{PREFIX}{name[0]}:{name[1]}", path))
    return found


def near_names(word: str) -> list[str]:
    """The names that a word may be a misspelling of, the nearest first."""
    names = {name.lower(): name for name in CATALOGUE}
    return [names[near] for near in get_close_matches(word.lower().replace(":", "-"), names, 3, _NEAR)]


def _in_folders(model: str) -> Path | None:
    """A file of that name in one of the folders a person names, with `.gguf` or without."""
    if not is_safe(model) or "/" in model:
        return None
    paths = (folder / name for folder in model_folders() for name in (model, f"{model}.gguf"))
    return next((path for path in paths if path.is_file()), None)


def _unknown(model: str) -> BarelmError:
    architecture = next((row.architecture for row in ROWS if row.name == model), None)
    if architecture:
        return BarelmError(f"{model} is a model of the architecture {architecture!r}, which this barelm does not run",
                           "`barelm models` lists the models it runs.")
    near = near_names(model)
    return BarelmError(f"there is no file {model}, and no model of that name",
                       f"Did you mean {' or '.join(near)}?" if near else
                       "Give the path of a checkpoint, a name that `barelm models` lists, or hf:OWNER/REPO.")


def _of_repository(model: str, progress: Progress) -> Path:
    """The file that `hf:OWNER/REPO[:FILE]` means: one that is here where one fits, else the hub's."""
    name = parse_repository_name(model)
    try:
        file = choose_file(name, files_at_hand(name.repository))
    except BarelmError:
        file = name.wanted if name.wanted.lower().endswith(".gguf") else ""
    if file and (found := find_file(name.repository, file)):
        return found.path
    offered = hub.look_up(name.repository)
    file = choose_file(name, offered.files)
    _check_architecture(offered)
    found = find_file(name.repository, file)
    return found.path if found else _fetch(offered, file, progress)


def _have(repository: str, file: str, row: KnownModel, progress: Progress) -> Path:
    """A file of a row of the catalogue, from the first place that has it."""
    if found := find_file(repository, file, row.ollama):
        return found.path
    if file == LLAMA2_TOKENIZER:
        return _fetch_tokenizer(downloads() / repository / file)
    offered = hub.look_up(repository, row.revision)
    return _fetch(offered, offered.file(file).path, progress, as_file=file)


def _check_architecture(offered: hub.Repository) -> None:
    """Refuse what could not be run before it is downloaded, where the hub knows what it is."""
    # Of a repository that has a mmproj file too, the hub may tell that one's.
    if offered.architecture and offered.architecture not in (*FAMILIES, *KINDS):
        raise BarelmError(f"{offered.name} is a model of the architecture {offered.architecture!r:.40}, which this "
                          "barelm does not run", f"Choose one of the architecture {' or '.join(map(repr, FAMILIES))}.")


def _fetch(offered: hub.Repository, file: str, progress: Progress, as_file: str = "") -> Path:
    """Download a file with all its parts; returns where the first one lies."""
    parts = [offered.file(part) for part in parts_of(file)]
    total, done = sum(part.n_bytes for part in parts), 0
    folder = downloads() / offered.name
    for part in parts:
        target = folder / (as_file or part.path)
        if not target.is_file() or target.stat().st_size != part.n_bytes:
            hub.fetch(offered, part, target, _after(done, total, progress))
        done += part.n_bytes
    return folder / (as_file or parts[0].path)


def _after(before: int, total: int, progress: Progress) -> Progress:
    """The progress of a part, told as that of the whole."""
    return lambda done, _: progress(before + done, total)


def _fetch_tokenizer(target: Path) -> Path:
    try:
        with urllib.request.urlopen(TOKENIZER_URL, timeout=hub.TIMEOUT_S) as answer:
            content: bytes = answer.read(TOKENIZER_BYTES + 1)
    # Beside OSError, of which URLError is one: HTTPException where the answer is no HTTP or ends early.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BarelmError(f"cannot fetch {target.name} from github.com/karpathy/llama2.c: {reason.rstrip('.')}",
                          f"Is there a network? Otherwise put {target.name} into a folder and set BARELM_MODELS to it."
                          ) from error
    if hashlib.sha256(content).hexdigest() != TOKENIZER_SHA256:
        raise BarelmError(f"{TOKENIZER_URL} is not the tokenizer it should be: its SHA-256 differs",
                          "Try again, or give the tokenizer with --tokenizer.")
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, content)
    return target
