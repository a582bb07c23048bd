"""Quantized products: the same bits in every world and form, near the double precision of the weights stored."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Shape, Tensor
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.contract import layout, sections
from barelm.dialect.types import BLOCK, LANES, padded
from barelm.kernels.encodings.f32 import Matrix
from barelm.kernels.encodings.quantized import LEAST_PEAK, Activations, q4_four, q4_one, q8_four, q8_one, quantize
from barelm.kernels.matrices import embed, matmul, panel_bytes
from barelm.pack.weights import kind_of, matrix_parts
from tests.forms import every_form
from tests.gguf_files import random_rows
from tests.kernels.agree import agree, normal
from tests.models import synthetic_vocab
from tests.worlds import World, interpreter, jit, same_bits

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

ENCODINGS = {"Q8_0": layout.Q8_0, "Q5_0": layout.Q8_0, "Q4_0": layout.Q4_0, "Q4_1": layout.Q4_1}
encodings = pytest.mark.parametrize("encoding", ENCODINGS)
ROWS, COLS = 40, 96


class Packed(NamedTuple):
    """A matrix as the kernels have it, and as the checkpoint means it."""

    matrix: Matrix
    values: Floats


def packed(encoding: str, raw: Bytes, cols: int) -> Packed:
    """Rows of stored blocks, arranged by `pack.weights` as the embedding of a model."""
    rows = len(raw)
    tensor = Tensor(encoding, rows, cols, raw, BY_NAME[encoding].dequantize)
    checkpoint = Checkpoint("", "", Shape(cols, 1, 0, 1, 1, rows, 1, 2), {"token_embedding": tensor}, synthetic_vocab())
    kind = kind_of(checkpoint, sections.EMBEDDING, "keep")
    assert kind == ENCODINGS[encoding]
    data = np.concatenate(list(matrix_parts(checkpoint, sections.EMBEDDING, kind)))
    assert len(data) == padded(rows) // LANES * panel_bytes(kind, cols)
    return Packed(Matrix(kind, padded(rows), cols, len(data), data), tensor.float32())


@functools.cache
def random_matrix(encoding: str, rows: int = ROWS, cols: int = COLS) -> Packed:
    """One of every width that is drawn."""
    return packed(encoding, random_rows(np.random.default_rng(len(encoding) + rows), encoding, rows, cols, 1.0), cols)


@functools.cache
def extreme_matrix(encoding: str) -> Packed:
    """The outermost weights: 0x80 is -128 as int8, 0xFF two fifteens; scales large, small, negative and denormal."""
    form = BY_NAME[encoding]
    raw = np.zeros((32, form.row_bytes(64)), np.uint8)
    raw[0::3], raw[1::3] = 0x80, 0xFF
    blocks = raw.reshape(-1, form.block_bytes)
    scales = np.resize(np.array([6e-8, 5e-5, 1, -2, 1000, 0], np.float16), len(blocks))
    blocks[:, 0:2] = scales.view(np.uint8).reshape(-1, 2)
    if encoding == "Q4_1":
        blocks[:, 2:4] = np.roll(scales, 1).view(np.uint8).reshape(-1, 2)
    return packed(encoding, raw, 64)


def activations(values: Floats) -> Activations:
    """Tokens, quantized."""
    n, cols = values.shape
    wide = padded(cols, BLOCK)
    a = Activations(np.pad(values, ((0, 0), (0, wide - cols))), np.zeros((n, wide), np.int8),
                    *(np.zeros((n, wide // width), np.float32) for width in (LANES, BLOCK)))
    for t in range(n):
        interpreter(quantize)(a, t, 0, wide // BLOCK)
    return a


def meant(a: Activations) -> NDArray[np.float64]:
    """What the int8 stand for."""
    return a.quants.astype(np.float64) * a.scales.astype(np.float64).repeat(LANES, 1)


def product(world: World, w: Matrix, x: Activations, n: int) -> Floats:
    """y = W x for n tokens, one at a time or, where there are four, together; no kernel calls another."""
    y = np.zeros((n, w.rows), np.float32)
    minimum, eight = w.kind == layout.Q4_1, w.kind == layout.Q8_0
    for panel in range(w.rows // LANES):
        at = panel * panel_bytes(w.kind, w.cols)
        if n == 4 and eight:
            world(q8_four)(y, w.data, at, x, 0, panel)
        elif n == 4:
            world(q4_four)(y, w.data, at, x, 0, panel, minimum)
        elif eight:
            world(q8_one)(y[0], w.data, at, x.quants[0], x.scales[0], panel)
        else:
            world(q4_one)(y[0], w.data, at, x.quants[0], x.scales[0], x.sums[0], panel, minimum)
    return y


def check_near(found: Floats, weights: Floats, x: Activations) -> None:
    """Within the roundings of float32: two or three a block and one for each addition."""
    w, values = weights.astype(np.float64), meant(x)
    largest = np.abs(values) @ np.abs(w).T
    largest += np.abs(values).sum(1)[:, None] * np.abs(w).max()  # what cancels: the minimum against the rest
    assert (np.abs(found[:, :len(w)] - values @ w.T) <= 2.0 ** -23 * (4 + x.scales.shape[1]) * largest).all()
    assert not found[:, len(w):].any()


@pytest.mark.parametrize("n", [1, 4])
@encodings
@every_form
def test_products_have_the_interpreters_bits(world: World, encoding: str, n: int) -> None:
    for w, values in (random_matrix(encoding), extreme_matrix(encoding)):
        x = activations(normal(n, n, w.cols, scale=3))
        found = product(world, w, x, n)
        assert same_bits(found, product(interpreter, w, x, n))
        check_near(found, values, x)


@pytest.mark.parametrize("sign", [-1, 1])
@encodings
@every_form
def test_products_of_the_outermost(world: World, encoding: str, sign: int) -> None:
    w, values = extreme_matrix(encoding)
    x = activations(np.full((4, w.cols), sign, np.float32))
    assert (x.quants == 127 * sign).all()
    found = product(world, w, x, 4)
    assert same_bits(found, product(interpreter, w, x, 4))
    check_near(found, values, x)


@encodings
def test_tokens_together_have_the_bits_of_each_alone(encoding: str) -> None:
    w = random_matrix(encoding).matrix
    values = normal(9, 11, COLS)
    together, alone = (np.zeros((11, w.rows), np.float32) for _ in range(2))
    jit(matmul)(together, w, 0, activations(values), 11, 0, w.rows // LANES)
    for t in range(11):
        jit(matmul)(alone[t:t + 1], w, 0, activations(values[t:t + 1]), 1, 0, w.rows // LANES)
    assert same_bits(together, alone)
    check_near(together, random_matrix(encoding).values, activations(values))


@encodings
def test_panels_make_the_whole(encoding: str) -> None:
    w, x = random_matrix(encoding).matrix, activations(normal(3, 5, COLS))
    whole, parts = (np.zeros((5, w.rows), np.float32) for _ in range(2))
    agree(matmul, whole, w, 0, x, 5, 0, w.rows // LANES)
    for lo, hi in ((0, 1), (1, 1), (1, 3)):
        jit(matmul)(parts, w, 0, x, 5, lo, hi)
    assert same_bits(whole, parts)


@encodings
def test_rows_are_the_checkpoints_to_the_last_bit(encoding: str) -> None:
    for w, values in (random_matrix(encoding), extreme_matrix(encoding)):
        for row in (0, 1, 2, 15, 16, len(values) - 1):
            x = np.zeros(w.cols, np.float32)
            agree(embed, x, w, row)
            assert np.array_equal(x, values[row])  # zeros may differ in sign: 0 d - 8 d is not (0 - 8) d


def quantized(values: Floats) -> Activations:
    """One block, in both worlds."""
    a = Activations(values[None].copy(), np.zeros((1, BLOCK), np.int8), np.zeros((1, 2), np.float32),
                    np.zeros((1, 1), np.float32))
    agree(quantize, a, 0, 0, 1)
    return a


@given(arrays(np.float32, BLOCK, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_a_quantized_block_is_within_half_a_step(values: Floats) -> None:
    a = quantized(values)
    total = np.float32(0)
    for half in range(2):
        lanes = slice(half * LANES, (half + 1) * LANES)
        scale, quants = float(a.scales[0, half]), a.quants[0, lanes].astype(int)
        assert np.abs(quants).max() == (127 if np.abs(values[lanes]).max() > LEAST_PEAK else 0)
        error = np.abs(values[lanes].astype(np.float64) - scale * quants)
        assert (error <= 0.5 * scale * (1 + 1e-4) + (LEAST_PEAK if scale == 0 else 0)).all()
        with np.errstate(all="ignore"):  # the largest floats have no finite sum
            total = total + np.float32(scale) * np.float32(quants.sum())
    assert same_bits(a.sums[0, 0], total) or np.isnan(total)


@pytest.mark.parametrize("values", [0.0, -0.0, 1e-45, -1.1e-38, float(np.float32(LEAST_PEAK))])
def test_what_counts_as_zero(values: float) -> None:
    a = quantized(np.full(BLOCK, values, np.float32))
    assert not a.quants.any() and not a.scales.any() and not a.sums.any()


@pytest.mark.parametrize("power", [-90, -20, 0, 3, 100])
def test_whole_steps_come_back_exactly(power: int) -> None:
    steps = np.resize(np.array([127, -127, 1, 0, -64, 126, 5]), BLOCK)
    a = quantized((steps * 2.0 ** power).astype(np.float32))
    assert a.quants[0].tolist() == steps.tolist()
    assert (a.scales == 2.0 ** power).all() and a.sums[0, 0] == 2.0 ** power * steps.sum()


def test_only_the_blocks_asked_for_are_quantized() -> None:
    a = Activations(normal(1, 2, 96), np.full((2, 96), 9, np.int8), np.full((2, 6), 9, np.float32),
                    np.full((2, 3), 9, np.float32))
    agree(quantize, a, 1, 1, 2)
    untouched = np.ones((2, 3), bool)
    untouched[1, 1] = False
    assert (a.quants.reshape(2, 3, BLOCK)[untouched] == 9).all() and (a.scales.reshape(2, 3, 2)[untouched] == 9).all()
    assert np.abs(a.quants[1, 32:64]).max() == 127
