"""A reply: read what is new, then choose, show and read token after token, until an end, a limit or the Esc key."""

from barelm.contract import board
from barelm.dialect.memory import text
from barelm.dialect.processor import cycles
from barelm.dialect.types import U8
from barelm.kernels.session import ends
from barelm.kernels.text.stops import watch_stops
from barelm.kernels.text.tokenizer import piece
from barelm.metal.console.sinks import flush
from barelm.metal.console.stream import put_code_point
from barelm.metal.console.writing import end_row, put_bytes, put_number, put_text
from barelm.metal.conversation.status_row import show_status
from barelm.metal.conversation.talk import Talk, bytes_of, keyboard_of, transcript_of, vocabulary_of
from barelm.metal.keys.keyboard import stop_asked
from barelm.metal.processors.cores import cached_of, command, place

SHOW_EVERY_MS = 30
LINE_COLUMNS = 64


def make_reply(t: Talk, n: int, n_tokens: int) -> int:
    """Read what of tokens[:n] is not read yet, then make up to n_tokens; returns how many ids there are then.

    What was read and made and how long it took is added up in the figures.
    """
    figures = t.figures
    t.job.cached = cached_of(t.job, n - 1)  # the logits are those of the last id read
    n_read = n - t.job.cached
    began = cycles()
    command(t.job, board.PREFILL, n)
    now = cycles()
    end = make_tokens(t, n, n + n_tokens)
    flush(t.con)
    figures.prefill_cycles += now - began
    figures.decode_cycles += cycles() - now
    figures.n_prompt += n_read
    figures.n_generated += end - n
    figures.last_read = n_read
    figures.last_made = end - n
    figures.last_cycles = cycles() - now
    return end


def make_tokens(t: Talk, n: int, end: int) -> int:
    """Generate from position n on; returns where it stopped, and leaves why in the figures."""
    figures = t.figures
    first = n
    began = cycles()
    pending = t.conversation.held_back
    tokens = transcript_of(t).tokens
    held = 0
    figures.ended = board.ENDED_AT_LIMIT
    while n < end:
        token = command(t.job, board.CHOOSE, n)
        if ends(t.header, token):
            figures.ended = board.ENDED_ITSELF
            break
        place(t.job, tokens, n, token)
        held = show_made(t, n, pending, held)
        n += 1
        if held < 0:
            figures.ended = board.ENDED_AT_STOP
            return n
        if cycles() - t.con.state.shown_at > SHOW_EVERY_MS * figures.cycles_per_ms:
            end_line(t)
            show_status(t, n, n - first, cycles() - began)
            flush(t.con)
            if stop_asked(keyboard_of(t)):
                figures.ended = board.ENDED_BY_KEY
                break
        if n < end:
            command(t.job, board.DECODE, n - 1)
    put_bytes(t.con, pending, 0, held)
    return n


def show_made(t: Talk, i: int, pending: U8, held: int) -> int:
    """Show tokens[i], just made, after `held` bytes kept back; how many are kept now, -1: a stop string is whole."""
    stops = bytes_of(t.settings.stop)
    if len(stops) == 0 or t.settings.report != 0:
        show_token(t, i)
    if len(stops) == 0:
        return 0
    v = vocabulary_of(t)
    lo, hi = piece(v, int(transcript_of(t).tokens[max(i - 1, 0)]), int(transcript_of(t).tokens[i]))
    for at in range(lo, min(hi, lo + len(pending) - held)):
        pending[held] = v.pieces[at]
        held += 1
    free, stopped = watch_stops(pending, held, stops)
    if t.settings.report == 0:
        put_bytes(t.con, pending, 0, free)
    if stopped:
        return -1
    for at in range(free, held):
        pending[at - free] = pending[at]
    return held - free


def show_token(t: Talk, i: int) -> None:
    """Put tokens[i]: its text for a person, its id for a program."""
    con = t.con
    tokens = transcript_of(t).tokens
    if t.settings.report == 0:
        v = vocabulary_of(t)
        previous = int(tokens[i - 1]) if i > 0 else -1
        lo, hi = piece(v, previous, int(tokens[i]))
        put_bytes(con, v.pieces, lo, hi)
        return
    if con.state.column == 0:
        put_text(con, text("BARELM IDS"))
    put_code_point(con, 32)
    con.state.column += 1 + put_number(con, int(tokens[i]))
    if con.state.column > LINE_COLUMNS - 12:
        end_line(t)


def end_line(t: Talk) -> None:
    """End a line for a program, where one is begun."""
    if t.settings.report != 0 and t.con.state.column > 0:
        end_row(t.con)
        t.con.state.column = 0
