"""The checksum: whole numbers in Python, the kernel in both worlds and the host's NumPy say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.kernels.checksum import extend_checksum
from barelm.pack.sums import checksum
from tests.kernels.agree import agree
from tests.worlds import jit


def plain(data: bytes) -> list[int]:
    """a = Σ wᵢ, b = Σ aᵢ modulo 2^64."""
    a = b = 0
    for at in range(0, len(data), 8):
        a = (a + int.from_bytes(data[at:at + 8], "little")) % 2**64
        b = (b + a) % 2**64
    return [a, b]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 40))
def test_all_say_the_same_in_parts_too(words: list[int], cut: int) -> None:
    data = np.array(words, np.uint64).view(np.uint8)
    compiled, host = np.zeros(2, np.uint64), np.zeros(2, np.uint64)
    for part in (data[:8 * cut], data[8 * cut:]):
        agree(extend_checksum, compiled, part, len(part))
        checksum(host, part)
    assert compiled.tolist() == host.tolist() == plain(data.tobytes())


@pytest.mark.parametrize("n_words", [(1 << 17) - 1, 1 << 17, (1 << 18) + 3])
def test_the_host_sums_long_sections_in_parts(n_words: int) -> None:
    data = np.random.default_rng(n_words).integers(0, 256, 8 * n_words, np.uint8)
    compiled, host = np.zeros(2, np.uint64), np.zeros(2, np.uint64)
    jit(extend_checksum)(compiled, data, len(data))
    checksum(host, data)
    assert np.array_equal(compiled, host)


def test_order_counts() -> None:
    sums = [np.zeros(2, np.uint64) for _ in range(2)]
    checksum(sums[0], np.array([1, 2], np.uint64).view(np.uint8))
    checksum(sums[1], np.array([2, 1], np.uint64).view(np.uint8))
    assert sums[0][0] == sums[1][0] and sums[0][1] != sums[1][1]
