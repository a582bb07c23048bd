"""The table of encodings against GGML's own figures, the reader of its blocks, and the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import pytest

from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.dialect.types import LANES
from barelm.kernels.encodings import F32, N_KINDS, TABLE, Encoding
from barelm.kernels.matrices import is_stored, panel_bytes

every_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


@every_row
def test_a_row_is_as_ggml_and_the_reader_have_it(row: Encoding) -> None:
    kind, form = gguf.GGMLQuantizationType[row.name], BY_NAME[row.name]
    assert row.type_id == kind.value == form.type_id
    assert (row.columns, row.block_bytes) == gguf.GGML_QUANT_SIZES[kind] == (form.block_size, form.block_bytes)


@every_row
def test_a_panel_takes_what_ggml_takes_for_its_rows(row: Encoding) -> None:
    for cols in (row.columns, 256, 3 * 256):
        assert panel_bytes(TABLE.index(row), cols) == LANES * BY_NAME[row.name].row_bytes(cols)
    assert panel_bytes(TABLE.index(row), 1) == LANES * row.block_bytes


def test_only_whole_blocks_are_stored_but_for_the_padding_to_32() -> None:
    assert is_stored(F32, 1) and not is_stored(-1, 256) and not is_stored(N_KINDS, 256)
    for kind, row in enumerate(TABLE):
        assert all(is_stored(kind, cols) for cols in (row.columns, 256, 250, 512))
        assert is_stored(kind, 40) == is_stored(kind, 200) == (row.columns <= 32)


@every_row
def test_the_planes_are_the_integers_and_the_rest_are_factors(row: Encoding) -> None:
    if row.planes:
        assert 0 < row.block_bytes - sum(row.planes) * row.columns // 8 <= 4 + row.columns // LANES


def test_the_documentation_has_every_row() -> None:
    text = (Path(__file__).parents[3] / "docs" / "MODEL.md").read_text()
    found = re.findall(r"^\| (\d+) \| (\w+) \| (\d+) \| ([\d,]+) \|", text, re.MULTILINE)
    assert found == [(str(kind), row.name, str(row.columns), f"{LANES * row.block_bytes:,}")
                     for kind, row in enumerate(TABLE)]
