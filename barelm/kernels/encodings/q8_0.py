"""Q8_0: w = d q.  A block of a panel is 512 bytes of int8 and sixteen float16 d."""

from barelm.dialect.quants import load_f16x16, load_i8x64
from barelm.dialect.types import U8, F32x16, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels.encodings.products import Columns


def columns(w: U8, at: int, part: int, half: int, d: F32x16, m: F32x16, kind: int) -> Columns:
    """Half of the block at a byte."""
    at += half * 256
    return load_i8x64(w, at), load_i8x64(w, at + 64), load_i8x64(w, at + 128), load_i8x64(w, at + 192), d, m


def factors(w: U8, at: int, part: int, kind: int) -> tuple[F32x16, F32x16]:
    """d of the block at a byte."""
    return load_f16x16(w, at + 512), splat_f32x16(f32(0))
