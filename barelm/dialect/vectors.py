"""Vectors of a fixed logical width: 16 float32 or 16 int32, and their few operations.

These are the interpreter's models, and the definition: in NumPy a vector is a small array, and + - * / between
two of them are NumPy's.  No operation contracts, reorders or approximates, so every processor gives these bits.
"""

import numpy as np

from barelm.dialect.types import F32, LANES, F32x16, I32x16, Real


def load_f32x16(x: F32, i: int) -> F32x16:
    """x[i : i + 16]"""
    return x[i:i + LANES].copy()


def store_f32x16(x: F32, i: int, v: F32x16) -> None:
    """x[i : i + 16] = v"""
    x[i:i + LANES] = v


def splat_f32x16(s: Real) -> F32x16:
    """s in every lane."""
    return np.full(LANES, s, np.float32)


def max_f32x16(a: F32x16, b: F32x16) -> F32x16:
    """Lane by lane, a where a > b and b elsewhere."""
    return np.where(a > b, a, b)


def min_f32x16(a: F32x16, b: F32x16) -> F32x16:
    """Lane by lane, a where a < b and b elsewhere."""
    return np.where(a < b, a, b)


def to_i32x16(v: F32x16) -> I32x16:
    """Lane by lane, the integer a float holds (whole numbers only: nothing is rounded)."""
    return v.astype(np.int32)


def round_i32x16(v: F32x16) -> I32x16:
    """Lane by lane the nearest whole number, halves to even, for |v| <= 2^22.

    Adding and subtracting 1.5 * 2^23 leaves no bit behind the point.
    """
    magic = np.float32(12582912)
    return ((v + magic) - magic).astype(np.int32)


def pow2_f32x16(n: I32x16) -> F32x16:
    """2^n lane by lane, for -127 < n < 128, by writing n into the exponent."""
    return ((n + np.int32(127)) << np.int32(23)).view(np.float32)


def sum_tree(v: F32x16) -> Real:
    """The sum of the lanes, halving until one is left: ((v0+v8)+(v4+v12))+... is the written order."""
    while len(v) > 1:
        v = v[:len(v) // 2] + v[len(v) // 2:]
    return np.float32(v[0])


def max_tree(v: F32x16) -> Real:
    """The greatest lane, halving until one is left."""
    while len(v) > 1:
        half = len(v) // 2
        v = np.where(v[:half] > v[half:], v[:half], v[half:])
    return np.float32(v[0])


def sqrt_f32(x: Real) -> Real:
    """The square root of one float32, correctly rounded as IEEE 754 asks."""
    return np.sqrt(np.float32(x))
