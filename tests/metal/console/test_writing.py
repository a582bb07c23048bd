"""What is written: numbers, ratios, UTF-8 in pieces of any length, and text that goes into a buffer instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.console_state import ConsoleState
from barelm.metal.console import writing
from barelm.metal.console.sinks import CONSOLE_WORDS, Console, flush, plain_console
from tests.metal.fake import FakeFirmware
from tests.metal.talks import array
from tests.worlds import World, both_worlds, interpreter

WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]))
NUMBERS = [0, 7, 10, 99, 1234567890, -1, -10, 2**63 - 1, -2**63 + 1]


class Screen:
    """The firmware's console over a fake firmware, so wide that nothing wraps."""

    def __init__(self, world: World = interpreter) -> None:
        self.firmware, self.world = FakeFirmware(), world
        self.firmware.columns = 1 << 20
        self.block = np.zeros(CONSOLE_WORDS + 8, np.int64)
        self.block[-8:] = 0x5A
        self.con: Console = plain_console(self.firmware.fw, ConsoleState(int(self.block.ctypes.data)))

    def write(self, *parts: bytes) -> None:
        """Gather each part by itself."""
        for part in parts:
            self.world(writing.put_bytes)(self.con, array(part + b"\xaa"), 0, len(part))

    @property
    def text(self) -> str:
        """What is on the screen once all is flushed."""
        self.world(flush)(self.con)
        assert (self.block[-8:] == 0x5A).all()
        return self.firmware.screen


@both_worlds
@pytest.mark.parametrize("number", [0, 7, 10, 99, 1234567890, -1, -10, 10**18 - 1, 1 - 10**18])
def test_put_number_says_how_many_digits_it_has(world: World, number: int) -> None:
    screen = Screen(world)
    assert world(writing.put_number)(screen.con, number) == len(str(abs(number)))
    assert screen.text == str(number)


@pytest.mark.parametrize("amount, per, shown", [
    (0, 1, "0.0"), (1, 3, "0.3"), (2, 3, "0.7"), (1, 20, "0.1"), (9949, 100, "99.5"), (999, 10, "99.9"),
    (9996, 100, "100"), (1234567, 10, "123457"), (5, 0, "-"), (5, -1, "-"), (10**15, 10**6, "1000000000")])
def test_put_ratio(amount: int, per: int, shown: str) -> None:
    screen = Screen()
    writing.put_ratio(screen.con, amount, per)
    assert screen.text == shown


@pytest.mark.parametrize("number, digits, padded, hexadecimal", [
    (0, 2, "00", "00"), (7, 4, "0007", "0007"), (1234, 2, "34", "d2"), (-1, 1, None, "f"),
    (0x123456789ABCDEF0, 16, None, "123456789abcdef0"), (-1, 16, None, "f" * 16)])
def test_digits_in_front(number: int, digits: int, padded: str | None, hexadecimal: str) -> None:
    screens = Screen(), Screen()
    writing.put_digits(screens[0].con, number, digits, 16)
    assert screens[0].text == hexadecimal
    if padded is not None:
        writing.put_digits(screens[1].con, number, digits, 10)
        assert screens[1].text == padded


@settings(max_examples=60)
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


def test_line_feed_becomes_two_a_tab_four_and_other_controls_are_dropped() -> None:
    screen = Screen()
    screen.write(b"a\nb\tc\x00\x07\x1b[31md\r\n\xc2\x9bx\x7f")
    assert screen.text == "a\r\nb    c[31md\r\nx"


@pytest.mark.parametrize("raw, shown", [
    (b"\xff", "\ufffd"), (b"\x80x", "\ufffdx"), (b"\xc3(", "\ufffd("), (b"\xe4\xb8x", "\ufffdx"),
    (b"\xe4\xe4\xb8\x96", "\ufffd世"), (b"\xf0\x9f\x99", ""), (b"\xf8\x88", "\ufffd\ufffd")])
def test_what_is_not_utf8_shows_as_the_replacement(raw: bytes, shown: str) -> None:
    screen = Screen()
    screen.write(raw)
    assert screen.text == shown


HARD = st.sampled_from([b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xc0\x80",
                        b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x8f\xbf\xbf", b"\xe0\xa0", b"\xf0\x90\x80",
                        b"\xee\x80\x80"])


@settings(max_examples=100)
@given(st.lists(st.one_of(st.binary(max_size=30), HARD), max_size=8))
def test_any_bytes_show_as_python_decodes_them(parts: list[bytes]) -> None:
    screen = Screen()
    screen.write(*parts, b"!")
    text = (b"".join(parts) + b"!").decode(errors="replace").replace("\t", "    ")
    shown = "".join(c for c in text if c == "\n" or c >= "\xa0" or " " <= c < "\x7f")
    assert screen.text.replace("\r\n", "\n") == shown


def test_a_long_text_goes_out_in_parts_and_no_pair_is_torn() -> None:
    screen, text = Screen(), "x" + "🙂" * 1000
    heard: list[str] = []
    screen.firmware.shown_to = heard.append
    screen.write(text.encode())
    assert screen.text == text
    assert len(heard) > 2 and all(part.isprintable() for part in heard)


def test_words_stop_at_the_first_zero() -> None:
    screen = Screen()
    words = np.frombuffer("stories é".encode().ljust(16, b"\0") + b"more    ", np.int64).copy()
    writing.put_words(screen.con, words)
    assert screen.text == "stories é"


def test_a_machine_without_a_screen_is_fine() -> None:
    firmware = FakeFirmware()
    firmware.table.put(con_out=0)
    con = plain_console(firmware.fw, ConsoleState.over(np.zeros(ConsoleState.BYTES, np.uint8)))
    writing.put_number(con, 5)
    flush(con)
    assert firmware.screen == ""


@pytest.mark.parametrize("room", [0, 3, 4, 5, 9, 100])
def test_text_into_a_buffer(room: int) -> None:
    """Whole characters as long as any character would fit; the console's own half character waits meanwhile."""
    screen, text = Screen(), "é世🙂x"
    buffer = np.full(room + 8, 0x5A, np.uint8)
    screen.write("世".encode()[:2])
    writing.begin_text(screen.con, buffer[:room])
    writing.put_bytes(screen.con, array(text.encode()), 0, len(text.encode()))
    n = int(writing.end_text(screen.con))
    screen.write("世".encode()[2:])
    kept = buffer[:n].tobytes()
    assert text.encode().startswith(kept) and n <= room and (buffer[room:] == 0x5A).all()
    assert kept.decode() in text and (n == len(text.encode()) if room >= 13 else n > room - 4 or room < 4)
    assert screen.text == "世"


def test_a_line_in_a_colour() -> None:
    screen = Screen()
    words: Any = np.frombuffer("so\0".encode("utf-16-le"), np.uint16)
    writing.say_line(screen.con, 4, words)
    assert screen.firmware.screen == "so\r\n"
    assert screen.firmware.attributes == [0x0C, 0x07], "light red, then light grey, on black"


@both_worlds
def test_a_character_cut_short_ends_with_its_text(world: World) -> None:
    screen = Screen(world)
    for text in ("caf\u00e9", "\u20ac", "\U0001f600"):
        screen.write(text.encode()[:-1])
        world(writing.end_bytes)(screen.con)
        screen.write(b"|")
        world(writing.end_bytes)(screen.con)
    assert screen.text == "caf\ufffd|\ufffd|\ufffd|"
