"""What quantized weights are multiplied by: activations as int8, with a scale for every sixteen columns."""

from typing import NamedTuple

from barelm.dialect.memory import f32_array, i32_array
from barelm.dialect.quants import store_i8x16, sum_i32x16
from barelm.dialect.types import F32, F32_2D, LANES, U8, U8_2D, Real, f32
from barelm.dialect.vectors import load_f32x16, max_f32x16, max_tree, round_i32x16, splat_f32x16

LEAST_PEAK = f32(1e-30)
"""Activations below this count as zero: the inverse of their scale would not be finite."""

HALF_BYTES = 32
"""Of sixteen columns, half of those that share a scale in most encodings, two of them in a line of the cache."""

SCALE, QUANT_SUM, SUM = 16, 20, 24  # behind the int8


class Activations(NamedTuple):
    """What a matrix is multiplied by: float32, and the same as int8 with a scale for sixteen columns.

    With one scale for all 32 columns of a block the noise would be a third greater.  Side by side, every sixteen lie
    behind one address, and a product of many tokens needs no more registers for addresses than one of few.
    """

    values: F32_2D  # (batch, dim padded to BLOCK)
    halves: U8_2D  # (batch, 2 dim): for every sixteen columns these, their scale, Σ quants, and Σ scale * quants of 32


def tokens_from(a: Activations, t: int) -> Activations:
    """Token t and those after it."""
    return Activations(a.values[t:], a.halves[t:])


def scale_of(a: Activations, t: int, half: int) -> Real:
    """What the quants of sixteen columns are multiplied by."""
    return f32_array(a.halves[t], half * HALF_BYTES + SCALE, 1)[0]


def quant_sum_of(a: Activations, t: int, half: int) -> int:
    """The sum of their quants."""
    return int(i32_array(a.halves[t], half * HALF_BYTES + QUANT_SUM, 1)[0])


def sum_of(a: Activations, t: int, b: int) -> Real:
    """The sum of scale * quants over the 32 columns of block b."""
    return f32_array(a.halves[t], 2 * b * HALF_BYTES + SUM, 1)[0]


def quantize(a: Activations, t: int, lo: int, hi: int) -> None:
    """The blocks lo to hi of token t as int8: scale = max|x| / 127, quants = round(x / scale)."""
    for b in range(lo, hi):
        first = quantize_half(a.halves[t], a.values[t], 2 * b)
        total = first + quantize_half(a.halves[t], a.values[t], 2 * b + 1)
        f32_array(a.halves[t], 2 * b * HALF_BYTES + SUM, 1)[0] = total


def quantize_half(halves: U8, x: F32, half: int) -> Real:
    """Sixteen columns as int8; returns scale * Σ quants."""
    v = load_f32x16(x, half * LANES)
    peak = max_tree(max_f32x16(v, splat_f32x16(f32(0)) - v))
    scale = f32(0)
    inverse = f32(0)
    if peak > LEAST_PEAK:
        scale = peak / f32(127)
        inverse = f32(127) / peak
    q = round_i32x16(v * splat_f32x16(inverse))
    total = sum_i32x16(q)
    at = half * HALF_BYTES
    store_i8x16(halves, at, q)
    f32_array(halves, at + SCALE, 1)[0] = scale
    i32_array(halves, at + QUANT_SUM, 1)[0] = total
    return scale * f32(total)
