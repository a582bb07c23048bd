"""Sixteen columns of a panel times a token: an integer dot product, exact in any order, then one scale for each row.

The float additions run over the columns in order, whatever the number of tokens, rows or cores at work.
"""

from barelm.dialect.quants import (
    dot2_u4,
    dot4_i8,
    load_i8x16,
    repeat_i8x64,
    splat_i16x32,
    splat_i32x16,
    sum_i32x16,
    sum_pairs,
    to_f32x16,
)
from barelm.dialect.types import LANES, F32x16, I8x64, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels.encodings.activations import Activations

Columns = tuple[I8x64, I8x64, I8x64, I8x64, F32x16, F32x16]
"""Sixteen columns: integers q, four columns of each row in a vector; d, what each row's are multiplied by, and m."""


def add_signed(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """y + d s Σ q x for the sixteen columns x of token t from 16 half on, whose scale is s; m does not matter."""
    i = half * LANES
    dot = dot4_i8(splat_i32x16(0), w[0], repeat_i8x64(x.quants[t], i))
    dot = dot4_i8(dot, w[1], repeat_i8x64(x.quants[t], i + 4))
    dot = dot4_i8(dot, w[2], repeat_i8x64(x.quants[t], i + 8))
    dot = dot4_i8(dot, w[3], repeat_i8x64(x.quants[t], i + 12))
    return y + (w[4] * splat_f32x16(x.scales[t, half])) * to_f32x16(dot)


def add_unsigned(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """The same for 0 <= q <= 31."""
    i = half * LANES
    dot = dot2_u4(splat_i16x32(0), w[0], repeat_i8x64(x.quants[t], i))
    dot = dot2_u4(dot, w[1], repeat_i8x64(x.quants[t], i + 4))
    dot = dot2_u4(dot, w[2], repeat_i8x64(x.quants[t], i + 8))
    dot = dot2_u4(dot, w[3], repeat_i8x64(x.quants[t], i + 12))
    return y + (w[4] * splat_f32x16(x.scales[t, half])) * to_f32x16(sum_pairs(dot))


def add_offset(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """y + d s Σ (q + m) x for 0 <= q <= 63, the sum exact."""
    i = half * LANES
    first = dot2_u4(splat_i16x32(0), w[0], repeat_i8x64(x.quants[t], i))
    first = dot2_u4(first, w[1], repeat_i8x64(x.quants[t], i + 4))
    last = dot2_u4(splat_i16x32(0), w[2], repeat_i8x64(x.quants[t], i + 8))
    last = dot2_u4(last, w[3], repeat_i8x64(x.quants[t], i + 12))
    total = f32(sum_i32x16(load_i8x16(x.quants[t], i)))
    dot = to_f32x16(sum_pairs(first) + sum_pairs(last)) + w[5] * splat_f32x16(total)
    return y + (w[4] * splat_f32x16(x.scales[t, half])) * dot


def add_with_minimum(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """y + d s Σ q x + m s Σ x for 0 <= q <= 15, where the sixteen columns have a minimum of their own."""
    total = f32(sum_i32x16(load_i8x16(x.quants[t], half * LANES)))
    return add_unsigned(y, w, x, t, half) + (w[5] * splat_f32x16(x.scales[t, half])) * splat_f32x16(total)


def add_minimum(y: F32x16, w: Columns, x: Activations, t: int, b: int) -> F32x16:
    """y + m Σ s x, at the end of the 32 columns b."""
    return y + w[5] * splat_f32x16(x.sums[t, b])


def add_nothing(y: F32x16, w: Columns, x: Activations, t: int, b: int) -> F32x16:
    """y, where there is no minimum."""
    return y
