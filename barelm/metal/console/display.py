"""Our own screen of characters, drawn with the firmware's graphics output (UEFI 12.9).

Rows of text are numbered from 0 for ever; a ring keeps the last of them, a view of it is on the screen, and below the
view stands a status row.  What is to be seen is compared with what is shown, cell by cell; a row that differs is drawn
in memory and copied from its first to its last different cell.  The frame buffer is never read.
"""

from typing import NamedTuple

import numpy as np

from barelm.contract import layout, uefi
from barelm.contract.board import Figures
from barelm.contract.console_state import DisplayState
from barelm.dialect.memory import address_of, cells, copy_bytes, fill_bytes, i32_array, memory
from barelm.dialect.types import I32, padded
from barelm.metal.arena import take
from barelm.metal.console.glyphs import BLANK, LARGE, SMALL, glyph_of
from barelm.metal.console.screen_mode import enlarge_screen, measure_screen, regain_screen, screen_changed
from barelm.metal.uefi.boot_services import Firmware, free_pages
from barelm.metal.uefi.graphics_output import blt, find_graphics, set_graphics_mode

MOST_FAILURES = 8
"""Drawings in a row that may fail until a screen is given up."""
HISTORY_ROWS = 2000
"""Rows kept, where there is memory for them."""

# A cell: the number of its glyph, and from bit 16 on its paint: a colour (text, person, dim, accent, alarm), the
# same reversed where the cursor is, or the status row's.
PAINT = 1 << 16
N_COLOURS = 5
CURSOR = N_COLOURS
STATUS = 2 * N_COLOURS
PAINTS = 2 * N_COLOURS + 1
BRUSH_BYTES = 16 * 16  # four pixels for each of sixteen patterns
PIXELS_OF_BRUSHES = PAINTS * BRUSH_BYTES // 4

# Red, green, blue; a picture has sixteen colours.
PALETTE: I32 = np.array([0x10151A, 0xD6DCE4, 0x86B9F2, 0x8391A1, 0x9BD3A0, 0xFF857A, 0xA9B4C2, 0x10151A] + 8 * [0],
                        np.int32)
FOREGROUND: I32 = np.array([1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 7], np.int32)
BACKGROUND: I32 = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6], np.int32)


class Display(NamedTuple):
    """A screen: where it stands, the text there is, what is shown, room to draw a row, and the pixels to draw with."""

    state: DisplayState
    cells: I32
    shown: I32
    pixels: I32
    brushes: I32


def open_display(fw: Firmware, figures: Figures, state: DisplayState) -> Display:
    """The firmware's screen, blank, over a zeroed state.  Without one it has no columns."""
    state.history = HISTORY_ROWS
    state.graphics = find_graphics(fw)
    if state.graphics != 0:
        enlarge_screen(fw, state)
        measure_screen(state)
    while state.columns > 0 and state.block == 0:
        state.block_bytes = 4 * (n_pixels(state) + 2 * PIXELS_OF_BRUSHES
                                  + (state.history + 1 + state.rows + 1) * state.columns)
        state.block = take(fw, figures, state.block_bytes)
        if state.block == 0:
            state.history //= 2
            if state.history < state.rows:
                state.columns = 0
                state.rows = 0
    d = bind_display(state)
    if state.columns > 0:
        mix_colours(d)
        fill_bytes(address_of(d.shown), 0xFF, 4 * len(d.shown))
        fill_bytes(address_of(d.cells), 0, 4 * len(d.cells))
        clear_display(d)
        if fill_screen(state, int(PALETTE[0])) != 0 and state.frame == 0:
            close_display(fw, d)
            return bind_display(state)
    return d


def n_pixels(state: DisplayState) -> int:
    """Room to draw in: a row of glyphs, and, where the firmware has to copy it, that row at its full height."""
    lines = state.glyph_height + (state.cell_height if state.frame == 0 else 0)
    return lines * state.row_bytes // 4


def bind_display(state: DisplayState) -> Display:
    """The views of the block of memory."""
    if state.columns == 0:
        none = i32_array(memory(state.address, 0), 0, 0)
        return Display(state, none, none, none, none)
    block = memory(state.block, state.block_bytes)
    at_pixels = 8 * PIXELS_OF_BRUSHES
    at_cells = at_pixels + 4 * n_pixels(state)
    n_cells = (state.history + 1) * state.columns
    return Display(state, i32_array(block, at_cells, n_cells),
                   i32_array(block, at_cells + 4 * n_cells, (state.rows + 1) * state.columns),
                   i32_array(block, at_pixels, n_pixels(state)), i32_array(block, 0, 2 * PIXELS_OF_BRUSHES))


def mix_colours(d: Display) -> None:
    """For every paint the sixteen patterns of four pixels, as the screen wants them, and again as colours' numbers."""
    for i in range(PIXELS_OF_BRUSHES):
        lit = (i >> 2 & 15) >> (3 - (i & 3)) & 1
        colour = int(FOREGROUND[i >> 6]) if lit != 0 else int(BACKGROUND[i >> 6])
        d.brushes[PIXELS_OF_BRUSHES + i] = colour
        pixel = int(PALETTE[colour])
        if d.state.red_first != 0:
            pixel = (pixel & 0xFF) << 16 | (pixel & 0xFF00) | pixel >> 16
        d.brushes[i] = pixel


def fill_screen(state: DisplayState, colour: int) -> int:
    """One colour everywhere; returns the status."""
    pixel = cells(1)
    pixel[0] = colour
    return blt(state.graphics, address_of(pixel), uefi.BLT_VIDEO_FILL, (0, 0, state.width, state.height), 0)


def close_display(fw: Firmware, d: Display) -> None:
    """Give the memory back, and the screen, black; from here on there is none."""
    if d.state.columns == 0:
        return
    if d.state.lost == 0:
        fill_screen(d.state, 0)
    if d.state.lost == 0 and d.state.old_mode != 0:
        set_graphics_mode(d.state.graphics, d.state.old_mode - 1)
    free_pages(fw, d.state.block, padded(d.state.block_bytes, layout.PAGE) // layout.PAGE)
    d.state.columns = 0
    d.state.rows = 0


def start_row(d: Display, row: int) -> None:
    """A row comes into being, blank; the view follows where it was at the bottom."""
    s = d.state
    if row <= s.last:
        return
    for new in range(max(s.last + 1, row - s.history + 1), row + 1):
        clear_row(d, new, 0)
    s.last = row
    scroll_view(d, 0)
    if s.follows != 0:
        s.top = max(row - s.rows + 1, 0)
    s.dirty = 1


def put_cell(d: Display, row: int, column: int, code_point: int, colour: int) -> None:
    """A character on a row that is kept; elsewhere it is dropped."""
    s = d.state
    if 0 <= column < s.columns and max(s.last - s.history, -1) < row <= s.last:
        paint = colour if 0 <= colour < N_COLOURS else 0
        d.cells[row % s.history * s.columns + column] = glyph_of(code_point) + paint * PAINT
        s.dirty = 1


def clear_row(d: Display, row: int, column: int) -> None:
    """Blank from there to the end of a row that is kept."""
    columns = d.state.columns
    first = min(max(column, 0), columns)
    fill_bytes(address_of(d.cells) + 4 * (row % d.state.history * columns + first), 0, 4 * (columns - first))


def clear_cells(d: Display, row: int, column: int) -> None:
    """Blank from there to the end of the row, and every row below."""
    s = d.state
    for other in range(max(row, s.last - s.history + 1, 0), s.last + 1):
        clear_row(d, other, column if other == row else 0)
    s.dirty = 1


def place_cursor(d: Display, row: int, column: int) -> None:
    """A block on the cell where the next character comes; row -1: none."""
    d.state.cursor_row = row
    d.state.cursor_column = min(max(column, 0), d.state.columns - 1)
    d.state.dirty = 1


def put_status(d: Display, column: int, code_point: int) -> None:
    """A character on the status row."""
    s = d.state
    if 0 <= column < s.columns:
        d.cells[s.history * s.columns + column] = glyph_of(code_point) + STATUS * PAINT
        s.dirty = 1


def clear_status(d: Display, column: int) -> None:
    """Blank the status row from there to its end."""
    s = d.state
    for i in range(max(column, 0), s.columns):
        d.cells[s.history * s.columns + i] = BLANK + STATUS * PAINT
    s.dirty = 1


def scroll_view(d: Display, n_rows: int) -> None:
    """Look back (negative) or forth, as far as rows are kept."""
    s = d.state
    lowest = max(s.last - s.rows + 1, 0)
    top = min(max(s.top + n_rows, s.last - s.history + 1, 0), lowest)
    if n_rows != 0:
        s.follows = int(top == lowest)
    s.dirty |= int(s.top != top)
    s.top = top


def follow(d: Display) -> None:
    """Back to the bottom."""
    scroll_view(d, d.state.last + 1)


def clear_display(d: Display) -> None:
    """Everything blank, row 0 at the top, and no cursor."""
    s = d.state
    s.last = -1
    s.top = 0
    s.follows = 1
    s.cursor_row = -1
    start_row(d, 0)
    fill_bytes(address_of(d.cells) + 4 * s.history * s.columns, 0, 4 * s.columns)


def refresh(d: Display) -> None:
    """Draw what differs from what is shown."""
    s = d.state
    if s.columns > 0 and screen_changed(s):
        s.lost = int(not regain_screen(s))
        if s.lost == 0:
            fill_screen(s, int(PALETTE[0]))
            fill_bytes(address_of(d.shown), 0xFF, 4 * len(d.shown))
            s.dirty = 1
    if s.dirty == 0 or s.lost != 0:
        return
    s.dirty = 0
    for row in range(s.rows + 1):
        first = s.columns
        last = -1
        at = row * s.columns
        source = s.history * s.columns
        if row < s.rows:
            source = (s.top + row) % s.history * s.columns if s.top + row <= s.last else -1
        cursor = s.cursor_column if row < s.rows and s.top + row == s.cursor_row else -1
        for column in range(s.columns):
            cell = int(d.cells[source + column]) if source >= 0 else BLANK
            if column == cursor:
                cell += CURSOR * PAINT
            if int(d.shown[at + column]) != cell:
                d.shown[at + column] = cell
                first = min(first, column)
                last = column
        if last >= 0:
            draw_cells(d, row, first, last, address_of(d.brushes))
            if show_cells(d, row, first, last) != 0:
                fill_bytes(address_of(d.shown) + 4 * at, 0xFF, 4 * s.columns)
                s.dirty = 1
    s.failures = s.failures + 1 if s.dirty != 0 else 0
    s.lost = int(s.failures > MOST_FAILURES)


def draw_cells(d: Display, row: int, first: int, last: int, brushes: int) -> None:
    """Cells of a row as they are shown into d.pixels, with the brushes at an address: four pixels at a time."""
    s = d.state
    height = s.glyph_height
    width = s.cell_width
    scale = s.scale
    row_bytes = s.row_bytes
    for column in range(first, last + 1):
        cell = int(d.shown[row * s.columns + column])
        brush = brushes + (cell >> 16) * BRUSH_BYTES
        line = (cell & (PAINT - 1)) * height
        start = address_of(d.pixels) + 4 * width * column
        for y in range(line, line + height):
            if height == 16:
                bits = int(SMALL[y])
            else:
                bits = (int(LARGE[12 * y >> 3]) << 8 | int(LARGE[(12 * y >> 3) + 1])) >> (4 - 4 * (y & 1)) & 0xFFF
            if scale > 1:
                narrow = bits
                bits = 0
                for i in range(width // scale):
                    bits |= (narrow >> i & 1) * ((1 << scale) - 1) << i * scale
            at = start
            shift = width - 4
            while shift >= 0:
                copy_bytes(at, brush + (bits >> shift & 15) * 16, 16)
                at += 16
                shift -= 4
            start += row_bytes


def show_cells(d: Display, row: int, first: int, last: int) -> int:
    """Cells of a row from d.pixels to the screen, each line as often as glyphs are enlarged; returns the status."""
    s = d.state
    x = first * s.cell_width
    y = s.upper + row * s.cell_height
    n_bytes = 4 * (last + 1 - first) * s.cell_width
    source = address_of(d.pixels) + 4 * x
    target = source + s.glyph_height * s.row_bytes
    pitch = s.row_bytes
    if s.frame != 0:
        pitch = s.pitch
        target = s.frame + y * pitch + 4 * (s.left + x)
    for line in range(s.cell_height):
        # Sixteen bytes at once, which any processor and an emulator do well; `rep movsb` not all.
        at = source + line // s.scale * s.row_bytes
        for i in range(0, n_bytes, 16):
            copy_bytes(target + line * pitch + i, at + i, 16)
    if s.frame != 0:
        return uefi.EFI_SUCCESS
    return blt(s.graphics, target, uefi.BLT_BUFFER_TO_VIDEO, (s.left + x, y, n_bytes // 4, s.cell_height), pitch)
