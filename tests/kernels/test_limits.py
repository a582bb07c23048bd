"""The loops that measure a processor do what they say: a loop that was optimised away would measure nothing."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.dialect.types import f32
from barelm.kernels import limits
from tests.kernels.agree import agree, normal


@pytest.mark.parametrize("n", [0, 1, 7, 40])
def test_floats(n: int) -> None:
    found = float(agree(limits.multiply_floats, n, f32(1)))
    vectors = [2 + (start - 2) / 2**n for start in range(1, 7)]  # the fixed point of x / 2 + 1 is 2
    assert abs(found - sum(vectors) / 6) < 1e-5


@pytest.mark.parametrize("n", [0, 1, 2, 5, 33])
def test_bytes(n: int) -> None:
    rng = np.random.default_rng(n)
    w, x = (rng.integers(-127, 128, size, np.int8) for size in (3 * 64, 4 * 64))
    rounds = [w[k % 3 * 64:][:64].astype(np.int64) for k in range(n)]
    expected = sum(int((row * x[at:at + 64]).sum()) for row in rounds for at in range(0, 256, 64))
    assert agree(limits.multiply_bytes, n, w.view(np.uint8), x.view(np.uint8)) == expected


@pytest.mark.parametrize("n", [0, 1, 5])
def test_nibbles(n: int) -> None:
    rng = np.random.default_rng(n)
    w, x = rng.integers(0, 16, 2 * 64, np.uint8), rng.integers(-127, 128, 4 * 64, np.int8)
    expected = sum(int((w[k % 2 * 64:][:64].astype(np.int64) * x[at:at + 64]).sum())
                   for k in range(n) for at in range(0, 256, 64))
    assert agree(limits.multiply_nibbles, n, w, x.view(np.uint8)) == expected


def test_reading() -> None:
    x = normal(3, 1024)
    assert abs(float(agree(limits.read_through, x.view(np.uint8))) - x.sum(dtype=np.float64)) < 1e-3
