"""The blocks of a Llama: the same bits in both worlds, close to double precision."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.checkpoint.checkpoint import Shape
from barelm.contract import layout
from barelm.dialect.types import f32, padded
from barelm.kernels.decoder import blocks, cache
from barelm.pack.writer import rope_table
from tests.kernels import references
from tests.kernels.agree import agree, normal


@pytest.mark.parametrize("dim", [16, 24, 64, 250])
def test_rmsnorm(dim: int) -> None:
    x, g, y = (np.zeros(padded(dim), np.float32) for _ in range(3))
    x[:dim], g[:dim] = normal(dim, dim, scale=3), normal(dim + 1, dim)
    n = padded(dim) // 16
    agree(blocks.rmsnorm, y, x, g, f32(1e-5), dim, 0, n)
    assert np.allclose(y[:dim], references.rmsnorm(x[:dim].astype(float), g[:dim].astype(float), 1e-5), 1e-5, 1e-6)
    parts = np.zeros_like(y)
    for lo in range(n):
        agree(blocks.rmsnorm, parts, x, g, f32(1e-5), dim, lo, lo + 1)
    assert parts.tobytes() == y.tobytes()


@pytest.mark.parametrize("n", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("scale", [0.01, 1, 50])
def test_softmax(n: int, scale: float) -> None:
    x = np.full(padded(n), -np.inf, np.float32)
    x[:n] = normal(n, n, scale=scale)
    expected = references.softmax(x[:n].astype(float))
    agree(blocks.softmax, x, padded(n), f32(-np.inf))
    assert np.allclose(x[:n], expected, 2e-6, 1e-30)
    assert np.all(x[n:] < 1e-30)


@pytest.mark.parametrize("rotary", layout.ROTARY_NAMES)
@pytest.mark.parametrize("head_dim, pos", [(2, 0), (8, 1), (48, 511), (64, 37)])
def test_rope(head_dim: int, pos: int, rotary: str) -> None:
    table = rope_table(Shape(head_dim, 1, 1, 1, 1, 1, 512, head_dim)).reshape(-1)
    x = normal(pos, 3 * head_dim)
    head = np.zeros((pos + 1, 1, head_dim))
    head[pos] = x[head_dim:2 * head_dim]
    before = x.copy()
    agree(blocks.rope, x, head_dim, table, pos, head_dim, layout.ROTARY_NAMES.index(rotary))
    expected = references.rotate(head, 10000.0, rotary)[pos, 0]
    assert np.allclose(x[head_dim:2 * head_dim], expected, 1e-5, 1e-6)
    x[head_dim:2 * head_dim] = before[head_dim:2 * head_dim]
    assert np.array_equal(x, before)


def test_float16_is_the_nearest_one() -> None:
    x = np.concatenate([normal(1, 400), normal(2, 200, scale=1e-5), normal(3, 100, scale=1e5),
                        np.array([0, -0.0, 65504, 65519.99, 65520, -1e9, 2.0**-24, 2.0**-25, 6.1e-5], np.float32)])
    nearest = np.clip(x, -65504, 65504).astype(np.float16).view(np.uint16)
    assert [agree(cache.f16_bits, value) for value in x] == nearest.tolist()


@pytest.mark.parametrize("dim", [16, 64, 256])
def test_layernorm(dim: int) -> None:
    x, g, shift, y = normal(1, dim, scale=3) + f32(5), normal(2, dim), normal(3, dim), np.zeros(dim, np.float32)
    agree(blocks.layernorm, y, x, g, shift, f32(1e-5), dim, 0, dim // 16)
    centred = x.astype(float) - x.mean(dtype=float)
    expected = references.rmsnorm(centred, g.astype(float), 1e-5) + shift
    assert np.allclose(y, expected, 1e-5, 1e-5)


@pytest.mark.parametrize("most", [0.0, 0.5, 30.0])
def test_cap(most: float) -> None:
    x = normal(1, 64, scale=20)
    before = x.copy()
    agree(blocks.cap, x, f32(most), 1, 3)
    expected = references.capped(before.astype(float), most)
    assert np.allclose(x[16:48], expected[16:48], 1e-6, most * 4e-7)
    assert np.array_equal(x[:16], before[:16]) and np.array_equal(x[48:], before[48:])


@pytest.mark.parametrize("kind", layout.ACTIVATION_NAMES)
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("lo, hi", [(0, 4), (1, 3), (2, 2)])
def test_gates_touch_only_their_share(lo: int, hi: int, gated: bool, kind: str) -> None:
    h13, h = normal(1, 128, scale=6), np.full(64, 9, np.float32)
    agree(blocks.gate, h, h13, 64 if gated else 0, layout.ACTIVATION_NAMES.index(kind), lo, hi)
    mine = slice(16 * lo, 16 * hi)
    a, b = h13.astype(float).reshape(2, 64)
    if kind == "clamped":
        a, b = np.minimum(a, 7), np.clip(b, -7, 7) if gated else np.ones(64)
        expected = a / (1 + np.exp(-1.702 * a)) * (b + 1)
    else:
        expected = references.activate(a, kind) * (b if gated else 1)
    assert np.allclose(h[mine], expected[mine], 1e-5, 1e-6)
    h[mine] = 9
    assert (h == 9).all()


@pytest.mark.parametrize("lo, hi", [(0, 4), (1, 3), (2, 2)])
@pytest.mark.parametrize("scale", [1.0, 0.22])
def test_sums_touch_only_their_share(lo: int, hi: int, scale: float) -> None:
    mine = slice(16 * lo, 16 * hi)
    y, before = normal(3, 64), normal(2, 64)
    for function, arguments, expected in (
            (blocks.add, (y,), before + y), (blocks.add_scaled, (y, f32(scale)), before + f32(scale) * y),
            (blocks.multiply_by, (f32(scale),), f32(scale) * before)):
        x = before.copy()
        agree(function, x, *arguments, lo, hi)
        assert np.array_equal(x[mine], expected[mine])
        x[mine] = before[mine]
        assert np.array_equal(x, before)
