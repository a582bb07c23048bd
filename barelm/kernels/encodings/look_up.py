"""IQ4_NL: w = d v[q] with four bits q and a table v of sixteen; IQ4_XS: w = d (s - 32) v[q]; MXFP4: w = d v[q].

A block of a panel is, for every 32 columns, 256 bytes of nibbles; of IQ4_XS then s of each 32, of six bits
(`q4_k.six_bits`); then sixteen float16 d.  d of MXFP4 is a byte e that stands for 2^(e - 128); its table has the
values of four bits of floating point (OCP Microscaling Formats 1.0), doubled as in GGML.
"""

from barelm.dialect.quants import load_bits_i32x16, load_f16x16, look_up_i8x64, splat_i32x16, to_f32x16
from barelm.dialect.types import U8, F32x16, f32
from barelm.dialect.vectors import pow2_f32x16, splat_f32x16
from barelm.kernels import encodings
from barelm.kernels.encodings.products import Columns
from barelm.kernels.encodings.q4 import nibbles
from barelm.kernels.encodings.q4_k import six_bits

FP4 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
FP4_LOW, FP4_HIGH, IQ4_LOW, IQ4_HIGH = (
    int.from_bytes(bytes(value & 255 for value in half), "little", signed=True)
    for half in (FP4[:8], FP4[8:], IQ4[:8], IQ4[8:]))

MOST_E = 252
"""The greatest e whose weights are all finite as float32."""


def iq4_columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block of IQ4_NL or IQ4_XS at a byte, looked up."""
    return looked_up(IQ4_LOW, IQ4_HIGH, w, at + part * 256 + half * 128, d, m)


def fp4_columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Half of the block of MXFP4 at a byte, looked up."""
    return looked_up(FP4_LOW, FP4_HIGH, w, at + half * 128, d, m)


def looked_up(low: int, high: int, w: U8, at: int, d: F32x16, m: F32x16) -> Columns:
    """Sixteen columns of four bits from a byte on, as what a table has for them."""
    a, b, c, e = nibbles(w, at)
    return (look_up_i8x64(low, high, a), look_up_i8x64(low, high, b), look_up_i8x64(low, high, c),
            look_up_i8x64(low, high, e), d, m)


def iq4_factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of 32 columns of the block at a byte, scaled."""
    if kind == encodings.IQ4_NL:
        return load_f16x16(w, at + 256), splat_f32x16(f32(0))
    scale = to_f32x16(six_bits(w, at + 2048, 8, part) + splat_i32x16(-32))
    return load_f16x16(w, at + 2144) * scale, splat_f32x16(f32(0))


def fp4_factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of the block of MXFP4 at a byte, in two steps, for the least are denormal."""
    e = load_bits_i32x16(w, at + 256, 0, 255, 0)
    return pow2_f32x16(e + splat_i32x16(-126)) * splat_f32x16(f32(0.25)), splat_f32x16(f32(0))
