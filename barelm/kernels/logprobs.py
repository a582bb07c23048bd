"""How probable a token is, and which are the most probable, from logits that nobody has changed yet."""

from barelm.dialect.memory import bits_of_float, float_of_bits
from barelm.dialect.types import F32, I64, LANES, Real, f32, padded
from barelm.dialect.vectors import load_f32x16, splat_f32x16, sum_tree
from barelm.kernels.decoder.mathf import exp_f32x16, log_f32
from barelm.kernels.sampler import argmax


def tell_probabilities(told: I64, logits: F32, n: int, token: int) -> None:
    """Pairs of an id and the bits of the logarithm of its probability: of `token`, then of as many of the most probable
    as `told` has room for, the lower id first where two are alike.

    n logits; behind them, up to a whole vector, stands -inf.
    """
    peak = logits[argmax(logits, n)]
    total = splat_f32x16(f32(0))
    for i in range(0, padded(n), LANES):
        total = total + exp_f32x16(load_f32x16(logits, i) - splat_f32x16(peak))
    # e^-87, which the vector function has for what is less, is too little to count.
    whole = peak + log_f32(sum_tree(total))
    most = len(told) // 2 - 1
    found = 0
    for i in range(n):
        if found < most or (found > 0 and logits[i] > logits[told[2 * found]]):
            found = min(found + 1, most)
            at = found
            while at > 1 and logits[i] > logits[told[2 * at - 2]]:
                told[2 * at] = told[2 * at - 2]
                at -= 1
            told[2 * at] = i
    told[0] = token
    for k in range(found + 1):
        told[2 * k + 1] = bits_of_float(log_of(logits[told[2 * k]], whole))


def log_of(logit: Real, whole: Real) -> Real:
    """The logarithm of a probability, never above 0; of what cannot be, the least number there is."""
    return max(min(logit - whole, f32(0)), float_of_bits(0xFF7FFFFF))
