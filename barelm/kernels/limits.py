"""What a processor can do at most, to compare with: loops that do nothing but multiply, or read."""

from barelm.dialect.memory import f32_array
from barelm.dialect.quants import (
    dot2_u4,
    dot4_i8,
    load_i8x64,
    splat_i16x32,
    splat_i32x16,
    sum_i32x16,
    sum_pairs,
)
from barelm.dialect.types import LANES, U8, Real, f32
from barelm.dialect.vectors import load_f32x16, splat_f32x16, sum_tree

FLOATS_A_ROUND = 6 * LANES
BYTES_A_ROUND = 4 * 64


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


def multiply_bytes(n: int, w: U8, x: U8) -> int:
    """n rounds of BYTES_A_ROUND multiplications of int8, and additions: one vector of `w` (64 or more) with four of `x`
    (4 * 64), as weights meet several tokens.
    """
    x0 = load_i8x64(x, 0)
    x1 = load_i8x64(x, 64)
    x2 = load_i8x64(x, 128)
    x3 = load_i8x64(x, 192)
    a = splat_i32x16(0)
    b = a
    c = a
    d = a
    at = 0
    for _ in range(n):
        v = load_i8x64(w, at)
        a = dot4_i8(a, v, x0)
        b = dot4_i8(b, v, x1)
        c = dot4_i8(c, v, x2)
        d = dot4_i8(d, v, x3)
        at = at + 64 if at + 128 <= len(w) else 0
    return sum_i32x16(a) + sum_i32x16(b) + sum_i32x16(c) + sum_i32x16(d)


def multiply_nibbles(n: int, w: U8, x: U8) -> int:
    """The same with weights of 4 bits, which some processors multiply faster; sums wrap around at 16 bits."""
    x0 = load_i8x64(x, 0)
    x1 = load_i8x64(x, 64)
    x2 = load_i8x64(x, 128)
    x3 = load_i8x64(x, 192)
    a = splat_i16x32(0)
    b = a
    c = a
    d = a
    at = 0
    for _ in range(n):
        v = load_i8x64(w, at)
        a = dot2_u4(a, v, x0)
        b = dot2_u4(b, v, x1)
        c = dot2_u4(c, v, x2)
        d = dot2_u4(d, v, x3)
        at = at + 64 if at + 128 <= len(w) else 0
    return sum_i32x16(sum_pairs(a)) + sum_i32x16(sum_pairs(b)) + sum_i32x16(sum_pairs(c)) + sum_i32x16(sum_pairs(d))


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
