"""Sentences with values in them: the same marks and words in both worlds, every way of showing, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from barelm.contract.console_state import ConsoleState
from barelm.dialect.sentences import (
    BYTES,
    CHARACTER,
    DECIMAL,
    FLOAT,
    HEXADECIMAL,
    MARK,
    MEGABYTES,
    PADDED,
    QUOTIENT,
    UNITS,
    WORDS,
    Template,
    sentence,
)
from barelm.dialect.types import I64, U8, U16, Real, f32
from barelm.metal.console.sinks import plain_console
from barelm.metal.console.writing import begin_text, end_text, put
from tests.metal.fake import FakeFirmware
from tests.worlds import World, both_worlds, interpreter, jit, same_bits

I, F, A8, A16, A64 = "int", "float32", "uint8", "uint16", "int64"

MARKED = [
    ("", (), "", []), ("no value", (), "no value", []), ("a {{brace}}", (), "a {brace}", []),
    ("{}", (I,), "\ue000", [(DECIMAL, 0)]),
    ("{} {} {} {} {}", (I, F, A8, A16, A64), "\ue000 \ue001 \ue002 \ue003 \ue004",
     [(DECIMAL, 0), (FLOAT, 1), (BYTES, 2), (UNITS, 3), (WORDS, 4)]),
    ("{:c}{:MB}{:/}{}", (I, I, I, I, I), "\ue005\ue006\ue007\ue000",
     [(CHARACTER, 0), (MEGABYTES, 1), (QUOTIENT, 2), (DECIMAL, 4)]),
    ("{:1}, {:18}; {:x1} {:x16}", (I, I, I, I), "\ue021, \ue032; \ue041 \ue050",
     [(PADDED + 1, 0), (PADDED + 18, 1), (HEXADECIMAL + 1, 2), (HEXADECIMAL + 16, 3)]),
    ("{{{}}}", (I,), "{\ue000}", [(DECIMAL, 0)]), ("é 世 🙂 {}\n", (I,), "é 世 🙂 \ue000\n", [(DECIMAL, 0)])]


@pytest.mark.parametrize("literal, kinds, text, places", MARKED)
def test_a_mark_stands_for_each_value(literal: str, kinds: tuple[str, ...], text: str,
                                      places: list[tuple[int, int]]) -> None:
    assert Template.of(literal, kinds) == (text, tuple(places))
    assert all(ord(c) < MARK + 0x100 for c in text if ord(c) >= MARK and c != "🙂")


REFUSED = [
    ("{", (), "a brace alone"), ("}", (), "a brace alone"), ("{} }", (I,), "a brace alone"),
    ("{:q}", (I,), "a brace alone"), ("{:x}", (I,), "a brace alone"), ("{0}", (I,), "a brace alone"),
    ("{:-2}", (I,), "a brace alone"), ("{{{}", (), "more braces than values"),
    ("{} {}", (I,), "more braces than values"), ("{:/}", (I,), "more braces than values"),
    ("", (I,), "takes 0 values, not 1"), ("{}", (I, I), "takes 1 values, not 2"),
    ("{:/}", (I, I, I), "takes 2 values, not 3"), ("{}", ("float64",), "a float64 cannot be shown"),
    ("{}", ("int32",), "a int32 cannot be shown"), ("{:3}", (F,), "{:3} takes an int"),
    ("{:c}", (A8,), "{:c} takes an int"), ("{:MB}", (F,), "{:MB} takes an int"),
    ("{:/}", (I, F), "{:/} takes an int"), ("{:x4}", (A64,), "{:x4} takes an int"),
    ("{:0}", (I,), "asks for 0 digits"), ("{:19}", (I,), "asks for 19 digits"), ("{:x19}", (I,), "asks for 19 digits")]


@pytest.mark.parametrize("literal, kinds, message", REFUSED)
def test_braces_that_do_not_fit_are_refused(literal: str, kinds: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as refused:
        Template.of(literal, kinds)
    assert message in str(refused.value) and (repr(literal) in str(refused.value))


def all_kinds(n: int, x: Real, raw: U8, units: U16, words: I64, out: U16, numbers: I64) -> int:
    """A sentence with a value of every kind, copied out as it is held."""
    s = sentence("{{é}} {}, {}, {}|{}|{} {:7} {:x4} {:c} {:MB} {:/} {}\n",
                 (n, x, raw, units, words, n + 1, n, 0x25B6, n * n, n, 8, n > 3))
    for i in range(len(s.units)):
        out[i] = s.units[i]
    for i in range(len(s.words)):
        numbers[i] = s.words[i]
    return len(s.units) * 100 + len(s.words)


@both_worlds
def test_both_worlds_hold_the_same(world: World) -> None:
    raw, units, words = np.zeros(3, np.uint8), np.zeros(5, np.uint16), np.zeros(2, np.int64)
    text = "{é} \ue000, \ue001, \ue002|\ue003|\ue004 \ue027 \ue044 \ue005 \ue006 \ue007 \ue000\n\0"
    out, numbers = np.zeros(100, np.uint16), np.zeros(22, np.int64)
    n = np.int64(77)
    assert world(all_kinds)(n, f32(1.5), raw, units, words, out, numbers) == 100 * len(text) + 22
    assert out[:len(text)].tobytes() == text.encode("utf-16-le")
    assert numbers.reshape(11, 2).tolist() == [
        [77, 0], [0x3FC00000, 0], [raw.ctypes.data, 3], [units.ctypes.data, 5], [words.ctypes.data, 2], [78, 0],
        [77, 0], [0x25B6, 0], [77 * 77, 0], [77, 8], [1, 0]]


def part_of(raw: U8, out: I64) -> None:
    """A slice, and the sentence of no value."""
    s = sentence("{}", (raw[2:5],))
    out[0] = s.words[0]
    out[1] = s.words[1]
    out[2] = len(sentence("nothing", ()).words)


@both_worlds
def test_slices_are_shown_in_part(world: World) -> None:
    raw, out = np.zeros(9, np.uint8), np.zeros(3, np.int64)
    world(part_of)(raw, out)
    assert out.tolist() == [raw.ctypes.data + 2, 3, 0]


def too_few(n: int) -> int:
    """A value is missing."""
    return len(sentence("{} of {}", (n,)).words)


def too_many(n: int) -> int:
    """A brace is missing."""
    return len(sentence("{}", (n, n)).words)


def wrong_type(n: int) -> int:
    """Floats of other widths are not shown."""
    return len(sentence("{}", (n / 2,)).words)


def wrong_way(n: int) -> int:
    """An int is asked for."""
    return len(sentence("{:MB}", (f32(n),)).words)


@both_worlds
@pytest.mark.parametrize("wrong, message", [
    (too_few, "'{} of {}' has more braces than values"), (too_many, "'{}' takes 1 values, not 2"),
    (wrong_type, "a float64 cannot be shown in '{}'"), (wrong_way, "{:MB} takes an int in '{:MB}'")])
def test_what_does_not_fit_is_refused_in_a_sentence(world: World, wrong: Callable[[int], int], message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as refused:
        world(wrong)(np.int64(3))
    assert message in str(refused.value)


def shown(literal: str, *values: Any) -> str:
    """A sentence as it is read."""
    firmware = FakeFirmware()
    con = plain_console(firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8)))
    buffer = np.zeros(512, np.uint8)
    begin_text(con, buffer)
    interpreter(put)(con, sentence(literal, values))
    return buffer[:end_text(con)].tobytes().decode()


def units(text: str) -> NDArray[np.uint16]:
    """UTF-16 with its zero, and something behind it."""
    return np.frombuffer((text + "\0rest").encode("utf-16-le"), np.uint16)


def words(text: str) -> NDArray[np.int64]:
    """UTF-8 in words, padded with zeros."""
    return np.frombuffer(text.encode().ljust(64, b"\0"), np.int64)


@pytest.mark.parametrize("literal, values, text", [
    ("{}", (0,), "0"), ("{}", (-10**17,), "-" + "1" + "0" * 17), ("{}", (np.bool_(True),), "1"),
    ("{} and {}", (f32(0.7), f32(2)), "0.7 and 2.0"),
    ("{} {} {}", (f32(0.25), f32(0.125), f32(10.05)), "0.25 0.125 10.05"),
    ("<{}>", (np.frombuffer("é世🙂".encode(), np.uint8),), "<é世🙂>"), ("<{}>", (np.zeros(0, np.uint8),), "<>"),
    ("<{}>", (units("a é 世"),), "<a é 世>"), ("<{}>", (words("SmolLM2 é"),), "<SmolLM2 é>"),
    ("{:2}:{:2}:{:3}", (7, 123, 4), "07:23:004"), ("{:x4} {:x2} {:x16}", (0xBEEF, 0x1234, -1), "beef 34 " + "f" * 16),
    ("{:c}{:c}{:c}", (65, 0x25B6, 0x1F600), "A▶😀"), ("{:MB}, {:MB}", (1000001, 12_345_000_000), "2 MB, 12.3 GB"),
    ("{:/} {:/} {:/}", (10, 4, 1000, 3, 5, 0), "2.5 333 -"), ("{:/}", (999, 10), "99.9"),
    ("{{{}}} 100 % é\n", (5,), "{5} 100 % é\n")])
def test_every_way_of_showing(literal: str, values: tuple[Any, ...], text: str) -> None:
    assert shown(literal, *values) == text


@given(st.lists(st.integers(-10**18 + 1, 10**18 - 1), max_size=9))
def test_numbers_come_in_their_order(numbers: list[int]) -> None:
    assert shown(" ".join("{}" for _ in numbers), *numbers) == " ".join(map(str, numbers))


def test_a_sentence_is_a_copy_of_no_text() -> None:
    """Values that are views are read when the sentence is put."""
    raw = np.frombuffer(b"old", np.uint8).copy()
    s = sentence("{}", (raw,))
    assert s.words.tolist() == [raw.ctypes.data, 3] and same_bits(s.units, np.array([MARK + BYTES, 0], np.uint16))


def test_a_literal_is_one() -> None:
    def other(literal: str) -> int:
        return len(sentence(literal, (1,)).words)

    with pytest.raises(Exception, match="literal"):
        jit(other)("{}")
