"""Q3_K: w = d (s - 32) (q - 4) with three bits q; and Q2_K: w = d s q - f n with two: s and n are of sixteen columns.

A block of a panel is, for every 32 of its 256 columns, 128 bytes of pairs of bits and, of Q3_K, 64 of the bits above
them as Q5_0 has them.  Then, of Q3_K, s of each sixteen columns, of six bits (`q4_k.six_bits`), and sixteen float16 d;
of Q2_K a byte for each sixteen columns, s in its low half and n in the high one, sixteen d and sixteen f.
"""

from barelm.dialect.quants import bits_i8x64, load_bits_i32x16, load_f16x16, load_i8x64, splat_i32x16, to_f32x16
from barelm.dialect.types import LANES, U8, F32x16, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings.products import Columns
from barelm.kernels.encodings.q4_k import six_bits


def q3_columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block of Q3_K at a byte."""
    low = at + part * 192
    v = load_i8x64(w, low + half * 64)
    high = bits_i8x64(load_i8x64(w, low + 128), half, 0x55, 0)
    scale = to_f32x16(six_bits(w, at + 1536, 16, 2 * part + half) + splat_i32x16(-32))
    return (bits_i8x64(v, 0, 3, 0) + bits_i8x64(high, 0, 1, 2), bits_i8x64(v, 2, 3, 0) + bits_i8x64(high, 2, 1, 2),
            bits_i8x64(v, 4, 3, 0) + bits_i8x64(high, 4, 1, 2), bits_i8x64(v, 6, 3, 0) + bits_i8x64(high, 6, 1, 2),
            d * scale, m)


def q2_columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block of Q2_K at a byte."""
    v = load_i8x64(w, at + part * 128 + half * 64)
    scales = at + 1024 + (2 * part + half) * LANES
    return (bits_i8x64(v, 0, 3, 0), bits_i8x64(v, 2, 3, 0), bits_i8x64(v, 4, 3, 0), bits_i8x64(v, 6, 3, 0),
            d * to_f32x16(load_bits_i32x16(w, scales, 0, 15, 0)), m * to_f32x16(load_bits_i32x16(w, scales, 4, 15, 0)))


def factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of the block at a byte; what is added to each q of Q3_K, -f of Q2_K."""
    at += encodings.BLOCK_BYTES[kind]
    if kind == encodings.Q2_K:
        return load_f16x16(w, at - 64), splat_f32x16(f32(0)) - load_f16x16(w, at - 32)
    return load_f16x16(w, at - 32), splat_f32x16(f32(-4))
