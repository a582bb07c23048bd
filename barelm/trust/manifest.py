"""`MANIFEST.json`: every file of an image with size and SHA-256, and how it was made; and an image compared with it.

It says what differs by accident, or by somebody who did not think of it: whoever can write the image can write this
file.  The signature of a signed program is what nobody else can make.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from barelm import __version__
from barelm.aot.build import source_key, tool_versions
from barelm.disk import Volume, open_volume
from barelm.disk.directory import Node
from barelm.disk.gpt import is_cut
from barelm.errors import BarelmError
from barelm.host_files import Portion, Source, reading
from barelm.pack.parts import Piece, pieces_of
from barelm.pipeline import MODEL_PATH, PROGRAM_PATH, Packing
from barelm.trust.authenticode import authenticode_digest, certificate_table, signed_by
from barelm.trust.binding import bound_names

MANIFEST_PATH = "MANIFEST.json"
FORMAT = 1
MOST_BYTES = 4 << 20
_CHUNK = 8 << 20


@dataclass(frozen=True)
class ImageVerdict:
    """What an image is like beside its manifest."""

    notes: list[str]  # what is so
    faults: list[str]  # and what is not as it was made


def manifest(files: Mapping[str, Source], packing: Packing, model: str, settings: str) -> bytes:
    """The file, for the files of an image: the same files give the same bytes."""
    listed = {path: _entry(content) for path, content in sorted(files.items())}
    made = {"barelm": __version__, "python": f"{sys.version_info.major}.{sys.version_info.minor}", **tool_versions(),
            "program_sources": source_key(), "model": model, "packing": asdict(packing), "settings": settings}
    return (json.dumps({"format": FORMAT, "made": made, "files": listed}, indent=1, ensure_ascii=False) + "\n").encode()


def verify_image(path: Path) -> ImageVerdict:
    """Compare the files of an image with its manifest, and those its program is bound to with what it says."""
    notes: list[str] = []
    faults: list[str] = []
    with reading(path), open(path, "rb") as file:
        if is_cut(lambda at, n: os.pread(file.fileno(), n, at), file.seek(0, os.SEEK_END)):
            faults.append("the image is cut: the backup of its partition table is not there")
    with open_volume(path) as volume:
        there = {node.path: node for node in volume.files()}
        listed = _listed(volume, there.get(MANIFEST_PATH), path)
        for name, told in listed.items():
            faults += _differs(volume, there.get(name), name, told)
        unlisted = sorted(there.keys() - listed.keys() - {MANIFEST_PATH})
        notes.append(f"{len(listed)} files listed, {sum(told[0] for told in listed.values()):,} bytes")
        notes += [f"{name} was added since" for name in unlisted]
        if PROGRAM_PATH in there:
            notes += _signature(volume, there, faults)
    return ImageVerdict(notes, faults)


def _entry(source: Source) -> dict[str, Any]:
    digest, n_bytes = hashlib.sha256(), 0
    for content in _contents(source):
        digest.update(content)
        n_bytes += len(content)
    return {"bytes": n_bytes, "sha256": digest.hexdigest()}


def _contents(source: Source) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    part = source if isinstance(source, Portion) else Portion(b"", source, 0, source.stat().st_size)
    yield part.head
    with reading(part.path), open(part.path, "rb") as file:
        file.seek(part.start)
        left = part.n_bytes
        while left and (content := file.read(min(left, _CHUNK))):
            left -= len(content)
            yield content


def _listed(volume: Volume, node: Node | None, path: Path) -> dict[str, tuple[int, str]]:
    """Sizes and hashes by path.  Raises BarelmError where there is no manifest, or none that can be read."""
    if node is None or node.size > MOST_BYTES:
        raise BarelmError(f"there is no {MANIFEST_PATH} on {path}", "`barelm image` writes one.")
    try:
        raw = json.loads(volume.read(node, 0, node.size))
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']!r}")
        return {str(name): (int(told["bytes"]), str(told["sha256"])) for name, told in raw["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BarelmError(f"the {MANIFEST_PATH} on {path} cannot be read: {str(error):.60}",
                          "Make the image again.") from error


def _differs(volume: Volume, node: Node | None, name: str, told: tuple[int, str]) -> list[str]:
    name = repr(name)[1:-1]
    if node is None:
        return [f"{name} is missing"]
    if node.size != told[0]:
        return [f"{name} has {node.size:,} bytes, not {told[0]:,}"]
    return [] if _hash_of(volume, [Piece(node, 0, node.size)]) == told[1] else [f"{name} has another content"]


def _hash_of(volume: Volume, pieces: list[Piece]) -> str:
    digest = hashlib.sha256()
    for node, begin, n_bytes in pieces:
        for at in range(0, n_bytes, _CHUNK):
            digest.update(volume.read(node, begin + at, min(_CHUNK, n_bytes - at)))
    return digest.hexdigest()


def _signature(volume: Volume, there: Mapping[str, Node], faults: list[str]) -> list[str]:
    """What the program says of itself; what it is bound to and finds otherwise goes to the faults."""
    program = volume.read(there[PROGRAM_PATH], 0, there[PROGRAM_PATH].size)
    try:
        bound = bound_names(program) or {}
        signer = signed_by(program) if certificate_table(program)[1] else None
    except BarelmError as error:
        faults.append(error.message)
        return []
    for name, (n_bytes, sha256) in bound.items():
        node = there.get(name)
        pieces = [] if node is None else pieces_of(volume, node) if name == MODEL_PATH else [Piece(node, 0, node.size)]
        if sum(piece.n_bytes for piece in pieces) != n_bytes or _hash_of(volume, pieces) != sha256:
            faults.append(f"{name} is not the one the program is bound to: it will refuse it")
    if signer is None:
        return ["the program is not signed"]
    return [f"the program is signed by {signer.subject.rfc4514_string()}, and bound to {', '.join(bound)}",
            f"its Authenticode digest, which firmware measures, is {authenticode_digest(program).hex()}"]
