"""Vectors of narrow integers: sixteen rows by four columns of a quantized weight, and their exact dot products.

Byte 4 r + c of a vector of 64 belongs to row r and column c.  Sums are integers and exact within the bounds each
primitive states, so every processor gives the same bits however its instructions pair them up.
"""

import numpy as np

from barelm.dialect.types import I8, LANES, U8, F32x16, I8x64, I16x32, I32x16

GROUP = 4
"""Columns of one row side by side in a vector."""

WIDTH = LANES * GROUP


def load_i8x64(x: U8, i: int) -> I8x64:
    """x[i : i + 64] as int8."""
    return x[i:i + WIDTH].view(np.int8).copy()


def bits_i8x64(v: I8x64, down: int, mask: int, up: int) -> I8x64:
    """(v >> down & mask) << up of every byte, unsigned: for masks with no bit that is shifted in, or will be out."""
    return ((v.view(np.uint8) >> down & mask) << up).astype(np.uint8).view(np.int8)


def look_up_i8x64(low: int, high: int, v: I8x64) -> I8x64:
    """Byte v[k] of the sixteen in two words, the lowest first, for 0 <= v <= 15."""
    return np.array([low, high], np.int64).view(np.int8)[v]


def repeat_i8x64(x: I8, i: int) -> I8x64:
    """x[i : i + 4], once for every row."""
    return np.tile(x[i:i + GROUP], LANES)


def splat_i16x32(s: int) -> I16x32:
    """s in every lane."""
    return np.full(2 * LANES, s, np.int16)


def splat_i32x16(s: int) -> I32x16:
    """s in every lane."""
    return np.full(LANES, s, np.int32)


def dot2_u4(total: I16x32, q: I8x64, x: I8x64) -> I16x32:
    """Lane k: total + q[2k] x[2k] + q[2k+1] x[2k+1], for 0 <= q <= 63 and |x| <= 127.

    Of four bits eight in a row stay inside int16, 8 * 2 * 15 * 127 = 30480, of five four: 4 * 2 * 31 * 127 = 31496, of
    six two: 2 * 2 * 63 * 127 = 32004.
    """
    products = q.astype(np.int16) * x.astype(np.int16)
    return total + products[0::2] + products[1::2]


def sum_pairs(v: I16x32) -> I32x16:
    """Lane k: v[2k] + v[2k+1]."""
    wide = v.astype(np.int32)
    return wide[0::2] + wide[1::2]


def dot4_i8(total: I32x16, w: I8x64, x: I8x64) -> I32x16:
    """Lane k: total + the sum over c of w[4k+c] x[4k+c], for |x| <= 127."""
    products = w.astype(np.int32) * x.astype(np.int32)
    return total + products.reshape(LANES, GROUP).sum(1, dtype=np.int32)


def to_f32x16(v: I32x16) -> F32x16:
    """Lane by lane as float32; exact below 2^24."""
    return v.astype(np.float32)


def load_f16x16(x: U8, i: int) -> F32x16:
    """Sixteen finite float16 from byte i on, widened; exact."""
    return x[i:i + 2 * LANES].view(np.float16).astype(np.float32)


def load_bf16x16(x: U8, i: int) -> F32x16:
    """Sixteen bfloat16 from byte i on, the upper halves of float32."""
    return (x[i:i + 2 * LANES].view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def load_i8x16(x: U8, i: int) -> I32x16:
    """x[i : i + 16] as int8, widened."""
    return x[i:i + LANES].view(np.int8).astype(np.int32)


def load_bits_i32x16(x: U8, i: int, down: int, mask: int, up: int) -> I32x16:
    """(x[i : i + 16] >> down & mask) << up, unsigned and widened."""
    return (x[i:i + LANES].astype(np.int32) >> down & mask) << up


def store_i8x16(x: I8, i: int, v: I32x16) -> None:
    """x[i : i + 16] = v, for -128 <= v <= 127."""
    x[i:i + LANES] = v.astype(np.int8)


def sum_i32x16(v: I32x16) -> int:
    """The sum of the lanes."""
    return int(v.sum(dtype=np.int64))
