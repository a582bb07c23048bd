"""The console: one stream of text on every sink, and a text that is redrawn in place on all of them.

Each sink wraps at its own width, and takes a word that reaches the edge to the next row whole, although it comes letter
by letter.
"""

from barelm.contract.console_state import MOST_WORD, N_SINKS
from barelm.dialect.memory import memory
from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import decode_character, encode_utf8
from barelm.metal.console import plain_sink, screen_sink, sinks, terminal_sink
from barelm.metal.console.display import refresh, scroll_view
from barelm.metal.console.sinks import LINE, LINE_FEED, PLAIN, SCREEN, SPACE, TAB, Console

TAB_CELLS = 4


def set_colour(con: Console, colour: int) -> None:
    """The colour of what is put next."""
    if sinks.is_on(con, PLAIN) and con.state.colour != colour:
        plain_sink.set_colour(con.fw, con.state.plain, colour)
    con.state.colour = colour


def put_code_point(con: Console, code_point: int) -> None:
    """One character on every sink; a line feed ends the row, other controls but tabs are dropped."""
    if con.state.into != 0:
        put_into(con, code_point)
    elif code_point == TAB:
        for _ in range(TAB_CELLS):
            put_code_point_everywhere(con, SPACE)
    elif code_point == LINE_FEED or code_point >= 160 or 32 <= code_point < 127:
        put_code_point_everywhere(con, code_point)


def put_code_point_everywhere(con: Console, code_point: int) -> None:
    """The same for what is neither tab nor another control."""
    for sink in range(N_SINKS):
        if sinks.is_on(con, sink):
            if code_point == LINE_FEED:
                sinks.next_row(con, sink)
            else:
                put_wrapped(con, sink, code_point)
    if code_point == SPACE or code_point == LINE_FEED:
        con.state.n_word = 0
    else:
        con.state.word[con.state.n_word % MOST_WORD] = code_point
        con.state.n_word = con.state.n_word % MOST_WORD + 1


def put_wrapped(con: Console, sink: int, code_point: int) -> None:
    """One character on a sink; at the edge, the word it belongs to goes to the next row."""
    at = con.state.sinks[sink].at
    width = sinks.columns_of(con, sink)
    if at + sinks.width_on(sink, code_point) > width:
        n = con.state.n_word
        taken = 0
        for i in range(n):
            taken += sinks.width_on(sink, int(con.state.word[i]))
        if code_point == SPACE or n == 0 or 2 * taken > width:
            sinks.next_row(con, sink)
            if code_point == SPACE:
                return
        else:
            sinks.go_to(con, sink, 0, at - taken)
            sinks.clear_rest(con, sink, 0)
            sinks.next_row(con, sink)
            for i in range(n):
                sinks.draw(con, sink, int(con.state.word[i]))
    sinks.draw(con, sink, code_point)


def begin_input(con: Console) -> None:
    """From here on a text is drawn again and again, by `show_input`."""
    con.state.n_word = 0
    for sink in range(N_SINKS):
        s = con.state.sinks[sink]
        s.input_column = s.at
        s.input_rows = 0
        s.input_row = 0


def show_input(con: Console, line: U8, n: int, cursor: int) -> None:
    """Draw line[:n] where `begin_input` was, with the cursor at byte `cursor` (-1: none)."""
    for sink in range(N_SINKS):
        if sinks.is_on(con, sink):
            redraw(con, sink, line, n, cursor)
    if sinks.is_on(con, SCREEN):
        screen_sink.show_cursor(sinks.screen_of(con), con.state.sinks[SCREEN].at if cursor >= 0 else -1)
    sinks.flush(con)


def redraw(con: Console, sink: int, line: U8, n: int, cursor: int) -> None:
    """The same on one sink."""
    s = con.state.sinks[sink]
    width = sinks.columns_of(con, sink)
    sinks.go_to(con, sink, s.input_row, s.input_column)
    rows = 0
    cursor_row = 0
    cursor_column = s.input_column
    i = 0
    while i < n:
        code_point, length = decode_character(line, i, n)
        if code_point != LINE_FEED and (code_point < SPACE or 127 <= code_point < 160):
            code_point = SPACE  # a tab, and whatever a terminal would take for an order
        if i == cursor and code_point == LINE_FEED:
            cursor_row = rows
            cursor_column = s.at
        if code_point == LINE_FEED or s.at + sinks.width_on(sink, code_point) > width:
            sinks.clear_rest(con, sink, 0)
            sinks.next_row(con, sink)
            sinks.go_to(con, sink, 0, s.input_column)
            rows += 1
        if i == cursor and code_point != LINE_FEED:
            cursor_row = rows
            cursor_column = s.at
        if code_point != LINE_FEED:
            sinks.draw(con, sink, code_point)
        i += length
    if cursor == n or cursor < 0:
        cursor_row = rows
        cursor_column = s.at
    sinks.clear_rest(con, sink, max(s.input_rows - rows, 0))
    sinks.go_to(con, sink, rows - cursor_row, cursor_column)
    s.input_rows = rows
    s.input_row = cursor_row


def end_input(con: Console, line: U8, n: int) -> None:
    """The text stays as it is; what follows comes below it."""
    show_input(con, line, n, n)
    if sinks.is_on(con, SCREEN):
        screen_sink.show_cursor(sinks.screen_of(con), -1)
    put_code_point(con, LINE_FEED)
    sinks.flush(con)


def fit_line(con: Console) -> None:
    """Where the terminal has said how large it is, see to the row of its status."""
    if sinks.is_on(con, LINE):
        terminal_sink.fit_status(con.state.serial)


def scroll(con: Console, n_rows: int) -> None:
    """Look back on the screen, or forth again."""
    if sinks.is_on(con, SCREEN):
        scroll_view(sinks.screen_of(con), n_rows)
        refresh(sinks.screen_of(con))


def put_into(con: Console, code_point: int) -> None:
    """One character into the buffer that takes the text; what no longer fits is left out."""
    filled = con.state.into_filled
    if filled + 4 <= con.state.into_bytes:
        con.state.into_filled += encode_utf8(memory(con.state.into + filled, 4), code_point)
