"""What a processor can do at most, to compare with: loops that do nothing but multiply, or read."""

from barelm.dialect.memory import f32_array
from barelm.dialect.quants import dot16_i8, dot16_u5, load_i8x64, splat_i32x16, sum_i32x16
from barelm.dialect.types import LANES, U8, I8x64, I32x16, Kernel, Real, f32
from barelm.dialect.vectors import load_f32x16, splat_f32x16, sum_tree

FLOATS_A_ROUND = 6 * LANES
BYTES_A_ROUND = 4 * LANES * LANES


def multiply_floats(n: int, start: Real) -> Real:
    """n rounds of FLOATS_A_ROUND multiplications, and additions, six vectors side by side; near 2 in the end."""
    half = splat_f32x16(f32(0.5))
    one = splat_f32x16(f32(1))
    a = splat_f32x16(start)
    b = a + one
    c = b + one
    d = c + one
    e = d + one
    f = e + one
    for _ in range(n):
        a = a * half + one
        b = b * half + one
        c = c * half + one
        d = d * half + one
        e = e * half + one
        f = f * half + one
    return sum_tree((a + b) + (c + d) + (e + f)) * f32(1 / 6) * f32(1 / 16)


def multiply_bytes(n: int, w: U8, x: U8, total: int) -> int:
    """n rounds of BYTES_A_ROUND multiplications of int8, and additions: sixteen rows of sixteen columns of `w` (256 or
    more) with four times sixteen bytes of `x`, as weights meet several tokens; each sixteen of `x` add up to `total`.
    """
    return multiply_columns(dot16_i8, n, w, (x, total))


def multiply_nibbles(n: int, w: U8, x: U8) -> int:
    """The same with weights of five bits or fewer, which some processors multiply faster."""
    return multiply_columns(dot_five_bits, n, w, (x, 0))


def dot_five_bits(w0: I8x64, w1: I8x64, w2: I8x64, w3: I8x64, x: U8, i: int, total: int) -> I32x16:
    """`dot16_u5`, which needs no total."""
    return dot16_u5(w0, w1, w2, w3, x, i)


def multiply_columns(dot: Kernel, n: int, w: U8, tokens: tuple[U8, int]) -> int:
    """n rounds with a dot product of sixteen columns; four sums side by side."""
    x, total = tokens
    a = splat_i32x16(0)
    b = a
    c = a
    d = a
    at = 0
    for _ in range(n):
        w0 = load_i8x64(w, at)
        w1 = load_i8x64(w, at + 64)
        w2 = load_i8x64(w, at + 128)
        w3 = load_i8x64(w, at + 192)
        a = a + dot(w0, w1, w2, w3, x, 0, total)
        b = b + dot(w0, w1, w2, w3, x, 16, total)
        c = c + dot(w0, w1, w2, w3, x, 32, total)
        d = d + dot(w0, w1, w2, w3, x, 48, total)
        at = at + 256 if at + 512 <= len(w) else 0
    return sum_i32x16(a) + sum_i32x16(b) + sum_i32x16(c) + sum_i32x16(d)


def read_through(data: U8) -> Real:
    """The sum of all whole blocks of 64 float32, four vectors side by side."""
    x = f32_array(data, 0, len(data) // 4)
    a = splat_f32x16(f32(0))
    b = a
    c = a
    d = a
    for i in range(0, len(x) - 4 * LANES + 1, 4 * LANES):
        a = a + load_f32x16(x, i)
        b = b + load_f32x16(x, i + LANES)
        c = c + load_f32x16(x, i + 2 * LANES)
        d = d + load_f32x16(x, i + 3 * LANES)
    return sum_tree((a + b) + (c + d))
