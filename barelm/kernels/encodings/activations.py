"""What quantized weights are multiplied by: activations as int8, with a scale for every sixteen columns."""

from typing import NamedTuple

from barelm.dialect.quants import store_i8x16, sum_i32x16
from barelm.dialect.types import F32, F32_2D, I8, I8_2D, LANES, Real, f32
from barelm.dialect.vectors import load_f32x16, max_f32x16, max_tree, round_i32x16, splat_f32x16

LEAST_PEAK = f32(1e-30)
"""Activations below this count as zero: the inverse of their scale would not be finite."""


class Activations(NamedTuple):
    """What a matrix is multiplied by: float32, and the same as int8 with a scale for sixteen columns.

    With one scale for all 32 columns of a block the noise would be a third greater.
    """

    values: F32_2D  # (batch, dim padded to BLOCK)
    quants: I8_2D  # the same shape
    scales: F32_2D  # (batch, dim / LANES)
    sums: F32_2D  # (batch, dim / BLOCK): Σ scale * quants


def tokens_from(a: Activations, t: int) -> Activations:
    """Token t and those after it."""
    return Activations(a.values[t:], a.quants[t:], a.scales[t:], a.sums[t:])


def quantize(a: Activations, t: int, lo: int, hi: int) -> None:
    """The blocks lo to hi of token t as int8: scale = max|x| / 127, quants = round(x / scale)."""
    for b in range(lo, hi):
        first = quantize_half(a.quants[t], a.scales[t], a.values[t], 2 * b)
        a.sums[t, b] = first + quantize_half(a.quants[t], a.scales[t], a.values[t], 2 * b + 1)


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
