"""The transcendentals a decoder needs at run time, from + - * and a written exponent."""

from barelm.dialect.memory import bits_of_float, float_of_bits
from barelm.dialect.types import F32x16, Real, f32
from barelm.dialect.vectors import max_f32x16, min_f32x16, pow2_f32x16, splat_f32x16, to_i32x16


def exp_f32x16(x: F32x16) -> F32x16:
    """e^x lane by lane, x clamped to [-87, 88]; relative error below 2e-7.

    x = n ln 2 + r with n whole, |r| <= ln 2 / 2; e^r by the polynomial of Cephes' `expf`.  Adding and subtracting
    1.5 * 2^23 rounds to the nearest whole number.  ln 2 is taken in two parts, the first exact in 12 bits.
    """
    x = min_f32x16(max_f32x16(x, splat_f32x16(f32(-87.0))), splat_f32x16(f32(88.0)))
    magic = splat_f32x16(f32(12582912.0))
    n = (x * splat_f32x16(f32(1.4426950408889634)) + magic) - magic
    r = (x - n * splat_f32x16(f32(0.693359375))) - n * splat_f32x16(f32(-2.12194440e-4))
    p = splat_f32x16(f32(1.9875691500e-4))
    p = p * r + splat_f32x16(f32(1.3981999507e-3))
    p = p * r + splat_f32x16(f32(8.3334519073e-3))
    p = p * r + splat_f32x16(f32(4.1665795894e-2))
    p = p * r + splat_f32x16(f32(1.6666665459e-1))
    p = p * r + splat_f32x16(f32(5.0000001201e-1))
    return ((p * (r * r) + r) + splat_f32x16(f32(1.0))) * pow2_f32x16(to_i32x16(n))


def tanh_f32x16(x: F32x16) -> F32x16:
    """1 - 2 / (e^2x + 1) lane by lane; absolute error below 2e-7."""
    one = splat_f32x16(f32(1.0))
    two = splat_f32x16(f32(2.0))
    return one - two / (exp_f32x16(two * x) + one)


def log_f32(x: Real) -> Real:
    """The natural logarithm of a positive normal number; relative error below 2e-7 away from 1.

    x = 2^n m with m from √½ to √2; log m by the polynomial of Cephes' `logf`.  ln 2 is taken in two parts.
    """
    bits = bits_of_float(x)
    n = (bits >> 23) - 126
    m = float_of_bits(bits & 0x7FFFFF | 0x3F000000)
    if m < f32(0.70710678):
        n -= 1
        m = m + m
    m = m - f32(1)
    p = f32(7.0376836292e-2)
    p = p * m + f32(-1.1514610310e-1)
    p = p * m + f32(1.1676998740e-1)
    p = p * m + f32(-1.2420140846e-1)
    p = p * m + f32(1.4249322787e-1)
    p = p * m + f32(-1.6668057665e-1)
    p = p * m + f32(2.0000714765e-1)
    p = p * m + f32(-2.4999993993e-1)
    p = p * m + f32(3.3333331174e-1)
    z = m * m
    y = p * m * z
    y = y + f32(n) * f32(-2.12194440e-4)
    y = y - f32(0.5) * z
    return (m + y) + f32(n) * f32(0.693359375)
