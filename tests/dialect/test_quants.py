"""The narrow integers: every primitive in the interpreter and in every form this host has, up to the edges promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from barelm.dialect.lowering import forms, levels
from barelm.dialect.memory import address_of, cells, memory
from barelm.dialect.quants import (
    bits_i8x64,
    dot16_i8,
    dot16_u5,
    dot16_u6,
    load_bf16x16,
    load_bits_i32x16,
    load_f16x16,
    load_i8x16,
    load_i8x64,
    look_up_i8x64,
    splat_i32x16,
    store_i8x16,
    sum_i32x16,
    to_f32x16,
)
from barelm.dialect.rooms import kernel
from barelm.dialect.types import F32, I32, I64, U8, I8x64
from barelm.dialect.vectors import load_f32x16, round_i32x16, store_f32x16
from tests.forms import LEVELS, WORLDS, every_world
from tests.worlds import World, same_bits

Bytes = NDArray[np.uint8]
Octets = NDArray[np.int8]

activations = arrays(np.int8, 16, elements=st.integers(-127, 127) | st.sampled_from([-127, 0, 127]))
weights = arrays(np.uint8, 256, elements=st.integers(0, 255) | st.sampled_from([0x80, 0x7F, 0xFF, 0x00]))


def dots(w: U8, at: int, x: U8, i: int, total: int, out: F32) -> None:
    """The dot products of four vectors from byte `at` on: as they are, and their lowest five and six bits."""
    a = load_i8x64(w, at)
    b = load_i8x64(w, at + 64)
    c = load_i8x64(w, at + 128)
    d = load_i8x64(w, at + 192)
    store_f32x16(out, 0, to_f32x16(dot16_i8(a, b, c, d, x, i, total)))
    store_f32x16(out, 16, to_f32x16(dot16_u5(bits_i8x64(a, 0, 31, 0), bits_i8x64(b, 0, 31, 0), bits_i8x64(c, 0, 31, 0),
                                             bits_i8x64(d, 0, 31, 0), x, i)))
    store_f32x16(out, 32, to_f32x16(dot16_u6(bits_i8x64(a, 0, 63, 0), bits_i8x64(b, 0, 63, 0), bits_i8x64(c, 0, 63, 0),
                                             bits_i8x64(d, 0, 63, 0), x, i)))


def dots_in_whole_numbers(w: Bytes, x: Octets) -> list[int]:
    """The same by arithmetic without limits: byte 4 r + c of vector v is row r, column 4 v + c."""
    rows, x = w.astype(int).reshape(4, 16, 4).transpose(1, 0, 2).reshape(16, 16), x.astype(int)
    return [*np.where(rows > 127, rows - 256, rows) @ x, *((rows & 31) @ x), *((rows & 63) @ x)]


def check_dots(world: World, w: Bytes, x: Octets, at: int = 0) -> None:
    out = np.zeros(48, np.float32)
    shifted, beside = (np.concatenate([np.full(at, 77, np.uint8), part.view(np.uint8)]) for part in (w, x))
    world(dots)(shifted, at, beside, at, int(x.sum(dtype=int)), out)
    assert out.astype(int).tolist() == dots_in_whole_numbers(w, x)


@every_world
@given(weights, activations, st.integers(0, 5))
def test_dot_products_are_exact(world: World, w: Bytes, x: Octets, at: int) -> None:
    check_dots(world, w, x, at)


@every_world
@pytest.mark.parametrize("x", [-127, -1, 0, 1, 127])
@pytest.mark.parametrize("byte", [0x80, 0x7F, 0xFF, 0x81, 0x1F, 0x3F, 0xE0, 0])
def test_dot_products_at_the_edges(world: World, byte: int, x: int) -> None:
    check_dots(world, np.full(256, byte, np.uint8), np.full(16, x, np.int8))


@kernel
def columns(v: I8x64, out: F32, at: int) -> None:
    """A vector, one column of its sixteen rows at a time: by products with unit vectors, the other vectors 0."""
    words = cells(2)
    one = memory(address_of(words), 16)
    none = bits_i8x64(v, 0, 0, 0)
    for c in range(4):
        one[c] = 1
        store_f32x16(out, at + 16 * c, to_f32x16(dot16_i8(v, none, none, none, one, 0, 1)))
        one[c] = 0


def moved(w: U8, down: int, mask: int, up: int, out: F32) -> None:
    """Some bits of every byte, and what the lowest nibble with them is."""
    v = load_i8x64(w, 0)
    bits = bits_i8x64(v, down, mask, up)
    columns(bits, out, 0)
    columns(bits_i8x64(v, 0, 15, 0) + bits, out, 64)


@every_world
@pytest.mark.parametrize("first", range(0, 256, 64))
@pytest.mark.parametrize("mask", [0x01, 0x03, 0x07, 0x0F, 0x55, 0xAA, 0xFF])
def test_bits_of_every_byte_are_moved(world: World, mask: int, first: int) -> None:
    w = np.arange(first, first + 64, dtype=np.uint8)
    for down, up in [(down, up) for down in range(8) for up in range(8) if mask << down < 256 and mask << up < 256]:
        out = np.zeros(128, np.float32)
        world(moved)(w, down, mask, up, out)
        bits, both = out.reshape(2, 4, 16).transpose(0, 2, 1).reshape(2, 64)
        expected = (w >> down & mask) << up
        assert bits.tolist() == expected.view(np.int8).tolist()
        assert both.tolist() == (expected + (w & 15)).view(np.int8).tolist()


def looked_up(w: U8, table: I64, out: F32) -> None:
    """Entries of a table."""
    columns(look_up_i8x64(table[0], table[1], bits_i8x64(load_i8x64(w, 0), 0, 15, 0)), out, 0)


@every_world
@given(arrays(np.uint8, 64), arrays(np.int8, 16))
@example(np.arange(64, dtype=np.uint8), np.arange(-128, 128, 16, dtype=np.int8))
def test_every_byte_is_looked_up_in_a_table(world: World, w: Bytes, table: Octets) -> None:
    out = np.zeros(64, np.float32)
    world(looked_up)(w, table.view(np.int64), out)
    assert out.reshape(4, 16).T.reshape(-1).tolist() == table[w & 15].tolist()


def lanes_of_bits(x: U8, i: int, down: int, mask: int, up: int, out: F32) -> None:
    """Some bits of sixteen bytes."""
    store_f32x16(out, 0, to_f32x16(load_bits_i32x16(x, i, down, mask, up)))


@every_world
@pytest.mark.parametrize("i", [0, 1, 239, 240])
@pytest.mark.parametrize("down, mask, up", [(0, 255, 0), (0, 15, 0), (4, 15, 0), (2, 3, 4), (6, 3, 4), (7, 1, 9)])
def test_bits_of_bytes_are_widened(world: World, i: int, down: int, mask: int, up: int) -> None:
    x, out = np.arange(256, dtype=np.uint8), np.zeros(16, np.float32)
    world(lanes_of_bits)(x, i, down, mask, up, out)
    assert out.tolist() == [(int(byte) >> down & mask) << up for byte in x[i:i + 16]]


def lanes(x: U8, i: int, out: F32, total: I32) -> None:
    """int8 widened, and their sum."""
    v = load_i8x16(x, i)
    store_f32x16(out, 0, to_f32x16(v))
    total[0] = sum_i32x16(v + splat_i32x16(1000))


@every_world
@pytest.mark.parametrize("i", [0, 1, 15])
def test_bytes_are_widened_and_summed(world: World, i: int) -> None:
    x = np.array([-128, 127, -1, 0, 1, -127, 64, -64] * 4, np.int8)
    out, total = np.zeros(16, np.float32), np.zeros(1, np.int32)
    world(lanes)(x.view(np.uint8), i, out, total)
    assert out.tolist() == x[i:i + 16].tolist()
    assert total[0] == x[i:i + 16].sum(dtype=int) + 16000


def narrow(x: F32, out: U8, i: int) -> None:
    """Floats rounded to int8."""
    store_i8x16(out, i, round_i32x16(load_f32x16(x, 0)))


@every_world
@pytest.mark.parametrize("i", [0, 3])
def test_rounding_goes_to_the_nearest_halves_to_even(world: World, i: int) -> None:
    x = np.array([0.5, 1.5, -0.5, -2.5, 126.5, -127.5, 127, -128, 0.49999997, 1e-40, -0.0, 126.49, 3, -3.5, 2.5, 64.5],
                 np.float32)
    out = np.full(20, 99, np.uint8)
    world(narrow)(x, out, i)
    assert out.view(np.int8).tolist() == [99] * i + np.rint(x).astype(int).tolist() + [99] * (4 - i)


def widen(x: U8, at: int, n: int, out: F32) -> None:
    """n vectors of float16."""
    for k in range(n):
        store_f32x16(out, 16 * k, load_f16x16(x, at + 32 * k))


@every_world
@pytest.mark.parametrize("at", [0, 2, 5])
def test_every_finite_float16_is_widened_exactly(world: World, at: int) -> None:
    everything = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = everything[np.isfinite(everything)]
    assert len(halves) % 16 == 0 and (np.abs(halves[halves != 0]) < 2.0 ** -14).any()
    out = np.zeros(len(halves), np.float32)
    world(widen)(np.frombuffer(bytes(at) + halves.tobytes(), np.uint8).copy(), at, len(halves) // 16, out)
    assert same_bits(out, halves.astype(np.float32))


def widen_upper(x: U8, at: int, n: int, out: F32) -> None:
    """n vectors of bfloat16."""
    for k in range(n):
        store_f32x16(out, 16 * k, load_bf16x16(x, at + 32 * k))


@every_world
@pytest.mark.parametrize("at", [0, 5])
def test_every_bfloat16_is_the_upper_half_of_a_float32(world: World, at: int) -> None:
    everything = np.arange(1 << 16, dtype=np.uint16)
    out = np.zeros(1 << 16, np.float32)
    world(widen_upper)(np.frombuffer(bytes(at) + everything.tobytes(), np.uint8).copy(), at, 1 << 12, out)
    assert same_bits(out, everything.astype(np.uint32) << np.uint32(16))


def test_every_level_has_every_form() -> None:
    assert all(set(column) == set(forms.SIGNATURES) for column in levels.FORMS.values())
    assert LEVELS[0] == "generic" and set(WORLDS) == {"interpreter", *LEVELS}


@pytest.mark.parametrize("level", levels.FORMS)
def test_a_level_module_defines_every_form(level: str) -> None:
    ir = levels.level_module(level)
    assert all(f'"barelm_{name}"' in ir for name in forms.SIGNATURES)
