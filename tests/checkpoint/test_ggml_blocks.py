"""Every block format against the official library: the same bits for any bytes."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from barelm.checkpoint.ggml_blocks import BY_NAME, FORMATS, OTHERS, BlockFormat

every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=BY_NAME)


@every_format
def test_random_blocks_dequantize_to_the_official_bits(form: BlockFormat) -> None:
    """Also where the random scale is infinite or no number."""
    rows = np.random.default_rng(form.type_id).integers(0, 256, (3, form.row_bytes(1024)), np.uint8)
    with np.errstate(all="ignore"):
        official = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType(form.type_id))
    ours = form.dequantize(rows)
    assert ours.shape == (3, 1024) and ours.dtype == np.float32
    np.testing.assert_array_equal(ours.view(np.uint32), np.ascontiguousarray(official).view(np.uint32))


@every_format
def test_sizes_and_numbers_are_the_official_ones(form: BlockFormat) -> None:
    """As `GGML_QUANT_SIZES` states them."""
    kind = gguf.GGMLQuantizationType(form.type_id)
    assert kind.name == form.name
    assert gguf.GGML_QUANT_SIZES[kind] == (form.block_size, form.block_bytes)


@every_format
def test_a_slice_of_rows_is_a_slice_of_the_whole(form: BlockFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many blocks are taken at a time, and from bytes at an odd address."""
    raw = np.random.default_rng(1).integers(0, 256, 5 * form.row_bytes(512) + 1, np.uint8)
    rows = raw[1:].reshape(5, -1)
    whole = form.dequantize(rows).view(np.uint32)
    monkeypatch.setattr("barelm.checkpoint.ggml_blocks.BLOCKS_AT_ONCE", 300)
    np.testing.assert_array_equal(form.dequantize(rows[1:4]).view(np.uint32), whole[1:4])
    assert form.dequantize(rows[:0]).shape[0] == 0


def test_every_official_type_is_read_or_refused_by_name() -> None:
    """A type the installed library does not know yet is refused by its number."""
    known = {kind.value: kind.name for kind in gguf.GGMLQuantizationType}
    assert {**{n: form.name for n, form in FORMATS.items()}, **OTHERS}.items() >= known.items()
