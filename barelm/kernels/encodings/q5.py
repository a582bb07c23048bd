"""Q5_0: w = d (q - 16) = d q + m with m = -16 d; and Q5_1: w = d q + m.

A block of a panel is 256 bytes of nibbles, 64 of the bits above them, those of the second sixteen columns between those
of the first, sixteen float16 d and, of Q5_1, sixteen m.
"""

from barelm.dialect.quants import bits_i8x64, load_f16x16, load_i8x64
from barelm.dialect.types import U8, F32x16, I8x64, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings.products import Columns
from barelm.kernels.encodings.q4 import nibbles


def five_bits(w: U8, at: int, half: int) -> tuple[I8x64, I8x64, I8x64, I8x64]:
    """Half of the 32 columns of five bits from a byte on."""
    high = bits_i8x64(load_i8x64(w, at + 256), half, 0x55, 0)
    a, b, c, e = nibbles(w, at + half * 128)
    return (a + bits_i8x64(high, 0, 1, 4), b + bits_i8x64(high, 2, 1, 4),
            c + bits_i8x64(high, 4, 1, 4), e + bits_i8x64(high, 6, 1, 4))


def columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Half of the block at a byte."""
    a, b, c, e = five_bits(w, at, half)
    return a, b, c, e, d, m


def factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d and m of the block at a byte."""
    d = load_f16x16(w, at + 320)
    m = d * splat_f32x16(f32(-16))
    if kind == encodings.Q5_1:
        m = load_f16x16(w, at + 352)
    return d, m
