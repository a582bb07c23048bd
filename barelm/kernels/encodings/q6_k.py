"""Q6_K: w = d s (q - 32) with a scale s for sixteen columns.

A block of a panel is, for every 32 of its 256 columns, 256 bytes of nibbles and 128 of the pairs of bits above them;
then, for every sixteen columns, sixteen int8 s; and sixteen float16 d.
"""

from barelm.dialect.quants import bits_i8x64, load_f16x16, load_i8x16, load_i8x64, to_f32x16
from barelm.dialect.types import LANES, U8, F32x16, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels.encodings.products import Columns
from barelm.kernels.encodings.q4 import nibbles


def columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block at a byte."""
    low = at + part * 384
    high = load_i8x64(w, low + 256 + half * 64)
    a, b, c, e = nibbles(w, low + half * 128)
    return (a + bits_i8x64(high, 0, 3, 4), b + bits_i8x64(high, 2, 3, 4), c + bits_i8x64(high, 4, 3, 4),
            e + bits_i8x64(high, 6, 3, 4), d * to_f32x16(load_i8x16(w, at + 3072 + (2 * part + half) * LANES)), m)


def factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of the block at a byte, and what is added to each q."""
    return load_f16x16(w, at + 3328), splat_f32x16(f32(-32))
