"""Activations as int8: within half a step of what they were, the same bits in both worlds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from barelm.dialect.types import BLOCK, LANES
from barelm.kernels.encodings.activations import LEAST_PEAK, Activations, quantize
from tests.kernels.agree import agree, normal
from tests.kernels.halves import halves
from tests.worlds import same_bits

Floats = NDArray[np.float32]


def quantized(values: Floats) -> Activations:
    """One block, in both worlds."""
    a = Activations(values[None].copy(), np.zeros((1, 2 * BLOCK), np.uint8))
    agree(quantize, a, 0, 0, 1)
    return a


@given(arrays(np.float32, BLOCK, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_a_quantized_block_is_within_half_a_step(values: Floats) -> None:
    a = quantized(values)
    total = np.float32(0)
    for half in range(2):
        lanes = slice(half * LANES, (half + 1) * LANES)
        found = halves(a)[0, half]
        scale, quants = float(found["scale"]), found["quants"].astype(int)
        assert found["quant_sum"] == quants.sum()
        assert np.abs(quants).max() == (127 if np.abs(values[lanes]).max() > LEAST_PEAK else 0)
        error = np.abs(values[lanes].astype(np.float64) - scale * quants)
        assert (error <= 0.5 * scale * (1 + 1e-4) + (LEAST_PEAK if scale == 0 else 0)).all()
        with np.errstate(all="ignore"):  # the largest floats have no finite sum
            total = total + np.float32(scale) * np.float32(quants.sum())
    assert same_bits(halves(a)[0, 0]["sum"], total) or np.isnan(total)


@pytest.mark.parametrize("values", [0.0, -0.0, 1e-45, -1.1e-38, float(np.float32(LEAST_PEAK))])
def test_what_counts_as_zero(values: float) -> None:
    a = quantized(np.full(BLOCK, values, np.float32))
    assert not a.halves.any()


@pytest.mark.parametrize("power", [-90, -20, 0, 3, 100])
def test_whole_steps_come_back_exactly(power: int) -> None:
    steps = np.resize(np.array([127, -127, 1, 0, -64, 126, 5]), BLOCK)
    a = quantized((steps * 2.0 ** power).astype(np.float32))
    found = halves(a)[0]
    assert found["quants"].reshape(-1).tolist() == steps.tolist()
    assert (found["scale"] == 2.0 ** power).all() and found["sum"][0] == 2.0 ** power * steps.sum()


def test_only_the_blocks_asked_for_are_quantized() -> None:
    a = Activations(normal(1, 2, 96), np.full((2, 192), 9, np.uint8))
    agree(quantize, a, 1, 1, 2)
    untouched = np.ones((2, 3), bool)
    untouched[1, 1] = False
    assert (a.halves.reshape(2, 3, 2 * BLOCK)[untouched] == 9).all()
    assert np.abs(halves(a)["quants"][1, 2:4]).max() == 127
