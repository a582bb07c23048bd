"""The blocks of the decoder, one formula each.  Buffers are padded with zeros to whole vectors."""

import numpy as np

from barelm.contract import layout
from barelm.dialect.types import F32, LANES, U8, Real, f32, padded
from barelm.dialect.vectors import load_f32x16, max_f32x16, max_tree, splat_f32x16, sqrt_f32, store_f32x16, sum_tree
from barelm.kernels.cache import cached
from barelm.kernels.mathf import exp_f32x16


def rmsnorm(y: F32, x: F32, g: F32, eps: Real, dim: int, lo: int, hi: int) -> None:
    """y = g · x / sqrt(mean(x²) + ε), written for the vectors lo to hi (Zhang and Sennrich 2019)."""
    squares = splat_f32x16(f32(0))
    for i in range(0, len(x), LANES):
        v = load_f32x16(x, i)
        squares = squares + v * v
    scale = splat_f32x16(f32(1) / sqrt_f32(sum_tree(squares) / f32(dim) + eps))
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(y, i, load_f32x16(g, i) * (scale * load_f32x16(x, i)))


def softmax(x: F32, n: int) -> None:
    """x = e^(x - max x) / Σ e^(x - max x) over the first n values; n is whole vectors, padded with -inf."""
    peak = load_f32x16(x, 0)
    for i in range(LANES, n, LANES):
        peak = max_f32x16(peak, load_f32x16(x, i))
    top = splat_f32x16(max_tree(peak))
    total = splat_f32x16(f32(0))
    for i in range(0, n, LANES):
        e = exp_f32x16(load_f32x16(x, i) - top)
        store_f32x16(x, i, e)
        total = total + e
    share = splat_f32x16(f32(1) / sum_tree(total))
    for i in range(0, n, LANES):
        store_f32x16(x, i, load_f32x16(x, i) * share)


def rope(x: F32, at: int, table: F32, pos: int, head_dim: int, rotary: int) -> None:
    """Rotate the pairs of one head by the angles pos · θ^(-2i/head_dim) (Su et al. 2021).

    Pair i is (x₂ᵢ, x₂ᵢ₊₁), or in halves xᵢ and the component head_dim / 2 behind it.  `table` holds the cosine and the
    sine of every angle, pair after pair, position after position.
    """
    row = pos * head_dim
    step = 2
    apart = 1
    if rotary == layout.HALVES:
        step = 1
        apart = head_dim // 2
    for i in range(head_dim // 2):
        cos = table[row + 2 * i]
        sin = table[row + 2 * i + 1]
        j = at + i * step
        a = x[j]
        b = x[j + apart]
        x[j] = a * cos - b * sin
        x[j + apart] = a * sin + b * cos


def attend(out: F32, q: F32, keys: U8, values: U8, key_scales: F32, value_scales: F32, scores: F32, kind: int,
           head_dim: int, n: int) -> None:
    """out = softmax(q Kᵀ / sqrt(head_dim)) V for one head over n positions (Vaswani et al. 2017).

    `out` (head_dim, padded) and `scores` (n, padded) are this core's own; `kind` is the form of the cache.
    """
    score(scores, q, keys, key_scales, kind, head_dim, n)
    softmax(scores, padded(n))
    if kind == layout.KV_Q8:
        for t in range(n):
            scores[t] = scores[t] * value_scales[t]
    width = padded(head_dim)
    for c in range(0, width, LANES):
        a0 = splat_f32x16(f32(0))
        a1 = a0
        a2 = a0
        a3 = a0
        t = 0
        while t + 4 <= n:
            at = t * width + c
            a0 = a0 + splat_f32x16(scores[t]) * cached(kind, values, at)
            a1 = a1 + splat_f32x16(scores[t + 1]) * cached(kind, values, at + width)
            a2 = a2 + splat_f32x16(scores[t + 2]) * cached(kind, values, at + 2 * width)
            a3 = a3 + splat_f32x16(scores[t + 3]) * cached(kind, values, at + 3 * width)
            t += 4
        while t < n:
            a0 = a0 + splat_f32x16(scores[t]) * cached(kind, values, t * width + c)
            t += 1
        store_f32x16(out, c, (a0 + a1) + (a2 + a3))


def score(scores: F32, q: F32, keys: U8, key_scales: F32, kind: int, head_dim: int, n: int) -> None:
    """scores[t] = q · k_t / sqrt(head_dim), sixteen positions at a time, and -inf behind the last."""
    scale = splat_f32x16(f32(1) / sqrt_f32(f32(head_dim)))
    size = head_dim * LANES
    p = 0
    while p + 2 * LANES <= padded(n):
        a0 = splat_f32x16(f32(0))
        a1 = a0
        at = p * head_dim
        for i in range(head_dim):
            qi = splat_f32x16(q[i])
            a0 = a0 + qi * cached(kind, keys, at + i * LANES)
            a1 = a1 + qi * cached(kind, keys, at + size + i * LANES)
        store_f32x16(scores, p, a0 * scale)
        store_f32x16(scores, p + LANES, a1 * scale)
        p += 2 * LANES
    if p < n:
        a0 = splat_f32x16(f32(0))
        at = p * head_dim
        for i in range(head_dim):
            a0 = a0 + splat_f32x16(q[i]) * cached(kind, keys, at + i * LANES)
        store_f32x16(scores, p, a0 * scale)
    if kind == layout.KV_Q8:
        for i in range(0, n, LANES):
            store_f32x16(scores, i, load_f32x16(scores, i) * load_f32x16(key_scales, i))
    for t in range(n, padded(n)):
        scores[t] = f32(-np.inf)


def swiglu(h: F32, h13: F32, lo: int, hi: int) -> None:
    """h = silu(W₁x) · W₃x with silu(a) = a / (1 + e^-a), for the vectors lo to hi (Shazeer 2020).

    `h13` holds a vector of W₁x and the same of W₃x in turn.
    """
    one = splat_f32x16(f32(1))
    zero = splat_f32x16(f32(0))
    for i in range(lo, hi):
        a = load_f32x16(h13, 2 * i * LANES)
        gate = a / (one + exp_f32x16(zero - a))
        store_f32x16(h, i * LANES, gate * load_f32x16(h13, (2 * i + 1) * LANES))


def add(x: F32, y: F32, lo: int, hi: int) -> None:
    """x = x + y for the vectors lo to hi: the residual connection."""
    for i in range(lo * LANES, hi * LANES, LANES):
        store_f32x16(x, i, load_f32x16(x, i) + load_f32x16(y, i))
