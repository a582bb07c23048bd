"""Logarithms of probabilities: those of double precision, and the most probable in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.dialect.types import f32, padded
from barelm.kernels.decoder.mathf import log_f32
from barelm.kernels.logprobs import tell_probabilities
from tests.worlds import interpreter, jit


@given(st.floats(2.0**-126, 2.0**127, width=32))
def test_the_logarithm(x: float) -> None:
    found = [world(log_f32)(f32(x)) for world in (interpreter, jit)]
    assert found[0] == found[1]
    assert abs(found[0] - np.log(np.float64(np.float32(x)))) <= 3e-7 * max(1, abs(np.log(x)))


@pytest.mark.parametrize("n, most", [(1, 0), (5, 5), (16, 3), (300, 20), (301, 0)])
def test_the_most_probable(n: int, most: int) -> None:
    logits = np.full(padded(n), -np.inf, np.float32)
    logits[:n] = np.random.default_rng(n).normal(0, 4, n).round(1)
    truth = logits[:n].astype(float)
    truth = truth - truth.max() - np.log(np.exp(truth - truth.max()).sum())
    tables = []
    for world in (interpreter, jit):
        told = np.full(2 + 2 * most, 77, np.int64)
        world(tell_probabilities)(told, logits.copy(), n, n // 2)
        tables.append(told)
    assert (tables[0] == tables[1]).all()
    ids, values = tables[0][::2], tables[0][1::2].astype(np.uint32).view(np.float32)
    assert list(ids) == [n // 2, *sorted(range(n), key=lambda i: (-logits[i], i))[:most]]
    assert np.allclose(values, truth[ids], 1e-6, 2e-6)
