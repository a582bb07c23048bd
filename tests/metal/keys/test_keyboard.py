"""Keys from the firmware's keyboard and from a terminal: characters, escapes, pastes, and bytes that are neither."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract import uefi
from barelm.contract.console_state import N_KEYS
from barelm.contract.layout import KEYBOARDS
from barelm.contract.regions import Workspace
from barelm.metal.console.serial_line import open_serial
from barelm.metal.console.sinks import bind_console
from barelm.metal.keys import keyboard
from barelm.metal.keys.keyboard import (
    DELETE,
    DOWN,
    END,
    F1,
    FIRST_KEY,
    HOME,
    INSERT,
    LEFT,
    MOST_LOOKS,
    PAGE_DOWN,
    PAGE_UP,
    RESIZED,
    RIGHT,
    UP,
    WORD_LEFT,
    WORD_RIGHT,
    close_keyboard,
    next_key,
    open_keyboard,
    stop_asked,
    wait_for_key,
)
from tests.metal.fake import ERROR, FakeFirmware
from tests.worlds import World, both_worlds

SHIFT, CONTROL, ALT_GR, ALT = 1 << 32, 8 << 32, 16 << 32, 32 << 32
ESC = 0x17 << 16
NEVER, AT_ONCE = 1 << 40, 0  # cycles in a millisecond: how soon an escape is alone


class Desk:
    """A keyboard and a terminal."""

    def __init__(self, layout: str = "us", *, extended: bool = True, line: bool = True, per_ms: int = NEVER) -> None:
        self.firmware = FakeFirmware(line=line, extended=extended)
        self.port = self.firmware.serial
        self.workspace = Workspace.over(np.zeros(Workspace.BYTES, np.uint8))
        settings, self.figures = self.workspace.board.settings, self.workspace.board.figures
        settings.keyboard = KEYBOARDS.index(layout)
        self.figures.cycles_per_ms = per_ms
        con = bind_console(self.firmware.fw, self.workspace)
        self.serial = con.state.serial
        open_serial(self.firmware.fw, self.serial)
        self.k = open_keyboard(con, settings, self.figures, self.workspace)

    def keys(self) -> list[int]:
        """Whatever keys there are."""
        found = []
        while key := int(next_key(self.k)):
            found.append(key)
        return found

    def strokes(self, *strokes: int | str) -> list[int]:
        """The keys of strokes on the firmware's keyboard."""
        for stroke in strokes:
            self.firmware.keys += [ord(unit) for unit in stroke] if isinstance(stroke, str) else [stroke]
        return self.keys()

    def line(self, content: bytes | str) -> list[int]:
        """The keys of bytes from the terminal."""
        self.port.coming += content.encode() if isinstance(content, str) else content
        return self.keys()

    def typed(self, *strokes: int | str) -> str:
        """The characters of strokes."""
        return "".join(map(chr, self.strokes(*strokes)))


def text(keys: list[int]) -> str:
    """Keys that are characters."""
    return "".join(map(chr, keys))


@pytest.mark.parametrize("extended", [False, True])
def test_characters_and_scan_codes(extended: bool) -> None:
    desk = Desk(extended=extended)
    assert desk.strokes("aÉ\r\b\t", 0, ESC, "€") == [97, 0xC9, 13, 8, 9, 27, 0x20AC]
    scans = [UP, DOWN, RIGHT, LEFT, HOME, END, INSERT, DELETE, PAGE_UP, PAGE_DOWN, F1, F1 + 11]
    assert desk.strokes(*(scan << 16 for scan in (*range(1, 12), 22))) == scans
    assert desk.strokes(12 << 16, 14 << 16) == [F1 + 1, F1 + 3]  # between them F3 is what some firmware calls Enter
    assert desk.strokes(0x68 << 16, 0x7F << 16, 0) == []  # F13, volume, a shift key alone
    assert desk.strokes("\x03\x1b\x7f\n") == [3, 27, 8, 10]


def test_a_pair_of_surrogates_is_one_key() -> None:
    desk = Desk()
    assert desk.strokes(0xD83D, 0xDE00, 0xDE00, 0xD83D, ord("a"), 0xDE00) == [0x1F600, 97]


def test_shift_keys_where_the_firmware_tells() -> None:
    desk = Desk()
    assert desk.strokes(CONTROL | ord("c"), CONTROL | ord("C"), CONTROL | 3, CONTROL | ord("j")) == [3, 3, 3, 10]
    assert desk.strokes(CONTROL | 4 << 16, CONTROL | 3 << 16, ALT | 4 << 16) == [WORD_LEFT, WORD_RIGHT, WORD_LEFT]
    assert desk.strokes(ALT | ord("b"), ALT | ord("f"), ALT | ord("x")) == [WORD_LEFT, WORD_RIGHT, ord("x")]
    assert desk.strokes(ALT | 13, SHIFT | 13, 13, ALT | 8) == [10, 10, 13, 23]
    assert desk.strokes(SHIFT | 1 << 16, CONTROL | ord("1"), SHIFT | ord("A")) == [UP, ord("A")]


def test_a_broken_extended_protocol_is_not_missed() -> None:
    desk = Desk()
    desk.firmware.con_in_ex.serve("read_key_stroke_ex", lambda this, data: -(1 << 63) | 3)
    assert desk.typed("ab") == "ab"


def test_a_german_keyboard() -> None:
    desk = Desk("de")
    assert desk.typed("zyY[;'-\\") == "yzZüöäß#"
    assert desk.typed(ALT_GR | ord("q"), ALT_GR | ord("e"), ALT_GR | ord("7"), ALT_GR | ord("-")) == "@€{\\"
    assert desk.typed(CONTROL | ALT | ord("q")) == "@"
    assert desk.typed("=e+a`o`  ` ") == "éàô^ ^"
    assert desk.strokes(CONTROL | ord("y"), CONTROL | ord("z"), 25) == [26, 25, 26]


def test_dead_keys_that_join_with_nothing() -> None:
    desk = Desk("fr")
    assert desk.strokes("[e[t[[x") == [ord("ê"), ord("^"), ord("t"), ord("^"), ord("^"), ord("x")]
    assert desk.strokes("[", 1 << 16, "e[\be") == [UP, ord("e"), 8, ord("e")]


def test_layouts_are_for_the_keyboard_only() -> None:
    assert text(Desk("de").line("zy[")) == "zy["


@pytest.mark.parametrize("content, key", [
    ("\x1b[A", UP), ("\x1bOB", DOWN), ("\x1b[C", RIGHT), ("\x1b[D", LEFT), ("\x1b[H", HOME), ("\x1bOF", END),
    ("\x1b[1~", HOME), ("\x1b[4~", END), ("\x1b[7~", HOME), ("\x1b[8~", END), ("\x1b[2~", INSERT), ("\x1b[3~", DELETE),
    ("\x1b[5~", PAGE_UP), ("\x1b[6~", PAGE_DOWN), ("\x1b[3;5~", DELETE), ("\x1b[1;5C", WORD_RIGHT),
    ("\x1b[1;3D", WORD_LEFT), ("\x1b[1;2D", LEFT), ("\x1bOc", WORD_RIGHT), ("\x1bOd", WORD_LEFT),
    ("\x1bO5C", WORD_RIGHT), ("\x1bb", WORD_LEFT), ("\x1bf", WORD_RIGHT), ("\x1b\r", 10), ("\x1b[13;2u", 10),
    ("\x1b[27;5;13~", 10), ("\x1b\x7f", 23), ("\x7f", 8), ("\x1bOP", F1), ("\x1b[11~", F1), ("\x1b[24~", F1 + 11),
    ("\x1b[[A", F1), ("\x1b[[E", F1 + 4), ("\x1b[15~", F1 + 4), ("\x1b[1;5H", HOME), ("\x1bOM", 13),
    ("\x1b[1;2R", F1 + 2),
])
def test_what_terminals_send(content: str, key: int) -> None:
    desk = Desk()
    assert desk.line(content + "x") == [key, ord("x")]
    for part in content:
        desk.port.coming += part.encode()
        assert desk.keys() in ([], [key])


@pytest.mark.parametrize("content", [
    "\x1b[?1;2c", "\x1b[>0;276;0c", "\x1b[99~", "\x1b[9999999999999999999999~", "\x1bx", "\x1b]0;title\x07",
    "\x1bP1$r0m\x1b\\", "\x1b[<0;1;1M", "\x1b[1 q", "\x1bOz", "\x1b[Z", "\x1b[[Z", "\x1b[1;2;3;4;5;6;7;8;9z",
])
def test_unknown_sequences_are_swallowed_whole(content: str) -> None:
    assert Desk().line(content + "x") == [ord("x")]


def test_characters_of_several_bytes_and_what_is_none() -> None:
    desk = Desk()
    assert text(desk.line("aé€\U0001f600")) == "aé€\U0001f600"
    for broken in (b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
                   b"\xff", b"\xe2\x82", b"\xc2\x9b", b"\0"):
        assert desk.line(broken + b"x") == [ord("x")]
    assert text(desk.line("\x1b\u00e9")) == "é"


def test_enter_once_whatever_ends_a_line() -> None:
    assert Desk().line("a\rb\nc\r\nd\n\n\r\r") == [97, 13, 98, 13, 99, 13, 100, 13, 13, 13, 13]


def test_a_paste_is_text() -> None:
    pasted = "\x1b[200~a\r\nb\rc\n\td\x03\x1b[A\x08\x7fé\x1b[201~\r"
    assert Desk().line(pasted) == [97, 10, 98, 10, 99, 10, 9, 100, 0xE9, 13]


def test_a_paste_without_an_end_is_over_some_time() -> None:
    desk = Desk(per_ms=AT_ONCE)
    assert desk.line("\x1b[200~a\r") == [97, 10]
    assert desk.line("\r\x03") == [13, 3]


def test_an_escape_alone() -> None:
    desk = Desk()
    assert desk.line("\x1b") == []
    desk.figures.cycles_per_ms = AT_ONCE
    assert desk.line("") == [27] and desk.line("") == []
    assert desk.line("[A") == [ord("["), ord("A")]
    desk.figures.cycles_per_ms = NEVER
    assert desk.line("\x1b\x1b") == [27]
    assert desk.line("[A\x1b\x1b[A") == [UP, 27, UP]


def test_a_sequence_that_stops_is_forgotten() -> None:
    desk = Desk(per_ms=AT_ONCE)
    for begun in ("\x1b[", "\x1b[1;", "\x1bO", "\x1b]0;", "\x1b[["):
        assert desk.line(begun) == []
        assert desk.line("A") == [65]


def test_the_terminal_says_how_large_it_is() -> None:
    desk = Desk()
    assert (desk.serial.columns, desk.serial.rows) == (80, 24)
    assert desk.line("\x1b[50;132R") == [RESIZED]
    assert (desk.serial.columns, desk.serial.rows) == (132, 50)
    assert desk.line("\x1b[200~\x1b[9999;0R\x1b[201~") == [RESIZED]
    assert (desk.serial.columns, desk.serial.rows) == (1, 1000)


@pytest.mark.parametrize("stop", ["\x1b", "\x03"])
def test_stopping_from_the_terminal(stop: str) -> None:
    desk = Desk()
    desk.port.coming += b"ab\x1b[A"
    assert not stop_asked(desk.k)
    desk.port.coming += stop.encode()
    desk.figures.cycles_per_ms = AT_ONCE  # nothing follows within the time that is waited for it
    assert stop_asked(desk.k)
    assert desk.keys() == [97, 98, UP]


@pytest.mark.parametrize("stop", [ESC, CONTROL | ord("c"), 3])
def test_stopping_from_the_keyboard(stop: int) -> None:
    desk = Desk(line=False)
    desk.firmware.keys += [97, 1 << 16, stop, 98]
    assert stop_asked(desk.k) and not stop_asked(desk.k)
    assert desk.keys() == [97, UP, 98]


def test_keys_beyond_the_ring_are_lost_but_not_the_stop() -> None:
    desk = Desk()
    desk.port.coming += b"x" * (N_KEYS + 1000) + b"\x03"
    looks = 0
    while not stop_asked(desk.k):
        looks += 1
        assert looks < 100
    assert desk.keys() == [ord("x")] * N_KEYS


def test_what_is_pasted_meanwhile_is_kept() -> None:
    desk = Desk()
    sent = " ".join(f"{k:03}" for k in range(1000)).encode()
    desk.port.coming += sent
    for _ in range(10):
        assert not stop_asked(desk.k)
    assert bytes(desk.keys()) == sent


def test_input_without_an_end_is_left_after_a_while() -> None:
    desk = Desk()
    reading = desk.port.table.count
    for byte in (b"y", b"\0"):
        desk.port.coming += byte * 100_000
        before = reading("read")
        assert not stop_asked(desk.k)
        assert reading("read") - before <= MOST_LOOKS
        desk.port.coming.clear()


def test_a_keyboard_that_says_nothing_for_ever_hides_no_line() -> None:
    desk = Desk()
    desk.firmware.con_in_ex.serve("read_key_stroke_ex", lambda *_: 0)
    assert desk.line("a") == [ord("a")]


def test_an_extended_protocol_that_is_silent() -> None:
    desk = Desk(line=False)
    desk.firmware.con_in_ex.serve("read_key_stroke_ex", lambda *_: ERROR | uefi.EFI_NOT_READY)
    assert desk.strokes("ab") == [97, 98]


def test_keys_that_come_by_both_protocols_come_once() -> None:
    desk = Desk(line=False)
    assert desk.strokes("a") == [97]
    desk.firmware.con_in.serve("read_key_stroke", lambda *_: pytest.fail("it would repeat the key"))
    assert desk.strokes("b") == [98]


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("stroke", [13 << 16, 13 << 16 | 13, 13])
def test_enter_in_the_scan_code(stroke: int, extended: bool) -> None:
    assert Desk(line=False, extended=extended).strokes(stroke) == [13]
    assert Desk(line=False, extended=extended).strokes(8 << 16 | 8, 9 << 16 | 9) == [8, 9]


def test_waiting() -> None:
    desk = Desk(per_ms=10**6)
    assert wait_for_key(desk.k, 0) == 0
    desk.firmware.later = [lambda: None, lambda: desk.port.coming.extend(b"a"), lambda: desk.firmware.keys.append(98)]
    assert [wait_for_key(desk.k, -1), wait_for_key(desk.k, -1)] == [97, 98]
    assert desk.firmware.stalls == []
    desk.firmware.refuses_events = True
    assert wait_for_key(desk.k, 100) == 0 and desk.firmware.stalls[0] == keyboard.POLL_US
    close_keyboard(desk.k)
    assert desk.firmware.timers == 0


def test_nothing_to_type_on() -> None:
    desk = Desk(line=False, extended=False)
    nothing = desk.k._replace(fw=desk.k.fw._replace(con_in=0))
    assert wait_for_key(nothing, -1) == -1 and next_key(nothing) == 0
    line_only = Desk(extended=False, per_ms=10**6)
    k = line_only.k._replace(fw=line_only.k.fw._replace(con_in=0))
    line_only.firmware.later = [lambda: line_only.port.coming.extend(b"a")]
    assert wait_for_key(k, -1) == 97


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=8), st.sampled_from(
    [b"\x1b", b"[", b"O", b"200~", b"201~", b";", b"1", b"\r", b"\n", b"\xe2\x82", b"\xac", b"]", b"\x1b[200~"]))))
def test_no_bytes_are_stuck_and_every_key_is_one(parts: list[bytes]) -> None:
    desk = Desk()
    keys = [key for part in parts for key in desk.line(part)]
    assert all(0 < key < 0xD800 or 0xE000 <= key <= 0x10FFFF or FIRST_KEY < key <= RESIZED for key in keys)
    assert not any(128 <= key < 160 or key == 127 for key in keys)
    desk.figures.cycles_per_ms = AT_ONCE
    desk.keys()
    assert desk.line("é\x1b[A\x1b[200~")[-2:] == [0xE9, UP]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KEYBOARDS), st.lists(st.builds(
    lambda shift, scan, unit: shift << 32 | scan << 16 | unit, st.integers(0, 63),
    st.one_of(st.just(0), st.integers(0, 0xFFFF)), st.one_of(st.integers(0, 127), st.integers(0, 0xFFFF)))))
def test_no_stroke_is_stuck_and_every_key_is_one(layout: str, strokes: list[int]) -> None:
    desk = Desk(layout)
    keys = desk.strokes(*strokes)
    assert all(0 < key < 0xD800 or 0xE000 <= key <= 0x10FFFF or FIRST_KEY < key < RESIZED for key in keys)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_text_arrives_as_it_was_sent(sent: str) -> None:
    assert text(Desk().line(sent)) == sent


@both_worlds
def test_the_decoder_is_the_same_compiled(world: World) -> None:
    desk = Desk()
    content = "aé\x1b[1;5C\x1bOA\x1b[200~x\r\n\x1b[201~\r\n\x1b[5;7R\x1b\x1b\U0001f600\x1b]x\x07".encode()
    content += b"\xff\xc3\x1bb"
    keys = [int(world(keyboard.key_of_byte)(desk.k, byte)) for byte in content]
    assert [key for key in keys if key] == [97, 0xE9, WORD_RIGHT, UP, 120, 10, 13, RESIZED, 27, 0x1F600, WORD_LEFT]
    desk = Desk("de")
    strokes = [ord("z"), ALT_GR | ord("q"), ord("="), ord("e"), CONTROL | 3 << 16, ESC]
    assert [int(world(keyboard.key_of_stroke)(desk.k, stroke)) for stroke in strokes] == [
        ord("y"), ord("@"), 0, ord("é"), WORD_RIGHT, 27]
