"""The primitives over memory: in both worlds the same bytes are read and written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from barelm.dialect import memory
from barelm.dialect.memory import (
    UNKNOWN,
    address_of,
    atomic_add,
    atomic_load,
    atomic_store,
    cells,
    copy_bytes,
    f32_array,
    fill_bytes,
    float_of_bits,
    i8_array,
    i32_array,
    i64_array,
    load_i64,
    load_u8,
    load_u16,
    load_u32,
    prefetch,
    scratch,
    store_i64,
    text,
    u8_array,
    u16_array,
    u64_array,
)
from barelm.dialect.types import U8
from tests.worlds import World, both_worlds, interpreter, jit, same_bits

VIEWS = {u8_array: np.uint8, i8_array: np.int8, u16_array: np.uint16, i32_array: np.int32, i64_array: np.int64,
         u64_array: np.uint64, f32_array: np.float32}
HELLO = "Hé, 世 🙂"


def some_bytes(n: int = 256) -> NDArray[np.uint8]:
    """The same bytes every time, none of them a pattern."""
    return np.random.default_rng(7).integers(0, 256, n, np.uint8)


def copy_through(view: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the dialect that copies a view's elements, then writes its last one."""
    def run(block: U8, offset: int, n: int, out: Any, last: Any) -> None:
        values = view(block, offset, n)
        for i in range(n):
            out[i] = values[i]
        values[n - 1] = last[0]

    return run


def copy_square(view: Callable[..., Any]) -> Callable[..., Any]:
    """The same through a view of two dimensions."""
    def run(block: U8, offset: int, rows: int, cols: int, out: Any) -> None:
        values = view(block, offset, (rows, cols))
        for row in range(rows):
            for col in range(cols):
                out[row, col] = values[row, col]

    return run


@both_worlds
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_view_reads_and_writes_the_block_itself(world: World, view: Callable[..., Any]) -> None:
    dtype = np.dtype(VIEWS[view])
    block, out, last = some_bytes(), np.zeros(5, dtype), np.ones(1, dtype)
    before = block.copy()
    world(copy_through(view))(block, 16, 5, out, last)
    assert same_bits(out, before[16:16 + 5 * dtype.itemsize])
    at = 16 + 4 * dtype.itemsize
    assert same_bits(block[at:at + dtype.itemsize], last)
    assert same_bits(np.delete(block, slice(at, at + dtype.itemsize)),
                     np.delete(before, slice(at, at + dtype.itemsize)))


@both_worlds
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_view_of_two_dimensions_is_row_by_row(world: World, view: Callable[..., Any]) -> None:
    dtype = np.dtype(VIEWS[view])
    block, out = some_bytes(), np.zeros((3, 4), dtype)
    world(copy_square(view))(block, 8, 3, 4, out)
    assert same_bits(out, block[8:8 + 12 * dtype.itemsize])


def put_float_of_bits(bits: int, out: Any) -> None:
    """out[0] = the float, stored without a detour through a wider one."""
    out[0] = float_of_bits(bits)


@given(st.integers(-2**63, 2**63 - 1))
def test_float_of_bits_takes_the_low_half_and_changes_no_bit(bits: int) -> None:
    for world in (interpreter, jit):
        out = np.zeros(1, np.float32)
        world(put_float_of_bits)(bits, out)
        assert out.view(np.uint32)[0] == bits & 0xFFFFFFFF


def memory_sum(address: int, n: int) -> int:
    """Σ of the bytes at an address, which is left one higher each."""
    block = memory.memory(address, n)
    total = 0
    for i in range(n):
        total += int(block[i])
        block[i] = 7
    return total + 1000 * len(block)


@both_worlds
@pytest.mark.parametrize("n", [0, 1, 9])
def test_memory_is_an_array_over_an_address(world: World, n: int) -> None:
    block = some_bytes(32)
    expected = int(block[3:3 + n].sum()) + 1000 * n
    after = np.concatenate([block[:3], np.full(n, 7, np.uint8), block[3 + n:]])
    assert world(memory_sum)(np.int64(block.ctypes.data + 3), np.int64(n)) == expected
    assert same_bits(block, after)


def fetch_ahead(block: U8, i: int) -> int:
    """The first byte, another line on its way."""
    prefetch(block, i)
    return int(block[0])


@both_worlds
@pytest.mark.parametrize("i", [0, 63, 255, 256, -1, 1 << 40, -(1 << 62)])
def test_prefetch_changes_nothing_wherever_it_points(world: World, i: int) -> None:
    block = some_bytes()
    assert world(fetch_ahead)(block, i) == block[0] and same_bits(block, some_bytes())


def address(block: Any) -> int:
    """Where an array lies."""
    return address_of(block)


@both_worlds
def test_address_of_is_the_first_element(world: World) -> None:
    for block in (some_bytes(), np.zeros((3, 4), np.float32), np.zeros(5, np.int64)[2:]):
        assert world(address)(block) == block.ctypes.data


def use_cells(value: int) -> int:
    """Every word is zero at first, keeps what is written, and has an address others can write to."""
    words = cells(3)
    before = words[0] + words[1] + words[2]
    words[1] = value
    store_i64(address_of(words) + 16, 5)
    return before * 1000 + words[1] * 10 + words[2] + 100 * len(words)


@both_worlds
def test_cells_are_zeroed_words_with_an_address(world: World) -> None:
    assert world(use_cells)(4) == 345
    assert world(use_cells)(6) == 365


def use_scratch(value: int) -> int:
    """What is written is kept."""
    words = scratch(2)
    words[0] = value
    store_i64(address_of(words) + 8, 5)
    return words[0] * 10 + words[1] + 100 * len(words)


@both_worlds
def test_scratch_keeps_what_is_written(world: World) -> None:
    assert world(use_scratch)(4) == 245
    assert (scratch(3) == UNKNOWN).all()


def load_all(address: int, out: Any) -> None:
    """One load of each width."""
    out[0] = load_u8(address)
    out[1] = load_u16(address)
    out[2] = load_u32(address)
    out[3] = load_i64(address)


@given(st.binary(min_size=8, max_size=8), st.integers(0, 7))
def test_loads_are_little_endian_widened_and_need_no_alignment(raw: bytes, shift: int) -> None:
    block = np.frombuffer(bytes(shift) + raw, np.uint8).copy()
    for world in (interpreter, jit):
        out = np.zeros(4, np.int64)
        world(load_all)(np.int64(block.ctypes.data + shift), out)
        assert [int(word) & 0xFFFFFFFFFFFFFFFF for word in out] == [
            int.from_bytes(raw[:n], "little") for n in (1, 2, 4, 8)]
        assert (out[:3] >= 0).all()


def put_i64(address: int, value: int) -> None:
    """One store."""
    store_i64(address, value)


@given(st.integers(-2**63, 2**63 - 1), st.integers(0, 7))
def test_store_i64_writes_eight_bytes_anywhere(value: int, shift: int) -> None:
    for world in (interpreter, jit):
        block = np.full(24, 0xAA, np.uint8)
        world(put_i64)(np.int64(block.ctypes.data + 8 + shift), np.int64(value))
        assert block.tobytes() == (b"\xaa" * (8 + shift) + value.to_bytes(8, "little", signed=True)
                                   + b"\xaa" * (8 - shift))


def copy_and_fill(target: int, source: int, n: int, value: int) -> None:
    """Copy n bytes, then fill the n after them."""
    copy_bytes(target, source, n)
    fill_bytes(target + n, value, n)


@both_worlds
@pytest.mark.parametrize("n", [0, 1, 31, 64])
@pytest.mark.parametrize("value", [0, 0x5A, 0xFF])
def test_copy_and_fill_touch_their_bytes_alone(world: World, n: int, value: int) -> None:
    source, target = some_bytes(64), np.full(160, 0x11, np.uint8)
    numbers = np.array([target.ctypes.data + 8, source.ctypes.data, n, value])  # as computed from words of memory
    world(copy_and_fill)(*numbers)
    assert target.tobytes() == b"".join([b"\x11" * 8, source[:n].tobytes(), bytes([value]) * n,
                                         b"\x11" * (152 - 2 * n)])


def put_hello(out: Any) -> int:
    """A constant, unit by unit; the empty one is its zero alone."""
    units = text(HELLO)
    for i in range(len(units)):
        out[i] = units[i]
    return len(units) * 100 + len(text(""))


@both_worlds
def test_text_is_utf16_with_a_zero(world: World) -> None:
    expected = np.frombuffer((HELLO + "\0").encode("utf-16-le"), np.uint16)
    out = np.zeros(len(expected), np.uint16)
    assert world(put_hello)(out) == 100 * len(expected) + 1
    assert same_bits(out, expected)


def use_atomics(words: Any, value: int) -> int:
    """Store, add, load; the order of the results says which was which."""
    atomic_store(words, 1, value)
    before = atomic_add(words, 1, 5)
    return before * 1000000 + atomic_load(words, 1) * 1000 + atomic_load(words, 0)


@both_worlds
def test_atomics_return_what_was_there_and_leave_neighbours_alone(world: World) -> None:
    words = np.array([3, 9, 4], np.int64)
    assert world(use_atomics)(words, 7) == 7012003
    assert words.tolist() == [3, 12, 4]


def count_up(words: Any, n: int) -> None:
    """Add one, n times."""
    for _ in range(n):
        atomic_add(words, 0, 1)


@both_worlds
def test_atomic_add_loses_nothing_between_threads(world: World) -> None:
    words, n = np.zeros(1, np.int64), 2000
    run = world(count_up)
    run(words, 1)
    threads = [threading.Thread(target=run, args=(words, n)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert words[0] == 1 + 4 * n
