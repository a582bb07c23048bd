"""One text on screen, terminal and firmware's console: wrapped at each one's width, no word torn, none lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.metal import arena
from barelm.metal.console import stream, writing
from barelm.metal.console.glyphs import CODE_POINTS, glyph_of
from barelm.metal.console.screen_sink import MARGIN
from barelm.metal.console.sinks import (
    ACCENT,
    ALARM,
    LINE,
    PLAIN,
    SCREEN,
    TEXT,
    Console,
    close_line,
    close_screen,
    flush,
    is_on,
    open_console,
    screen_of,
)
from tests.metal.fake import FakeFirmware
from tests.metal.screens import FakeScreen
from tests.metal.talks import array
from tests.metal.terminals import UefiConsole, Vt100

WORDS = st.text("abcdéß", min_size=1, max_size=30)
TEXTS = st.lists(st.one_of(WORDS, WORDS, st.sampled_from(["\n", "\n\n", "  ", " "])), max_size=40).map(" ".join)


class Desk:
    """A console with the sinks asked for, and what is seen on each."""

    def __init__(self, *, screen: bool = False, line: int = 0, plain: int = 80, rows: int = 24,
                 report: bool = False) -> None:
        self.firmware: FakeFirmware = (
            FakeScreen([(800, 600)], line=line > 0) if screen else FakeFirmware(line=line > 0))
        self.uefi = UefiConsole(self.firmware, plain, rows)
        self.port = self.firmware.serial
        self.workspace = arena.open_workspace(self.firmware.fw)
        b = self.workspace.board
        b.settings.screen, b.settings.serial, b.settings.report = 1, 1, report
        b.figures.cycles_per_ms = 10**6
        self.con: Console = open_console(self.firmware.fw, b.settings, b.figures, self.workspace)
        self.con.state.serial.columns = line or 80
        self.con.state.serial.rows = rows
        self.terminal = Vt100(line or 80, rows)

    def put(self, text: str) -> None:
        """Put a text as it comes from a model, byte by byte."""
        raw = text.encode()
        writing.put_bytes(self.con, array(raw), 0, len(raw))
        self.look()

    def look(self) -> None:
        """Have everything shown, and see it."""
        flush(self.con)
        self.see()

    def see(self) -> None:
        """Let the terminal show what has come over the line."""
        written, rest = bytes(self.port.written), b""
        while True:
            try:
                self.terminal.feed(written)
                break
            except UnicodeDecodeError:
                written, rest = written[:-1], written[-1:] + rest
        self.port.written[:] = rest

    def glyphs(self) -> list[list[int]]:
        """The rows of the screen, without blanks at their ends."""
        d = screen_of(self.con)
        columns = int(d.state.columns)
        rows = [[int(cell) & 0xFFFF for cell in d.cells[row * columns:(row + 1) * columns]]
                for row in range(int(d.state.last) + 1)]
        return [stripped(row) for row in rows]


def stripped(row: list[int]) -> list[int]:
    """Without blanks at the end."""
    while row and row[-1] == glyph_of(32):
        row = row[:-1]
    return row


def wrapped(text: str, width: int) -> list[str]:
    """Text in rows: a word goes to the next row whole, unless that would leave half a row empty."""
    rows, word = [""], 0
    for character in text:
        if character == "\n":
            rows.append("")
            word = 0
            continue
        if len(rows[-1]) >= width:
            if character == " " or word == 0 or 2 * word > width:
                rows.append("")
                if character == " ":
                    word = 0
                    continue
            else:
                rows[-1:] = [rows[-1][:-word], rows[-1][-word:]]
        rows[-1] += character
        word = 0 if character == " " else word + 1
    rows = [row.rstrip() for row in rows]
    while rows and not rows[-1]:
        rows.pop()
    return rows


@settings(max_examples=60)
@given(TEXTS, st.integers(10, 90), st.integers(10, 90))
def test_no_word_is_torn_and_none_lost(text: str, line: int, plain: int) -> None:
    desk = Desk(line=line, plain=plain, rows=5)
    desk.put(text)
    for lines, width in ((desk.terminal.lines, line - 1), (desk.uefi.lines, plain - 1)):
        assert lines == wrapped(text, width)
        assert max(map(len, lines), default=0) <= width
        if all(2 * len(word) <= width for word in text.split()):
            assert " ".join(lines).split() == text.split()
        assert "".join(lines).replace(" ", "") == "".join(text.split())


def test_three_sinks_at_once_each_at_its_own_width() -> None:
    desk = Desk(screen=True, line=33)
    assert is_on(desk.con, SCREEN) and is_on(desk.con, LINE) and not is_on(desk.con, PLAIN)
    desk.con.state.sinks[PLAIN].on = 1
    text = "The quick brown fox jumps over the lazy dog, and says so: é ß ▶ — again and again. " * 4
    desk.put(text)
    columns = int(screen_of(desk.con).state.columns) - 2 * MARGIN
    assert desk.terminal.lines == wrapped(text, 32) and desk.uefi.lines == wrapped(text, 79)
    assert desk.glyphs() == [stripped([glyph_of(32)] * MARGIN + [glyph_of(ord(c)) for c in row])
                             for row in wrapped(text, columns)]


@pytest.mark.parametrize("length", [63, 64, 65, 128, 129, 1000])
@pytest.mark.parametrize("width", [20, 80, 150, 300])
def test_nothing_of_the_longest_word_is_lost(length: int, width: int) -> None:
    desk = Desk(line=width, plain=width)
    word = "".join(chr(97 + i % 26) for i in range(length))
    desk.put("so " + word + " it")
    for lines in (desk.terminal.lines, desk.uefi.lines):
        assert "".join(lines).replace(" ", "") == f"so{word}it"
        assert max(map(len, lines)) <= width - 1


@pytest.mark.parametrize("mark", ["e\u0301", "e\u0301\u0302\u0303", "\u4e16", "\U0001f642"],
                         ids=["mark", "marks", "wide", "picture"])
@pytest.mark.parametrize("before", range(8))
def test_marks_and_wide_characters_cost_no_letter_of_the_word_before(mark: str, before: int) -> None:
    desk = Desk(line=21)
    text = "xx " * 4 + "y" * before + " " + mark + "ab" + mark + "cde fgh"
    desk.put(text)
    assert " ".join(desk.terminal.lines).split() == text.split()
    assert desk.terminal.most_column < 20


@pytest.mark.parametrize("number", range(0, len(CODE_POINTS), 97))
def test_characters_there_are_glyphs_for_are_drawn(number: int) -> None:
    desk = Desk(screen=True)
    character = chr(int(CODE_POINTS[number]))
    if character.isprintable() and character != " ":
        desk.put("a" + character)
        assert desk.glyphs()[0] in ([glyph_of(32), glyph_of(97), glyph_of(ord(character))],
                                    [glyph_of(32), glyph_of(97)])


def test_colours_on_a_terminal_come_once_and_go() -> None:
    desk = Desk(line=80)
    for colour in (ALARM, ALARM, TEXT, ACCENT):
        stream.set_colour(desk.con, colour)
        desk.put("x")
    assert desk.terminal.colours == [31, 39, 33]
    close_line(desk.con, False)
    assert desk.port.written.endswith(b"\x1b[0m") and not desk.port.reconnected
    assert not is_on(desk.con, LINE)


@pytest.mark.parametrize("returns", [False, True])
def test_the_line_goes_back_to_the_firmware_where_the_program_returns(returns: bool) -> None:
    desk = Desk(line=80)
    close_line(desk.con, returns)
    assert desk.port.reconnected == returns


def test_the_screen_goes_back_blank_and_the_last_words_are_the_firmwares() -> None:
    desk = Desk(screen=True)
    desk.put("hello")
    assert desk.firmware.screen == "" and desk.firmware.n_cleared == 0
    close_screen(desk.con)
    desk.put("BARELM DONE 0\n")
    assert desk.firmware.screen == "BARELM DONE 0\r\n" and desk.firmware.n_cleared == 1
    assert list(desk.firmware.pages) == [desk.workspace.address]


def test_a_program_hears_the_firmwares_console_alone_and_nothing_is_wrapped() -> None:
    desk = Desk(screen=True, line=80, report=True)
    desk.firmware.shown_to = lambda text: None
    desk.put("BARELM IDS" + " 123" * 200 + "\n")
    assert desk.port.written == b"" and desk.port.owner == 0
    assert desk.firmware.screen == "BARELM IDS" + " 123" * 200 + "\r\n"


def test_a_configuration_without_a_screen_leaves_it_alone() -> None:
    firmware = FakeScreen([(800, 600)])
    workspace = arena.open_workspace(firmware.fw)
    con = open_console(firmware.fw, workspace.board.settings, workspace.board.figures, workspace)
    assert not is_on(con, SCREEN) and is_on(con, PLAIN) and firmware.transfers == []
