"""The vectors: in both worlds the same bits, for every float but NaN's payload."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from barelm.dialect.types import LANES
from barelm.dialect.vectors import (
    load_f32x16,
    max_f32x16,
    max_tree,
    min_f32x16,
    pow2_f32x16,
    splat_f32x16,
    sqrt_f32,
    store_f32x16,
    sum_tree,
    to_i32x16,
)
from tests.worlds import World, both_worlds, interpreter, jit, same_bits

Floats = NDArray[np.float32]


def floats(n: int = LANES, **limits: Any) -> st.SearchStrategy[Floats]:
    """Arrays of n float32, infinities, denormals and both zeros among them."""
    return arrays(np.float32, n, elements=st.floats(width=32, **{"allow_nan": False, **limits}))


def in_both(function: Any, *arguments: Any) -> None:
    """Run `function` in both worlds on copies of the arguments; all arrays must end with the same bits."""
    ends = []
    for world in (interpreter, jit):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        world(function)(*copies)
        ends.append(copies)
    for a, b in zip(*ends):
        assert same_bits(a, b), (a, b)


def move(x: Floats, i: int, out: Floats, j: int) -> None:
    """out[j : j + 16] = x[i : i + 16]"""
    store_f32x16(out, j, load_f32x16(x, i))


@both_worlds
@pytest.mark.parametrize("i", [0, 1, 7, 16])
def test_load_and_store_move_sixteen_from_anywhere(world: World, i: int) -> None:
    x, out = np.arange(32, dtype=np.float32), np.full(48, -1, np.float32)
    world(move)(x, i, out, 3 + i)
    assert out.tolist() == [-1] * (3 + i) + x[i:i + 16].tolist() + [-1] * (29 - i)


def load_then_write(x: Floats, out: Floats) -> None:
    """A loaded vector is a value: what is written to its place later does not change it."""
    v = load_f32x16(x, 0)
    store_f32x16(x, 0, splat_f32x16(np.float32(0)))
    store_f32x16(out, 0, v)


@both_worlds
def test_a_loaded_vector_is_a_copy(world: World) -> None:
    x, out = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
    world(load_then_write)(x, out)
    assert out.tolist() == list(range(16))


def combine(a: Floats, b: Floats, out: Floats) -> None:
    """Every operation of two vectors."""
    v, w = load_f32x16(a, 0), load_f32x16(b, 0)
    store_f32x16(out, 0, max_f32x16(v, w))
    store_f32x16(out, 16, min_f32x16(v, w))
    store_f32x16(out, 32, v + w)
    store_f32x16(out, 48, v - w)
    store_f32x16(out, 64, v * w)
    store_f32x16(out, 80, v / w)
    store_f32x16(out, 96, v * w + v)


@given(floats(), floats())
def test_operations_of_two_vectors(a: Floats, b: Floats) -> None:
    in_both(combine, a, b, np.zeros(112, np.float32))


def extremes(a: Floats, b: Floats, out: Floats) -> None:
    """The two choices alone."""
    store_f32x16(out, 0, max_f32x16(load_f32x16(a, 0), load_f32x16(b, 0)))
    store_f32x16(out, 16, min_f32x16(load_f32x16(a, 0), load_f32x16(b, 0)))


@both_worlds
def test_max_and_min_take_the_second_where_neither_is_greater(world: World) -> None:
    a = np.array([np.nan, 1, 0.0, -0.0] * 4, np.float32)
    b = np.array([2, np.nan, -0.0, 0.0] * 4, np.float32)
    out = np.zeros(32, np.float32)
    world(extremes)(a, b, out)
    assert same_bits(out, np.concatenate([b, b]))


def trees(x: Floats, out: Floats) -> None:
    """A vector's sum and its greatest lane."""
    out[0] = sum_tree(load_f32x16(x, 0))
    out[1] = max_tree(load_f32x16(x, 0))


@given(floats())
def test_trees(x: Floats) -> None:
    in_both(trees, x, np.zeros(2, np.float32))


@both_worlds
def test_sum_tree_adds_in_the_written_order(world: World) -> None:
    x, out = np.array([2**24, 1, 1, 1] + [0] * 4 + [1, 0, 0, 0] * 2, np.float32), np.zeros(2, np.float32)
    world(trees)(x, out)
    rest = list(x)
    while len(rest) > 1:
        rest = [np.float32(a + b) for a, b in zip(rest[:len(rest) // 2], rest[len(rest) // 2:])]
    assert same_bits(out[0], rest[0])
    assert out[0] != np.float32(x.astype(np.float64).sum()), "an order that does not matter would prove nothing"


def spread(s: Floats, out: Floats) -> None:
    """One float in every lane, and its root."""
    store_f32x16(out, 0, splat_f32x16(s[0]))
    out[16] = sqrt_f32(s[0])


@given(floats(1, min_value=0))
def test_splat_and_root(s: Floats) -> None:
    in_both(spread, s, np.zeros(17, np.float32))
    out = np.zeros(17, np.float32)
    interpreter(spread)(s, out)
    assert same_bits(out[16], np.float32(np.sqrt(s[0].astype(np.float64)))), "correctly rounded"
    assert same_bits(out[:16], np.full(16, s[0]))


def powers(x: Floats, out: Floats) -> None:
    """2^n of whole numbers held as floats."""
    store_f32x16(out, 0, pow2_f32x16(to_i32x16(load_f32x16(x, 0))))


@both_worlds
def test_pow2_of_every_exponent_it_promises(world: World) -> None:
    exponents = np.resize(np.arange(-126, 128), 256).astype(np.float32)
    for i in range(0, 256, LANES):
        out = np.zeros(LANES, np.float32)
        world(powers)(exponents[i:i + LANES].copy(), out)
        assert same_bits(out, np.exp2(exponents[i:i + LANES].astype(np.float64)).astype(np.float32))
