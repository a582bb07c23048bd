"""Choosing the next token: llama2.c's generator and its top-p, the other limits, said again in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from barelm.dialect.types import f32, padded
from barelm.kernels import sampler
from tests.kernels import references
from tests.kernels.agree import agree, normal
from tests.worlds import jit

seeds = st.integers(1, 2**64 - 1)


def probabilities(seed: int, n: int, temperature: float = 0.5) -> NDArray[np.float32]:
    """A distribution over n tokens in float32, ties among them."""
    rng = np.random.default_rng(seed)
    return references.softmax(np.round(rng.normal(0, 1, n), 1) / temperature).astype(np.float32)


@given(seeds)
def test_the_generator_is_xorshift64_star(seed: int) -> None:
    rng = np.array([seed], np.uint64)
    assert [float(agree(sampler.random_f32, rng)) for _ in range(20)] == references.random_numbers(seed, 20)


@pytest.mark.parametrize("values, best", [([1, 3, 2], 1), ([2, 5, 5, 5], 1), ([-3, -1, -2], 1), ([7], 0),
                                          ([-np.inf, -np.inf, 0], 2), ([4, 4], 0)])
def test_argmax_is_the_first_greatest(values: list[float], best: int) -> None:
    assert agree(sampler.argmax, np.array(values, np.float32), len(values)) == best


@given(st.integers(0, 999), st.integers(1, 300), st.integers(0, 2**24 - 1))
def test_draw_takes_the_first_whose_sum_exceeds_the_coin(seed: int, n: int, bits: int) -> None:
    p, coin = probabilities(seed, n), f32(bits / 2**24)
    above = np.flatnonzero(np.add.accumulate(p) > coin)
    assert agree(sampler.draw, p, n, coin) == (above[0] if len(above) else n - 1)


@given(st.integers(0, 999), st.integers(2, 300), st.integers(1, 99), st.integers(0, 2**24 - 1))
def test_top_p_is_llama2c_s(seed: int, n: int, percent: int, bits: int) -> None:
    p, order = probabilities(seed, n), np.zeros(padded(n), np.int32)
    top_p, coin = f32(percent / 100), f32(bits / 2**24)
    assert agree(sampler.draw_among, p, order, n, top_p, 0, f32(0), coin) == references.draw_top_p(p, top_p, coin)


def test_top_p_draws_as_often_as_likely() -> None:
    p = np.array([0.05, 0.5, 0.15, 0.3], np.float32)
    order, drawn = np.zeros(16, np.int32), np.zeros(4)
    for coin in range(1000):
        drawn[jit(sampler.draw_among)(p, order, 4, f32(0.75), 0, f32(0), f32(coin / 1000))] += 1
    assert np.allclose(drawn / 1000, [0, 0.625, 0, 0.375], atol=2e-3)


LIMITS = (st.sampled_from([0.0, 0.2, 0.5, 0.9, 0.99, 1.0]), st.sampled_from([0, 1, 2, 3, 40, 300, 1000]),
          st.sampled_from([0.0, 0.001, 0.05, 0.3, 1.0]))


@given(st.integers(0, 999), st.integers(2, 300), *LIMITS, st.integers(0, 2**24 - 1))
def test_the_limits_leave_what_a_plain_reference_leaves(seed: int, n: int, top_p: float, top_k: int, min_p: float,
                                                       bits: int) -> None:
    p, order, coin = probabilities(seed, n), np.zeros(padded(n), np.int32), f32(bits / 2**24)
    exact = p.astype(np.float64)
    kept = references.candidates(exact, top_p, top_k, min_p)
    sums = np.cumsum(exact[kept])
    # A decision closer than float32 sums are exact may fall either way.
    edges = [sums - coin * sums[-1], np.cumsum(np.sort(exact)[::-1]) - top_p, exact - min_p * exact.max()]
    assume(all((abs(edge[edge != 0]) > 1e-6 * min(1, exact.max())).all() for edge in edges[:2]))
    assume((abs(edges[2][edges[2] != 0]) > 1e-6 * exact.max()).all())
    token = agree(sampler.draw_among, p, order, n, f32(top_p), top_k, f32(min_p), coin)
    assert token == kept[int(np.searchsorted(sums, coin * sums[-1], side="right"))]


TWO, THREE = {0: 2 / 3, 2: 1 / 3}, {0: 0.5, 2: 0.25, 4: 0.25}
ALL = {0: 0.4, 1: 0.1, 2: 0.2, 3: 0.1, 4: 0.2}


@pytest.mark.parametrize("top_p, top_k, min_p, shares", [
    (0.0, 2, 0.0, TWO), (0.0, 0, 0.5, THREE), (0.0, 1, 0.0, {0: 1}), (0.7, 3, 0.0, THREE), (0.9, 2, 0.1, TWO),
    (0.45, 0, 0.1, TWO), (0.45, 9, 0.9, {0: 1}), (0.0, 9, 0.0, ALL), (0.0, 0, 1.0, {0: 1}), (0.0, 0, 5.0, {0: 1})])
def test_drawn_as_often_as_the_shares_of_what_is_left(top_p: float, top_k: int, min_p: float,
                                                      shares: dict[int, float]) -> None:
    p = np.array([ALL[i] for i in range(5)], np.float32)
    order, drawn = np.zeros(16, np.int32), np.zeros(5)
    for coin in range(1000):
        drawn[jit(sampler.draw_among)(p, order, 5, f32(top_p), top_k, f32(min_p), f32(coin / 1000))] += 1
    assert np.allclose(drawn / 1000, [shares.get(i, 0) for i in range(5)], atol=2e-3)


@given(st.integers(0, 999), st.lists(st.integers(0, 39), max_size=150), st.floats(0.25, 4, width=32))
def test_the_penalty_takes_each_of_the_last_tokens_once(seed: int, tokens: list[int], penalty: float) -> None:
    logits = normal(seed, 48, scale=3)
    logits[seed % 40] = 0
    expected = references.penalised(logits.astype(np.float64), tokens[-64:], penalty)
    ids = np.full(200, 47, np.int64)  # behind the tokens there are stands what was, and is none of them
    ids[:len(tokens)] = tokens
    agree(sampler.penalise, logits, ids, len(tokens), f32(penalty), spared(0))
    assert np.allclose(logits, expected, 1e-6, 0)


def spared(first: int, ends: tuple[int, ...] = (), silent: tuple[int, ...] = ()) -> sampler.Spared:
    """What the penalty passes over among 48 tokens."""
    return sampler.Spared(first, np.array((*ends, -1), np.int64),
                          np.cumsum([i not in silent for i in range(48)], dtype=np.int32))


@given(st.integers(0, 999), st.lists(st.integers(0, 39), max_size=150), st.integers(0, 160))
def test_the_penalty_spares_ends_control_tokens_and_what_the_template_wrote(seed: int, tokens: list[int],
                                                                           first: int) -> None:
    logits = normal(seed, 48, scale=3)
    counted = [token for k, token in enumerate(tokens) if k >= max(first, len(tokens) - 64) and token not in (2, 3, 7)]
    expected = references.penalised(logits.astype(np.float64), counted, 1.5)
    ids = np.zeros(200, np.int64)
    ids[:len(tokens)] = tokens
    agree(sampler.penalise, logits, ids, len(tokens), f32(1.5), spared(first, (2, 3), (7,)))
    assert np.allclose(logits, expected, 1e-6, 0)


@pytest.mark.parametrize("n", [2, 40, 512])
@pytest.mark.parametrize("top_p", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
def test_sample(n: int, top_p: float, temperature: float) -> None:
    logits, order = np.zeros(padded(n), np.float32), np.zeros(padded(n), np.int32)
    logits[:n] = normal(n, n, scale=3)
    given_logits, rng = logits.copy(), np.array([7], np.uint64)
    token = agree(sampler.sample, logits, order, rng, n, f32(temperature), f32(top_p), 0, f32(0))
    if temperature == 0:
        assert token == np.argmax(given_logits[:n]) and rng[0] == 7
        return
    assert np.allclose(logits[:n], references.softmax(given_logits[:n].astype(float) / temperature), 1e-5, 1e-30)
    coin = f32(references.random_numbers(7, 1)[0])
    if 0 < top_p < 1:
        assert token == references.draw_top_p(logits[:n], f32(top_p), coin)
    else:
        assert token == np.flatnonzero(np.add.accumulate(logits[:n]) > coin)[0]


@pytest.mark.parametrize("top_p, top_k, min_p", [(0.0, 3, 0.0), (1.0, 0, 0.2), (0.9, 5, 0.1), (0.0, 512, 0.0),
                                                 (0.0, 511, 0.0), (0.0, 10**15, 0.0)])
def test_sample_within_limits(top_p: float, top_k: int, min_p: float) -> None:
    for seed in range(1, 20):
        logits, order, rng = normal(seed, 512, scale=2), np.zeros(512, np.int32), np.array([seed], np.uint64)
        p = references.softmax(logits.astype(np.float64))
        token = agree(sampler.sample, logits, order, rng, 512, f32(1), f32(top_p), top_k, f32(min_p))
        assert token in references.candidates(p, top_p, top_k, min_p)
        after = np.array([seed], np.uint64)
        jit(sampler.random_f32)(after)
        assert rng[0] == after[0], "one draw"
