"""A text redrawn in place: what terminal, firmware's console and screen show of it is the text, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.metal.console.glyphs import glyph_of, terminal_width
from barelm.metal.console.screen_sink import MARGIN
from barelm.metal.console.sinks import ALARM, DIM, screen_of
from barelm.metal.console.stream import begin_input, end_input, fit_line, put_code_point, scroll, set_colour, show_input
from barelm.metal.console.terminal_sink import keep_row
from tests.metal.console.test_sinks import Desk, stripped
from tests.metal.screens import FakeScreen
from tests.metal.talks import array

LINES = st.tuples(st.text("ab éß\n", max_size=60), st.integers(0, 60))
"""A line as it is typed, and before which of its characters the cursor is."""


class Layout:
    """A line from a column on: rows, and where its cursor is."""

    def __init__(self, before: str, line: str, cursor: int, width: int, *, wide: bool = False) -> None:
        first = len(before)
        rows, self.row, self.column = [before], 0, first
        taken = first
        for i, character in enumerate(line):
            if character == "\n":
                if i == cursor:
                    self.row, self.column = len(rows) - 1, taken
                rows.append(" " * first)
                taken = first
                continue
            columns = terminal_width(ord(character)) if wide else 1
            if taken + columns > width:
                rows.append(" " * first)
                taken = first
            if i == cursor:
                self.row, self.column = len(rows) - 1, taken
            rows[-1] += character
            taken += columns
        if cursor >= len(line):
            self.row, self.column = len(rows) - 1, taken
        self.rows = [row.rstrip() for row in rows]
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()


def show(desk: Desk, line: str, cursor: int) -> None:
    """Draw the line."""
    raw = line.encode()
    show_input(desk.con, array(raw), len(raw), len(line[:cursor].encode()) if cursor >= 0 else -1)
    desk.see()


@settings(max_examples=50)
@given(st.lists(LINES, min_size=1, max_size=8), st.integers(0, 14), st.sampled_from(["", "> ", "> say "]),
       st.integers(12, 50), st.integers(12, 50), st.booleans())
def test_every_drawing_shows_the_line_and_nothing_of_the_one_before(
        lines: list[tuple[str, int]], n_above: int, before: str, line: int, plain: int, keeps: bool) -> None:
    desk = Desk(line=line, plain=plain, rows=24)
    if keeps:
        keep_row(desk.con.state.serial, 24)
    above = [f"row {k}" for k in range(n_above)]
    desk.put("".join(row + "\n" for row in above) + before)
    begin_input(desk.con)
    for text, cursor in lines:
        text = text[:max(1, 9 * (min(line, plain) - 1 - len(before)))]  # what goes on a screen
        cursor = min(cursor, len(text))
        show(desk, text, cursor)
        for grid, width in ((desk.terminal, line - 1), (desk.uefi, plain - 1)):
            layout = Layout(before, text, cursor, width)
            known = grid.lines[:n_above + len(layout.rows)]
            assert [row.rstrip() for row in above + layout.rows] == known + [""] * (
                n_above + len(layout.rows) - len(known))
            assert not any(grid.lines[n_above + len(layout.rows):]), "nothing of another drawing is left"
            assert grid.column == layout.column
            assert grid.row + len(grid.gone) == n_above + layout.row
        assert not keeps or desk.terminal.row < 23, "the row of the status is not touched"


def test_behind_the_line_text_goes_on_below() -> None:
    desk = Desk(screen=True, line=20)
    desk.put("> ")
    begin_input(desk.con)
    show(desk, "abcdefghijklmnopqrstuvwxyz", 3)
    end_input(desk.con, array(b"abc def"), 7)
    desk.put("and on")
    assert desk.terminal.lines == ["> abc def", "and on"]
    assert desk.glyphs() == [[glyph_of(32)] * MARGIN + [glyph_of(ord(c)) for c in row]
                             for row in ("> abc def", "and on")]
    assert desk.con.state.display.cursor_row == -1


@pytest.mark.parametrize("text, cursor", [("", 0), ("abc", 1), ("ab\ncd", 2), ("ab\ncd", 5), ("x" * 120, 120)])
def test_the_cursor_on_the_screen(text: str, cursor: int) -> None:
    desk = Desk(screen=True)
    desk.put("above\n> ")
    begin_input(desk.con)
    show(desk, "something longer " * 20, 7)
    show(desk, text, cursor)
    d = screen_of(desk.con)
    layout = Layout("> ", text, cursor, int(d.state.columns) - 2 * MARGIN)
    assert (d.state.cursor_row, d.state.cursor_column) == (1 + layout.row, MARGIN + layout.column)
    blank = [glyph_of(32)] * MARGIN
    found = desk.glyphs()[1:]
    expected = [stripped(blank + [glyph_of(ord(c)) for c in row]) for row in layout.rows]
    assert found[:len(expected)] == expected and not any(found[len(expected):])
    show(desk, text, -1)
    assert d.state.cursor_row == -1


def test_wide_characters_on_a_terminal() -> None:
    desk = Desk(line=20)
    desk.put("> ")
    begin_input(desk.con)
    for text in ("世界" * 9, "a世", "世" * 4):
        show(desk, text, len(text))
        layout = Layout("> ", text, len(text), 19, wide=True)
        assert desk.terminal.lines == layout.rows and desk.terminal.column == layout.column


@pytest.mark.parametrize("control", ["\t", "\x1b", "\x00", "\r", "\x7f", "\x9b", "\x08"])
def test_a_control_in_the_line_is_a_blank(control: str) -> None:
    desk = Desk(line=80, plain=80)
    begin_input(desk.con)
    show(desk, f"a{control}b", 3)
    assert desk.terminal.lines == desk.uefi.lines == ["a b"]
    assert desk.terminal.column == desk.uefi.column == 3


def test_looking_back_and_forth() -> None:
    desk = Desk(screen=True)
    desk.put("row\n" * 200)
    d = screen_of(desk.con)
    scroll(desk.con, -10)
    assert d.state.follows == 0
    scroll(desk.con, 10)
    assert d.state.follows == 1
    Desk(line=80).put("x")
    scroll(Desk(line=80).con, 3)  # a terminal looks back by itself


def test_a_row_is_kept_where_the_terminal_says_how_large_it_is() -> None:
    desk = Desk(line=80, rows=24)
    fit_line(desk.con)
    desk.look()
    assert desk.terminal.region == (0, 23), "it has not said so"
    desk.con.state.serial.sized = 1
    fit_line(desk.con)
    desk.put("".join(f"row {k}\n" for k in range(40)))
    assert desk.terminal.region == (0, 22) and desk.terminal.rows[23] == [" "] * 80
    assert desk.terminal.lines == [f"row {k}" for k in range(40)]
    desk.con.state.serial.rows = 5
    fit_line(desk.con)
    desk.look()
    assert desk.terminal.region == (0, 23)


def test_colours_on_the_firmwares_console() -> None:
    desk = Desk()
    for colour in (ALARM, ALARM, DIM):
        set_colour(desk.con, colour)
        put_code_point(desk.con, 120)
    assert desk.firmware.attributes == [0x0C, 0x03]
    screen_desk = Desk(screen=True)
    set_colour(screen_desk.con, ALARM)
    assert isinstance(screen_desk.firmware, FakeScreen) and screen_desk.firmware.attributes == []
