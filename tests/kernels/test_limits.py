"""The loops that measure a processor do what they say: a loop that was optimised away would measure nothing."""

from __future__ import annotations

from typing import Any

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
    w = rng.integers(-127, 128, 3 * 256, np.int8)
    x = np.tile(rng.integers(-127, 128, 16, np.int8), 4)
    assert agree(limits.multiply_bytes, n, w.view(np.uint8), x.view(np.uint8), int(x[:16].sum())) == products(n, w, x)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_nibbles(n: int) -> None:
    rng = np.random.default_rng(n)
    w, x = rng.integers(0, 32, 2 * 256, np.int8), rng.integers(-127, 128, 64, np.int8)
    assert agree(limits.multiply_nibbles, n, w.view(np.uint8), x.view(np.uint8)) == products(n, w, x)


def products(n: int, w: np.ndarray[Any, np.dtype[np.int8]], x: np.ndarray[Any, np.dtype[np.int8]]) -> int:
    """The sum over n rounds: in each vector lane r has four columns of row r."""
    total = 0
    for k in range(n):
        columns = w.reshape(-1, 4, 16, 4)[k % (len(w) // 256)].transpose(1, 0, 2).reshape(16, 16).astype(np.int64)
        total += sum(int((columns @ x[at:at + 16]).sum()) for at in range(0, 64, 16))
    return total


def test_reading() -> None:
    x = normal(3, 1024)
    assert abs(float(agree(limits.read_through, x.view(np.uint8))) - x.sum(dtype=np.float64)) < 1e-3
