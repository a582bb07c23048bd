"""A reply: read what is new, then choose, show and read token after token, until an end, a limit or the Esc key."""

from barelm.contract import board
from barelm.dialect.memory import text
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8
from barelm.kernels.session import ends, sum_with
from barelm.kernels.text import thoughts
from barelm.kernels.text.chat_turn import chat_set, has_chat
from barelm.kernels.text.stops import watch_stops
from barelm.kernels.text.thoughts import THOUGHT
from barelm.kernels.text.tokenizer import piece
from barelm.metal.console.sinks import DIM, LINE_FEED, TEXT, flush
from barelm.metal.console.stream import put_code_point, set_colour
from barelm.metal.console.writing import end_bytes, end_row, put_bytes, put_number, put_text, say
from barelm.metal.conversation.reading_ahead import begin_reading, end_reading, is_right, read_on
from barelm.metal.conversation.status_row import show_status
from barelm.metal.conversation.talk import Talk, bytes_of, keyboard_of, transcript_of, under_test, vocabulary_of
from barelm.metal.keys.keyboard import stop_asked
from barelm.metal.processors.cores import cached_of, command, place
from barelm.metal.trust import receipts

SHOW_EVERY_MS = 30
LINE_COLUMNS = 64
READ_AT_ONCE = 128


def make_reply(t: Talk, n: int, n_tokens: int) -> int:
    """Read what of tokens[:n] is not read yet, then make up to n_tokens; returns how many ids there are then.

    What was read and made and how long it took is added up in the figures.
    """
    figures = t.figures
    t.job.cached = cached_of(t.job, n - 1)  # the logits are those of the last id read
    before = t.job.cached
    began = cycles()
    reads = read_prompt(t, n)
    n_read = (n if reads else t.job.cached) - before
    now = cycles()
    end = make_tokens(t, n, n + n_tokens) if reads else n
    end_reading(t, end)
    if t.job.lost > 0:
        tell_lost(t)
    flush(t.con)
    figures.prefill_cycles += now - began
    figures.decode_cycles += cycles() - now
    figures.n_prompt += n_read
    figures.n_generated += end - n
    figures.last_read = n_read
    figures.last_made = end - n
    figures.last_cycles = cycles() - now
    return end


def tell_lost(t: Talk) -> None:
    """Say once which core does not answer any more."""
    if t.settings.report == 0:
        end_row(t.con)
        say(t.con, TEXT, sentence("Processor {} does not answer any more; this one goes on alone.\n", (t.job.lost,)))
    t.job.lost = -t.job.lost


def read_prompt(t: Talk, n: int) -> bool:
    """Read what of tokens[:n] is not read yet; False where somebody stops that, who may have to wait for a while."""
    while n - t.job.cached > READ_AT_ONCE and t.settings.report == 0:
        command(t.job, board.PREFILL, t.job.cached + READ_AT_ONCE)
        if stop_asked(keyboard_of(t)):
            t.figures.ended = board.ENDED_BY_KEY
            return False
    command(t.job, board.PREFILL, n)
    return True


def make_tokens(t: Talk, n: int, end: int) -> int:
    """Generate from position n on; returns where it stopped, and leaves why in the figures."""
    figures = t.figures
    first = n
    began = cycles()
    begin_showing(t, n)
    begin_reading(t, n)
    if t.settings.receipt != 0:
        receipts.begin_receipt(t.workspace, under_test(t), t.model, n)
    figures.ended = board.ENDED_AT_LIMIT
    while n < end:
        token = choose_token(t, n)
        if ends(t.header, token):
            figures.ended = board.ENDED_ITSELF
            break
        right = is_right(t, n, token)
        place(t.job, transcript_of(t).tokens, n, token)
        stopped = show_made(t, n)
        n += 1
        if stopped:
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
            read_on(t, n, end, right)
    show_rest(t)
    return n


def choose_token(t: Talk, n: int) -> int:
    """The next token behind n ids, noted where a receipt is asked for."""
    if t.settings.receipt == 0:
        return command(t.job, board.CHOOSE, n)
    receipts.note_logits(t.workspace, under_test(t))
    token = command(t.job, board.CHOOSE, n)
    receipts.note_choice(t.workspace, token)
    return token


def begin_showing(t: Talk, n: int) -> None:
    """Before token n, the first of a reply: nothing is held back; thoughts are looked for where there can be some."""
    v = vocabulary_of(t)
    w = t.conversation.watch
    t.conversation.n_held = 0
    w.on = 0
    w.shown = thoughts.ANSWER
    t.job.reply = 0
    if has_chat(v) and (t.settings.template != 0 or t.settings.chat != 0):
        t.job.reply = n
        pieces = chat_set(v, t.settings.think)
        w.on = int(len(thoughts.marks_of(v, pieces)) > 0)
        thoughts.begin_watch(w, v, pieces)


def show_made(t: Talk, i: int) -> bool:
    """Show tokens[i], just made, as far as it can be shown by now; whether a stop string is whole."""
    v = vocabulary_of(t)
    tokens = transcript_of(t).tokens
    previous = int(tokens[max(i - 1, 0)])
    w = t.conversation.watch
    if t.settings.report != 0 or (w.on == 0 and t.settings.stop.n_bytes == 0):
        show_token(t, i)
    if w.on != 0:
        thoughts.watch_token(w, v, previous, int(tokens[i]))
        return show_watched(t, False)
    if t.settings.stop.n_bytes == 0:
        return False
    lo, hi = piece(v, previous, int(tokens[i]))
    return show_bytes(t, v.pieces, lo, hi)


def show_watched(t: Talk, all_of_it: bool) -> bool:
    """Show what is no mark of a thought, nor can become one any more; whether a stop string is whole."""
    v = vocabulary_of(t)
    w = t.conversation.watch
    marks = thoughts.marks_of(v, chat_set(v, t.settings.think))
    length = 1
    while length > 0:
        free, length, effect = thoughts.next_free(w, marks, all_of_it)
        for k in range(free):
            if thoughts.show_watched(w, k) and show_byte(t, k):
                return True
        thoughts.pass_over(w, free + length, effect)
    return False


def show_byte(t: Talk, k: int) -> bool:
    """Show a byte of the thought, dimmed, or of the answer; whether a stop string is whole, for which only that counts.
    """
    w = t.conversation.watch
    if t.settings.report == 0 and w.state != w.shown:
        if w.shown == THOUGHT:
            put_text(t.con, text("\n\n")[min(w.n_feeds, 2):])
        w.n_feeds = 0
        set_colour(t.con, DIM if w.state == THOUGHT else TEXT)
        if w.state == THOUGHT:
            put_text(t.con, text("[thinking] "))
    w.shown = w.state
    if w.state != THOUGHT:
        return show_bytes(t, w.text, k, k + 1)
    w.n_feeds = w.n_feeds + 1 if w.text[k] == LINE_FEED else 0
    if t.settings.report == 0:
        put_bytes(t.con, w.text, k, k + 1)
    return False


def show_rest(t: Talk) -> None:
    """At the end, what was held back."""
    if t.conversation.watch.on != 0 and show_watched(t, True):
        return
    if t.settings.report == 0:
        put_bytes(t.con, t.conversation.held_back, 0, t.conversation.n_held)
        end_bytes(t.con)
        set_colour(t.con, TEXT)


def show_bytes(t: Talk, data: U8, lo: int, hi: int) -> bool:
    """Show bytes of an answer after those held back, as far as they can become no stop string; whether one is whole."""
    c = t.conversation
    stops = bytes_of(t.settings.stop)
    if len(stops) == 0:
        if t.settings.report == 0:
            put_bytes(t.con, data, lo, hi)
        return False
    pending = c.held_back
    for at in range(lo, min(hi, lo + len(pending) - c.n_held)):
        pending[c.n_held] = data[at]
        c.n_held += 1
    free, stopped = watch_stops(pending, c.n_held, stops)
    if t.settings.report == 0:
        put_bytes(t.con, pending, 0, free)
    for at in range(free, c.n_held):
        pending[at - free] = pending[at]
    c.n_held -= free
    return stopped


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
    t.figures.ids_sum = sum_with(t.figures.ids_sum, int(tokens[i]))
    if con.state.column > LINE_COLUMNS - 12:
        end_line(t)


def end_line(t: Talk) -> None:
    """End a line for a program, where one is begun."""
    if t.settings.report != 0 and t.con.state.column > 0:
        end_row(t.con)
        t.con.state.column = 0
