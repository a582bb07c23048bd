"""The session on the screen: prompt in, words out as they are made, and what was measured.

To a person the text itself is shown.  To a program (`report = true` in the configuration) ids are, since firmware
consoles wrap lines and know few characters; every such line begins with "BARELM ":

    BARELM n_prompt 1           a measurement by its name in the report; this one comes first
    BARELM IDS 1 403 407        the session's token ids, prompt first, as they come
    BARELM DONE 0               always the last: the status, without the error bit
"""

from __future__ import annotations

from barelm.contract import layout, uefi
from barelm.dialect.memory import memory, text
from barelm.dialect.processor import cycles, level_name
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import U16, u64
from barelm.kernels.text.chat_turn import has_chat
from barelm.metal import board
from barelm.metal.console.sinks import PERSON, TEXT, flush
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import end_row, put_bytes, put_number, put_ratio, put_text, write_number
from barelm.metal.conversation.prompt import append_prompt
from barelm.metal.conversation.reply import end_line, reply, show_token
from barelm.metal.conversation.talk import Talk, transcript_of, vocabulary_of
from barelm.metal.measuring.clock import microseconds
from barelm.metal.uefi.boot_services import Firmware, new_line, say

DEFAULT_TOKENS = 256


@metal
def tell_story(t: Talk) -> None:
    """Go on with the configured prompt, or answer it."""
    seed_generator(t)
    n_prompt = append_prompt(t)
    n_tokens = tokens_to_make(t, n_prompt)
    show_prompt(t, n_prompt)
    reply(t, n_prompt, n_tokens)
    end_row(t.con)


@metal
def seed_generator(t: Talk) -> None:
    """Start the generator from the configured seed, or a fresh one."""
    if t.b[board.SEED] == 0:
        t.b[board.SEED] = cycles() | 1
    transcript_of(t).rng[0] = u64(t.b[board.SEED])


@metal
def show_prompt(t: Talk, n_prompt: int) -> None:
    """The text to be gone on with; a program is told how many ids it is, a chat shows what was asked."""
    if t.b[board.REPORT] != 0:
        measured(t.con.fw, text("n_prompt"), n_prompt)
    if t.b[board.REPORT] == 0 and t.b[board.TEMPLATE] != 0 and has_chat(vocabulary_of(t)):
        set_colour(t.con, PERSON)
        put_text(t.con, text("> "))
        put_bytes(t.con, memory(t.b[board.PROMPT], t.b[board.PROMPT_BYTES]), 0, t.b[board.PROMPT_BYTES])
        end_row(t.con)
        set_colour(t.con, TEXT)
    else:
        for i in range(n_prompt):
            show_token(t, i)
    flush(t.con)


@metal
def tokens_to_make(t: Talk, n_prompt: int) -> int:
    """How many tokens to generate: the last one made is never read, so the context holds one more than it reads."""
    room = t.header[layout.SEQ_LEN] - n_prompt + 1
    if t.b[board.TOKENS] == 0:
        return min(room, DEFAULT_TOKENS)
    if t.b[board.TOKENS] > room:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "prompt and `tokens` are more than the context holds",
                      "Ask for fewer tokens, or leave `tokens` out for as many as fit.")
    return t.b[board.TOKENS]


@metal
def summarise(t: Talk) -> None:
    """What was made, how fast, and what it took."""
    end_line(t)
    flush(t.con)
    b = t.b
    per_ms = b[board.CYCLES_PER_MS]
    if b[board.REPORT] == 0:
        for_a_person(t)
        return
    fw = t.con.fw
    measured(fw, text("n_generated"), b[board.N_GENERATED])
    measured(fw, text("prefill_us"), microseconds(b[board.PREFILL_CYCLES], per_ms))
    measured(fw, text("decode_us"), microseconds(b[board.DECODE_CYCLES], per_ms))
    measured(fw, text("load_us"), microseconds(b[board.LOAD_CYCLES], per_ms))
    measured(fw, text("load_bytes"), t.header[layout.FILE_BYTES])
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
def for_a_person(t: Talk) -> None:
    """The summary in two lines."""
    con = t.con
    b = t.b
    per_ms = b[board.CYCLES_PER_MS]
    end_row(con)
    put_number(con, b[board.N_GENERATED])
    put_text(con, text(" tokens, "))
    put_ratio(con, max(b[board.N_GENERATED] - 1, 0) * 1000 * per_ms, b[board.DECODE_CYCLES])
    put_text(con, text(" a second; prompt of "))
    put_number(con, b[board.N_PROMPT])
    put_text(con, text(", "))
    put_ratio(con, b[board.N_PROMPT] * 1000 * per_ms, b[board.PREFILL_CYCLES])
    put_text(con, text(" a second; seed "))
    put_number(con, b[board.SEED])
    end_row(con)
    put_text(con, text("loaded at "))
    put_ratio(con, t.header[layout.FILE_BYTES] // 1000 * per_ms, b[board.LOAD_CYCLES])
    put_text(con, text(" MB/s; memory "))
    put_ratio(con, b[board.MEMORY], 1000000)
    put_text(con, text(" MB; cores "))
    put_number(con, b[board.N_CORES])
    put_text(con, text("; "))
    put_text(con, level_name(b[board.LEVEL]))
    end_row(con)
    flush(con)
