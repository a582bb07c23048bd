"""The status: a row at the bottom of screen and terminal, kept up to date while words come."""

from __future__ import annotations

from barelm.dialect.memory import memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import decode_character
from barelm.metal import arena
from barelm.metal.console.display import clear_status, put_status
from barelm.metal.console.serial_line import SERIAL_COLUMNS, put_byte, put_escapes
from barelm.metal.console.sinks import (
    LINE,
    SCREEN,
    SINK_WORDS,
    SINKS,
    STATUS_AT,
    STATUS_ROW,
    Console,
    is_on,
    line_of,
    put_parameter,
    screen_of,
)
from barelm.metal.console.stream import fit_line
from barelm.metal.console.writing import begin_text, end_text, put_number, put_ratio, put_text, put_words
from barelm.metal.conversation.talk import Talk

STATUS_BYTES = 512
EVERY_MS = 200


@metal
def has_status(con: Console) -> bool:
    """Whether there is a row for it."""
    return bool(is_on(con, SCREEN) or con.state[SINKS + LINE * SINK_WORDS + STATUS_ROW] > 0)


@metal
def show_status(t: Talk, n: int, made: int, took: int) -> None:
    """The model, how full its context is with n ids, how fast: `made` tokens in `took` cycles (0: the last answer's).
    """
    con = t.con
    fit_line(con)
    if not has_status(con):
        return
    now = cycles()
    if made > 1 and now - con.state[STATUS_AT] < EVERY_MS * t.figures.cycles_per_ms:
        return
    con.state[STATUS_AT] = now
    if made == 0:
        made = t.figures.last_made
        took = t.figures.last_cycles
    buffer = memory(t.workspace.address + arena.NAMES + arena.NAMES_BYTES - STATUS_BYTES, STATUS_BYTES)
    begin_text(con, buffer)
    put_text(con, text(" "))
    put_words(con, t.header.name)
    put_text(con, text("  │  "))
    put_number(con, n)
    put_text(con, text(" of "))
    put_number(con, t.header.seq_len)
    put_text(con, text(" tokens"))
    if made > 1:
        put_text(con, text("  │  "))
        put_ratio(con, (made - 1) * 1000 * t.figures.cycles_per_ms, took)
        put_text(con, text(" a second"))
    put_text(con, text("  │  /help  Esc stops"))
    n_bytes = end_text(con)
    row = con.state[SINKS + LINE * SINK_WORDS + STATUS_ROW]
    if row > 0:
        show_on_line(con, buffer, n_bytes, row)
    if is_on(con, SCREEN):
        show_on_screen(con, buffer, n_bytes)


@metal
def show_on_screen(con: Console, buffer: U8, n_bytes: int) -> None:
    """The row at the bottom of the screen."""
    at = 0
    column = 0
    while at < n_bytes:
        code_point, length = decode_character(buffer, at, n_bytes)
        put_status(screen_of(con), column, code_point)
        column += 1
        at += length
    clear_status(screen_of(con), column)


@metal
def show_on_line(con: Console, buffer: U8, n_bytes: int, row: int) -> None:
    """The last row of the terminal, in reverse, as far as its columns go; its cursor stays where it is."""
    s = line_of(con)
    put_escapes(con.fw, s, text("\x1b7\x1b["))
    put_parameter(con, row, 72)
    put_escapes(con.fw, s, text("\x1b[2K\x1b[7m"))
    left = s.state[SERIAL_COLUMNS] - 1
    for i in range(n_bytes):
        byte = int(buffer[i]) & 0xFF
        left -= int(byte & 0xC0 != 0x80)
        if left >= 0:
            put_byte(con.fw, s, byte)
    put_escapes(con.fw, s, text("\x1b[0m\x1b8"))
