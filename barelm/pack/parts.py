"""A packed model in several files, where a volume cannot have so large a one: cut, found again, put together."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from barelm.contract import layout
from barelm.contract.layout import MOST_PARTS, PAGE, PART_BYTES, PART_MAGIC, PART_VERSION, Header, PartHeader
from barelm.disk import Volume
from barelm.disk.directory import Folder, Node
from barelm.errors import BarelmError
from barelm.host_files import Portion, Source, reading
from barelm.pack.reader import parse_header
from barelm.pack.sums import own_sum

_HINT = "Copy the model there again with `barelm cp`, which copies all its files."


class Piece(NamedTuple):
    """Bytes of a model in a file of a volume."""

    node: Node
    offset: int  # in the file
    n_bytes: int


def parts_of(name: str, model: Path, part_bytes: int = PART_BYTES) -> dict[str, Source]:
    """The files a packed model is on a volume, under `name`: itself, or, where it is larger than `part_bytes`, several.

    Anything but a packed model stays what it is.  Raises BarelmError where these would be too many.
    """
    with reading(model), open(model, "rb") as file:
        header = _header_in(file.read(layout.HEADER_BYTES))
        size = file.seek(0, 2)
    if header is None or size <= part_bytes:
        return {name: model}
    begins = [0, *range(part_bytes, size, part_bytes - PAGE)]
    if len(begins) > MOST_PARTS:
        raise BarelmError(f"{model} has {size:,} bytes, more than {MOST_PARTS} files on FAT32 can hold",
                          "Quantize the model to fewer bits.")
    files: dict[str, Source] = {name: Portion(b"", model, 0, part_bytes)}
    for number, (begin, end) in enumerate(zip(begins[1:], [*begins[2:], size]), 2):
        page = PartHeader.over(np.zeros(PAGE, np.uint8))
        page.magic, page.version, page.number, page.n_parts = PART_MAGIC, PART_VERSION, number, len(begins)
        page.offset, page.n_bytes = begin, end - begin
        page.model_sum = header.sum
        page.sum = own_sum(page)
        files[f"{name}.{number}"] = Portion(page.base.tobytes(), model, begin, end - begin)
    return files


def pieces_of(volume: Volume, node: Node) -> list[Piece]:
    """Where on a volume the bytes of a file are, in order: of a model in several files in all of them.

    Raises BarelmError, naming it, where one of these is missing, damaged, or of another model.
    """
    pieces = [Piece(node, 0, node.size)]
    header = _header_in(volume.read(node, 0, layout.HEADER_BYTES))
    there = node.size
    while header is not None and there < header.file_bytes:
        number = len(pieces) + 1
        following = node.parent.get(f"{node.name}.{number}") if node.parent is not None else None
        if following is None and number == 2 and node.size != PART_BYTES:
            break  # no part, but a file that is cut short
        if following is None or isinstance(following, Folder) or number > MOST_PARTS:
            raise BarelmError(f"{node.path} goes on in {node.name}.{number}, which is not in {volume.medium.path}",
                              _HINT)
        page = _page_in(volume.read(following, 0, PAGE))
        if page is None or (page.number, page.offset, page.n_bytes, page.model_sum) != (
                number, there, following.size - PAGE, header.sum):
            raise BarelmError(f"{following.path} in {volume.medium.path} is damaged, or not of the model in "
                              f"{node.name}", _HINT)
        pieces.append(Piece(following, PAGE, int(page.n_bytes)))
        there += int(page.n_bytes)
    return pieces


def parts_after(volume: Volume, node: Node, n: int) -> Iterator[Node]:
    """The files beside a model of n parts that hold further ones, left from a larger model."""
    for number in range(max(n, 1) + 1, MOST_PARTS + 1):
        found = node.parent.get(f"{node.name}.{number}") if node.parent is not None else None
        if found is not None and not isinstance(found, Folder) and _page_in(volume.read(found, 0, PAGE)) is not None:
            yield found


def header_on(volume: Volume, node: Node) -> Header:
    """The header of a packed model on a volume, checked.  Raises BarelmError where it is none, or not all there."""
    raw = volume.read(node, 0, layout.HEADER_BYTES)
    n_bytes = sum(piece.n_bytes for piece in pieces_of(volume, node))
    return parse_header(raw, n_bytes, f"{node.path} in {volume.medium.path}")


def _header_in(raw: bytes) -> Header | None:
    """The header at the beginning of a packed model, unchecked."""
    header = Header.over(np.frombuffer(raw.ljust(layout.HEADER_BYTES, b"\0"), np.uint8).copy())
    return header if header.magic == layout.MAGIC else None


def _page_in(raw: bytes) -> PartHeader | None:
    """The page at the beginning of a further part, where it is sound."""
    page = PartHeader.over(np.frombuffer(raw.ljust(PAGE, b"\0"), np.uint8).copy())
    if (page.magic, page.version) != (PART_MAGIC, PART_VERSION):
        return None
    return page if page.sum == own_sum(page) else None
