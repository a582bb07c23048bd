"""Choosing the next token: llama2.c's generator and its top-p, said again in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
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
    assert agree(sampler.draw_top_p, p, order, n, top_p, coin) == references.draw_top_p(p, top_p, coin)


def test_top_p_draws_as_often_as_likely() -> None:
    p = np.array([0.05, 0.5, 0.15, 0.3], np.float32)
    order, drawn = np.zeros(16, np.int32), np.zeros(4)
    for coin in range(1000):
        drawn[jit(sampler.draw_top_p)(p, order, 4, f32(0.75), f32(coin / 1000))] += 1
    assert np.allclose(drawn / 1000, [0, 0.625, 0, 0.375], atol=2e-3)


@pytest.mark.parametrize("n", [2, 40, 512])
@pytest.mark.parametrize("top_p", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 2.0])
def test_sample(n: int, top_p: float, temperature: float) -> None:
    logits, order = np.zeros(padded(n), np.float32), np.zeros(padded(n), np.int32)
    logits[:n] = normal(n, n, scale=3)
    given_logits, rng = logits.copy(), np.array([7], np.uint64)
    token = agree(sampler.sample, logits, order, rng, n, f32(temperature), f32(top_p))
    if temperature == 0:
        assert token == np.argmax(given_logits[:n]) and rng[0] == 7
        return
    assert np.allclose(logits[:n], references.softmax(given_logits[:n].astype(float) / temperature), 1e-5, 1e-30)
    coin = f32(references.random_numbers(7, 1)[0])
    if 0 < top_p < 1:
        assert token == references.draw_top_p(logits[:n], f32(top_p), coin)
    else:
        assert token == np.flatnonzero(np.add.accumulate(logits[:n]) > coin)[0]
