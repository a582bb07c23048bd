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


def columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Sixteen columns of the block at a byte, looked up."""
    if kind == encodings.IQ4_XS:
        d = d * to_f32x16(six_bits(w, at + 2048, 8, part) + splat_i32x16(-32))
    low = IQ4_LOW
    high = IQ4_HIGH
    if kind == encodings.MXFP4:
        low = FP4_LOW
        high = FP4_HIGH
    a, b, c, e = nibbles(w, at + part * 256 + half * 128)
    return (look_up_i8x64(low, high, a), look_up_i8x64(low, high, b), look_up_i8x64(low, high, c),
            look_up_i8x64(low, high, e), d, m)


def factors(w: U8, at: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of the block at a byte."""
    zero = splat_f32x16(f32(0))
    if kind == encodings.MXFP4:  # in two steps, for the least are denormal
        e = load_bits_i32x16(w, at + 256, 0, 255, 0)
        return pow2_f32x16(e + splat_i32x16(-126)) * splat_f32x16(f32(0.25)), zero
    return load_f16x16(w, at + encodings.BLOCK_BYTES[kind] - 32), zero
