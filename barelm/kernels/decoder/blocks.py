"""The blocks of the decoder, one formula each.  Buffers are padded with zeros to whole vectors."""

import numpy as np

from barelm.contract import layout
from barelm.dialect.types import F32, F32_2D, LANES, F32x16, Real, f32
from barelm.dialect.vectors import (
    load_f32x16,
    max_f32x16,
    max_tree,
    min_f32x16,
    splat_f32x16,
    sqrt_f32,
    store_f32x16,
    sum_tree,
)
from barelm.kernels.decoder.mathf import exp_f32x16, tanh_f32x16


def rmsnorm(y: F32, x: F32, g: F32, eps: Real, dim: int, lo: int, hi: int) -> None:
    """y = g · x / sqrt(mean(x²) + ε), written for the vectors lo to hi (Zhang and Sennrich 2019)."""
    squares = splat_f32x16(f32(0))
    for i in range(0, len(x), LANES):
        v = load_f32x16(x, i)
        squares = squares + v * v
    scale = splat_f32x16(f32(1) / sqrt_f32(sum_tree(squares) / f32(dim) + eps))
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(y, i, load_f32x16(g, i) * (scale * load_f32x16(x, i)))


def layernorm(y: F32, x: F32, g: F32, shift: F32, eps: Real, dim: int, lo: int, hi: int) -> None:
    """y = g · (x - mean(x)) / sqrt(var(x) + ε) + shift for the vectors lo to hi; dim is whole ones (Ba et al. 2016)."""
    total = splat_f32x16(f32(0))
    for i in range(0, dim, LANES):
        total = total + load_f32x16(x, i)
    mean = splat_f32x16(sum_tree(total) / f32(dim))
    squares = splat_f32x16(f32(0))
    for i in range(0, dim, LANES):
        v = load_f32x16(x, i) - mean
        squares = squares + v * v
    scale = splat_f32x16(f32(1) / sqrt_f32(sum_tree(squares) / f32(dim) + eps))
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(y, i, load_f32x16(g, i) * (scale * (load_f32x16(x, i) - mean)) + load_f32x16(shift, i))


def softmax(x: F32, n: int, sink: Real) -> None:
    """x = e^(x - max) / Σ e^(x - max) over the first n values; n is whole vectors, padded with -inf.

    `sink` is one more value, which only takes its share (Xiao et al. 2024), or -inf.
    """
    peak = load_f32x16(x, 0)
    for i in range(LANES, n, LANES):
        peak = max_f32x16(peak, load_f32x16(x, i))
    greatest = max(max_tree(peak), sink)
    top = splat_f32x16(greatest)
    total = splat_f32x16(f32(0))
    for i in range(0, n, LANES):
        e = exp_f32x16(load_f32x16(x, i) - top)
        store_f32x16(x, i, e)
        total = total + e
    whole = sum_tree(total)
    if sink > f32(-np.inf):
        whole += max_tree(exp_f32x16(splat_f32x16(sink - greatest)))
    share = splat_f32x16(f32(1) / whole)
    for i in range(0, n, LANES):
        store_f32x16(x, i, load_f32x16(x, i) * share)


def rope(x: F32, at: int, table: F32, pos: int, rope_dim: int, rotary: int) -> None:
    """Rotate the pairs of one head by the angles pos · θ^(-2i/rope_dim) (Su et al. 2021).

    Pair i is (x₂ᵢ, x₂ᵢ₊₁), or in halves xᵢ and the component rope_dim / 2 behind it.  `table` holds the cosine and the
    sine of every angle, pair after pair, position after position.
    """
    row = pos * rope_dim
    step = 2
    apart = 1
    if rotary == layout.HALVES:
        step = 1
        apart = rope_dim // 2
    for i in range(rope_dim // 2):
        cos = table[row + 2 * i]
        sin = table[row + 2 * i + 1]
        j = at + i * step
        a = x[j]
        b = x[j + apart]
        x[j] = a * cos - b * sin
        x[j + apart] = a * sin + b * cos


def cap(x: F32, most: Real, lo: int, hi: int) -> None:
    """x = most · tanh(x / most) for the vectors lo to hi, if there is such a cap (Bello et al. 2016)."""
    if most > f32(0):
        for i in range(lo * LANES, hi * LANES, LANES):
            store_f32x16(x, i, splat_f32x16(most) * tanh_f32x16(load_f32x16(x, i) / splat_f32x16(most)))


def gate(h: F32, h13: F32, up: int, activation: int, lo: int, hi: int) -> None:
    """h = act(W₁x) · W₃x for the vectors lo to hi (Shazeer 2020); without a gate act(W₃x).

    `h13` holds W₁x and, from element `up` on, W₃x; with `up` 0 W₃x alone.
    """
    one = splat_f32x16(f32(1))
    for i in range(lo * LANES, hi * LANES, LANES):
        a = load_f32x16(h13, i)
        b = one
        if up > 0:
            b = load_f32x16(h13, up + i)
        if activation == layout.SILU:
            store_f32x16(h, i, silu(a, f32(1)) * b)
        elif activation == layout.GELU:
            store_f32x16(h, i, gelu(a) * b)
        else:
            most = splat_f32x16(f32(7))
            b = max_f32x16(min_f32x16(b, most), splat_f32x16(f32(-7)))
            store_f32x16(h, i, silu(min_f32x16(a, most), f32(1.702)) * (b + one))


def silu(a: F32x16, beta: Real) -> F32x16:
    """a / (1 + e^-βa) (Ramachandran et al. 2017)"""
    return a / (splat_f32x16(f32(1)) + exp_f32x16(splat_f32x16(f32(0)) - splat_f32x16(beta) * a))


def gelu(a: F32x16) -> F32x16:
    """a (1 + tanh(√(2/π) (a + 0.044715 a³))) / 2 = silu of twice what tanh takes (Hendrycks and Gimpel 2016)."""
    inner = splat_f32x16(f32(1.5957691216)) * (a + splat_f32x16(f32(0.044715)) * (a * a * a))
    return a / (splat_f32x16(f32(1)) + exp_f32x16(splat_f32x16(f32(0)) - inner))


def add_bias(y: F32_2D, biases: F32_2D, l: int, n: int, lo: int, hi: int) -> None:
    """y = y + b of layer l for n tokens and the vectors lo to hi; no change in a model without such biases."""
    if len(biases) > 0:
        for t in range(n):
            add(y[t], biases[l], lo, hi)


def add_scaled(x: F32, y: F32, scale: Real, lo: int, hi: int) -> None:
    """x = x + scale · y for the vectors lo to hi: the residual connection."""
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(x, i, load_f32x16(x, i) + splat_f32x16(scale) * load_f32x16(y, i))


def multiply_by(x: F32, scale: Real, lo: int, hi: int) -> None:
    """x = scale · x for the vectors lo to hi."""
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(x, i, splat_f32x16(scale) * load_f32x16(x, i))


def add(x: F32, y: F32, lo: int, hi: int) -> None:
    """x = x + y for the vectors lo to hi."""
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(x, i, load_f32x16(x, i) + load_f32x16(y, i))
