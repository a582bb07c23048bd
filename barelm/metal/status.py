"""The status: a row at the bottom of the screen, kept up to date while words come."""

from __future__ import annotations

from barelm.dialect.memory import memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.kernels.utf8 import decode_character
from barelm.metal import arena, board
from barelm.metal.display import clear_status, put_status
from barelm.metal.sinks import SCREEN, STATUS_AT, is_on, screen_of
from barelm.metal.talk import Talk
from barelm.metal.writing import begin_text, end_text, put_number, put_ratio, put_text, put_words
from barelm.pack import layout

STATUS_BYTES = 512
EVERY_MS = 200


@metal
def show_status(t: Talk, n: int, made: int, took: int) -> None:
    """The model, how full its context is with n ids, and how fast: `made` tokens in `took` cycles (0: none yet)."""
    con = t.con
    if not is_on(con, SCREEN):
        return
    now = cycles()
    if made > 1 and now - con.state[STATUS_AT] < EVERY_MS * t.b[board.CYCLES_PER_MS]:
        return
    con.state[STATUS_AT] = now
    buffer = memory(t.workspace + arena.NAMES + arena.NAMES_BYTES - STATUS_BYTES, STATUS_BYTES)
    begin_text(con, buffer)
    put_text(con, text(" "))
    put_words(con, t.header[layout.NAME:layout.NAME + layout.NAME_WORDS])
    put_text(con, text("  │  "))
    put_number(con, n)
    put_text(con, text(" of "))
    put_number(con, t.header[layout.SEQ_LEN])
    put_text(con, text(" tokens"))
    if made > 1:
        put_text(con, text("  │  "))
        put_ratio(con, (made - 1) * 1000 * t.b[board.CYCLES_PER_MS], took)
        put_text(con, text(" a second"))
    put_text(con, text("  │  /help  Esc stops"))
    n_bytes = end_text(con)
    at = 0
    column = 0
    while at < n_bytes:
        code_point, length = decode_character(buffer, at, n_bytes)
        put_status(screen_of(con), column, code_point)
        column += 1
        at += length
    clear_status(screen_of(con), column)
