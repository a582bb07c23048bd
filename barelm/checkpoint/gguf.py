"""GGUF containers (`.gguf`, versions 2 and 3, little-endian): their metadata and their tensors, whatever the model.

A file is a header, key-value pairs, a table of tensors and, from the next multiple of the alignment on, the tensors'
bytes.  No number of the file is used before it is compared with the file's size.  A model may be split
over several files, named `-00001-of-00003.gguf` and so on; the first one holds the metadata.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.binary import map_bytes, read_start
from barelm.checkpoint.ggml_blocks import BY_NAME, FORMATS, OTHERS, BlockFormat
from barelm.errors import BarelmError

MAGIC = b"GGUF"
HEADER_BYTES = 24
WHAT_TO_GIVE = "Give a GGUF model (.gguf)."
FETCH_AGAIN = "Was its download interrupted, or its conversion? Fetch or convert it again."

# More than any model has; they bound what a hostile file can make of the bytes it does have.
MOST_ENTRIES = 1 << 16
MOST_STRINGS = 1 << 22
LONGEST_NAME = 256
LONGEST_STRING = 1 << 24
MOST_DIMENSIONS = 4
LARGEST_ALIGNMENT = 1 << 20

Value = bool | int | float | str | NDArray[np.generic] | tuple[bytes, ...]

SCALARS = {number: struct.Struct("<" + code) for number, code in enumerate("BbHhIif?")} | {
    10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d")}
STRING, ARRAY, BOOL = 8, 9, 7

PART_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it lies in a file: its type, its sizes, innermost first, and its bytes."""

    name: str
    form: BlockFormat
    sizes: tuple[int, ...]
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class Container:
    """What a GGUF file holds, or all parts of a split one together.

    Strings are text; arrays of strings stay bytes, as a vocabulary need not be text.
    """

    path: Path
    version: int
    metadata: Mapping[str, Value]
    tensors: Mapping[str, StoredTensor]


def read_container(path: Path) -> Container:
    """The container at `path`; the other parts of a split one are looked for beside it.

    Tensors stay in the file until they are looked at.  Raises BarelmError where it is damaged or of another kind.
    """
    named = PART_NAME.fullmatch(path.name)
    if named and 1 < int(named[3]):
        return _read_parts(path, int(named[3]))
    container = _read_file(path)
    count = _whole(container, "split.count", 1)
    if count > 1:
        raise BarelmError(f"{path} is one of {count} parts of a split model, but not named as one",
                          f"Name its parts NAME-00001-of-{count:05}.gguf and so on.")
    return container


def part_paths(path: Path) -> list[Path]:
    """The files a model is in, there or not: one, or all of those a split one's name speaks of."""
    named = PART_NAME.fullmatch(path.name)
    if named is None or int(named[3]) < 2:
        return [path]
    return [path.with_name(f"{named[1]}-{number:05}-of-{named[3]}.gguf") for number in range(1, int(named[3]) + 1)]


def _read_parts(path: Path, count: int) -> Container:
    """All parts of a split model, the first one's metadata."""
    paths = part_paths(path)
    missing = [part.name for part in paths if not part.is_file()]
    if missing:
        more = f" and {len(missing) - 1} parts more" if len(missing) > 1 else ""
        raise BarelmError(f"{path} needs {missing[0]} beside it{more}", "Fetch all parts of the model into one folder.")
    tensors: dict[str, StoredTensor] = {}
    first: Container | None = None
    for number, part in enumerate(map(_read_file, paths)):
        if _whole(part, "split.count", 0) != count or _whole(part, "split.no", -1) != number:
            raise BarelmError(f"{part.path} is not part {number + 1} of {count}, as its name says", FETCH_AGAIN)
        if double := tensors.keys() & part.tensors.keys():
            raise BarelmError(f"{part.path} repeats the tensor {min(double)} of an earlier part", FETCH_AGAIN)
        tensors |= part.tensors
        first = first or part
    assert first is not None
    expected = _whole(first, "split.tensors.count", len(tensors))
    if expected != len(tensors):
        raise BarelmError(f"the parts of {path} hold {len(tensors)} of {expected} tensors", FETCH_AGAIN)
    return Container(first.path, first.version, first.metadata, tensors)


def _whole(container: Container, key: str, default: int) -> int:
    value = container.metadata.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BarelmError(f"{container.path} is damaged: its {key} is no whole number", FETCH_AGAIN)
    return value


def _read_file(path: Path) -> Container:
    start, size = read_start(path, HEADER_BYTES, WHAT_TO_GIVE)
    version = _check_start(path, start)
    cursor = Cursor(path, map_bytes(path), HEADER_BYTES)
    n_tensors, n_entries = struct.unpack_from("<QQ", start, 8)
    for what, count in (("tensors", n_tensors), ("metadata entries", n_entries)):
        if count > min(MOST_ENTRIES, size):
            raise cursor.damaged(f"it claims to hold {count} {what}")
    metadata: dict[str, Value] = {}
    for _ in range(n_entries):
        key = cursor.name("the name of a metadata entry")
        if key in metadata:
            raise cursor.damaged(f"the metadata entry {key} is there twice")
        metadata[key] = cursor.value(key)
    entries = [cursor.tensor_entry() for _ in range(n_tensors)]
    alignment = _alignment(cursor, metadata)
    tensors = _locate(cursor, entries, -(-cursor.at // alignment) * alignment, alignment)
    return Container(path, version, metadata, tensors)


def _check_start(path: Path, start: bytes) -> int:
    """The version, where the first bytes are those of a GGUF file this reads."""
    if start[:4] != MAGIC:
        raise BarelmError(f"{path} is not a GGUF model", WHAT_TO_GIVE)
    if len(start) < HEADER_BYTES:
        raise BarelmError(f"{path} ends within its header, after {len(start)} bytes", FETCH_AGAIN)
    version = int.from_bytes(start[4:8], "little")
    if version and version & 0xFFFF == 0:
        raise BarelmError(f"{path} is a big-endian GGUF model", "Convert it to little-endian, which is the usual kind.")
    if version not in (2, 3):
        raise BarelmError(f"{path} is a GGUF model of version {version}",
                          "This barelm reads versions 2 and 3: convert it again.")
    return version


def _alignment(cursor: Cursor, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 1 <= value <= LARGEST_ALIGNMENT or value & (value - 1):
        raise cursor.damaged(f"its general.alignment cannot be {value!r:.40}")
    return int(value)


@dataclass(frozen=True)
class TensorRow:
    """A row of the table of tensors."""

    name: str
    form: BlockFormat
    sizes: tuple[int, ...]
    offset: int

    @property
    def n_bytes(self) -> int:
        """What the tensor takes."""
        n = self.form.row_bytes(self.sizes[0])
        for size in self.sizes[1:]:
            n *= size
        return n


def _locate(cursor: Cursor, entries: list[TensorRow], start: int, alignment: int) -> dict[str, StoredTensor]:
    """The bytes of every tensor, each inside the file and none in another's."""
    tensors: dict[str, StoredTensor] = {}
    end, before = start, ""
    for entry in sorted(entries, key=lambda entry: entry.offset):
        at = start + entry.offset
        if entry.name in tensors:
            raise cursor.damaged(f"the tensor {entry.name} is there twice")
        if entry.offset % alignment:
            raise cursor.damaged(f"the tensor {entry.name} is not aligned to {alignment} bytes")
        if at < end:
            raise cursor.damaged(f"the tensors {before} and {entry.name} overlap")
        end, before = at + entry.n_bytes, entry.name
        if end > cursor.size:
            raise BarelmError(f"{cursor.path} is cut short or damaged: the tensor {entry.name} ends at byte {end} of "
                              f"{cursor.size}", FETCH_AGAIN)
        tensors[entry.name] = StoredTensor(entry.name, entry.form, entry.sizes, cursor.raw[at:end])
    return tensors


class Cursor:
    """Reads one thing after another from the start of a file, and never beyond its end."""

    def __init__(self, path: Path, raw: NDArray[np.uint8], at: int) -> None:
        self.path, self.raw, self.at, self.size = path, raw, at, len(raw)
        self._view = raw.data

    def damaged(self, why: str) -> BarelmError:
        """The error that says why this is no sound file."""
        return BarelmError(f"{self.path} is damaged: {why}", FETCH_AGAIN)

    def take(self, n_bytes: int, what: str) -> memoryview:
        """The next bytes, which are part of `what`."""
        if n_bytes > self.size - self.at:
            raise BarelmError(f"{self.path} is cut short or damaged: it ends within {what}", FETCH_AGAIN)
        self.at += n_bytes
        return self._view[self.at - n_bytes:self.at]

    def number(self, form: struct.Struct, what: str) -> int:
        """The next whole number."""
        return int(form.unpack(self.take(form.size, what))[0])

    def name(self, what: str) -> str:
        """The next string, which is a name: short, and safe to show."""
        name = self.text(what, LONGEST_NAME)
        if not name.isprintable():
            raise self.damaged(f"{what} holds control characters: {name!r:.60}")
        return name

    def text(self, what: str, longest: int = LONGEST_STRING) -> str:
        """The next string."""
        length = self.number(SCALARS[10], what)
        if length > longest:
            raise self.damaged(f"{what} would be {length} bytes long")
        try:
            return str(self.take(length, what), "utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"{what} is not UTF-8") from error

    def value(self, key: str) -> Value:
        """The next value, with its type in front."""
        kind = self.number(SCALARS[4], key)
        if kind == STRING:
            return self.text(key)
        if kind == ARRAY:
            return self._array(key)
        if kind == BOOL:
            return self.number(SCALARS[0], key) != 0
        if kind not in SCALARS:
            raise self.damaged(f"{key} has the unknown type {kind}")
        value: int | float = SCALARS[kind].unpack(self.take(SCALARS[kind].size, key))[0]
        return value

    def _array(self, key: str) -> Value:
        kind, count = self.number(SCALARS[4], key), self.number(SCALARS[10], key)
        if kind == STRING:
            return self._strings(key, count)
        if kind not in SCALARS:
            raise self.damaged(f"{key} is an array of " + ("arrays" if kind == ARRAY else f"the unknown type {kind}"))
        raw = self.take(count * SCALARS[kind].size, key)
        return np.frombuffer(raw, "?" if kind == BOOL else SCALARS[kind].format)

    def _strings(self, key: str, count: int) -> tuple[bytes, ...]:
        """`count` strings; a vocabulary has tens of thousands, so this loop does without `take`."""
        if count > min(MOST_STRINGS, (self.size - self.at) // 8):
            raise self.damaged(f"{key} claims to hold {count} strings")
        view, at, strings, length_at = self._view, self.at, list[bytes](), SCALARS[10].unpack_from
        for _ in range(count):
            start = at + 8
            if start <= self.size:
                at = start + length_at(view, at)[0]
            if at > self.size or start > self.size:
                raise BarelmError(f"{self.path} is cut short or damaged: it ends within {key}", FETCH_AGAIN)
            strings.append(view[start:at].tobytes())
        self.at = at
        return tuple(strings)

    def tensor_entry(self) -> TensorRow:
        """The next row of the table of tensors."""
        name = self.name("the name of a tensor")
        what = f"the table of tensors, at {name}"
        n_dimensions = self.number(SCALARS[4], what)
        if not 1 <= n_dimensions <= MOST_DIMENSIONS:
            raise self.damaged(f"the tensor {name} has {n_dimensions} dimensions")
        sizes = tuple(self.number(SCALARS[10], what) for _ in range(n_dimensions))
        kind, offset = self.number(SCALARS[4], what), self.number(SCALARS[10], what)
        if min(sizes) < 1:
            raise self.damaged(f"the tensor {name} is empty")
        if kind not in FORMATS:
            named = OTHERS.get(kind, f"the unknown type {kind}")
            raise BarelmError(f"{self.path} stores the tensor {name} as {named}, which this barelm does not read",
                              f"Give one stored as {', '.join(BY_NAME)}.")
        if sizes[0] % FORMATS[kind].block_size:
            raise self.damaged(f"rows of {sizes[0]} values of the tensor {name} do not make whole blocks of "
                               f"{FORMATS[kind].name}")
        return TensorRow(name, FORMATS[kind], sizes, offset)

