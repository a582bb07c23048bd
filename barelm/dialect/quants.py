"""Vectors of narrow integers: sixteen rows by four columns of a quantized weight, and their exact dot products.

Byte 4 r + c of a vector of 64 belongs to row r and column c.  Sums are integers and exact within the bounds each
primitive states, so every processor gives the same bits however its instructions pair them up.
"""

import numpy as np

from barelm.dialect.types import LANES, U8, F32x16, I8x64, I32x16

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


def splat_i32x16(s: int) -> I32x16:
    """s in every lane."""
    return np.full(LANES, s, np.int32)


def dot16_u5(q0: I8x64, q1: I8x64, q2: I8x64, q3: I8x64, x: U8, i: int) -> I32x16:
    """Lane r: Σ q x over row r of four vectors, sixteen columns, and int8 x[i : i + 16], for 0 <= q <= 31, |x| <= 127.

    In int16 as well: 4 * 2 * 31 * 127 = 31496.
    """
    return _dot16((q0, q1, q2, q3), x, i)


def dot16_u6(q0: I8x64, q1: I8x64, q2: I8x64, q3: I8x64, x: U8, i: int) -> I32x16:
    """The same for 0 <= q <= 63, of which two vectors stay inside int16: 2 * 2 * 63 * 127 = 32004."""
    return _dot16((q0, q1, q2, q3), x, i)


def dot16_i8(w0: I8x64, w1: I8x64, w2: I8x64, w3: I8x64, x: U8, i: int, total: int) -> I32x16:
    """The same for any int8, given the sum of x[i : i + 16].

    Processors that multiply unsigned by signed take w + 128, and 128 times the sum off again.
    """
    return _dot16((w0, w1, w2, w3), x, i)


def _dot16(w: tuple[I8x64, ...], x: U8, i: int) -> I32x16:
    columns = np.stack([v.reshape(LANES, GROUP) for v in w], 1).reshape(LANES, LANES)
    return columns.astype(np.int32) @ x[i:i + LANES].view(np.int8).astype(np.int32)


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


def store_i8x16(x: U8, i: int, v: I32x16) -> None:
    """x[i : i + 16] = v as int8, for -128 <= v <= 127."""
    x[i:i + LANES] = v.astype(np.int8).view(np.uint8)


def sum_i32x16(v: I32x16) -> int:
    """The sum of the lanes."""
    return int(v.sum(dtype=np.int64))
