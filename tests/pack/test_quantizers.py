"""Weights made narrower: what it loses, beside the official library's and llama.cpp's own."""

from __future__ import annotations

import ctypes
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import quants
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.checkpoint.gguf_model import read_gguf
from barelm.dialect.types import BLOCK
from barelm.kernels.encodings import Q5_0, Q6_K, TABLE
from barelm.pack.quantizers import QUANTIZE, Rows, quantize_q4_1, quantize_q8_0, restored
from tests.gguf_files import smollm2

Floats = NDArray[np.float32]

some_value = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-30) | st.sampled_from([0.0, 1.0])
values_of_blocks = arrays(np.float32, (3, BLOCK), elements=some_value)
every_kind = pytest.mark.parametrize("kind", QUANTIZE, ids=lambda kind: TABLE[kind].name)


def dequantized(rows: Rows) -> NDArray[np.float64]:
    """What blocks stand for."""
    scales, *minima = (factor.astype(np.float64) for factor in rows.factors)
    return rows.values.astype(np.float64) * scales + sum(minima)


@given(values_of_blocks)
def test_q8_0_is_within_half_a_step(values: Floats) -> None:
    rows = quantize_q8_0(values)
    peak = np.abs(values).max(-1, keepdims=True).astype(np.float64)
    # Half a step, and 127 times what is lost of the scale when it becomes a float16.
    bound = peak / 127 * 0.5001 + peak * 2.0 ** -11 + 127 * 2.0 ** -25
    assert (np.abs(dequantized(rows) - values) <= bound).all()
    assert np.abs(rows.values.astype(int)).max() <= 127


@given(values_of_blocks)
def test_q4_1_is_within_half_a_step(values: Floats) -> None:
    rows = quantize_q4_1(values)
    lo, hi = (pick(values, axis=-1, keepdims=True).astype(np.float64) for pick in (np.min, np.max))
    bound = (hi - lo) / 15 * 0.501 + (hi - lo + np.abs(lo)) * 2.0 ** -11 + 16 * 2.0 ** -25
    assert (np.abs(dequantized(rows) - values) <= bound).all()
    assert rows.values.max() <= 15


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_q8_0_is_the_official_librarys(scale: float) -> None:
    values = np.random.default_rng(1).normal(0, scale, (64, 256)).astype(np.float32)
    blocks = quants.quantize(values, gguf.GGMLQuantizationType.Q8_0).reshape(-1, 34)
    rows = quantize_q8_0(values.reshape(-1, BLOCK))
    assert rows.factors[0].tobytes() == blocks[:, :2].tobytes()
    assert rows.values.tobytes() == blocks[:, 2:].tobytes()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_q4_1_is_the_official_librarys(scale: float) -> None:
    values = np.random.default_rng(2).normal(0, scale, (64, 256)).astype(np.float32)
    blocks = quants.quantize(values, gguf.GGMLQuantizationType.Q4_1).reshape(-1, 20)
    rows = quantize_q4_1(values.reshape(-1, BLOCK))
    assert [factor.tobytes() for factor in rows.factors] == [blocks[:, :2].tobytes(), blocks[:, 2:4].tobytes()]
    theirs = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    assert (rows.values == theirs).all()


def quantized(values: Floats, kind: int) -> Floats:
    """There and back."""
    blocks = values.reshape(len(values), -1, TABLE[kind].columns)
    return restored(QUANTIZE[kind](blocks), kind).reshape(values.shape)


def by_llama_cpp(values: Floats, kind: int) -> Floats:
    """The same by llama.cpp's quantizer."""
    package = pytest.importorskip("xllamacpp")
    chunk = ctypes.CDLL(str(next(Path(package.__file__).parent.glob("*.so")))).ggml_quantize_chunk
    chunk.restype, form = ctypes.c_size_t, BY_NAME[TABLE[kind].name]
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    out = np.zeros((len(values), form.row_bytes(values.shape[1])), np.uint8)
    assert chunk(form.type_id, values.ctypes.data, out.ctypes.data, 0, *values.shape, None) == out.nbytes
    return form.dequantize(out)


def check_beside_llama_cpp(values: Floats, kind: int) -> None:
    """Its root mean square error, and 3 % at most."""
    ours, theirs = (np.linalg.norm(found - values) for found in (quantized(values, kind), by_llama_cpp(values, kind)))
    assert ours <= 1.03 * theirs


@every_kind
@pytest.mark.parametrize("scale, shift", [(0.02, 0.0), (0.02, 0.03), (50.0, -10.0), (1e-4, 0.0)])
def test_the_error_of_random_rows_is_that_of_llama_cpp(kind: int, scale: float, shift: float) -> None:
    check_beside_llama_cpp(np.random.default_rng(1).normal(shift, scale, (64, 1024)).astype(np.float32), kind)


@every_kind
def test_the_error_of_a_few_large_weights_is_that_of_llama_cpp(kind: int) -> None:
    rng = np.random.default_rng(2)
    check_beside_llama_cpp(rng.standard_t(2.5, (64, 1024)).astype(np.float32), kind)
    check_beside_llama_cpp((rng.normal(0, 1, (64, 1024)) * (rng.random((64, 1024)) < 0.02)).astype(np.float32), kind)


@every_kind
def test_the_error_of_real_rows_is_that_of_llama_cpp(kind: int) -> None:
    tensors = read_gguf(smollm2()).tensors
    values = tensors["token_embedding"].float32(1000, 1256)
    check_beside_llama_cpp(np.ascontiguousarray(values[:, :512]), kind)


@pytest.mark.filterwarnings("error")
@every_kind
@pytest.mark.parametrize("value", [0.0, 1e-40, 1.0, -3.0, 1e4])
def test_blocks_of_one_value_and_of_one_weight_alone(kind: int, value: float) -> None:
    values = np.zeros((3, 512), np.float32)
    values[1], values[2, 77] = value, value
    assert np.abs(quantized(values, kind) - values).max() <= max(abs(value) * 2.0 ** -10, 2.0 ** -20)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind, most", [(Q5_0, 16), (Q6_K, 32)])
@given(few=arrays(np.float32, 16, elements=some_value), seed=st.integers(0, 99))
def test_no_weight_is_off_by_more_than_the_rounding_of_its_block(kind: int, most: int, few: Floats, seed: int) -> None:
    values = np.random.default_rng(seed).choice(few, (2, 256))
    peak = np.abs(values).max()
    assert np.abs(quantized(values, kind) - values).max() <= peak / most * 1.6 + 2.0 ** -18
