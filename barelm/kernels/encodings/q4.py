"""Q4_0: w = d (q - 8) = d q + m with m = -8 d; and Q4_1: w = d q + m.

A block of a panel is 256 bytes of nibbles, sixteen float16 d and, of Q4_1, sixteen m.
"""

from barelm.dialect.quants import bits_i8x64, load_f16x16, load_i8x64
from barelm.dialect.types import U8, F32x16, I8x64, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings.products import Columns


def nibbles(w: U8, at: int) -> tuple[I8x64, I8x64, I8x64, I8x64]:
    """Sixteen columns of four bits from a byte on."""
    v = load_i8x64(w, at)
    u = load_i8x64(w, at + 64)
    return bits_i8x64(v, 0, 15, 0), bits_i8x64(v, 4, 15, 0), bits_i8x64(u, 0, 15, 0), bits_i8x64(u, 4, 15, 0)


def columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Half of the block at a byte."""
    a, b, c, e = nibbles(w, at + half * 128)
    return a, b, c, e, d, m


def factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d and m of the block at a byte."""
    d = load_f16x16(w, at + 256)
    m = d * splat_f32x16(f32(-8))
    if kind == encodings.Q4_1:
        m = load_f16x16(w, at + 288)
    return d, m
