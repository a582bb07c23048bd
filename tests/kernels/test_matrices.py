"""y = W x on quantized weights: the same bits in every world and form, near the double precision of what is stored."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Shape, Tensor
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.contract import sections
from barelm.dialect.types import BLOCK, LANES, padded
from barelm.kernels.encodings import BF16, F16, F32, TABLE
from barelm.kernels.encodings.activations import Activations, quantize
from barelm.kernels.encodings.look_up import MOST_E
from barelm.kernels.matrices import MANY, Matrix, embed, matmul
from barelm.pack.weights import kind_of, matrix_parts
from tests.forms import every_form
from tests.gguf_files import SCALES, random_rows
from tests.kernels.agree import agree, normal
from tests.kernels.halves import halves
from tests.kernels.parts import in_parts
from tests.models import synthetic_vocab
from tests.worlds import World, interpreter, jit, same_bits

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

ENCODINGS = {row.name: kind for kind, row in enumerate(TABLE) if kind not in (F32, F16, BF16)}
encodings = pytest.mark.parametrize("encoding", ENCODINGS)
ROWS = 40


class Packed(NamedTuple):
    """A matrix as the kernels have it, and as the checkpoint means it."""

    matrix: Matrix
    values: Floats
    kind: int


def packed(encoding: str, raw: Bytes, quant: str = "keep") -> Packed:
    """Rows of stored blocks, arranged by `pack.weights` as the embedding of a model."""
    form = BY_NAME[encoding]
    rows, cols = len(raw), raw.shape[1] // form.block_bytes * form.block_size
    tensor = Tensor(encoding, rows, cols, raw, form.dequantize)
    checkpoint = Checkpoint("", "", Shape(cols, 1, 0, 1, 1, rows, 1, 2), {"token_embedding": tensor}, synthetic_vocab())
    kind = kind_of(tensor, quant)
    assert kind == ENCODINGS.get(encoding, F32) or quant != "keep"
    data = np.concatenate(list(matrix_parts(checkpoint, sections.EMBEDDING, quant)))
    return Packed(in_parts([kind], [padded(rows) // LANES], cols, data), tensor.float32(), kind)


@functools.cache
def random_matrix(encoding: str) -> Packed:
    """One of every width that is drawn, and of more than one block."""
    cols = max(3 * BLOCK, 2 * BY_NAME[encoding].block_size)
    return packed(encoding, random_rows(np.random.default_rng(len(encoding)), encoding, ROWS, cols, 1.0))


@functools.cache
def extreme_matrix(encoding: str) -> Packed:
    """The outermost weights: 0x80 is -128 as int8, 0xFF two fifteens; scales large, small, negative and denormal."""
    form = BY_NAME[encoding]
    raw = np.zeros((32, form.row_bytes(max(64, form.block_size))), np.uint8)
    raw[0::3], raw[1::3] = 0x80, 0xFF
    blocks = raw.reshape(-1, form.block_bytes)
    scales = np.resize(np.array([6e-8, 5e-5, 1, -2, 1000, 0], np.float16), len(blocks))
    for which, (at, _) in enumerate(SCALES[encoding]):
        blocks[:, at:at + 2] = np.roll(scales, which).view(np.uint8).reshape(-1, 2)
    if encoding == "MXFP4":
        blocks[:, 0] = np.resize(np.array([0, 1, 2, 100, 128, 140], np.uint8), len(blocks))
    return packed(encoding, raw)


def activations(values: Floats) -> Activations:
    """Tokens, quantized."""
    n, cols = values.shape
    wide = padded(cols, BLOCK)
    a = Activations(np.pad(values, ((0, 0), (0, wide - cols))), np.zeros((n, 2 * wide), np.uint8))
    for t in range(n):
        interpreter(quantize)(a, t, 0, wide // BLOCK)
    return a


def meant(a: Activations) -> NDArray[np.float64]:
    """What the int8 stand for."""
    each = halves(a)["quants"].astype(np.float64) * halves(a)["scale"].astype(np.float64)[:, :, None]
    return each.reshape(a.values.shape)


def product(world: World, w: Matrix, x: Activations) -> Floats:
    """y = W x."""
    y = np.zeros((len(x.values), w.rows), np.float32)
    world(matmul)(y, w, 0, x, len(x.values), 0, w.rows // LANES)
    return y


def check_near(found: Floats, weights: Floats, x: Activations) -> None:
    """Within the roundings of float32: two or three a block and one for each addition."""
    w, values = weights.astype(np.float64), meant(x)
    largest = np.abs(values) @ np.abs(w).T
    largest += np.abs(values).sum(1)[:, None] * np.abs(w).max()  # what cancels: the minimum against the rest
    assert (np.abs(found[:, :len(w)] - values @ w.T) <= 2.0 ** -23 * (4 + halves(x).shape[1]) * largest).all()
    assert not found[:, len(w):].any()


@pytest.mark.parametrize("n", [1, 5])
@encodings
@every_form
def test_products_have_the_interpreters_bits(world: World, encoding: str, n: int) -> None:
    for w, values, *_ in (random_matrix(encoding), extreme_matrix(encoding)):
        x = activations(normal(n, n, w.cols, scale=3))
        found = product(world, w, x)
        assert same_bits(found, product(interpreter, w, x))
        check_near(found, values, x)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("sign", [-1, 1])
@encodings
@every_form
def test_products_of_the_outermost(world: World, encoding: str, sign: int, n: int) -> None:
    w, values, *_ = extreme_matrix(encoding)
    x = activations(np.full((n, w.cols), sign, np.float32))
    assert (halves(x)["quants"] == 127 * sign).all()
    found = product(world, w, x)
    assert same_bits(found, product(interpreter, w, x))
    check_near(found, values, x)


@pytest.mark.parametrize("n", [2, 3, 4, 11, MANY, MANY + 1, MANY + 7, 2 * MANY])
@encodings
def test_tokens_together_have_the_bits_of_each_alone(encoding: str, n: int) -> None:
    w, values, *_ = random_matrix(encoding)
    tokens = normal(9, n, w.cols)
    together = product(jit, w, activations(tokens))
    alone = np.concatenate([product(jit, w, activations(tokens[t:t + 1])) for t in range(n)])
    assert same_bits(together, alone)
    check_near(together, values, activations(tokens))


@pytest.mark.parametrize("n", [1, 5])
@encodings
def test_panels_of_any_layer_make_the_whole(encoding: str, n: int) -> None:
    w, _, kind = random_matrix(encoding)
    data = np.concatenate([np.zeros_like(w.data), w.data])
    two = in_parts([kind], [w.rows // LANES], w.cols, data, n_layers=2)
    x = activations(normal(3, n, w.cols))
    whole, parts = (np.zeros((n, w.rows), np.float32) for _ in range(2))
    agree(matmul, whole, w, 0, x, n, 0, w.rows // LANES)
    for lo, hi in ((0, 1), (1, 1), (1, 3)):
        jit(matmul)(parts, two, 1, x, n, lo, hi)
    assert same_bits(whole, parts)


@encodings
def test_rows_are_the_checkpoints(encoding: str) -> None:
    for w, values, *_ in (random_matrix(encoding), extreme_matrix(encoding)):
        for row in (0, 1, 2, 15, 16, len(values) - 1):
            x = np.zeros(w.cols, np.float32)
            agree(embed, x, w, row)
            assert np.array_equal(x, values[row])  # only zeros may differ, in their sign


@pytest.mark.parametrize("encoding, wider", [("Q5_0", "q8"), ("Q4_0", "q4")])
def test_nothing_is_lost_in_a_wider_encoding(encoding: str, wider: str) -> None:
    raw = random_rows(np.random.default_rng(5), encoding, 20, 64, 1.0)
    w, values, kind = packed(encoding, raw, wider)
    assert kind == ENCODINGS[{"q8": "Q8_0", "q4": "Q4_1"}[wider]]
    for row in (0, 7, 19):
        x = np.zeros(w.cols, np.float32)
        jit(embed)(x, w, row)
        assert np.array_equal(x, values[row])


@given(st.integers(0, 2 ** 32 - 1))
@settings(max_examples=20)
@encodings
def test_nothing_of_any_bytes_is_lost(encoding: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    form = BY_NAME[encoding]
    raw = rng.integers(0, 256, (17, form.row_bytes(2 * 256)), np.uint8)
    blocks = raw.reshape(-1, form.block_bytes)
    for at, _ in SCALES[encoding]:
        blocks[:, at + 1] &= rng.choice([0xBF, 0x83, 0xFB], len(blocks)).astype(np.uint8)  # finite
    if encoding == "MXFP4":
        blocks[:, 0] = np.minimum(blocks[:, 0], MOST_E)
    w, values, _ = packed(encoding, raw)
    for row in (int(rng.integers(16)), 16):
        x = np.zeros(w.cols, np.float32)
        jit(embed)(x, w, row)
        assert np.array_equal(x, values[row])


@pytest.mark.parametrize("n", [1, 6])
def test_parts_encoded_differently_are_one_matrix(n: int) -> None:
    names = ("Q8_0", "F32", "Q4_1")
    rng = np.random.default_rng(7)
    parts = [packed(name, random_rows(rng, name, 32, 64, 1.0)) if name != "F32" else
             packed(name, normal(5, 32, 64).view(np.uint8)) for name in names]
    data = np.concatenate([part.matrix.data for part in parts])
    whole = in_parts([part.kind for part in parts], [2, 2, 2], 64, data)
    x = activations(normal(6, n, 64))
    expected = np.concatenate([product(jit, part.matrix, x) for part in parts], axis=1)
    assert same_bits(product(interpreter, whole, x), expected)
    found = np.zeros_like(expected)
    for lo, hi in ((0, 1), (1, 3), (3, 6)):
        jit(matmul)(found, whole, 0, x, n, lo, hi)
    assert same_bits(found, expected)
