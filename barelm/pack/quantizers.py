"""Weights made narrower: float32 to the integers and factors of an encoding, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.kernels import encodings

Floats = NDArray[np.float32]

LEAST_SCALE = 1e-37  # the inverse of a smaller one is not finite; as float16 it is zero anyway
_SIX_BITS, _INT8 = np.float32(63), np.float32(128)
_STRETCHES = np.linspace(-1, 1, 7, dtype=np.float32)
"""How far from the full range of a block the range may be that its integers cover, in their steps."""


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix: `values`, as floats (rows, cols) or as integers in blocks (rows, blocks, columns), and factors.

    The factors are of shape (rows, blocks, some), in the order of `kernels.encodings`: the scales of parts of a block,
    the scale, the minimum, as far as there are any.
    """

    values: NDArray[Any]
    factors: tuple[NDArray[Any], ...] = ()


def quantize_q8_0(values: Floats) -> Rows:
    """d = max|x| / 127, q = round(x / d), over the last axis of 32: as GGML does it."""
    scales = np.abs(values).max(-1, keepdims=True) / np.float32(127)
    return Rows(np.rint(values * _inverse(scales)).astype(np.int8), (_halves(scales),))


def quantize_q4_1(values: Floats) -> Rows:
    """d = (max - min) / 15, m = min, q = floor((x - m) / d + 1/2), over the last axis of 32: as GGML does it."""
    minima = values.min(-1, keepdims=True)
    scales = (values.max(-1, keepdims=True) - minima) / np.float32(15)
    steps = (values - minima) * _inverse(scales) + np.float32(0.5)
    return Rows(np.minimum(steps, 15).astype(np.uint8), (_halves(scales), _halves(minima)))


def quantize_q5_0(values: Floats) -> Rows:
    """w = d (q - 16) over the last axis of 32, with the d of least error (`_scale_of`)."""
    d = _halves(_scale_of(values, 16)[..., None])
    return Rows((_nearest(values, d.astype(np.float32), -16, 15) + np.float32(16)).astype(np.uint8), (d,))


def quantize_q4_k(values: Floats) -> Rows:
    """w = d s q - f n over the last axis of 256, s and n of six bits for each 32.

    Scale and minimum of each 32 are those of least error; d and f are such that the greatest of eight is 63.
    """
    parts = values.reshape(*values.shape[:-1], 8, 32)
    scales, minima = _scale_and_minimum_of(parts, 15)
    d, f = (_halves(each.max(-1, keepdims=True) / _SIX_BITS) for each in (scales, minima))
    s, n = (_nearest(each, whole.astype(np.float32), 0, 63) for each, whole in ((scales, d), (minima, f)))
    step, shift = ((whole.astype(np.float32) * each)[..., None] for whole, each in ((d, s), (f, n)))
    q = _nearest(parts + shift, step, 0, 15).astype(np.uint8).reshape(values.shape)
    return Rows(q, (np.stack([s, n], axis=-1).astype(np.uint8).reshape(*values.shape[:-1], 16), d, f))


def quantize_q6_k(values: Floats) -> Rows:
    """w = d s (q - 32) over the last axis of 256, s an int8 for each 16, the one of the widest of them -128."""
    parts = values.reshape(*values.shape[:-1], 16, 16)
    scales = _scale_of(parts, 32)
    widest = np.take_along_axis(scales, np.abs(scales).argmax(-1)[..., None], -1)
    d = _halves(-widest / _INT8)
    s = _nearest(scales, d.astype(np.float32), -128, 127)
    step = (d.astype(np.float32) * s)[..., None]
    q = (_nearest(parts, step, -32, 31) + np.float32(32)).astype(np.uint8).reshape(values.shape)
    return Rows(q, (s.astype(np.int8), d))


def _scale_of(values: Floats, most: int) -> Floats:
    """The d of least Σ (x - d q)² over the last axis, among those whose q are -most to most - 1.

    The value of the greatest size becomes about -most; each try rounds with a somewhat different scale, and takes the
    best one for the integers that this gives.
    """
    peak = np.take_along_axis(values, np.abs(values).argmax(-1)[..., None], -1)
    best, gain = np.zeros(values.shape[:-1], np.float32), np.full(values.shape[:-1], -1, np.float32)
    for stretch in _STRETCHES:
        q = _rounded(values * (_inverse(peak) * (stretch - most)), -most, most - 1)
        with_x, with_q = _dot(values, q), _dot(q, q)
        d = with_x * _inverse(with_q)
        better = d * with_x > gain
        best, gain = np.where(better, d, best), np.where(better, d * with_x, gain)
    return best


def _scale_and_minimum_of(values: Floats, most: int) -> tuple[Floats, Floats]:
    """d and f >= 0 of least Σ (x - d q + f)² over the last axis, among those whose q are 0 to most, by such tries."""
    n = np.float32(values.shape[-1])
    low = np.minimum(values.min(-1, keepdims=True), 0)
    width = values.max(-1, keepdims=True) - low
    ones = np.ones(values.shape[-1], np.float32)
    sum_x = _dot(ones, values)
    best, least, shift = width[..., 0] / np.float32(most), np.full(values.shape[:-1], np.inf, np.float32), -low[..., 0]
    for stretch in _STRETCHES:
        q = _rounded((values - low) * (_inverse(width) * (most + stretch)), 0, most)
        sum_q, with_q, with_x = _dot(ones, q), _dot(q, q), _dot(values, q)
        d = (n * with_x - sum_x * sum_q) * _inverse(n * with_q - sum_q * sum_q)
        f = (d * sum_q - sum_x) / n
        d, f = np.where(f < 0, with_x * _inverse(with_q), d), np.maximum(f, 0)
        # Σ (x - d q + f)², less Σ x²
        error = d * d * with_q + n * f * f - 2 * d * with_x + 2 * f * sum_x - 2 * d * f * sum_q
        better = (error < least) & (d >= 0)
        best, least, shift = np.where(better, d, best), np.where(better, error, least), np.where(better, f, shift)
    return best, shift


def _dot(a: Floats, b: Floats) -> Floats:
    """Σ a b over the last axis."""
    sums: Floats = np.einsum("...i,...i->...", a, b)
    return sums


def _nearest(values: Floats, step: Floats, least: int, most: int) -> Floats:
    """round(x / step) within limits; 0 where there is no step."""
    inverse = np.divide(np.float32(1), step, out=np.zeros_like(step), where=np.abs(step) > LEAST_SCALE)
    return _rounded(values * inverse, least, most)


def _rounded(values: Floats, least: int, most: int) -> Floats:
    """In place, for blocks are many: to the nearest whole number within limits."""
    np.rint(values, out=values)
    return np.clip(values, np.float32(least), np.float32(most), out=values)


def _halves(values: Floats) -> NDArray[np.float16]:
    return values.astype(np.float16)


def _inverse(scales: Floats) -> Floats:
    return np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=np.abs(scales) > LEAST_SCALE)


def restored(rows: Rows, kind: int) -> Floats:
    """What quantized rows stand for, in the shape of their integers."""
    q = rows.values.astype(np.float32)
    factors = [factor.astype(np.float32) for factor in rows.factors]
    if kind == encodings.Q4_K:
        pairs, d, f = factors
        step, shift = ((whole * pairs[..., k::2]).repeat(32, -1) for k, whole in enumerate((d, f)))
        return step * q - shift
    if kind == encodings.Q6_K:
        s, d = factors
        return (d * s).repeat(16, -1) * (q - np.float32(32))
    d, *minima = factors
    return d * (q - np.float32(16 if kind == encodings.Q5_0 else 0)) + (minima[0] if minima else np.float32(0))


QUANTIZE = {encodings.Q8_0: quantize_q8_0, encodings.Q4_1: quantize_q4_1, encodings.Q5_0: quantize_q5_0,
            encodings.Q4_K: quantize_q4_k, encodings.Q6_K: quantize_q6_k}
"""What makes each kind out of float32 values, shape (rows, blocks, columns)."""
