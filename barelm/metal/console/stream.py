"""The console: one stream of text on every sink, and a text that is redrawn in place on all of them.

Each sink wraps at its own width, and takes a word that reaches the edge to the next row whole, though it comes letter
by letter.
"""

from __future__ import annotations

from barelm.dialect.memory import memory
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import decode_character, encode_utf8
from barelm.metal.console import serial_line
from barelm.metal.console.display import follow, place_cursor, refresh, scroll_view
from barelm.metal.console.sinks import (
    AT,
    ATTRIBUTES,
    COLOUR,
    INPUT_AT,
    INPUT_COLUMN,
    INPUT_ROWS,
    INTO,
    INTO_BYTES,
    INTO_FILLED,
    LINE,
    LINE_FEED,
    MARGIN,
    MOST_WORD,
    N_SINKS,
    PLAIN,
    ROW,
    SCREEN,
    SINK_WORDS,
    SINKS,
    SPACE,
    STATUS_ROW,
    TAB,
    WORD,
    Console,
    clear_rest,
    columns_of,
    draw,
    flush,
    flush_units,
    go_to,
    is_on,
    keep_row,
    line_of,
    next_row,
    screen_of,
    width_on,
    word_of,
)
from barelm.metal.uefi.text_output import set_attribute

TAB_CELLS = 4
LEAST_ROWS = 8
ENDLESS = 1000
"""A terminal that says it has so many columns is none: whoever reads wants rows as long as the text makes them."""


@metal
def set_colour(con: Console, colour: int) -> None:
    """The colour of what is put next."""
    if is_on(con, PLAIN) and con.state[COLOUR] != colour:
        flush_units(con)
        set_attribute(con.fw, int(ATTRIBUTES[colour]))
    con.state[COLOUR] = colour


@metal
def put_code_point(con: Console, code_point: int) -> None:
    """One character on every sink; a line feed ends the row, other controls but tabs are dropped."""
    if con.state[INTO] != 0:
        put_into(con, code_point)
        return
    if code_point == TAB:
        for _ in range(TAB_CELLS):
            put_code_point_everywhere(con, SPACE)
        return
    if code_point == LINE_FEED or code_point >= 160 or 32 <= code_point < 127:
        put_code_point_everywhere(con, code_point)


@metal
def put_code_point_everywhere(con: Console, code_point: int) -> None:
    """The same for what is neither tab nor another control."""
    for sink in range(N_SINKS):
        if is_on(con, sink):
            if code_point == LINE_FEED:
                next_row(con, sink)
            else:
                put_wrapped(con, sink, code_point)
    if code_point == SPACE or code_point == LINE_FEED:
        con.state[WORD] = 0
    else:
        word_of(con)[con.state[WORD] % MOST_WORD] = code_point
        con.state[WORD] = con.state[WORD] % MOST_WORD + 1


@metal
def put_wrapped(con: Console, sink: int, code_point: int) -> None:
    """One character on a sink; at the edge, the word it belongs to goes to the next row."""
    at = SINKS + sink * SINK_WORDS + AT
    width = columns_of(con, sink)
    if con.state[at] + width_on(sink, code_point) > width:
        n = con.state[WORD]
        taken = 0
        for i in range(n):
            taken += width_on(sink, int(word_of(con)[i]) & 0x1FFFFF)
        if code_point == SPACE or n == 0 or 2 * taken > width:
            next_row(con, sink)
            if code_point == SPACE:
                return
        else:
            go_to(con, sink, 0, con.state[at] - taken)
            clear_rest(con, sink, 0)
            next_row(con, sink)
            for i in range(n):
                draw(con, sink, int(word_of(con)[i]) & 0x1FFFFF)
    draw(con, sink, code_point)


@metal
def begin_input(con: Console) -> None:
    """From here on a text is drawn again and again, by `show_input`."""
    con.state[WORD] = 0
    for sink in range(N_SINKS):
        at = SINKS + sink * SINK_WORDS
        con.state[at + INPUT_COLUMN] = con.state[at + AT]
        con.state[at + INPUT_ROWS] = 0
        con.state[at + INPUT_AT] = 0


@metal
def show_input(con: Console, line: U8, n: int, cursor: int) -> None:
    """Draw line[:n] where `begin_input` was, with the cursor at byte `cursor` (-1: none)."""
    for sink in range(N_SINKS):
        if is_on(con, sink):
            redraw(con, sink, line, n, cursor)
    at = SINKS + SCREEN * SINK_WORDS
    if is_on(con, SCREEN):
        follow(screen_of(con))
        place_cursor(screen_of(con), con.state[at + ROW] if cursor >= 0 else -1, MARGIN + con.state[at + AT])
    flush(con)


@metal
def redraw(con: Console, sink: int, line: U8, n: int, cursor: int) -> None:
    """The same on one sink."""
    at = SINKS + sink * SINK_WORDS
    first = con.state[at + INPUT_COLUMN]
    width = columns_of(con, sink)
    go_to(con, sink, con.state[at + INPUT_AT], first)
    rows = 0
    cursor_row = 0
    cursor_column = first
    i = 0
    while i < n:
        code_point, length = decode_character(line, i, n)
        if code_point != LINE_FEED and (code_point < SPACE or 127 <= code_point < 160):
            code_point = SPACE  # a tab, and whatever a terminal would take for an order
        if code_point == LINE_FEED or con.state[at + AT] + width_on(sink, code_point) > width:
            if i == cursor and code_point == LINE_FEED:
                cursor_row = rows
                cursor_column = con.state[at + AT]
            clear_rest(con, sink, 0)
            next_row(con, sink)
            go_to(con, sink, 0, first)
            rows += 1
        if i == cursor and code_point != LINE_FEED:
            cursor_row = rows
            cursor_column = con.state[at + AT]
        if code_point != LINE_FEED:
            draw(con, sink, code_point)
        i += length
    if cursor == n or cursor < 0:
        cursor_row = rows
        cursor_column = con.state[at + AT]
    clear_rest(con, sink, max(con.state[at + INPUT_ROWS] - rows, 0))
    go_to(con, sink, rows - cursor_row, cursor_column)
    con.state[at + INPUT_ROWS] = rows
    con.state[at + INPUT_AT] = cursor_row


@metal
def end_input(con: Console, line: U8, n: int) -> None:
    """The text stays as it is; what follows comes below it."""
    show_input(con, line, n, n)
    if is_on(con, SCREEN):
        place_cursor(screen_of(con), -1, 0)
    put_code_point(con, LINE_FEED)
    flush(con)


@metal
def fit_line(con: Console) -> None:
    """Where the terminal has said how large it is: keep its last row for the status, if it is one to look at."""
    s = line_of(con).state
    kept = con.state[SINKS + LINE * SINK_WORDS + STATUS_ROW]
    if is_on(con, LINE) and s[serial_line.SIZED] != 0 and s[serial_line.SERIAL_ROWS] != kept:
        fits = s[serial_line.SERIAL_ROWS] >= LEAST_ROWS and s[serial_line.SERIAL_COLUMNS] < ENDLESS
        keep_row(con, s[serial_line.SERIAL_ROWS] if fits else 0)


@metal
def scroll(con: Console, n_rows: int) -> None:
    """Look back on the screen, or forth again."""
    if is_on(con, SCREEN):
        scroll_view(screen_of(con), n_rows)
        refresh(con.fw, screen_of(con))


@metal
def put_into(con: Console, code_point: int) -> None:
    """One character into the buffer that takes the text; what no longer fits is left out."""
    filled = con.state[INTO_FILLED]
    if filled + 4 <= con.state[INTO_BYTES]:
        con.state[INTO_FILLED] += encode_utf8(memory(con.state[INTO] + filled, 4), code_point)
