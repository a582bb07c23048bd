"""From logits to the next token: repetition penalty, temperature, softmax, top-k, min-p, top-p, one draw, in turn.

With temperature 0 the most likely token is taken right behind the penalty.  The generator is llama2.c's.
"""

from typing import NamedTuple

import numpy as np

from barelm.dialect.types import F32, I32, I64, LANES, U64, Real, f32, padded, u64
from barelm.dialect.vectors import load_f32x16, max_f32x16, max_tree, splat_f32x16, store_f32x16
from barelm.kernels.decoder.blocks import softmax

REPEAT_WINDOW = 64
"""How many of the last tokens the repetition penalty looks at: llama.cpp's window."""


def random_f32(rng: U64) -> Real:
    """A float32 in [0, 1): the upper 24 bits of xorshift64* (Vigna 2016), as llama2.c draws them."""
    r = rng[0]
    r ^= r >> u64(12)
    r ^= r << u64(25)
    r ^= r >> u64(27)
    rng[0] = r
    return f32(((r * u64(0x2545F4914F6CDD1D)) >> u64(32)) >> u64(8)) / f32(16777216.0)


class Spared(NamedTuple):
    """What the repetition penalty passes over."""

    first: int  # tokens before this one: what the chat template wrote, and what was asked
    ends: I64  # those that end an answer
    piece_ends: I32  # where each token's piece ends: control tokens, which print nothing, are spared too


def penalise(logits: F32, tokens: I64, n: int, penalty: Real, spared: Spared) -> None:
    """x = x / penalty where x > 0, else x · penalty: once for each distinct of the last REPEAT_WINDOW of n tokens.

    Keskar et al. 2019.  It changes the logits in place: a second call on the same logits applies it again.
    """
    lo = max(n - REPEAT_WINDOW, spared.first)
    for i in range(lo, n):
        token = min(max(int(tokens[i]), 0), len(spared.piece_ends) - 1)
        known = is_spared(spared, token)
        for j in range(lo, i):
            known = known or tokens[j] == token
        if not known:
            if logits[token] > f32(0):
                logits[token] = logits[token] / penalty
            else:
                logits[token] = logits[token] * penalty


def is_spared(spared: Spared, token: int) -> bool:
    """Whether a token ends an answer, or prints nothing."""
    for k in range(len(spared.ends)):
        if spared.ends[k] == token:
            return True
    return bool(spared.piece_ends[token] == (spared.piece_ends[token - 1] if token > 0 else 0))


def sample(logits: F32, order: I32, rng: U64, n: int, temperature: Real, top_p: Real, top_k: int, min_p: Real) -> int:
    """The next token out of n logits, which are overwritten when one is drawn.

    Temperature 0 takes the most likely.  Otherwise p = softmax(logits / temperature), and the token is drawn from
    all of them, or from what `top_k` (0: no limit), `min_p` (0: none) and `top_p` (not inside (0, 1): none) leave.
    """
    if temperature == f32(0):
        return argmax(logits, n)
    for i in range(0, padded(n), LANES):
        store_f32x16(logits, i, load_f32x16(logits, i) / splat_f32x16(temperature))
    for i in range(n, padded(n)):
        logits[i] = f32(-np.inf)
    softmax(logits, padded(n), f32(-np.inf))
    coin = random_f32(rng)
    if (top_p <= f32(0) or top_p >= f32(1)) and (top_k <= 0 or top_k >= n) and min_p <= f32(0):
        return draw(logits, n, coin)
    return draw_among(logits, order, n, top_p, top_k, min_p, coin)


def argmax(x: F32, n: int) -> int:
    """The place of the greatest value, the first where several are."""
    whole = n // LANES * LANES
    peaks = splat_f32x16(f32(-np.inf))
    for i in range(0, whole, LANES):
        peaks = max_f32x16(load_f32x16(x, i), peaks)
    peak = max_tree(peaks)
    for i in range(whole, n):
        if x[i] > peak:
            peak = x[i]
    for i in range(n):
        if x[i] == peak:
            return i
    return 0


def draw(p: F32, n: int, coin: Real) -> int:
    """The first i whose p[0] + ... + p[i] exceeds the coin."""
    total = f32(0)
    for i in range(n):
        total += p[i]
        if coin < total:
            return i
    return n - 1


def draw_among(p: F32, order: I32, n: int, top_p: Real, top_k: int, min_p: Real, coin: Real) -> int:
    """Draw among candidates: the `top_k` most likely; of these those with p >= min_p · max p (Nguyen et al. 2024); of
    these the smallest set of most likely ones that exceeds `top_p` (Holtzman et al. 2019), all where none does.

    No step renormalises: p is always a share of the whole vocabulary.  So each takes a beginning of the tokens by
    likelihood, the shortest decides, and the order of the steps does not matter.  The most likely always stays.

    Tokens below (1 - top_p) / (n - 1) cannot be among the first to exceed `top_p`.  A heap gives the rest, or the
    `top_k` of it, one by one, greatest first, and only as many as are needed: `order` ends as [heap | taken, the first
    taken at the very end].
    """
    most = f32(2)  # more than all together
    cutoff = f32(0)
    if top_p > f32(0) and top_p < f32(1):
        most = top_p
        cutoff = (f32(1) - top_p) / f32(n - 1)
    if min_p > f32(0):
        cutoff = max(cutoff, min_p * p[argmax(p, n)])
    size = gather_likely(p, order, n, cutoff, top_k if 0 < top_k < n else n)
    if size == 0:
        return argmax(p, n)
    left = size
    total = f32(0)
    while left > 0 and total <= most:
        left -= 1
        top = order[0]
        order[0] = order[left]
        order[left] = top
        sift(p, order, 0, left, False)
        total += p[top]
    threshold = coin * total
    seen = f32(0)
    for i in range(size - 1, left - 1, -1):
        seen += p[order[i]]
        if threshold < seen:
            return int(order[i])
    return int(order[left])


def gather_likely(p: F32, order: I32, n: int, cutoff: Real, most: int) -> int:
    """Of the tokens with p >= cutoff the `most` first, as a heap with the most likely at the root; returns how many.

    While more are found than that, the heap has the least likely at its root, which makes room.
    """
    size = 0
    for first in range(0, n, LANES):
        if first + LANES <= n and max_tree(load_f32x16(p, first)) < cutoff:
            continue
        for i in range(first, min(first + LANES, n)):
            if p[i] >= cutoff and size < most:
                order[size] = i
                size += 1
                if size == most:
                    heapify(p, order, size, True)
                    cutoff = max(cutoff, p[order[0]])
            elif p[i] >= cutoff and ahead(p, i, order[0]):
                order[0] = i
                sift(p, order, 0, size, True)
                cutoff = max(cutoff, p[order[0]])
    heapify(p, order, size, False)
    return size


def heapify(p: F32, order: I32, n: int, reverse: bool) -> None:
    """Make a heap of n candidates."""
    for i in range(n // 2 - 1, -1, -1):
        sift(p, order, i, n, reverse)


def sift(p: F32, order: I32, at: int, n: int, reverse: bool) -> None:
    """Let the one at `at` sink until both below are less likely (or as likely and of a higher id), or reversed."""
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and ahead(p, order[child + 1], order[child]) != reverse:
            child += 1
        if ahead(p, order[child], order[at]) == reverse:
            return
        held = order[at]
        order[at] = order[child]
        order[child] = held
        at = child


def ahead(p: F32, a: int, b: int) -> bool:
    """Whether token a comes before token b: more likely, or as likely with the lower id."""
    return p[a] > p[b] or (p[a] == p[b] and a < b)
