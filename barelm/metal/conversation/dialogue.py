"""A conversation: a line from the keyboard, an answer, until someone leaves.  A new turn reads only its own tokens."""

from __future__ import annotations

from barelm.contract import board, uefi
from barelm.dialect.memory import memory, text
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import U8
from barelm.kernels.text.chat_turn import has_chat
from barelm.metal.console.sinks import ALARM, DIM, PERSON, TEXT, flush, has_status
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import end_row, put_bytes, put_number, put_ratio, put_text, say_line
from barelm.metal.conversation.completion import seed_generator
from barelm.metal.conversation.prompt import check_system
from barelm.metal.conversation.reply import reply
from barelm.metal.conversation.slash_commands import ANSWER, EDIT, GO_ON, LEAVE, obey
from barelm.metal.conversation.status_row import show_status
from barelm.metal.conversation.talk import Talk, keyboard_of, vocabulary_of
from barelm.metal.conversation.turns import (
    DROPPED,
    END,
    N_TURNS,
    TOO_LONG,
    TURN_WORDS,
    TURNS,
    add_turn,
    end_of,
    turns_of,
    typed_of,
)
from barelm.metal.keys.line_editor import LEFT, open_editor, read_line, set_line


@metal
def hold_conversation(t: Talk) -> int:
    """Ask and answer; the configured prompt is the first question.  Returns how it ended, one of `commands`."""
    if not has_chat(vocabulary_of(t)):
        raise Failure(uefi.EFI_UNSUPPORTED, "this model cannot chat: it has no chat template",
                      "Take a chat model, or leave `chat` out of barelm.toml.")
    check_system(t)
    seed_generator(t)
    say_line(t.con, DIM, text("Type a message and press Enter.  Esc stops an answer; /help lists more."))
    typed = memory(t.b.settings.prompt.address, t.b.settings.prompt.n_bytes)
    if len(typed) > 0:
        ask(t)
        put_bytes(t.con, typed, 0, len(typed))
        end_row(t.con)
        answer(t, typed)
    editor = open_editor(t.workspace)
    while True:
        show_status(t, end_of(t, turns_of(t)[N_TURNS]), 0, 0)
        ask(t)
        n = read_line(t.con, keyboard_of(t), editor, t.b)
        set_colour(t.con, TEXT)
        if n == LEFT:
            return LEAVE
        line = editor.line
        if n > 1 and line[0] == 47 and line[1] != 47:
            verdict = obey(t, line, n)
            if verdict == ANSWER:
                make_answer(t)
            elif verdict == EDIT:
                set_line(editor, typed_of(t, turns_of(t)[N_TURNS]))
            elif verdict != GO_ON:
                return verdict
        elif n > 1 and line[0] == 47:
            answer(t, line[1:n])
        elif n > 0:
            answer(t, line[:n])


@metal
def ask(t: Talk) -> None:
    """A blank row, and the sign that it is the person's turn."""
    end_row(t.con)
    set_colour(t.con, PERSON)
    put_text(t.con, text("> "))


@metal
def answer(t: Talk, typed: U8) -> None:
    """Append a turn and reply."""
    set_colour(t.con, TEXT)
    if add_turn(t, typed) == TOO_LONG:
        say_line(t.con, ALARM, text("That is longer than the context of the model.  Shorten it."))
        return
    dropped = turns_of(t)[DROPPED]
    if dropped > 0:
        set_colour(t.con, DIM)
        put_text(t.con, text("The context is full.  Turns forgotten, the oldest first: "))
        put_number(t.con, dropped)
        say_line(t.con, DIM, text("."))
        turns_of(t)[DROPPED] = 0
    make_answer(t)


@metal
def make_answer(t: Talk) -> None:
    """Reply to the last turn, and say what came of it."""
    turns = turns_of(t)
    last = TURNS + (turns[N_TURNS] - 1) * TURN_WORDS
    n = turns[last + END]
    n_tokens = t.header.seq_len - n + 1
    if t.b.settings.tokens > 0:
        n_tokens = min(n_tokens, t.b.settings.tokens)
    turns[last + END] = reply(t, n, n_tokens)
    end_row(t.con)
    if t.b.figures.ended == board.ENDED_BY_KEY:
        say_line(t.con, DIM, text("[stopped]"))
    elif t.b.figures.ended == board.ENDED_AT_LIMIT and n_tokens == t.b.settings.tokens:
        say_line(t.con, DIM, text("[as many tokens as /tokens allows]"))
    elif t.b.figures.ended == board.ENDED_AT_LIMIT:
        say_line(t.con, DIM, text("[the context is full; what is said next makes room]"))
    if not has_status(t.con):
        tell_figures(t, turns[last + END])
    flush(t.con)


@metal
def tell_figures(t: Talk, n: int) -> None:
    """Where there is no status row: what the reply took, in a line."""
    set_colour(t.con, DIM)
    put_text(t.con, text("["))
    put_number(t.con, t.b.figures.last_made)
    put_text(t.con, text(" tokens, "))
    put_ratio(t.con, max(t.b.figures.last_made - 1, 0) * 1000 * t.b.figures.cycles_per_ms, t.b.figures.last_cycles)
    put_text(t.con, text(" a second; "))
    put_number(t.con, t.b.figures.last_read)
    put_text(t.con, text(" read; "))
    put_number(t.con, n)
    put_text(t.con, text(" of "))
    put_number(t.con, t.header.seq_len)
    say_line(t.con, DIM, text("]"))
