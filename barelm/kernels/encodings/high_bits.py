"""Q6_K: w = d s (q - 32) with a scale s for sixteen columns; and Q5_0: w = d (q - 16).

A block of a panel of Q6_K is, for every 32 of its 256 columns, 256 bytes of nibbles and 128 of the pairs of bits above
them; then, for every sixteen columns, sixteen int8 s; and sixteen float16 d.  One of Q5_0 is 256 bytes of nibbles, 64
of the bits above them, those of the second sixteen columns between those of the first; and sixteen float16 d.
"""

from barelm.dialect.quants import bits_i8x64, load_f16x16, load_i8x16, load_i8x64, to_f32x16
from barelm.dialect.types import LANES, U8, F32x16, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings.products import Columns


def columns(w: U8, at: int, half: int, d: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block at a byte."""
    low = at + half * 128
    high = bits_i8x64(load_i8x64(w, at + 256), half, 0x55, 0)
    if kind == encodings.Q6_K:
        d = d * to_f32x16(load_i8x16(w, at + 3072 + half * LANES))
        low = at + (half >> 1) * 384 + (half & 1) * 128
        high = load_i8x64(w, at + (half >> 1) * 384 + 256 + (half & 1) * 64)
    v = load_i8x64(w, low)
    u = load_i8x64(w, low + 64)
    return (bits_i8x64(v, 0, 15, 0) + bits_i8x64(high, 0, 3, 4), bits_i8x64(v, 4, 15, 0) + bits_i8x64(high, 2, 3, 4),
            bits_i8x64(u, 0, 15, 0) + bits_i8x64(high, 4, 3, 4), bits_i8x64(u, 4, 15, 0) + bits_i8x64(high, 6, 3, 4), d)


def factors(w: U8, at: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of the block at a byte, and what is added to each q."""
    offset = f32(-16)
    if kind == encodings.Q6_K:
        offset = f32(-32)
    return load_f16x16(w, at + encodings.BLOCK_BYTES[kind] - 32), splat_f32x16(offset)
