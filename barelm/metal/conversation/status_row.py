"""The status: a row at the bottom of screen and terminal, kept up to date while words come."""

from barelm.dialect.memory import text
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import sentence
from barelm.metal.console import sinks
from barelm.metal.console.sinks import has_status
from barelm.metal.console.stream import fit_line
from barelm.metal.console.writing import begin_text, end_text, put, put_text
from barelm.metal.conversation.talk import Talk

EVERY_MS = 200


def show_status(t: Talk, n: int, made: int, took: int) -> None:
    """The model, how full its context is with n ids, how fast: `made` tokens in `took` cycles (0: as answered last)."""
    con = t.con
    figures = t.figures
    fit_line(con)
    if not has_status(con):
        return
    now = cycles()
    if made > 1 and now - con.state.status_at < EVERY_MS * figures.cycles_per_ms:
        return
    con.state.status_at = now
    goes_on = made > 0
    if made == 0:
        made = figures.last_made
        took = figures.last_cycles
    line = t.workspace.status
    begin_text(con, line)
    put(con, sentence(" {}  │  {} of {} tokens", (t.header.name, n, t.header.seq_len)))
    if made > 1:
        put(con, sentence("  │  {:/} a second", ((made - 1) * 1000 * figures.cycles_per_ms, took)))
    if figures.n_guessed > 0:
        put(con, sentence("  │  guessed {}%", (100 * figures.n_right // figures.n_guessed,)))
    if t.settings.chat != 0:
        put_text(con, text("  │  /help  Esc stops"))
    elif goes_on:
        put_text(con, text("  │  Esc stops"))
    sinks.show_status(con, line[:end_text(con)])
