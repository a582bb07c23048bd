"""Models by name: SmolLM2 and karpathy's TinyStories checkpoints, fetched once and kept in the cache folder.

A folder named by the environment variable BARELM_MODELS is searched before anything is fetched; the files lie in it
side by side, under their own names (stories15M.bin, tokenizer.bin, stories260K.bin, tok512.bin, ...).
"""

import hashlib
import os
import urllib.request
from pathlib import Path
from typing import Any

from barelm.checkpoint import default_model
from barelm.checkpoint.read import tokenizer_beside
from barelm.errors import BarelmError
from barelm.host_files import Progress, cache_folder, replace_file

REPOSITORY = "karpathy/tinyllamas"  # on the Hugging Face Hub
FILES = {
    "stories260K": ("stories260K/stories260K.bin", "stories260K/tok512.bin"),
    "stories15M": ("stories15M.bin", "tokenizer.bin"),
    "stories42M": ("stories42M.bin", "tokenizer.bin"),
    "stories110M": ("stories110M.bin", "tokenizer.bin"),
}
"""Per name the checkpoint and its tokenizer, by their paths in the repository."""

NAMES = (default_model.NAME, *FILES)

# Llama 2's tokenizer in llama2.c's form is not in the repository of the models but in that of the program.
TOKENIZER = "tokenizer.bin"
TOKENIZER_URL = "https://raw.githubusercontent.com/karpathy/llama2.c/master/tokenizer.bin"
TOKENIZER_SHA256 = "50a52ef822ee9e83de5ce9d0be0a025a773d019437f58b5ff9dcafb063ece361"
TOKENIZER_BYTES = 433_869
TIMEOUT_S = 30


def resolve_model(model: str, tokenizer: Path | None = None,
                  progress: Progress | None = None) -> tuple[Path, Path | None]:
    """The files behind what a person calls a model: a path that exists, else a name out of NAMES.

    Returns the checkpoint and its tokenizer; the tokenizer is None for a packed or GGUF model, which carries its own.
    `progress` is called with bytes done and bytes in all while fetching.  Raises BarelmError where there is no such
    file or name, no fitting tokenizer, or where a file cannot be fetched.
    """
    if os.path.exists(model):
        return Path(model), tokenizer or tokenizer_beside(Path(model))
    if model == default_model.NAME:
        return default_model.default_model(progress), tokenizer
    if model not in FILES:
        raise BarelmError(f"there is no file {model}, and no model of that name",
                          f"Give the path of a checkpoint, or one of {', '.join(NAMES)}.")
    checkpoint, its_tokenizer = FILES[model]
    return _have(checkpoint, progress), tokenizer or _have(its_tokenizer, progress)


def _have(file: str, progress: Progress | None) -> Path:
    """A file of the repository, from the first place that has it."""
    name = file.rpartition("/")[2]
    given = os.environ.get("BARELM_MODELS")
    if given and (Path(given) / name).is_file():
        return Path(given) / name
    folder = cache_folder("downloads")
    if not (folder / file).is_file():
        if file == TOKENIZER:
            _fetch_tokenizer(folder / file)
        else:
            _fetch(file, folder, progress)
    return folder / file


def _fetch(file: str, folder: Path, progress: Progress | None) -> None:
    """Download a file of the repository to its place in `folder`."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ImportError as error:
        raise BarelmError(f"cannot fetch {file}: the package huggingface_hub is not installed",
                          "Install it with `pip install 'barelm[hub]'`, or give the path of a file.") from error
    try:
        # Without a network this fails at once, where the download would first try again for half a minute.
        get_hf_file_metadata(hf_hub_url(REPOSITORY, file), timeout=TIMEOUT_S)
        hf_hub_download(REPOSITORY, file, local_dir=folder, tqdm_class=_reporting_to(progress))
    # The library raises its own errors, those of whichever HTTP client it uses, and the system's.
    except Exception as error:
        raise _unfetched(file, f"huggingface.co/{REPOSITORY}", error) from error


def _fetch_tokenizer(target: Path) -> None:
    try:
        with urllib.request.urlopen(TOKENIZER_URL, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(TOKENIZER_BYTES + 1)
    # Beside OSError, of which URLError is one: HTTPException where the answer is no HTTP or ends early.
    except Exception as error:
        raise _unfetched(TOKENIZER, "github.com/karpathy/llama2.c", error) from error
    if hashlib.sha256(content).hexdigest() != TOKENIZER_SHA256:
        raise BarelmError(f"{TOKENIZER_URL} is not the tokenizer it should be: its SHA-256 differs",
                          "Try again, or give the tokenizer with --tokenizer.")
    replace_file(target, content)


def _unfetched(file: str, where: str, error: Exception) -> BarelmError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    name = file.rpartition("/")[2]
    return BarelmError(f"cannot fetch {file} from {where}: {reason.rstrip('.')}",
                       f"Is there a network? Otherwise put {name} into a folder and set BARELM_MODELS to it.")


def _reporting_to(progress: Progress | None) -> Any:
    """A progress bar, as the library wants one, that shows nothing and tells `progress`."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    most = 0

    class Reporter(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            # The library may run two bars over the same bytes, received and written: the one ahead counts.
            nonlocal most
            self.n += n or 0
            most = max(most, int(self.n))
            if progress and self.total:
                progress(min(most, int(self.total)), int(self.total))

    return Reporter
