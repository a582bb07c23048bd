"""SHA-256: hashlib, the kernel in both worlds, with the processor's instructions and without, say the same."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from barelm.contract.trust.hashing import Sha256
from barelm.kernels.sha256 import begin_sha256, extend_sha256, finish_sha256, take_block
from tests.worlds import World, both_worlds, interpreter, jit


def digest(world: World, *parts: bytes) -> bytes:
    """Of parts that follow one another."""
    state, out = Sha256.over(np.full(Sha256.BYTES, 0xA5, np.uint8)), np.zeros(32, np.uint8)
    world(begin_sha256)(state)
    for part in parts:
        world(extend_sha256)(state, np.frombuffer(part, np.uint8).copy())
    world(finish_sha256)(state, out)
    return out.tobytes()


@both_worlds
@pytest.mark.parametrize("n", [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 500])
def test_every_way_to_end(world: World, n: int) -> None:
    data = bytes(k * 7 % 256 for k in range(n))
    assert digest(world, data) == hashlib.sha256(data).digest()


@examples(max_examples=25)
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_any_pieces(parts: list[bytes]) -> None:
    whole = hashlib.sha256(b"".join(parts)).digest()
    assert digest(jit, *parts) == whole
    assert digest(interpreter, *parts) == whole


def test_a_long_text() -> None:
    data = np.random.default_rng(3).integers(0, 256, (1 << 20) + 77, np.uint8).tobytes()
    assert digest(jit, data[:12345], data[12345:]) == hashlib.sha256(data).digest()


def test_instructions_and_arithmetic_agree() -> None:
    """On a processor that has the instructions the JIT takes them; the arithmetic is compiled here all the same."""
    state, data = Sha256.over(np.zeros(Sha256.BYTES, np.uint8)), np.arange(640, dtype=np.uint64).view(np.uint8)
    begin_sha256(state)
    words, schedule = np.array(state.words), np.zeros(64, np.int64)
    jit(extend_sha256)(state, data)
    for at in range(0, len(data), 64):
        jit(take_block)(words, data[at:at + 64], schedule)
    assert np.array_equal(words, state.words)
