"""Where text goes: our own character screen (metal.display), a serial line taken from the firmware (metal.serial),
and, where there is no such screen, the firmware's console.  One sink at a time, one character or row at a time.

To a program (`report` in the configuration) only the firmware's console speaks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from barelm.contract.board import Board
from barelm.contract.regions import Workspace
from barelm.dialect.memory import address_of, cells, i32_array, i64_array, memory, text, u16_array
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.dialect.types import I32, I64, U16
from barelm.kernels.text.utf8 import encode_utf8
from barelm.metal import arena
from barelm.metal.console import screen_mode, serial_line
from barelm.metal.console.display import (
    Display,
    bind_display,
    cell_width,
    clear_cells,
    close_display,
    open_display,
    put_cell,
    refresh,
    start_row,
)
from barelm.metal.console.glyphs import terminal_width
from barelm.metal.console.serial_line import (
    RESET_TERMINAL,
    Serial,
    bind_serial,
    close_serial,
    flush_serial,
    open_serial,
    put_byte,
    put_escapes,
)
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.text_output import clear_screen, console_columns, console_row, output_string, set_cursor_position

UNITS = 512
"""UTF-16 units gathered before the firmware's console is called."""

MOST_WORD = 64
"""A longer word is cut at the edge."""

NEVER_WRAPPED = 1 << 30

MARGIN = 1
"""Columns left free at both sides of the screen."""

STATE_WORDS = 64
CONSOLE_BYTES = 8 * STATE_WORDS + 4 * MOST_WORD + 2 * UNITS

FILLED = 0  # words of Console.state: units gathered
CODE_POINT = 1  # of the UTF-8 decoder, and
PENDING = 2  # how many bytes it waits for
COLUMN = 3  # where a line for a program stands
SHOWN_AT = 4  # cycles at the last flush
COLOUR = 5  # what is put next
WORD = 6  # characters of the word being put, in Console.word
INTO = 7  # address of the buffer that takes the text instead of the sinks, or 0
INTO_BYTES = 8  # its size
INTO_FILLED = 9
WORKSPACE = 10  # address
HELD = 12  # the decoder's words while INTO is set
STATUS_AT = 11  # cycles when the status was last shown

SCREEN, LINE, PLAIN = 0, 1, 2
N_SINKS = 3
SINKS = 16  # the words of the first sink
SINK_WORDS = 10
ON = 0
ROW = 1  # on the screen, counted from its first row ever
AT = 2  # column
LAST = 3  # on the screen: the last row there is
TINT = 4  # on the line: the colour last asked for
INPUT_COLUMN = 5  # where the text being redrawn begins
INPUT_ROWS = 6  # how many rows below that it went
INPUT_AT = 7  # in which of these the cursor is
WIDTH = 8  # of the firmware's console
STATUS_ROW = 9  # of the terminal, kept for the status; 0: none is

TEXT, PERSON, DIM, ACCENT, ALARM = 0, 1, 2, 3, 4
"""Colours; and how a terminal (ECMA-48, 8.3.117) and the firmware's console (UEFI 12.4.7) are asked for them."""
TINTS = np.array([39, 36, 90, 33, 31], np.int64)
ATTRIBUTES = np.array([0x07, 0x0B, 0x08, 0x0E, 0x0C], np.int64)

ESCAPE, LINE_FEED, CARRIAGE_RETURN, TAB, SPACE = 27, 10, 13, 9, 32


class Console(NamedTuple):
    """Where text goes, and how far it is there: words, then the word being put, then units."""

    fw: Firmware
    state: I64


@metal
def bind_console(fw: Firmware, workspace: Workspace) -> Console:
    """The console of a workspace, as it is."""
    return Console(fw, i64_array(memory(workspace.address + arena.CONSOLE, 8 * STATE_WORDS), 0, STATE_WORDS))


@metal
def is_open(con: Console) -> bool:
    """Whether the console of a workspace was opened: a story may fail before."""
    return bool(con.state[WORKSPACE] != 0)


@metal
def plain_console(fw: Firmware, words: I64) -> Console:
    """The firmware's console alone, over CONSOLE_BYTES of zeroed memory."""
    con = Console(fw, words[:STATE_WORDS])
    con.state[SINKS + PLAIN * SINK_WORDS + ON] = 1
    con.state[SINKS + PLAIN * SINK_WORDS + WIDTH] = max(console_columns(fw) - 1, 8)
    return con


@metal
def open_console(fw: Firmware, b: Board, workspace: Workspace) -> Console:
    """A console over a zeroed workspace: to a person, the screen as configured and a serial line where there is one."""
    con = plain_console(fw, i64_array(memory(workspace.address + arena.CONSOLE, CONSOLE_BYTES), 0, CONSOLE_BYTES // 8))
    state = con.state
    state[WORKSPACE] = workspace.address
    if b.settings.report != 0:
        state[SINKS + PLAIN * SINK_WORDS + WIDTH] = NEVER_WRAPPED
        return con
    if b.settings.screen != 0:
        open_display(fw, b, workspace.address + arena.DISPLAY)
        if screen_of(con).state[screen_mode.COLUMNS] > 0:
            state[SINKS + SCREEN * SINK_WORDS + ON] = 1
            state[SINKS + PLAIN * SINK_WORDS + ON] = 0
            start_row(screen_of(con), 0)
    open_serial(fw, workspace.address + arena.SERIAL)
    state[SINKS + LINE * SINK_WORDS + ON] = int(line_of(con).state[serial_line.PROTOCOL] != 0)
    return con


@metal
def screen_of(con: Console) -> Display:
    """The screen, which may not be there."""
    return bind_display(i64_array(memory(con.state[WORKSPACE] + arena.DISPLAY, 8 * screen_mode.STATE_WORDS), 0,
                                  screen_mode.STATE_WORDS))


@metal
def line_of(con: Console) -> Serial:
    """The serial line, which may not be there."""
    return bind_serial(con.state[WORKSPACE] + arena.SERIAL)


@metal
def word_of(con: Console) -> I32:
    """The characters of the word being put."""
    return i32_array(memory(address_of(con.state) + 8 * STATE_WORDS, 4 * MOST_WORD), 0, MOST_WORD)


@metal
def units_of(con: Console) -> U16:
    """The units gathered for the firmware's console."""
    return u16_array(memory(address_of(con.state) + 8 * STATE_WORDS + 4 * MOST_WORD, 2 * UNITS), 0, UNITS)


@metal
def close_screen(con: Console) -> None:
    """Give the screen back to the firmware, blank."""
    flush(con)
    if is_on(con, SCREEN):
        con.state[SINKS + SCREEN * SINK_WORDS + ON] = 0
        con.state[SINKS + PLAIN * SINK_WORDS + ON] = 1
        close_display(con.fw, screen_of(con))
        clear_screen(con.fw)


@metal
def close_line(con: Console, returns: bool) -> None:
    """Leave the terminal as it was; where the program returns to it, the firmware has the line again, and clears it."""
    if is_on(con, LINE):
        keep_row(con, 0)
        put_escapes(con.fw, line_of(con), text(RESET_TERMINAL))
        flush_serial(con.fw, line_of(con))
        if returns:
            close_serial(con.fw, line_of(con))
        con.state[SINKS + LINE * SINK_WORDS + ON] = 0


@metal
def is_on(con: Console, sink: int) -> bool:
    """Whether a sink takes text."""
    return bool(con.state[SINKS + sink * SINK_WORDS + ON] != 0)


@metal
def columns_of(con: Console, sink: int) -> int:
    """How many characters a row of a sink takes.  A terminal's last column is left alone: what it does there differs.
    """
    if sink == SCREEN:
        return max(screen_of(con).state[screen_mode.COLUMNS] - 2 * MARGIN, 8)
    if sink == LINE:
        return max(line_of(con).state[serial_line.SERIAL_COLUMNS] - 1, 8)
    return con.state[SINKS + PLAIN * SINK_WORDS + WIDTH]


@metal
def width_on(sink: int, code_point: int) -> int:
    """How many columns a character takes."""
    if sink == LINE:
        return terminal_width(code_point)
    return cell_width(code_point)


@metal
def draw(con: Console, sink: int, code_point: int) -> None:
    """One character where the sink stands."""
    at = SINKS + sink * SINK_WORDS
    width = width_on(sink, code_point)
    if sink == SCREEN:
        if width > 0:
            put_cell(screen_of(con), con.state[at + ROW], MARGIN + con.state[at + AT], code_point, con.state[COLOUR])
    elif sink == LINE:
        if con.state[at + TINT] != con.state[COLOUR]:
            con.state[at + TINT] = con.state[COLOUR]
            escape(con, int(TINTS[con.state[COLOUR]]), 109)
        encoded = cells(1)
        block = memory(address_of(encoded), 8)
        for i in range(encode_utf8(block, code_point)):
            put_byte(con.fw, line_of(con), int(block[i]))
    else:
        put_unit(con, code_point)
    con.state[at + AT] += width


@metal
def next_row(con: Console, sink: int) -> None:
    """To the beginning of the next row."""
    at = SINKS + sink * SINK_WORDS
    con.state[at + AT] = 0
    if sink == SCREEN:
        con.state[at + ROW] += 1
        if con.state[at + ROW] > con.state[at + LAST]:
            con.state[at + LAST] = con.state[at + ROW]
            start_row(screen_of(con), con.state[at + ROW])
    elif sink == LINE:
        put_byte(con.fw, line_of(con), CARRIAGE_RETURN)
        put_byte(con.fw, line_of(con), LINE_FEED)
    else:
        put_unit(con, CARRIAGE_RETURN)
        put_unit(con, LINE_FEED)


@metal
def go_to(con: Console, sink: int, up: int, column: int) -> None:
    """So many rows up (down where negative), to a column."""
    at = SINKS + sink * SINK_WORDS
    con.state[at + AT] = column
    if sink == SCREEN:
        con.state[at + ROW] -= up
    elif sink == LINE:
        if up > 0:
            escape(con, up, 65)
        elif up < 0:
            escape(con, -up, 66)
        put_byte(con.fw, line_of(con), CARRIAGE_RETURN)
        if column > 0:
            escape(con, column, 67)
    else:
        flush_units(con)
        set_cursor_position(con.fw, column, max(console_row(con.fw) - up, 0))


@metal
def clear_rest(con: Console, sink: int, below: int) -> None:
    """Blank from where the sink stands to the end of the row, and so many rows below (on the screen all there are)."""
    at = SINKS + sink * SINK_WORDS
    if sink == SCREEN:
        clear_cells(screen_of(con), con.state[at + ROW], MARGIN + con.state[at + AT])
    elif sink == LINE:
        escape(con, 0, 75)
        for _ in range(below):
            escape(con, 1, 66)
            escape(con, 2, 75)
        if below > 0:
            escape(con, below, 65)
    else:
        column = con.state[at + AT]
        width = columns_of(con, PLAIN)
        for row in range(below + 1):
            if row > 0:
                next_row(con, PLAIN)
            for _ in range(column if row == 0 else 0, width):
                put_unit(con, SPACE)
        go_to(con, PLAIN, below, column)


@metal
def escape(con: Console, number: int, letter: int) -> None:
    """A control sequence on the serial line: ESC [ number letter (ECMA-48)."""
    put_byte(con.fw, line_of(con), ESCAPE)
    put_byte(con.fw, line_of(con), 91)
    put_parameter(con, number, letter)


@metal
def put_parameter(con: Console, number: int, letter: int) -> None:
    """A number below a thousand and what follows it in a control sequence."""
    if number >= 100:
        put_byte(con.fw, line_of(con), 48 + number // 100 % 10)
    if number >= 10:
        put_byte(con.fw, line_of(con), 48 + number // 10 % 10)
    put_byte(con.fw, line_of(con), 48 + number % 10)
    put_byte(con.fw, line_of(con), letter)


@metal
def keep_row(con: Console, row: int) -> None:
    """Keep a row of the terminal, its last one, for the status: text scrolls above it.  0: keep none."""
    at = SINKS + LINE * SINK_WORDS + STATUS_ROW
    s = line_of(con)
    if con.state[at] > 0:
        put_escapes(con.fw, s, text("\x1b7"))
        put_escapes(con.fw, s, text("\x1b["))
        put_parameter(con, con.state[at], 72)
        put_escapes(con.fw, s, text("\x1b[2K\x1b[r\x1b8"))
    con.state[at] = row
    if row > 0:
        # A line feed first: the cursor must not stay in the row that is kept.
        put_escapes(con.fw, s, text("\n\x1b7\x1b[1;"))
        put_parameter(con, row - 1, 114)
        put_escapes(con.fw, s, text("\x1b8\x1b[A"))


@metal
def put_unit(con: Console, code_point: int) -> None:
    """Gather one character for the firmware's console, in UTF-16."""
    units = units_of(con)
    filled = con.state[FILLED]
    if code_point >= 0x10000:
        units[filled] = 0xD800 + ((code_point - 0x10000) >> 10)
        filled += 1
        code_point = 0xDC00 + ((code_point - 0x10000) & 0x3FF)
    units[filled] = code_point
    con.state[FILLED] = filled + 1
    if filled + 4 > UNITS:
        flush_units(con)


@metal
def flush_units(con: Console) -> None:
    """Show what was gathered for the firmware's console."""
    if con.state[FILLED] > 0:
        units_of(con)[con.state[FILLED]] = 0
        output_string(con.fw, units_of(con), 0)
        con.state[FILLED] = 0


@metal
def flush(con: Console) -> None:
    """Show what was put."""
    flush_units(con)
    if is_on(con, LINE):
        flush_serial(con.fw, line_of(con))
    if is_on(con, SCREEN):
        refresh(con.fw, screen_of(con))
    con.state[SHOWN_AT] = cycles()
