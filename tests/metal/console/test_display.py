"""The character screen against a frame buffer in memory: every pixel is where the text says, and nothing else is."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.board import Figures
from barelm.contract.console_state import DisplayState
from barelm.dialect.rooms import metal
from barelm.metal.console import display, picture, screen_mode
from barelm.metal.console.display import (
    Display,
    clear_cells,
    clear_display,
    clear_status,
    close_display,
    follow,
    open_display,
    place_cursor,
    put_cell,
    put_status,
    refresh,
    scroll_view,
    start_row,
)
from barelm.metal.console.glyphs import CODE_POINTS, MISSING, NUMBERS, cell_width, glyph_of
from barelm.metal.uefi.boot_services import Firmware
from tests.metal.fake import ERROR
from tests.metal.screens import BGRX, BLT_ONLY, MASK, RGBX, UNTOUCHED, Cell, FakeScreen, bitmap, expected
from tests.worlds import jit

SIZE = (170, 85)  # 21 columns, 4 rows of text and the status row; a margin on every side


def write(d: Display, row: int, text: str, colour: int = 0, column: int = 0) -> dict[tuple[int, int], Cell]:
    """Put a text on a row that is there; returns what is to be seen where row 0 is at the top."""
    for i, character in enumerate(text):
        put_cell(d, row, column + i, ord(character), colour)
    return {(row, column + i): (character, colour + 1, 0) for i, character in enumerate(text)}


def status(d: Display, text: str) -> dict[tuple[int, int], Cell]:
    """Put a text on the status row; returns what is to be seen of it."""
    clear_status(d, 0)
    for i, character in enumerate(text):
        put_status(d, i, ord(character))
    columns, rows = int(d.state.columns), int(d.state.rows)
    return {(rows, i): (character, 7, 6) for i, character in enumerate(text.ljust(columns))}


@pytest.mark.parametrize("form", [RGBX, BGRX, MASK, BLT_ONLY])
def test_text_is_drawn_in_every_kind_of_pixels(form: int) -> None:
    machine = FakeScreen([SIZE], form, padding=6)
    d = machine.open()
    assert (d.state.columns, d.state.rows) == (21, 4)
    start_row(d, 1)
    seen = write(d, 0, "Grüße, Αθήνα, Київ…") | write(d, 1, "█▁▏░", 3) | status(d, "4 tok/s")
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen))
    assert (machine.frame[:, SIZE[0]:] == UNTOUCHED).all(), "what is behind the visible part of a line stays"
    close_display(machine.fw, d)
    assert not machine.pages and not machine.frame[:, :SIZE[0]].any()


def test_all_colours_and_the_cursor() -> None:
    machine = FakeScreen([SIZE])
    d = machine.open()
    seen: dict[tuple[int, int], Cell] = {}
    for colour in range(display.N_COLOURS):
        seen |= write(d, 0, "ab", colour, 2 * colour)
    place_cursor(d, 0, 3)
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen | {(0, 3): ("b", 0, 2)}))
    place_cursor(d, 0, 1000)
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen | {(0, 20): (" ", 0, 1)}))
    place_cursor(d, -1, 0)
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen))


def test_only_cells_that_changed_are_drawn() -> None:
    machine = FakeScreen([SIZE], BLT_ONLY)
    d = machine.open()
    write(d, 0, "unchanged")
    refresh(d)
    del machine.transfers[:]
    refresh(d)
    write(d, 0, "unchanged")
    refresh(d)
    assert machine.transfers == []
    write(d, 0, "A", 0, 3)
    write(d, 0, "B", 0, 5)
    refresh(d)
    left, upper = int(d.state.left), int(d.state.upper)
    assert machine.transfers == [(2, left + 3 * 8, upper, 3 * 8, 16)]


def test_scrolling_looking_back_and_following() -> None:
    machine = FakeScreen([SIZE])
    d = machine.open()
    for row in range(7):
        start_row(d, row)
        write(d, row, f"row {row}")

    def shows(first: int, n: int = 4) -> bool:
        refresh(d)
        seen = {(row, column): (character, 1, 0) for row in range(n)
                for column, character in enumerate(f"row {first + row}")}
        return np.array_equal(machine.colours, expected(d, seen))

    assert shows(3) and d.state.follows == 1
    scroll_view(d, -2)
    assert shows(1) and d.state.follows == 0
    start_row(d, 7)
    write(d, 7, "row 7")
    assert shows(1), "what comes does not move a view that looks back"
    scroll_view(d, -100)
    assert shows(0)
    follow(d)
    assert shows(4) and d.state.follows == 1
    scroll_view(d, -1)
    scroll_view(d, 1)
    assert shows(4) and d.state.follows == 1
    clear_cells(d, 6, 0)
    assert shows(4, 2), "cleared to the end of the row and every row below"
    clear_display(d)
    assert shows(0, 0)
    write(d, 0, "row 0")
    assert shows(0, 1)


def test_the_ring_keeps_the_last_rows() -> None:
    machine = FakeScreen([SIZE])
    machine.largest_pages = 8  # the first sizes asked for are refused
    d = machine.open()
    kept = int(d.state.history)
    assert 4 <= kept < display.HISTORY_ROWS and machine.figures.memory == 4096 * sum(machine.pages.values())
    for row in range(kept + 10):
        start_row(d, row)
        write(d, row, str(row))
    put_cell(d, 9, 0, ord("X"), 0)  # gone
    put_cell(d, kept + 10, 0, ord("X"), 0)  # not there yet
    scroll_view(d, -10**6)
    refresh(d)
    seen = {(row, column): (character, 1, 0) for row in range(4) for column, character in enumerate(str(10 + row))}
    assert np.array_equal(machine.colours, expected(d, seen))
    for row in range(kept + 10, kept + 13):  # the oldest go while one looks at them
        start_row(d, row)
    refresh(d)
    assert d.state.top == 13


def test_columns_and_characters_that_are_not_there() -> None:
    machine = FakeScreen([SIZE])
    d = machine.open()
    for column in (-1, 21, 1 << 40, -1 << 40):
        put_cell(d, 0, column, ord("X"), 0)
        put_status(d, column, ord("X"))
    put_cell(d, -1, 0, ord("X"), 0)
    put_cell(d, 0, 0, ord("a"), 99)
    put_cell(d, 0, 1, ord("a"), -7)
    for i, code_point in enumerate((0x6F22, 0x1F600, -1, 1 << 40, 0xD800, 0xFFFFFF, 7)):
        put_cell(d, 0, 2 + i, code_point, 0)
    clear_cells(d, 0, 1 << 40)
    clear_status(d, 1 << 40)
    refresh(d)
    seen: dict[tuple[int, int], Cell] = {(0, 2 + i): ("\u6f22", 1, 0) for i in range(7)}
    assert np.array_equal(machine.colours, expected(d, seen | {(0, 0): ("a", 1, 0), (0, 1): ("a", 1, 0)}))
    assert bitmap("\u6f22", 1, True).sum() > 20


@given(st.lists(st.tuples(st.sampled_from("spcrvfku"), st.integers(-9, 30), st.integers(-9, 30),
                          st.integers(-5, 1 << 22)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_the_screen_is_what_the_ring_says(asked: list[tuple[str, int, int, int]]) -> None:
    machine = FakeScreen([SIZE])
    machine.largest_pages = 6
    d = machine.open()
    for what, a, b, c in asked:
        last = int(d.state.last)
        if what == "s":
            start_row(d, last + 1)
        elif what == "p":
            put_cell(d, last + a, b, c, a)
        elif what == "c":
            clear_cells(d, last + a, b)
        elif what == "r":
            refresh(d)
        elif what == "v":
            scroll_view(d, a)
        elif what == "f":
            follow(d)
        elif what == "k":
            place_cursor(d, last + a, b)
        else:
            put_status(d, a, c)
    refresh(d)
    drawn = machine.colours
    d.shown[:] = -1
    d.state.dirty = 1
    refresh(d)
    assert np.array_equal(machine.colours, drawn), "drawn bit by bit or at once"


@pytest.mark.parametrize("size, cell, columns, rows", [
    ((640, 480), 8, 80, 30), ((800, 600), 8, 100, 37), ((1024, 768), 8, 128, 48), ((1280, 800), 8, 160, 50),
    ((1366, 768), 8, 170, 48), ((1280, 1024), 12, 106, 42), ((1920, 1080), 12, 160, 45), ((2560, 1440), 16, 160, 45),
    ((3840, 2160), 24, 160, 45), ((7680, 4320), 48, 160, 45), ((20, 20), 8, 0, 1), ((1, 1), 8, 0, 1)])
def test_the_font_follows_the_resolution(size: tuple[int, int], cell: int, columns: int, rows: int) -> None:
    machine = FakeScreen([size], BLT_ONLY)
    state = machine.state
    state.graphics = machine.graphics.address
    screen_mode.measure_screen(state)
    shape = state.cell_width, state.columns, state.rows + 1
    assert shape == (cell, columns, rows)
    if columns:
        margins = (size[0] - cell * columns - 2 * state.left,
                   size[1] - 2 * cell * rows - 2 * state.upper)
        assert 0 <= margins[0] <= 7 and 0 <= margins[1] <= 1


@pytest.mark.parametrize("size", [(1280, 1024), (1300, 1200), (2560, 1440), (3840, 2160)])
def test_large_fonts_are_drawn_as_they_are(size: tuple[int, int]) -> None:
    machine = FakeScreen([size], padding=2)
    d = machine.open()
    seen = write(d, 0, "Ag█") | {(int(d.state.rows), 2): ("x", 7, 6)}
    put_status(d, 2, ord("x"))
    d.shown[:] = 0  # a whole screen takes the interpreter seconds
    d.shown[int(d.state.columns) * int(d.state.rows)] = -1
    refresh(d)
    assert np.array_equal(machine.colours, expected(d, seen))


def test_a_small_screen_is_exchanged_and_put_back() -> None:
    modes = [(640, 480), (800, 600), (1024, 768), (3840, 2160), (1920, 400)]
    machine = FakeScreen(modes)
    state = machine.state
    state.graphics = machine.graphics.address
    screen_mode.enlarge_screen(machine.fw, state)
    screen_mode.measure_screen(state)
    assert machine.modes_set == [2] and state.width == 1024 and machine.n_pools == 0
    state.graphics = 0
    machine = FakeScreen([SIZE, (16, 16)])
    d = machine.open()
    assert machine.modes_set == [], "none of these is better"
    d.state.old_mode = 1
    close_display(machine.fw, d)
    assert machine.modes_set == [0]
    machine = FakeScreen([(800, 600), (1024, 768)], BLT_ONLY)
    machine.state.graphics = machine.graphics.address
    screen_mode.enlarge_screen(machine.fw, machine.state)
    assert machine.modes_set == [], "large enough as it is"


@pytest.mark.parametrize("lack", ["graphics", "memory", "mode", "info", "frame"])
def test_what_is_missing_leaves_no_screen_or_the_slow_one(lack: str) -> None:
    machine = FakeScreen([SIZE])
    if lack == "graphics":
        machine.boot.serve("locate_protocol", lambda *_: ERROR | 14)
    elif lack == "memory":
        machine.largest_pages = 1
    elif lack == "mode":
        machine.graphics.put(mode=0)
    elif lack == "info":
        machine.mode.put(info=0)
        machine.query_mode = lambda *_: ERROR | 7  # type: ignore[method-assign]
    else:
        machine.mode.put(frame_buffer_size=100)  # a frame buffer too small to be one
    d = machine.open()
    if lack == "frame":
        assert d.state.frame == 0 and d.state.columns == 21
        return
    assert d.state.columns == 0 and not machine.pages
    start_row(d, 3)
    put_cell(d, 3, 0, 65, 0)
    clear_cells(d, 0, 0)
    put_status(d, 0, 65)
    clear_status(d, 0)
    place_cursor(d, 0, 0)
    scroll_view(d, -1)
    follow(d)
    clear_display(d)
    refresh(d)
    close_display(machine.fw, d)
    assert (machine.frame == UNTOUCHED).all()


@metal
def tell(fw: Firmware, figures: Figures, state: DisplayState) -> Display:
    """Something of everything."""
    d = open_display(fw, figures, state)
    for row in range(9):
        start_row(d, row)
        for column in range(20):
            put_cell(d, row, column, 40 + 37 * row + 11 * column, (row + column) % 6)
        refresh(d)
    scroll_view(d, -3)
    clear_cells(d, 7, 4)
    clear_status(d, 3)
    put_status(d, 5, 0x41F)
    place_cursor(d, 4, cell_width(0x301))
    refresh(d)
    return d


@pytest.mark.parametrize("size, form", [(SIZE, RGBX), (SIZE, BLT_ONLY)])
def test_compiled_it_is_the_same(size: tuple[int, int], form: int) -> None:
    one, other = FakeScreen([size], form), FakeScreen([size], form)
    d = tell(one.fw, one.figures, one.state)
    e = Display(*jit(tell)(other.fw, other.figures, other.state))
    assert np.array_equal(one.frame, other.frame) and np.array_equal(d.cells, e.cells)
    assert one.transfers == other.transfers
    assert picture_of(d) == picture_of(e)


def picture_of(d: Display) -> bytes:
    """The picture of a screen, as a file."""
    room = np.full(1 << 16, 0xAF, np.uint8)
    content = room[:picture.put_picture_header(d, room)].tobytes()
    for row in range(int(d.state.rows), -1, -1):
        content += room[:picture.put_picture_row(d, row, room)].tobytes()
    assert len(content) == picture.picture_bytes(d)
    return content


def decoded(content: bytes) -> Any:
    """A BMP with four bits a pixel as an array of 0xRRGGBB."""
    assert content[:2] == b"BM" and struct.unpack_from("<I", content, 2)[0] == len(content)
    offset, size, width, height, planes, bits, kind, n_bytes = struct.unpack_from("<IIiiHHII", content, 10)
    assert (size, planes, bits, kind, n_bytes) == (40, 1, 4, 0, len(content) - offset)
    palette = np.frombuffer(content, "<u4", 16, 54)
    lines = np.frombuffer(content, np.uint8, n_bytes, offset).reshape(height, -1)
    assert lines.shape[1] == -(-width // 8) * 4
    numbers = np.stack([lines >> 4, lines & 15], axis=2).reshape(height, -1)[::-1, :width]
    return palette[numbers]


@pytest.mark.parametrize("size", [SIZE, (163, 51)])
def test_a_picture_is_what_the_screen_shows(size: tuple[int, int]) -> None:
    machine = FakeScreen([size])
    d = machine.open()
    write(d, 0, "Now \u00abthis\u00bb", 2)
    status(d, "and that")
    place_cursor(d, 0, 12)
    refresh(d)
    assert np.array_equal(decoded(picture_of(d)), machine.frame)


def test_every_character_has_its_own_glyph_and_width() -> None:
    assert (np.diff(CODE_POINTS) > 0).all() and NUMBERS.max() < 1 << 16
    for code_point, number in zip(CODE_POINTS, NUMBERS):
        assert glyph_of(int(code_point)) == number and cell_width(int(code_point)) == 1
    assert glyph_of(0x10FFFF) == glyph_of(0) == MISSING
    rows = ["".join(".#"[bit] for bit in row) for row in bitmap("T", 1, True)]
    assert rows == 2 * ["........"] + ["#######."] + 9 * ["...#...."] + 4 * ["........"]
    rows = ["".join(".#"[bit] for bit in row) for row in bitmap("T", 1, False)]
    assert rows == 4 * [12 * "."] + [".#########.."] + 14 * [".....#......"] + 5 * [12 * "."]
    assert [cell_width(c) for c in (0, 31, 32, 126, 127, 0x300, 0x36F, 0x370, 0x200B, 0xFEFF, 0xFE0F, 0x4E00, -1)] == [
        0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1]


def test_blocks_fill_what_they_say() -> None:
    for small, wide, high in ((True, 8, 16), (False, 12, 24)):
        assert bitmap("█", 1, small).all() and not bitmap(" ", 1, small).any()
        for eighths in range(1, 9):
            assert bitmap(chr(0x2580 + eighths), 1, small).sum() == wide * high * eighths // 8
            assert abs(bitmap(chr(0x2590 - eighths), 1, small).sum() - wide * high * eighths / 8) <= high / 2
        assert bitmap("▙", 1, small).sum() == wide * high * 3 // 4
        assert bitmap("▒", 1, small).sum() == wide * high // 2
