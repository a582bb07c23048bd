"""Sixteen columns of a panel times a token: an integer dot product, exact in any order, then one scale for each row.

The float additions run over the columns in order, whatever the number of tokens, rows or cores at work.
"""

from barelm.dialect.quants import dot16_i8, dot16_u5, dot16_u6, to_f32x16
from barelm.dialect.types import F32x16, I8x64, f32
from barelm.dialect.vectors import splat_f32x16
from barelm.kernels.encodings.activations import HALF_BYTES, Activations, quant_sum_of, scale_of, sum_of

Columns = tuple[I8x64, I8x64, I8x64, I8x64, F32x16, F32x16]
"""Sixteen columns: integers q, four columns of each row in a vector; d, what each row's are multiplied by, and m."""


def add_signed(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """y + d s Σ q x for the sixteen columns x of token t from 16 half on, whose scale is s; m does not matter."""
    dot = dot16_i8(w[0], w[1], w[2], w[3], x.halves[t], half * HALF_BYTES, quant_sum_of(x, t, half))
    return y + (w[4] * splat_f32x16(scale_of(x, t, half))) * to_f32x16(dot)


def add_unsigned(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """The same for 0 <= q <= 31."""
    dot = dot16_u5(w[0], w[1], w[2], w[3], x.halves[t], half * HALF_BYTES)
    return y + (w[4] * splat_f32x16(scale_of(x, t, half))) * to_f32x16(dot)


def add_offset(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """y + d s Σ (q + m) x for 0 <= q <= 63, the sum exact."""
    dot = dot16_u6(w[0], w[1], w[2], w[3], x.halves[t], half * HALF_BYTES)
    exact = to_f32x16(dot) + w[5] * splat_f32x16(f32(quant_sum_of(x, t, half)))
    return y + (w[4] * splat_f32x16(scale_of(x, t, half))) * exact


def add_with_minimum(y: F32x16, w: Columns, x: Activations, t: int, half: int) -> F32x16:
    """y + d s Σ q x + m s Σ x for 0 <= q <= 15, where the sixteen columns have a minimum of their own."""
    total = splat_f32x16(f32(quant_sum_of(x, t, half)))
    return add_unsigned(y, w, x, t, half) + (w[5] * splat_f32x16(scale_of(x, t, half))) * total


def add_minimum(y: F32x16, w: Columns, x: Activations, t: int, b: int) -> F32x16:
    """y + m Σ s x, at the end of the 32 columns b."""
    return y + w[5] * splat_f32x16(sum_of(x, t, b))


def add_nothing(y: F32x16, w: Columns, x: Activations, t: int, b: int) -> F32x16:
    """y, where there is no minimum."""
    return y
