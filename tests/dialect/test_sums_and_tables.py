"""The sum of files: its definition, the plain lowering, the family's instructions and the host's library say the same.

And of the columns of tables: both worlds find the same number.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.memory import plain_crc32c
from barelm.dialect.memory import crc32c, first_senseless
from barelm.dialect.rooms import kernel
from barelm.dialect.types import I64, U8
from barelm.pack.sums import checksum
from tests.kernels.agree import agree
from tests.worlds import jit


@kernel
def summed(crc: int, data: U8, n_bytes: int) -> int:
    """The primitive."""
    return crc32c(crc, data, n_bytes)


@kernel
def looked_at(table: I64, column: int, stride: int, least: int, most: int, step: int, low: int, low_most: int) -> int:
    """The other one."""
    return first_senseless(table, column, stride, least, most, step, low, low_most)


def test_it_is_the_sum_of_the_standards() -> None:
    """RFC 3720, appendix B.4, and the check value every catalogue of CRCs has."""
    for data, wanted in ((b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43),
                         (bytes(range(32)), 0x46DD794E), (b"", 0)):
        assert crc32c(0, np.frombuffer(data, np.uint8), len(data)) == wanted


@given(st.binary(max_size=90), st.integers(0, 90), st.integers(0, 2**32 - 1))
def test_all_say_the_same_in_parts_too(content: bytes, cut: int, before: int) -> None:
    data = np.frombuffer(content, np.uint8)
    crc, host, by_instruction = before, before, before
    for part in (data[:cut], data[cut:]):
        crc = agree(summed, crc, part, len(part))
        host = checksum(part, host)
        by_instruction = FAMILY.module("primitives").crc32c(by_instruction, part, len(part))
        assert agree(plain_crc32c, before, data, len(data)) == summed(before, data, len(data))
    assert crc == host == by_instruction == crc32c(before, data, len(data))


@pytest.mark.parametrize("n_bytes", [4095, 4096, 4100, 5000, 8 << 10, (4 << 20) + 3, (1 << 20) + 17])
def test_long_ones_are_put_together(n_bytes: int) -> None:
    data = np.random.default_rng(n_bytes).integers(0, 256, n_bytes, np.uint8)
    assert jit(summed)(7, data, n_bytes) == jit(plain_crc32c)(7, data, n_bytes) == checksum(data, 7)


@pytest.mark.parametrize("bit", [63, 62, 61, 31, 0])
@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_a_line_that_sticks_is_noticed(bit: int, step: int) -> None:
    """Two running sums missed up to half of these."""
    random = np.random.default_rng(bit)
    for _ in range(50):
        words = random.integers(0, 1 << 64, 8192, np.uint64)
        stuck = words.copy()
        stuck[::step] |= np.uint64(1 << bit)
        assert checksum(words) != checksum(stuck)


def test_two_flips_are_noticed() -> None:
    words = np.arange(64, dtype=np.uint64)
    other = words.copy()
    other[[10, 12]] ^= np.uint64(1 << 63)
    assert checksum(words) != checksum(other) and checksum(words[::-1].copy()) != checksum(words)


@given(st.lists(st.one_of(st.integers(-3, 12), st.integers(-2**63, 2**63 - 1)), max_size=24), st.integers(1, 3),
       st.integers(-2, 2), st.integers(0, 12), st.integers(-1, 1), st.sampled_from(((0, 0), (7, 6), (3, 0))))
def test_both_worlds_find_the_same_number(values: list[int], stride: int, least: int, most: int, step: int,
                                          low: tuple[int, int]) -> None:
    table = np.array(values, np.int64)
    for column in range(stride):
        found = agree(looked_at, table, column, stride, least, most, step, *low)
        rows = values[column::stride]
        wrong = [column + stride * k for k, value in enumerate(rows)
                 if not least <= value <= most or value & low[0] > low[1]
                 or (step >= 0 and k > 0 and value < rows[k - 1] + step)]
        assert found == (wrong[0] if wrong else -1)
