"""The session on the screen: prompt in, words out as they are made, and what was measured.

To a person the text itself is shown.  To a program (`report = true` in the configuration) ids are, since firmware
consoles wrap lines and know few characters; every such line begins with "BARELM ":

    BARELM n_prompt 1           a measurement by its name in the report; this one comes first
    BARELM IDS 1 403 407        the session's token ids, prompt first, as they come
    BARELM DONE 0               always the last: the status, without the error bit
"""

from __future__ import annotations

from barelm.dialect.memory import memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import I64, U16, u64
from barelm.kernels.chat import has_chat
from barelm.kernels.model import Transcript, bind_transcript
from barelm.kernels.session import ends
from barelm.kernels.tokenizer import Vocabulary, bind_vocabulary, piece
from barelm.metal import board, tables
from barelm.metal.clock import microseconds
from barelm.metal.console import (
    COLUMN,
    SHOWN_AT,
    Console,
    flush,
    put_number,
    put_text,
    put_unit,
    write_bytes,
    write_number,
    write_ratio,
)
from barelm.metal.cores import command
from barelm.metal.engine import sections_of
from barelm.metal.firmware import Firmware, new_line, say
from barelm.metal.keyboard import stop_asked
from barelm.metal.prompt import append_prompt
from barelm.pack import layout

DEFAULT_TOKENS = 256
SHOW_EVERY_MS = 30
LINE_COLUMNS = 64


@metal
def tell_story(con: Console, workspace: int, b: I64, header: I64) -> None:
    """Read the prompt, then choose, show and read token after token until an end, the limit or the Esc key."""
    v = bind_vocabulary(header, sections_of(b, header))
    s = bind_transcript(header, memory(b[board.STATE], header[layout.STATE_BYTES]))
    seed_generator(b, s)
    n_prompt = append_prompt(v, s, workspace, b, header)
    n_tokens = tokens_to_make(b, header, n_prompt)
    show_prompt(con, b, v, s, n_prompt)
    reply(con, b, header, v, s, n_prompt, n_tokens)
    new_line(con.fw)


@metal
def seed_generator(b: I64, s: Transcript) -> None:
    """Start the generator from the configured seed, or a fresh one."""
    if b[board.SEED] == 0:
        b[board.SEED] = cycles() | 1
    s.rng[0] = u64(b[board.SEED])


@metal
def show_prompt(con: Console, b: I64, v: Vocabulary, s: Transcript, n_prompt: int) -> None:
    """The text to be gone on with; a program is told how many ids it is, a chat shows what was asked."""
    if b[board.REPORT] != 0:
        measured(con.fw, text("n_prompt"), n_prompt)
    if b[board.REPORT] == 0 and b[board.TEMPLATE] != 0 and has_chat(v):
        put_text(con, text("> "))
        write_bytes(con, memory(b[board.PROMPT], b[board.PROMPT_BYTES]), 0, b[board.PROMPT_BYTES])
        put_text(con, text("\r\n"))
    else:
        for i in range(n_prompt):
            show_token(con, b, v, s, i)
    flush(con)


@metal
def reply(con: Console, b: I64, header: I64, v: Vocabulary, s: Transcript, n: int, n_tokens: int) -> int:
    """Read what of tokens[:n] is not read yet, then make up to n_tokens; returns how many there are then.

    What was read and made and how long it took is added up on the board.
    """
    n_read = n - b[board.CACHED]
    began = cycles()
    command(b, board.PREFILL, n)
    now = cycles()
    end = make_tokens(con, b, header, v, s, n, n + n_tokens)
    flush(con)
    b[board.PREFILL_CYCLES] += now - began
    b[board.DECODE_CYCLES] += cycles() - now
    b[board.N_PROMPT] += n_read
    b[board.N_GENERATED] += end - n
    return end


@metal
def tokens_to_make(b: I64, header: I64, n_prompt: int) -> int:
    """How many tokens to generate: the last one made is never read, so the context holds one more than it reads."""
    room = header[layout.SEQ_LEN] - n_prompt + 1
    if b[board.TOKENS] == 0:
        return min(room, DEFAULT_TOKENS)
    if b[board.TOKENS] > room:
        raise Failure(tables.EFI_INVALID_PARAMETER, "prompt and `tokens` are more than the context holds",
                      "Ask for fewer tokens, or leave `tokens` out for as many as fit.")
    return b[board.TOKENS]


@metal
def make_tokens(con: Console, b: I64, header: I64, v: Vocabulary, s: Transcript, n: int, end: int) -> int:
    """Generate from position n on; returns where it stopped."""
    while n < end:
        token = command(b, board.CHOOSE, 0)
        if ends(header, token):
            return n
        s.tokens[n] = token
        show_token(con, b, v, s, n)
        n += 1
        if cycles() - con.state[SHOWN_AT] > SHOW_EVERY_MS * b[board.CYCLES_PER_MS]:
            end_line(con, b)
            flush(con)
            if stop_asked(con.fw, b):
                return n
        if n < end:
            command(b, board.DECODE, n - 1)
    return n


@metal
def show_token(con: Console, b: I64, v: Vocabulary, s: Transcript, i: int) -> None:
    """Gather tokens[i] for the screen: its text for a person, its id for a program."""
    if b[board.REPORT] == 0:
        previous = -1
        if i > 0:
            previous = s.tokens[i - 1]
        lo, hi = piece(v, previous, s.tokens[i])
        write_bytes(con, v.pieces, lo, hi)
        return
    if con.state[COLUMN] == 0:
        put_text(con, text("BARELM IDS"))
    put_unit(con, 32)
    con.state[COLUMN] += 1 + put_number(con, s.tokens[i])
    if con.state[COLUMN] > LINE_COLUMNS - 12:
        end_line(con, b)


@metal
def end_line(con: Console, b: I64) -> None:
    """End a line for a program, where one is begun."""
    if b[board.REPORT] != 0 and con.state[COLUMN] > 0:
        put_text(con, text("\r\n"))
        con.state[COLUMN] = 0


@metal
def summarise(con: Console, b: I64, header: I64) -> None:
    """What was made, how fast, and what it took."""
    end_line(con, b)
    flush(con)
    per_ms = b[board.CYCLES_PER_MS]
    if b[board.REPORT] == 0:
        for_a_person(con.fw, b, header, per_ms)
        return
    fw = con.fw
    measured(fw, text("n_generated"), b[board.N_GENERATED])
    measured(fw, text("prefill_us"), microseconds(b[board.PREFILL_CYCLES], per_ms))
    measured(fw, text("decode_us"), microseconds(b[board.DECODE_CYCLES], per_ms))
    measured(fw, text("load_us"), microseconds(b[board.LOAD_CYCLES], per_ms))
    measured(fw, text("load_bytes"), header[layout.FILE_BYTES])
    measured(fw, text("memory_bytes"), b[board.MEMORY])
    measured(fw, text("cores"), b[board.N_CORES])
    measured(fw, text("cpu_level"), b[board.LEVEL])
    measured(fw, text("seed"), b[board.SEED])


@metal
def measured(fw: Firmware, name: U16, value: int) -> None:
    """One line for a program."""
    say(fw, text("BARELM "))
    say(fw, name)
    say(fw, text(" "))
    write_number(fw, value)
    new_line(fw)


@metal
def for_a_person(fw: Firmware, b: I64, header: I64, per_ms: int) -> None:
    """The summary in two lines."""
    new_line(fw)
    write_number(fw, b[board.N_GENERATED])
    say(fw, text(" tokens, "))
    write_ratio(fw, max(b[board.N_GENERATED] - 1, 0) * 1000 * per_ms, b[board.DECODE_CYCLES])
    say(fw, text(" a second; prompt of "))
    write_number(fw, b[board.N_PROMPT])
    say(fw, text(", "))
    write_ratio(fw, b[board.N_PROMPT] * 1000 * per_ms, b[board.PREFILL_CYCLES])
    say(fw, text(" a second; seed "))
    write_number(fw, b[board.SEED])
    new_line(fw)
    say(fw, text("loaded at "))
    write_ratio(fw, header[layout.FILE_BYTES] // 1000 * per_ms, b[board.LOAD_CYCLES])
    say(fw, text(" MB/s; memory "))
    write_ratio(fw, b[board.MEMORY], 1000000)
    say(fw, text(" MB; cores "))
    write_number(fw, b[board.N_CORES])
    say(fw, text("; x86-64-v"))
    write_number(fw, b[board.LEVEL] + 2)
    new_line(fw)
