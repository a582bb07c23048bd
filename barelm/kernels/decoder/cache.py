"""The key-value cache of one head: float32, float16, or int8 with a scale for each position.

Keys lie as [pos / 16][head_dim][16], so that one vector holds a component of sixteen positions; values as
[pos][head_dim, padded].
"""

from typing import Any, NamedTuple

from barelm.contract import layout
from barelm.dialect.memory import bits_of_float, f32_array, float_of_bits, i8_array, u16_array
from barelm.dialect.quants import load_f16x16, load_i8x16, to_f32x16
from barelm.dialect.types import F32, I8, LANES, U8, F32x16, Kernel, Real, f32, padded
from barelm.dialect.vectors import load_f32x16

LARGEST_F16 = 0x477FE000  # the bits of 65504 as a float32
LEAST_NORMAL_F16 = 0x38800000  # of 2^-14
LEAST_PEAK = f32(1e-30)
ROUND_WHOLE = f32(12582912)
"""1.5 * 2^23: added and subtracted, it leaves no bit behind the point."""


class HeadCache(NamedTuple):
    """What one head remembers, and in which form."""

    kind: int
    room: int  # positions: that of position p is p modulo this, a multiple of 16
    keys: U8
    values: U8
    key_scales: F32
    value_scales: F32


def item_bytes(kind: int) -> int:
    """Bytes of one component."""
    if kind == layout.KV_F32:
        return 4
    if kind == layout.KV_F16:
        return 2
    return 1


def remember(kind: int, cache: U8, scales: F32, at: int, step: int, x: F32, pos: int, n: int) -> None:
    """Put the n components of a key or value at elements at, at + step, ... of a head's cache."""
    if kind == layout.KV_F32:
        floats = f32_array(cache, 0, len(cache) // 4)
        for i in range(n):
            floats[at + i * step] = x[i]
    elif kind == layout.KV_F16:
        halves = u16_array(cache, 0, len(cache) // 2)
        for i in range(n):
            halves[at + i * step] = f16_bits(x[i])
    else:
        scales[pos] = remember_q8(i8_array(cache, 0, len(cache)), at, step, x, n)


def remember_key(head: HeadCache, k: F32, pos: int, head_dim: int) -> None:
    """Put one head's key at position `pos`."""
    at = pos % head.room
    remember(head.kind, head.keys, head.key_scales, at // LANES * head_dim * LANES + at % LANES, LANES, k, at, head_dim)


def remember_value(head: HeadCache, v: F32, pos: int, head_dim: int) -> None:
    """Put one head's value at position `pos`."""
    at = pos % head.room
    remember(head.kind, head.values, head.value_scales, at * padded(head_dim), 1, v, at, head_dim)


def remember_q8(quants: I8, at: int, step: int, x: F32, n: int) -> Real:
    """As int8; returns the scale, max|x| / 127."""
    peak = f32(0)
    for i in range(n):
        peak = max(peak, max(x[i], -x[i]))
    inverse = f32(0)
    if peak > LEAST_PEAK:
        inverse = f32(127) / peak
    for i in range(n):
        quants[at + i * step] = int((x[i] * inverse + ROUND_WHOLE) - ROUND_WHOLE)
    if peak > LEAST_PEAK:
        return peak / f32(127)
    return f32(0)


def f16_bits(x: Real) -> int:
    """The float16 nearest to x, halves to even, as its bits; beyond the greatest, 65504, the greatest."""
    bits = bits_of_float(x)
    sign = bits >> 16 & 0x8000
    size = min(bits & 0x7FFFFFFF, LARGEST_F16)
    if size < LEAST_NORMAL_F16:
        # The spacing of float16 below 2^-14 is that of float32 from 1/2 to 1: the addition rounds.
        return sign | (bits_of_float(float_of_bits(size) + f32(0.5)) - bits_of_float(f32(0.5)))
    return sign | (size - ((127 - 15) << 23) + 0xFFF + (size >> 13 & 1)) >> 13


def by_cache(use: Kernel, kind: int, job: Any) -> None:
    """`use` with what loads sixteen components of a head's cache, and with `job`."""
    if kind == layout.KV_F16:
        use(cached_f16, job)
    elif kind == layout.KV_Q8:
        use(cached_q8, job)
    else:
        use(cached_f32, job)


def cached_f32(cache: U8, i: int) -> F32x16:
    """Sixteen components from element i on."""
    return load_f32x16(f32_array(cache, 0, len(cache) // 4), i)


def cached_f16(cache: U8, i: int) -> F32x16:
    """The same of float16."""
    return load_f16x16(cache, 2 * i)


def cached_q8(cache: U8, i: int) -> F32x16:
    """The same of int8, without its scale."""
    return to_f32x16(load_i8x16(cache, i))
