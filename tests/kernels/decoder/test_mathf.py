"""e^x against double precision."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.dialect.rooms import kernel
from barelm.dialect.types import F32, LANES
from barelm.dialect.vectors import load_f32x16, store_f32x16
from barelm.kernels.decoder.mathf import exp_f32x16
from tests.kernels.agree import agree
from tests.worlds import jit


@kernel
def exp_of_all(y: F32, x: F32) -> None:
    """y = e^x"""
    for i in range(0, len(x), LANES):
        store_f32x16(y, i, exp_f32x16(load_f32x16(x, i)))


def test_exp_is_within_2e7_of_the_truth() -> None:
    x = np.linspace(-87, 88, 1 << 21, dtype=np.float32)
    y = np.zeros_like(x)
    jit(exp_of_all)(y, x)
    truth = np.exp(x.astype(np.float64))
    assert np.abs(y / truth - 1).max() < 2e-7
    assert (np.diff(y) >= 0).mean() > 0.9999


def test_exp_agrees_in_both_worlds() -> None:
    rng = np.random.default_rng(1)
    edges = np.array([0, -0.0, 1, -1, 87, 88, -87, 1e-30, -1e-30, 0.34657359, -0.34657359, 1e30, -1e30, np.inf,
                      -np.inf, 88.5], np.float32)
    x = np.concatenate([edges, rng.uniform(-87, 88, 16 * 400).astype(np.float32)])
    y = np.zeros_like(x)
    agree(exp_of_all, y, x)
    assert y[0] == y[1] == 1
    assert y[13] == y[11] == pytest.approx(np.exp(88), rel=1e-6)
    assert y[14] == y[12] == pytest.approx(np.exp(-87), rel=1e-6)
