"""Text on our own screen (`display`): the row it stands on, and the margins."""

from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import decode_character
from barelm.metal.console import display
from barelm.metal.console.display import Display
from barelm.metal.console.glyphs import cell_width

MARGIN = 1
"""Columns left free at both sides."""


def row_width(d: Display) -> int:
    """How many characters a row takes."""
    return max(d.state.columns - 2 * MARGIN, 8)


def draw(d: Display, column: int, code_point: int, colour: int) -> None:
    """One character at a column; what takes no cell is not drawn."""
    if cell_width(code_point) > 0:
        display.put_cell(d, d.state.row, MARGIN + column, code_point, colour)


def next_row(d: Display) -> None:
    """To the next row, which may be there already."""
    d.state.row += 1
    display.start_row(d, d.state.row)


def go_up(d: Display, n_rows: int) -> None:
    """So many rows up (down where negative)."""
    d.state.row -= n_rows


def clear_rest(d: Display, column: int) -> None:
    """Blank from a column to the end of the row, and every row below."""
    display.clear_cells(d, d.state.row, MARGIN + column)


def show_cursor(d: Display, column: int) -> None:
    """The cursor at a column (-1: none), and the view where it is."""
    display.follow(d)
    display.place_cursor(d, d.state.row if column >= 0 else -1, MARGIN + column)


def show_status(d: Display, line: U8) -> None:
    """The row at the bottom."""
    at = 0
    column = 0
    while at < len(line):
        code_point, length = decode_character(line, at, len(line))
        display.put_status(d, column, code_point)
        column += 1
        at += length
    display.clear_status(d, column)
