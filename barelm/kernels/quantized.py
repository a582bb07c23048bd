"""y = W x on quantized weights: integer dot products of blocks of 32 columns, then one scale a block and row.

A panel holds sixteen rows, block after block; a block is

    Q8_0  eight vectors of 64 int8 (four columns of each row), 16 float16 scales            y += d s Σqx
    Q4_0  four vectors of 64 bytes (low nibbles: four columns, high: the next four), scales  y += d s Σ(q - 8)x
    Q4_1  the same, scales, 16 float16 minima                                                y += d s Σqx + m s Σx

where s is the scale of the activations' block and x their int8.  The values are GGML's, only their places differ.
The float additions run over the blocks in order, whatever the number of tokens, rows or cores at work.
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
from barelm.dialect.types import BLOCK, F32, F32_2D, I8, I8_2D, LANES, U8, f32
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
    """What a matrix is multiplied by: float32, and the same as int8 in blocks of 32 columns."""

    values: F32_2D  # (batch, dim padded to BLOCK)
    quants: I8_2D  # the same shape
    scales: F32_2D  # (batch, dim / BLOCK)
    sums: F32_2D  # (batch, dim / BLOCK): scale * Σ quants


@kernel
def quantize(a: Activations, t: int, lo: int, hi: int) -> None:
    """The blocks lo to hi of token t as int8: scale = max|x| / 127, quants = round(x / scale)."""
    x = a.values[t]
    q = a.quants[t]
    for b in range(lo, hi):
        i = b * BLOCK
        v0 = load_f32x16(x, i)
        v1 = load_f32x16(x, i + LANES)
        zero = splat_f32x16(f32(0))
        peak = max_tree(max_f32x16(max_f32x16(v0, zero - v0), max_f32x16(v1, zero - v1)))
        inverse = f32(0)
        if peak > LEAST_PEAK:
            inverse = f32(127) / peak
        q0 = round_i32x16(v0 * splat_f32x16(inverse))
        q1 = round_i32x16(v1 * splat_f32x16(inverse))
        store_i8x16(q, i, q0)
        store_i8x16(q, i + LANES, q1)
        scale = f32(0)
        if peak > LEAST_PEAK:
            scale = peak / f32(127)
        a.scales[t, b] = scale
        a.sums[t, b] = scale * f32(sum_i32x16(q0 + q1))


@kernel
def q8_one(y: F32, w: U8, at: int, q: I8, scales: F32, panel: int) -> None:
    """Sixteen rows of Q8_0 for one token."""
    a = splat_f32x16(f32(0))
    for b in range(len(scales)):
        d = splat_i32x16(0)
        for k in range(8):
            d = dot4_i8(d, load_i8x64(w, at + k * 64), repeat_i8x64(q, b * BLOCK + k * 4))
        a = a + load_f16x16(w, at + 512) * (to_f32x16(d) * splat_f32x16(scales[b]))
        at += Q8_0_BYTES
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
    for b in range(len(s0)):
        d0 = splat_i32x16(0)
        d1 = d0
        d2 = d0
        d3 = d0
        for k in range(8):
            v = load_i8x64(w, at + k * 64)
            i = b * BLOCK + k * 4
            d0 = dot4_i8(d0, v, repeat_i8x64(x0, i))
            d1 = dot4_i8(d1, v, repeat_i8x64(x1, i))
            d2 = dot4_i8(d2, v, repeat_i8x64(x2, i))
            d3 = dot4_i8(d3, v, repeat_i8x64(x3, i))
        scale = load_f16x16(w, at + 512)
        a0 = a0 + scale * (to_f32x16(d0) * splat_f32x16(s0[b]))
        a1 = a1 + scale * (to_f32x16(d1) * splat_f32x16(s1[b]))
        a2 = a2 + scale * (to_f32x16(d2) * splat_f32x16(s2[b]))
        a3 = a3 + scale * (to_f32x16(d3) * splat_f32x16(s3[b]))
        at += Q8_0_BYTES
    i = panel * LANES
    store_f32x16(y[t], i, a0)
    store_f32x16(y[t + 1], i, a1)
    store_f32x16(y[t + 2], i, a2)
    store_f32x16(y[t + 3], i, a3)


@kernel
def q4_one(y: F32, w: U8, at: int, q: I8, scales: F32, sums: F32, panel: int, has_minimum: bool) -> None:
    """Sixteen rows of Q4_1, or of Q4_0 where there is no minimum, for one token."""
    a = splat_f32x16(f32(0))
    for b in range(len(scales)):
        d = splat_i16x32(0)
        for k in range(4):
            v = load_i8x64(w, at + k * 64)
            i = b * BLOCK + k * 8
            d = dot2_u4(d, low_nibbles(v), repeat_i8x64(q, i))
            d = dot2_u4(d, high_nibbles(v), repeat_i8x64(q, i + 4))
        scale = load_f16x16(w, at + 256)
        minimum = scale * splat_f32x16(f32(-8))
        if has_minimum:
            minimum = load_f16x16(w, at + 288)
            at += Q4_1_BYTES
        else:
            at += Q4_0_BYTES
        a = a + scale * (to_f32x16(sum_pairs(d)) * splat_f32x16(scales[b]))
        a = a + minimum * splat_f32x16(sums[b])
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
    for b in range(len(s0)):
        d0 = splat_i16x32(0)
        d1 = d0
        d2 = d0
        d3 = d0
        for k in range(4):
            v = load_i8x64(w, at + k * 64)
            low = low_nibbles(v)
            high = high_nibbles(v)
            i = b * BLOCK + k * 8
            d0 = dot2_u4(dot2_u4(d0, low, repeat_i8x64(x0, i)), high, repeat_i8x64(x0, i + 4))
            d1 = dot2_u4(dot2_u4(d1, low, repeat_i8x64(x1, i)), high, repeat_i8x64(x1, i + 4))
            d2 = dot2_u4(dot2_u4(d2, low, repeat_i8x64(x2, i)), high, repeat_i8x64(x2, i + 4))
            d3 = dot2_u4(dot2_u4(d3, low, repeat_i8x64(x3, i)), high, repeat_i8x64(x3, i + 4))
        scale = load_f16x16(w, at + 256)
        minimum = scale * splat_f32x16(f32(-8))
        if has_minimum:
            minimum = load_f16x16(w, at + 288)
            at += Q4_1_BYTES
        else:
            at += Q4_0_BYTES
        a0 = a0 + scale * (to_f32x16(sum_pairs(d0)) * splat_f32x16(s0[b]))
        a0 = a0 + minimum * splat_f32x16(m0[b])
        a1 = a1 + scale * (to_f32x16(sum_pairs(d1)) * splat_f32x16(s1[b]))
        a1 = a1 + minimum * splat_f32x16(m1[b])
        a2 = a2 + scale * (to_f32x16(sum_pairs(d2)) * splat_f32x16(s2[b]))
        a2 = a2 + minimum * splat_f32x16(m2[b])
        a3 = a3 + scale * (to_f32x16(sum_pairs(d3)) * splat_f32x16(s3[b]))
        a3 = a3 + minimum * splat_f32x16(m3[b])
    i = panel * LANES
    store_f32x16(y[t], i, a0)
    store_f32x16(y[t + 1], i, a1)
    store_f32x16(y[t + 2], i, a2)
    store_f32x16(y[t + 3], i, a3)


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
