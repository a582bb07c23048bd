"""y = W x on quantized weights: integer dot products of blocks of 32 columns, then one scale a block and row.

A panel holds sixteen rows, block after block; a block is

    Q8_0  eight vectors of 64 int8 (four columns of each row), 16 float16 scales            y += d Σ s qx
    Q4_0  four vectors of 64 bytes (low nibbles: four columns, high: the next four), scales  y += d Σ s (q - 8)x
    Q4_1  the same, scales, 16 float16 minima                                                y += d Σ s qx + m Σ s x

where x are the activations' int8 and s their scale, one for each half of a block: with one for all 32 the noise is a
third greater.  The weights' values are GGML's, only their places differ.  The float additions run over the blocks in
order, whatever the number of tokens, rows or cores at work.
"""

from __future__ import annotations

from typing import NamedTuple

from barelm.dialect.quants import (
    dot2_u4,
    dot4_i8,
    high_nibbles,
    load_f16x16,
    load_i8x64,
    low_nibbles,
    repeat_i8x64,
    splat_i16x32,
    splat_i32x16,
    store_i8x16,
    sum_i32x16,
    sum_pairs,
    to_f32x16,
)
from barelm.dialect.rooms import kernel
from barelm.dialect.types import BLOCK, F32, F32_2D, I8, I8_2D, LANES, U8, F32x16, I8x64, Real, f32
from barelm.dialect.vectors import (
    load_f32x16,
    max_f32x16,
    max_tree,
    round_i32x16,
    splat_f32x16,
    store_f32x16,
)

Q8_0_BYTES = 544  # of a block of sixteen rows
Q4_0_BYTES = 288
Q4_1_BYTES = 320
LEAST_PEAK = f32(1e-30)
"""Activations below this count as zero: the inverse of their scale would not be finite."""


class Activations(NamedTuple):
    """What a matrix is multiplied by: float32, and the same as int8 with a scale for sixteen columns."""

    values: F32_2D  # (batch, dim padded to BLOCK)
    quants: I8_2D  # the same shape
    scales: F32_2D  # (batch, dim / LANES)
    sums: F32_2D  # (batch, dim / BLOCK): Σ scale * quants


@kernel
def quantize(a: Activations, t: int, lo: int, hi: int) -> None:
    """The blocks lo to hi of token t as int8: scale = max|x| / 127, quants = round(x / scale)."""
    for b in range(lo, hi):
        first = quantize_half(a.quants[t], a.scales[t], a.values[t], 2 * b)
        a.sums[t, b] = first + quantize_half(a.quants[t], a.scales[t], a.values[t], 2 * b + 1)


@kernel
def quantize_half(quants: I8, scales: F32, x: F32, half: int) -> Real:
    """Sixteen columns as int8; returns scale * Σ quants."""
    v = load_f32x16(x, half * LANES)
    peak = max_tree(max_f32x16(v, splat_f32x16(f32(0)) - v))
    scale = f32(0)
    inverse = f32(0)
    if peak > LEAST_PEAK:
        scale = peak / f32(127)
        inverse = f32(127) / peak
    q = round_i32x16(v * splat_f32x16(inverse))
    store_i8x16(quants, half * LANES, q)
    scales[half] = scale
    return scale * f32(sum_i32x16(q))


@kernel
def q8_one(y: F32, w: U8, at: int, q: I8, scales: F32, panel: int) -> None:
    """Sixteen rows of Q8_0 for one token."""
    a = splat_f32x16(f32(0))
    for b in range(len(scales) // 2):
        scale = load_f16x16(w, at + 512)
        for half in range(2 * b, 2 * b + 2):
            d = splat_i32x16(0)
            for k in range(4):
                d = dot4_i8(d, load_i8x64(w, at + k * 64), repeat_i8x64(q, half * LANES + k * 4))
            a = a + (scale * splat_f32x16(scales[half])) * to_f32x16(d)
            at += 256
        at += Q8_0_BYTES - 512
    store_f32x16(y, panel * LANES, a)


@kernel
def q8_four(y: F32_2D, w: U8, at: int, x: Activations, t: int, panel: int) -> None:
    """Sixteen rows of Q8_0 for four tokens: a weight is loaded once and used four times."""
    x0, x1, x2, x3 = x.quants[t], x.quants[t + 1], x.quants[t + 2], x.quants[t + 3]
    s0, s1, s2, s3 = x.scales[t], x.scales[t + 1], x.scales[t + 2], x.scales[t + 3]
    a0 = splat_f32x16(f32(0))
    a1 = a0
    a2 = a0
    a3 = a0
    for b in range(len(s0) // 2):
        scale = load_f16x16(w, at + 512)
        for half in range(2 * b, 2 * b + 2):
            d0 = splat_i32x16(0)
            d1 = d0
            d2 = d0
            d3 = d0
            for k in range(4):
                v = load_i8x64(w, at + k * 64)
                i = half * LANES + k * 4
                d0 = dot4_i8(d0, v, repeat_i8x64(x0, i))
                d1 = dot4_i8(d1, v, repeat_i8x64(x1, i))
                d2 = dot4_i8(d2, v, repeat_i8x64(x2, i))
                d3 = dot4_i8(d3, v, repeat_i8x64(x3, i))
            a0 = a0 + (scale * splat_f32x16(s0[half])) * to_f32x16(d0)
            a1 = a1 + (scale * splat_f32x16(s1[half])) * to_f32x16(d1)
            a2 = a2 + (scale * splat_f32x16(s2[half])) * to_f32x16(d2)
            a3 = a3 + (scale * splat_f32x16(s3[half])) * to_f32x16(d3)
            at += 256
        at += Q8_0_BYTES - 512
    store_f32x16(y[t], panel * LANES, a0)
    store_f32x16(y[t + 1], panel * LANES, a1)
    store_f32x16(y[t + 2], panel * LANES, a2)
    store_f32x16(y[t + 3], panel * LANES, a3)


@kernel
def q4_half(v: I8x64, u: I8x64, q: I8, i: int) -> F32x16:
    """The dot products of sixteen columns of a Q4 block, four and four in each vector, with q[i:]."""
    d = dot2_u4(splat_i16x32(0), low_nibbles(v), repeat_i8x64(q, i))
    d = dot2_u4(d, high_nibbles(v), repeat_i8x64(q, i + 4))
    d = dot2_u4(d, low_nibbles(u), repeat_i8x64(q, i + 8))
    return to_f32x16(sum_pairs(dot2_u4(d, high_nibbles(u), repeat_i8x64(q, i + 12))))


@kernel
def q4_one(y: F32, w: U8, at: int, q: I8, scales: F32, sums: F32, panel: int, has_minimum: bool) -> None:
    """Sixteen rows of Q4_1, or of Q4_0 where there is no minimum, for one token."""
    a = splat_f32x16(f32(0))
    for b in range(len(sums)):
        scale = load_f16x16(w, at + 256)
        minimum = scale * splat_f32x16(f32(-8))
        size = Q4_0_BYTES
        if has_minimum:
            minimum = load_f16x16(w, at + 288)
            size = Q4_1_BYTES
        for h in range(2):
            half = 2 * b + h
            d = q4_half(load_i8x64(w, at + h * 128), load_i8x64(w, at + h * 128 + 64), q, half * LANES)
            a = a + (scale * splat_f32x16(scales[half])) * d
        a = a + minimum * splat_f32x16(sums[b])
        at += size
    store_f32x16(y, panel * LANES, a)


@kernel
def q4_four(y: F32_2D, w: U8, at: int, x: Activations, t: int, panel: int, has_minimum: bool) -> None:
    """The same for four tokens: a weight is loaded and unpacked once and used four times."""
    x0, x1, x2, x3 = x.quants[t], x.quants[t + 1], x.quants[t + 2], x.quants[t + 3]
    s0, s1, s2, s3 = x.scales[t], x.scales[t + 1], x.scales[t + 2], x.scales[t + 3]
    m0, m1, m2, m3 = x.sums[t], x.sums[t + 1], x.sums[t + 2], x.sums[t + 3]
    a0 = splat_f32x16(f32(0))
    a1 = a0
    a2 = a0
    a3 = a0
    for b in range(len(m0)):
        scale = load_f16x16(w, at + 256)
        minimum = scale * splat_f32x16(f32(-8))
        size = Q4_0_BYTES
        if has_minimum:
            minimum = load_f16x16(w, at + 288)
            size = Q4_1_BYTES
        for h in range(2):
            half = 2 * b + h
            i = half * LANES
            v = load_i8x64(w, at + h * 128)
            u = load_i8x64(w, at + h * 128 + 64)
            a0 = a0 + (scale * splat_f32x16(s0[half])) * q4_half(v, u, x0, i)
            a1 = a1 + (scale * splat_f32x16(s1[half])) * q4_half(v, u, x1, i)
            a2 = a2 + (scale * splat_f32x16(s2[half])) * q4_half(v, u, x2, i)
            a3 = a3 + (scale * splat_f32x16(s3[half])) * q4_half(v, u, x3, i)
        a0 = a0 + minimum * splat_f32x16(m0[b])
        a1 = a1 + minimum * splat_f32x16(m1[b])
        a2 = a2 + minimum * splat_f32x16(m2[b])
        a3 = a3 + minimum * splat_f32x16(m3[b])
        at += size
    store_f32x16(y[t], panel * LANES, a0)
    store_f32x16(y[t + 1], panel * LANES, a1)
    store_f32x16(y[t + 2], panel * LANES, a2)
    store_f32x16(y[t + 3], panel * LANES, a3)


@kernel
def q8_row(x: F32, w: U8, at: int, row: int, n_blocks: int) -> None:
    """x = d q: one row of a Q8_0 panel."""
    for b in range(n_blocks):
        i = b * BLOCK
        store_f32x16(x, i, load_f16x16(w, at + 512))
        scale = x[i + row]
        for c in range(BLOCK):
            x[i + c] = scale * f32(signed(int(w[at + c // 4 * 64 + row * 4 + c % 4])))
        at += Q8_0_BYTES


@kernel
def q4_row(x: F32, w: U8, at: int, row: int, n_blocks: int, has_minimum: bool) -> None:
    """x = d q + m, or d (q - 8): one row of a Q4 panel."""
    for b in range(n_blocks):
        i = b * BLOCK
        store_f32x16(x, i, load_f16x16(w, at + 256))
        scale = x[i + row]
        minimum = scale * f32(-8)
        size = Q4_0_BYTES
        if has_minimum:
            store_f32x16(x, i, load_f16x16(w, at + 288))
            minimum = x[i + row]
            size = Q4_1_BYTES
        for c in range(BLOCK):
            pair = int(w[at + c // 8 * 64 + row * 4 + c % 4])
            x[i + c] = scale * f32(pair >> (c // 4 % 2 * 4) & 15) + minimum
        at += size


@kernel
def signed(byte: int) -> int:
    """A byte as the int8 it holds."""
    return byte - (byte & 128) * 2
