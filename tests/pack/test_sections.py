"""The rows of `contract.sections`: what they say is what is in a file, in its header and in docs/MODEL.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barelm.commands.show import facts_of
from barelm.contract import layout, sections
from barelm.contract.layout import Header, SectionEntry
from barelm.contract.sections import MATRIX, SECTIONS, VECTOR, Section, Size
from barelm.errors import BarelmError
from barelm.kernels import header as checks
from barelm.kernels.decoder.model import first_tensor
from barelm.pack.reader import Packed, read_header, read_packed, text_of
from barelm.pack.sums import checksum
from barelm.pipeline import Packing
from tests.conftest import Pack
from tests.models import BIASES, tiny_checkpoint
from tests.pack.test_damage import with_header
from tests.worlds import World, both_worlds

DOCS = Path(__file__).parents[2] / "docs" / "MODEL.md"
ODD: dict[str, Any] = {"dim": 36, "n_heads": 6, "n_kv_heads": 3, "hidden_dim": 21, "vocab_size": 303, "seq_len": 37}


@pytest.fixture
def packed(pack: Pack) -> Packed:
    """A model whose sizes are no whole vectors."""
    return pack(tiny_checkpoint(tied=False, has=BIASES, **ODD))


def test_a_row_is_what_the_table_can_hold() -> None:
    assert len(SECTIONS) == sections.N_SECTIONS <= layout.MOST_SECTIONS
    names = [row.name for row in SECTIONS]
    assert len(set(names)) == len(names) and all(len(name) <= 8 * layout.SECTION_NAME_WORDS for name in names)
    assert all(1 <= len(row.parts) <= sections.MOST_PARTS for row in SECTIONS)
    assert all(bool(row.tensors) == (row.form in (MATRIX, VECTOR)) for row in SECTIONS)


def rows_in(row: Section, header: Header) -> int:
    """A row's rows, padded, said plainly."""
    def whole(n: int, lanes: int) -> int:
        return -(-n // lanes) * lanes

    parts = [size_in(size, header) for size in row.parts]
    return whole(sum(whole(part, 16) if row.tensors else part for part in parts), row.form.lanes)


def size_in(size: Size, header: Header) -> int:
    """A number, or a word of the header."""
    return size if isinstance(size, int) else int(getattr(header, size))


def test_entries_say_what_the_rows_say(packed: Packed) -> None:
    for number, row in enumerate(SECTIONS):
        entry = packed.header.sections[number]
        assert text_of(entry.name) == row.name and entry.optional == 0
        assert (entry.rows, entry.cols) == (rows_in(row, packed.header), size_in(row.cols, packed.header))
        if row.form in (MATRIX, VECTOR) and entry.n_bytes:
            layers = packed.config.n_layers if row.per_layer else 1
            assert entry.n_bytes == layers * entry.rows * entry.cols * 4 == packed.sections[number].nbytes


@both_worlds
@pytest.mark.parametrize("field", ["rows", "cols", "n_bytes"])
def test_a_section_of_another_size_is_noticed(packed: Packed, world: World, field: str) -> None:
    for number, row in enumerate(SECTIONS):
        entry = packed.header.sections[number]
        if row.form not in (MATRIX, VECTOR) or not entry.n_bytes:
            continue
        assert world(checks.holds_enough)(packed.header, entry, number)
        kept = int(getattr(entry, field))
        setattr(entry, field, kept - 1 if field == "n_bytes" else kept + 1)
        assert not world(checks.holds_enough)(packed.header, entry, number), row.name
        setattr(entry, field, kept)


@both_worlds
@pytest.mark.parametrize("field", ["kind", "offset", "rows"])
def test_a_tensor_of_another_size_is_noticed(packed: Packed, world: World, field: str) -> None:
    header = packed.header
    for number in (number for number in sections.MATRICES if header.sections[number].n_bytes):
        last = header.tensors[first_tensor(header, number + 1) - 1]
        kept = int(getattr(last, field))
        for other in (kept + 16, -1, 1 << 62):
            setattr(last, field, other)
            assert not world(checks.holds_enough)(header, header.sections[number], number), SECTIONS[number].name
        setattr(last, field, kept)
        assert world(checks.holds_enough)(header, header.sections[number], number)


def with_one_more(packed: Packed, optional: int, n_bytes: int = 8) -> Path:
    """The model with a section behind the last that nobody knows yet."""
    header = Header.over(packed.header.base.copy())
    header.n_sections = sections.N_SECTIONS + 1
    entry = header.sections[sections.N_SECTIONS]
    entry.name[:] = np.frombuffer(b"sliding window\0\0", np.int64)
    entry.offset, entry.n_bytes, entry.optional = header.file_bytes, n_bytes, optional
    entry.sum = checksum(np.frombuffer(b"\1" + bytes(n_bytes - 1), np.uint8)) if n_bytes else 0
    more = layout.PAGE if n_bytes else 0
    header.file_bytes, header.weights_bytes = header.file_bytes + more, header.weights_bytes + more
    header.memory_bytes += more
    path = with_header(packed, header.base.tobytes())
    path.write_bytes(path.read_bytes() + (b"\1" + bytes(layout.PAGE - 1)) * (n_bytes > 0))
    return path


def test_an_unknown_section_is_refused_by_name(packed: Packed) -> None:
    with pytest.raises(BarelmError, match="has a section 'sliding window', which this barelm does not know") as error:
        read_header(with_one_more(packed, optional=0))
    assert error.value.hint


@pytest.mark.parametrize("optional, n_bytes", [(1, 8), (0, 0)])
def test_one_that_is_optional_or_empty_is_passed_over(packed: Packed, optional: int, n_bytes: int) -> None:
    path = with_one_more(packed, optional, n_bytes)
    other = read_packed(path)
    assert [section.tobytes() for section in other.sections[:sections.N_SECTIONS]] == [
        section.tobytes() for section in packed.sections]
    shown = [fact["section"] for fact in facts_of(path, Packing(), 0)["sections"]]
    assert ("sliding window" in shown) == (n_bytes > 0) and json.dumps(facts_of(path, Packing(), 0))


def test_a_table_of_fewer_sections_is_one_where_the_rest_may_be_absent(pack: Pack) -> None:
    packed = pack(tiny_checkpoint())
    needed = max(number for number, row in enumerate(SECTIONS)
                 if not row.may_be_absent or packed.sections[number].nbytes) + 1
    for count, sound in ((needed - 1, False), (-1, False), (layout.MOST_SECTIONS + 1, False), (needed, True),
                         (sections.N_SECTIONS, True)):
        header = Header.over(packed.header.base.copy())
        header.n_sections = count
        path = with_header(packed, header.base.tobytes())
        if sound:
            read_packed(path)
        else:
            with pytest.raises(BarelmError, match="header of .* is damaged"):
                read_header(path)


def test_the_header_has_no_room_left_over() -> None:
    assert Header.BYTES == layout.HEADER_BYTES and Header.offset_of("sections") % 8 == 0
    assert SectionEntry.BYTES * layout.MOST_SECTIONS == Header.FIELDS["sections"].n_bytes
    assert layout.HEADER_BYTES % layout.PAGE == 0


def table() -> list[str]:
    """The table of docs/MODEL.md."""
    def said(size: Size) -> str:
        return str(size) if isinstance(size, int) else f"`{size}`"

    lines = ["| section | form | rows x columns | holds |", "|---|---|---|---|"]
    for row in SECTIONS:
        rows = " + ".join(said(size) for size in row.parts)
        size = "" if row.parts == (0,) else rows if row.cols == 1 else f"({rows}) x {said(row.cols)}" \
            if len(row.parts) > 1 else f"{rows} x {said(row.cols)}"
        notes = ["for each layer"] * row.per_layer + ["may be absent"] * row.may_be_absent
        lines.append(f"| {row.name} | {row.form.name} | {size} | {'; '.join([row.holds, *notes])} |")
    return lines


def test_the_page_has_the_same_table() -> None:
    text = DOCS.read_text()
    expected = "\n".join(table())
    assert expected in text, f"docs/MODEL.md needs this table:\n{expected}"
