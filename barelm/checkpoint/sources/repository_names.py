"""`hf:OWNER/REPO[:FILE]`: what such a name means, and which file of a repository is the best where none is named.

The rule: of the GGUF files that are models, those of the first encoding in BEST that the repository has.  Where several
have it, they are listed, and one has to be named.  The parts of a split model count as one file.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from barelm.checkpoint.gguf import PART_NAME
from barelm.errors import BarelmError

PREFIX = "hf:"
BEST = ("Q4_K_M", "Q4_K_S", "Q4_K_L", "Q4_K_XL", "MXFP4", "Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS", "Q5_K_M", "Q5_K_S",
        "Q5_0", "Q5_1", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "BF16", "F16", "FP16", "F32")
"""Encodings, the best for most people first: small and still good, then larger, then what loses much."""

NO_MODELS = ("mmproj", "imatrix", "lora", "adapter", "draft")
"""What is in the names of files that lie beside models."""

_REPOSITORY = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_ENCODING = re.compile(r"(?<![A-Z0-9])(I?Q\d_(?:K_XL|K_[SML]|K|[01]|NL|XS)|MXFP4|BF16|FP?16|F32)(?![A-Z0-9])", re.I)
_MOST_LISTED = 12
HOW_TO_NAME = "Give hf:OWNER/REPO or hf:OWNER/REPO:FILE, as they are on huggingface.co."


@dataclass(frozen=True)
class RepositoryName:
    """What a name that begins with `hf:` says: `wanted` is a file, or an encoding such as Q8_0, or nothing."""

    repository: str
    wanted: str


def parse_repository_name(name: str) -> RepositoryName:
    """The parts of a name.  Raises BarelmError where it is none, or tries to be a path."""
    repository, colon, wanted = name.removeprefix(PREFIX).partition(":")
    if not _REPOSITORY.fullmatch(repository):
        raise BarelmError(f"{name!r:.100} names no repository", HOW_TO_NAME)
    if colon and not is_safe(wanted):
        raise BarelmError(f"{wanted!r:.100} cannot be the name of a file in a repository", HOW_TO_NAME)
    return RepositoryName(repository, wanted)


def is_safe(path: str) -> bool:
    """Whether a name from outside may become a path below a folder of ours, on any system."""
    parts = path.split("/")
    return (len(path) <= 400 and path.isprintable() and not set(path) & set('\\:*?"<>|')
            and all(part and len(part) <= 200 and part[0] not in ". " and part[-1] not in ". " for part in parts))


def encoding_of(file: str) -> str:
    """The encoding a file's name tells, "" where it tells none."""
    found = _ENCODING.findall(file.rpartition("/")[2])
    return found[-1].upper() if found else ""


def parts_of(file: str) -> list[str]:
    """The files a model consists of: itself, or all parts where the name is that of a part."""
    named = PART_NAME.fullmatch(file)
    if not named:
        return [file]
    return [f"{named[1]}-{number:05}-of-{named[3]}.gguf" for number in range(1, int(named[3]) + 1)]


def choose_file(name: RepositoryName, files: Collection[str]) -> str:
    """The file meant, out of those a repository has: of a split model the first part.

    Raises BarelmError where none fits, or several do.
    """
    models = sorted(file for file in files if _is_model(file))
    fitting = _fitting(name.wanted, models)
    if len(fitting) == 1:
        if missing := set(parts_of(fitting[0])) - set(files):
            raise BarelmError(f"{name.repository} lacks {min(missing)}, a part of the model", "Choose another file.")
        return fitting[0]
    shown = fitting or models
    more = f" and {len(shown) - _MOST_LISTED} more" if shown[_MOST_LISTED:] else ""
    listed = ", ".join(shown[:_MOST_LISTED]) + more
    how = f"Name one: {PREFIX}{name.repository}:FILE with {listed}."
    if fitting:
        raise BarelmError(f"{len(fitting)} files of {name.repository} fit", how)
    if not models:
        raise BarelmError(f"{name.repository} has no GGUF model", "Look for a repository whose name ends in -GGUF.")
    raise BarelmError(f"{name.repository} has no {name.wanted or 'file of an encoding that is known'}", how)


def _is_model(file: str) -> bool:
    base = file.rpartition("/")[2].lower()
    part = PART_NAME.fullmatch(file)
    return (base.endswith(".gguf") and is_safe(file) and not any(word in base for word in NO_MODELS)
            and (part is None or int(part[2]) == 1))


def _fitting(wanted: str, models: list[str]) -> list[str]:
    if wanted.lower().endswith(".gguf"):
        # Some repositories change the case of a name; people leave out the folder.
        exact = [file for file in models if file == wanted]
        return exact or [file for file in models if wanted.lower() in (file.lower(), file.lower().rpartition("/")[2])]
    by_encoding: dict[str, list[str]] = {}
    for file in models:
        by_encoding.setdefault(encoding_of(file), []).append(file)
    if wanted:
        return by_encoding.get(wanted.upper(), [])
    best = next((encoding for encoding in BEST if encoding in by_encoding), None)
    return by_encoding[best] if best else models if len(models) == 1 else []
