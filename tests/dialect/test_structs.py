"""Memory by field name: the layout is C's, and in both worlds every kind of field reads and writes its own bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core.errors import NumbaError
from numpy.typing import NDArray

from barelm.dialect.structs import Array, Struct, UInt8, UInt16, UInt32, room
from barelm.dialect.types import F32, I64, U8, U16, Real, f32
from tests.worlds import World, both_worlds, interpreter, jit, same_bits


class Point(Struct):
    """Two numbers of different widths."""

    x: UInt16
    y: int


class Everything(Struct):
    """A field of every kind."""

    byte: UInt8
    short: UInt16
    wide: int
    long: UInt32
    real: Real
    bytes: U8 = room(3)
    units: U16 = room(2)
    words: I64 = room(2)
    floats: F32 = room(1)
    point: Point
    points: Array[Point] = room(3)
    lonely: int = room(align=64)


class CPoint(ctypes.Structure):
    """`Point`, to the C compiler of this Python."""

    _fields_ = [("x", ctypes.c_uint16), ("y", ctypes.c_int64)]


class CEverything(ctypes.Structure):
    """`Everything`, but for what C's types do not say: that `lonely` wants 64 bytes for itself."""

    _fields_ = [
        ("byte", ctypes.c_uint8), ("short", ctypes.c_uint16), ("wide", ctypes.c_int64), ("long", ctypes.c_uint32),
        ("real", ctypes.c_float), ("bytes", ctypes.c_uint8 * 3), ("units", ctypes.c_uint16 * 2),
        ("words", ctypes.c_int64 * 2), ("floats", ctypes.c_float * 1), ("point", CPoint), ("points", CPoint * 3)]


class Outer(Struct):
    """Nests one that is aligned more than its fields."""

    first: UInt8
    inner: Everything
    last: UInt8


class Longer(Point):
    """Goes on behind another's fields."""

    z: UInt8
    address: int


class Pair(NamedTuple):
    """Structs among other values."""

    a: Point
    n: int
    many: Array[Point]


def whole() -> tuple[Everything, NDArray[np.uint8]]:
    """One of random bytes, and those bytes."""
    block = np.random.default_rng(3).integers(0, 256, Everything.BYTES, np.uint8)
    block[Everything.offset_of("real"):][:4] = np.frombuffer(np.float32(2.5).tobytes(), np.uint8)
    return Everything.over(block), block


@pytest.mark.parametrize("name", [field[0] for field in CEverything._fields_])
def test_fields_lie_where_a_c_compiler_puts_them(name: str) -> None:
    field = getattr(CEverything, name)
    assert (Everything.offset_of(name), Everything.FIELDS[name].n_bytes) == (field.offset, field.size)


def test_sizes_and_alignments() -> None:
    assert Point.BYTES == ctypes.sizeof(CPoint) and Point.ALIGNMENT == ctypes.alignment(CPoint)
    end = ctypes.sizeof(CEverything)
    assert Everything.offset_of("lonely") == -(-end // 64) * 64 and Everything.BYTES == -(-end // 64) * 64 + 64
    assert (Outer.offset_of("inner"), Outer.offset_of("last")) == (64, 64 + Everything.BYTES)
    assert Outer.BYTES == 128 + Everything.BYTES, "in an array each begins on a multiple of its alignment"


def read_numbers(e: Everything, out: I64, floats: F32) -> None:
    """Every single number."""
    out[0] = e.byte
    out[1] = e.short
    out[2] = e.long
    out[3] = e.wide
    out[4] = e.point.x
    out[5] = e.points[2].y
    floats[0] = e.real
    floats[1] = e.floats[0]


@both_worlds
def test_numbers_are_widened_without_a_sign(world: World) -> None:
    e, block = whole()
    block[:16] = 0xFF
    block[Everything.offset_of("long"):][:4] = 0xFF
    out, floats = np.zeros(6, np.int64), np.zeros(2, np.float32)
    world(read_numbers)(e, out, floats)
    assert out[:4].tolist() == [0xFF, 0xFFFF, 0xFFFFFFFF, -1]
    c = CEverything.from_buffer(block.data)
    assert out[4:].tolist() == [c.point.x, c.points[2].y]
    assert floats[0] == np.float32(2.5) and same_bits(floats[1], np.float32(c.floats[0]))


def write_numbers(e: Everything, value: int, real: Real) -> None:
    """The same, written."""
    e.byte = value
    e.short = value
    e.long = value
    e.wide = value
    e.real = real
    e.point.x = value
    e.points[1].y = value
    e.points[0].x += 1
    e.lonely -= 1


@given(st.integers(-2**63, 2**63 - 1))
def test_numbers_are_cut_to_their_fields_and_touch_no_neighbour(value: int) -> None:
    for world in (interpreter, jit):
        e, block = whole()
        c, lonely = CEverything.from_buffer_copy(block.data), int(e.lonely)
        with np.errstate(all="ignore"):
            world(write_numbers)(e, np.int64(value), f32(-0.125))
        c.byte, c.short, c.long, c.wide, c.real = value, value, value, value, -0.125
        c.point.x, c.points[1].y = value, value
        c.points[0].x += 1
        assert block[:ctypes.sizeof(c)].tobytes() == bytes(c)
        assert int(e.lonely) == lonely - 1


def use_arrays(e: Everything) -> int:
    """Views by index, their lengths, and slices."""
    e.bytes[2] = 7
    e.units[1] = 0xBEEF
    e.words[0] = -5
    e.floats[0] = f32(0.5)
    return len(e.bytes) * 1000 + len(e.units) * 100 + len(e.words[1:]) * 10 + len(e.floats)


@both_worlds
def test_arrays_are_views(world: World) -> None:
    e, block = whole()
    c = CEverything.from_buffer_copy(block.data)
    assert world(use_arrays)(e) == 3211
    c.bytes[2], c.units[1], c.words[0], c.floats[0] = 7, 0xBEEF, -5, 0.5
    assert block[:ctypes.sizeof(c)].tobytes() == bytes(c)


def walk(address: int) -> int:
    """A struct made of an address; where its parts lie; its size; a tuple of views."""
    e = Everything(address)
    pair = Pair(e.points[1], 5, e.points)
    pair.a.y = pair.n
    return (e.points[2].address - e.address) * 10000 + Everything.BYTES * 10 + pair.many[1].y


@both_worlds
def test_structs_are_made_passed_and_held(world: World) -> None:
    e, _ = whole()
    expected = (CEverything.points.offset + 2 * ctypes.sizeof(CPoint)) * 10000 + Everything.BYTES * 10 + 5
    assert world(walk)(np.int64(e.address)) == expected


def second(e: Everything) -> Point:
    """A struct handed out."""
    return e.points[1]


@both_worlds
def test_structs_are_returned(world: World) -> None:
    e, _ = whole()
    point = world(second)(e)
    assert isinstance(point, Point) and point.address == e.address + Everything.offset_of("points") + Point.BYTES


def use_longer(it: Longer) -> int:
    """The fields of both, one of them called like the view's own address."""
    it.address = 3
    return it.x * 100 + it.z * 10 + it.address


@both_worlds
def test_a_struct_goes_on_behind_another_and_may_have_an_address(world: World) -> None:
    block = np.zeros(Longer.BYTES, np.uint8)
    block[0], block[Point.BYTES] = 1, 2
    assert Longer.offset_of("z") == Point.BYTES and Longer.BYTES == Point.BYTES + 16
    assert world(use_longer)(Longer.over(block)) == 123
    assert block[Longer.offset_of("address")] == 3


def test_over_takes_no_less_than_all() -> None:
    block = np.zeros(Point.BYTES, np.uint8)
    view = Point.over(block)
    view.y = -1
    assert block[8:].tobytes() == b"\xff" * 8 and view.address == block.ctypes.data
    with pytest.raises(ValueError, match="Point takes 16 bytes, not 15"):
        Point.over(block[:15])


def test_an_index_outside_is_refused_where_there_are_bounds() -> None:
    e, _ = whole()
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"Point {index} of 3"):
            e.points[index]


def declared(*fields: Any) -> Callable[[], type[Struct]]:
    """What declares a struct of these fields, each a kind and what `room` says of it."""
    names = [f"field_{k}" for k in range(len(fields))]
    body = {"__annotations__": {name: kind for name, (kind, _) in zip(names, fields)}, "__module__": __name__}
    return lambda: type("Declared", (Struct,), body | {name: given for name, (_, given) in zip(names, fields)})


@pytest.mark.parametrize("fields, end", [
    ([(U8, room(5)), (int, room(at=0))], 5), ([(U8, room(5)), (UInt8, room(at=4))], 5),
    ([(int, room()), (U8, room(4, at=0))], 8), ([(Point, room()), (UInt8, room(at=15))], 16),
    ([(UInt8, room()), (int, room(at=4))], 1), ([(UInt8, room()), (U8, room(8, at=8, align=16))], 1)])
def test_fields_cannot_overlap_nor_lie_askew(fields: list[Any], end: int) -> None:
    with pytest.raises(TypeError, match=rf"Declared\.field_1 cannot lie at \d+: {end} bytes are taken before it"):
        declared(*fields)()


def test_room_left_between_fields_is_taken_by_nobody() -> None:
    layout = declared((UInt8, room()), (int, room(at=40)), (UInt8, room()))()
    assert (layout.offset_of("field_1"), layout.offset_of("field_2"), layout.BYTES) == (40, 48, 56)


@pytest.mark.parametrize("name", ["BYTES", "FIELDS", "over", "base"])
def test_names_the_views_have_themselves_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"Declared.{name}"):
        type("Declared", (Struct,), {"__annotations__": {name: int}, "__module__": __name__})


def assign_array(e: Any) -> None:
    """What no world allows."""
    e.bytes = e.bytes


def assign_struct(e: Any) -> None:
    """Nor this."""
    e.point = e.points[0]


def assign_structs(e: Any) -> None:
    """Nor this."""
    e.points = e.points


@pytest.mark.parametrize("assign, name", [
    (assign_array, "bytes"), (assign_struct, "point"), (assign_structs, "points")])
def test_views_are_not_assigned_to(assign: Callable[[Any], None], name: str) -> None:
    e, block = whole()
    before = block.copy()
    with pytest.raises(AttributeError, match="no setter"):
        assign(e)
    with pytest.raises(TypeError, match=rf"Everything\.{name} is a view: it cannot be assigned to"):
        jit(assign)(e)
    assert same_bits(block, before)


def read_missing(e: Any) -> int:
    """A field nobody declared."""
    return int(e.missing)


def write_missing(e: Any) -> None:
    """The same, written."""
    e.missing = 1


def test_an_unknown_field_is_refused() -> None:
    e, _ = whole()
    with pytest.raises(AttributeError, match="missing"):
        read_missing(e)
    with pytest.raises(NumbaError, match="missing"):
        jit(read_missing)(e)
    with pytest.raises(NumbaError, match="missing"):
        jit(write_missing)(e)
