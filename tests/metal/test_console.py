"""Text on the screen: numbers, ratios, and UTF-8 in pieces of any length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.metal import console
from barelm.metal.console import CONSOLE_BYTES, Console, flush, open_console
from tests.metal.fake import FakeFirmware
from tests.worlds import World, both_worlds, interpreter

WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]))


class Screen:
    """A console over a fake firmware."""

    def __init__(self, world: World = interpreter) -> None:
        self.firmware, self.world = FakeFirmware(), world
        self.block = np.zeros(CONSOLE_BYTES, np.uint8)
        self.con: Console = open_console(self.firmware.fw, self.block.ctypes.data)

    def write(self, *parts: bytes) -> None:
        """Gather each part by itself."""
        for part in parts:
            data = np.frombuffer(part + b"\xaa", np.uint8).copy()
            self.world(console.write_bytes)(self.con, data, 0, len(part))

    @property
    def text(self) -> str:
        """What is on the screen once all is flushed."""
        self.world(flush)(self.con)
        return self.firmware.screen


@pytest.fixture
def firmware() -> Iterator[FakeFirmware]:
    """A firmware with a screen."""
    yield FakeFirmware()


NUMBERS = [0, 7, 10, 99, 1234567890, -1, -10, 2**63 - 1, -2**63 + 1]


@both_worlds
@pytest.mark.parametrize("number", NUMBERS)
def test_write_number(world: World, number: int, firmware: FakeFirmware) -> None:
    world(console.write_number)(firmware.fw, number)
    assert firmware.screen == str(number)


@both_worlds
@pytest.mark.parametrize("number", [n for n in NUMBERS if n >= 0 and n < 10**18])
def test_put_number_says_how_wide_it_is(world: World, number: int) -> None:
    screen = Screen(world)
    assert world(console.put_number)(screen.con, number) == len(str(number))
    assert screen.text == str(number)


@pytest.mark.parametrize("amount, per, shown", [
    (0, 1, "0.0"), (1, 3, "0.3"), (2, 3, "0.7"), (1, 20, "0.1"), (9949, 100, "99.5"), (999, 10, "99.9"),
    (9996, 100, "100"), (1234567, 10, "123457"), (5, 0, "-"), (5, -1, "-"), (10**15, 10**6, "1000000000")])
def test_write_ratio(amount: int, per: int, shown: str, firmware: FakeFirmware) -> None:
    console.write_ratio(firmware.fw, amount, per)
    assert firmware.screen == shown


@settings(max_examples=60, deadline=None)
@given(WORDS, st.lists(st.integers(0, 40), max_size=8))
def test_text_cut_anywhere_is_shown_whole(text: str, cuts: list[int]) -> None:
    raw, screen = text.encode(), Screen()
    edges = sorted({0, len(raw), *[cut % (len(raw) + 1) for cut in cuts]})
    screen.write(*[raw[lo:hi] for lo, hi in zip(edges, edges[1:])])
    assert screen.text == text


@both_worlds
def test_every_length_of_character(world: World) -> None:
    screen = Screen(world)
    screen.write("a é 世 🙂 \U0010ffff".encode())
    assert screen.text == "a é 世 🙂 \U0010ffff"


def test_line_feed_becomes_two_and_other_controls_are_dropped() -> None:
    screen = Screen()
    screen.write(b"a\nb\tc\x00\x07\x1b[31md\r\n")
    assert screen.text == "a\r\nb\tc[31md\r\n"


@pytest.mark.parametrize("raw, shown", [
    (b"\xff", "\ufffd"), (b"\x80x", "\ufffdx"), (b"\xc3(", "\ufffd("), (b"\xe4\xb8x", "\ufffdx"),
    (b"\xe4\xe4\xb8\x96", "\ufffd世"), (b"\xf0\x9f\x99", ""), (b"\xf8\x88", "\ufffd\ufffd")])
def test_what_is_not_utf8_shows_as_the_replacement(raw: bytes, shown: str) -> None:
    screen = Screen()
    screen.write(raw)
    assert screen.text == shown


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_show_as_something_and_stay_inside_the_buffer(parts: list[bytes]) -> None:
    screen = Screen()
    guard = np.full(64, 0x5A, np.uint8)
    screen.block = np.concatenate([screen.block, guard])
    screen.con = open_console(screen.firmware.fw, screen.block.ctypes.data)
    screen.write(*parts)
    assert "\0" not in screen.text
    screen.text.encode("utf-16-le", "surrogatepass")
    assert (screen.block[-64:] == 0x5A).all()


def test_a_long_text_goes_out_in_parts_and_no_pair_is_torn() -> None:
    screen, text = Screen(), "x" + "🙂" * 1000
    heard: list[str] = []
    output: Any = screen.firmware.output
    screen.firmware.con_out.serve(8, 2, lambda this, at: heard.append("") or output(this, at))
    screen.write(text.encode())
    assert screen.text == text
    assert len(heard) > 2 and all(part.isprintable() for part in screen.firmware.screen)


def test_write_utf8_stops_at_the_first_zero() -> None:
    screen = Screen()
    words = np.frombuffer("stories é".encode().ljust(16, b"\0") + b"more    ", np.int64).copy()
    console.write_utf8(screen.con, words)
    assert screen.firmware.screen == "stories é"


def test_a_machine_without_a_screen_is_fine() -> None:
    firmware = FakeFirmware()
    firmware.table.put(64, 0)
    console.write_number(firmware.fw, 5)
    assert firmware.screen == ""
