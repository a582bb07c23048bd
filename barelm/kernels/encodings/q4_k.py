"""Q4_K and Q5_K: w = d s q - f n with a scale s and a minimum n of six bits for 32 columns.

A block of a panel is, for every 32 of its 256 columns, 256 bytes of nibbles and, of Q5_K, 64 of the bits above them as
Q5_0 has them; then s and n of each 32 columns in turn (`six_bits`); then sixteen float16 d and sixteen f.
"""

from barelm.dialect.quants import load_bits_i32x16, load_f16x16, to_f32x16
from barelm.dialect.types import LANES, U8, F32x16, I32x16, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings.products import Columns
from barelm.kernels.encodings.q4 import nibbles
from barelm.kernels.encodings.q5 import five_bits


def six_bits(w: U8, at: int, n: int, k: int) -> I32x16:
    """Number k of n of six bits, for sixteen rows: the low four of two share a byte, then the high two of four do."""
    return load_bits_i32x16(w, at + (k >> 1) * LANES, (k & 1) * 4, 15, 0) + load_bits_i32x16(
        w, at + (n >> 1) * LANES + (k >> 2) * LANES, (k & 3) * 2, 3, 4)


def q4_columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block of Q4_K at a byte."""
    a, b, c, e = nibbles(w, at + part * 256 + half * 128)
    return a, b, c, e, d, m


def q5_columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block of Q5_K at a byte."""
    a, b, c, e = five_bits(w, at + part * 320, half)
    return a, b, c, e, d, m


def factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d s and -f n of 32 columns of the block at a byte."""
    end = at + encodings.BLOCK_BYTES[kind]
    six = end - 64 - 12 * LANES
    d = load_f16x16(w, end - 64)
    m = splat_f32x16(f32(0)) - load_f16x16(w, end - 32)
    return d * to_f32x16(six_bits(w, six, 16, 2 * part)), m * to_f32x16(six_bits(w, six, 16, 2 * part + 1))
