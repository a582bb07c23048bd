"""The session on the screen: prompt in, words out as they are made, and what was measured.

To a person the text itself is shown.  To a program (`report = true` in the configuration) ids are, since firmware
consoles wrap lines and know few characters; every such line begins with "BARELM ":

    BARELM n_prompt 1           a measurement by its name in the report; this one comes first
    BARELM IDS 1 403 407        the session's token ids, prompt first, as they come
    BARELM DONE 0               always the last: the status, without the error bit
"""

from __future__ import annotations

from barelm.contract import uefi
from barelm.dialect.memory import memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure, metal
from barelm.dialect.types import U16, u64
from barelm.kernels.text.chat_turn import has_chat
from barelm.metal.console.sinks import PERSON, TEXT, flush
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import end_row, put_bytes, put_number, put_ratio, put_text, write_number
from barelm.metal.conversation.prompt import append_prompt
from barelm.metal.conversation.reply import end_line, reply, show_token
from barelm.metal.conversation.talk import Talk, transcript_of, vocabulary_of
from barelm.metal.measuring.clock import microseconds
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.text_output import new_line, say

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
    if t.b.settings.seed == 0:
        t.b.settings.seed = cycles() | 1
    transcript_of(t).rng[0] = u64(t.b.settings.seed)


@metal
def show_prompt(t: Talk, n_prompt: int) -> None:
    """The text to be gone on with; a program is told how many ids it is, a chat shows what was asked."""
    if t.b.settings.report != 0:
        measured(t.con.fw, text("n_prompt"), n_prompt)
    if t.b.settings.report == 0 and t.b.settings.template != 0 and has_chat(vocabulary_of(t)):
        set_colour(t.con, PERSON)
        put_text(t.con, text("> "))
        prompt = t.b.settings.prompt
        put_bytes(t.con, memory(prompt.address, prompt.n_bytes), 0, prompt.n_bytes)
        end_row(t.con)
        set_colour(t.con, TEXT)
    else:
        for i in range(n_prompt):
            show_token(t, i)
    flush(t.con)


@metal
def tokens_to_make(t: Talk, n_prompt: int) -> int:
    """How many tokens to generate: the last one made is never read, so the context holds one more than it reads."""
    room = t.header.seq_len - n_prompt + 1
    if t.b.settings.tokens == 0:
        return min(room, DEFAULT_TOKENS)
    if t.b.settings.tokens > room:
        raise Failure(uefi.EFI_INVALID_PARAMETER, "prompt and `tokens` are more than the context holds",
                      "Ask for fewer tokens, or leave `tokens` out for as many as fit.")
    return t.b.settings.tokens


@metal
def summarise(t: Talk) -> None:
    """What was made, how fast, and what it took."""
    end_line(t)
    flush(t.con)
    b = t.b
    per_ms = b.figures.cycles_per_ms
    if b.settings.report == 0:
        for_a_person(t)
        return
    fw = t.con.fw
    measured(fw, text("n_generated"), b.figures.n_generated)
    measured(fw, text("prefill_us"), microseconds(b.figures.prefill_cycles, per_ms))
    measured(fw, text("decode_us"), microseconds(b.figures.decode_cycles, per_ms))
    measured(fw, text("load_us"), microseconds(b.figures.load_cycles, per_ms))
    measured(fw, text("load_bytes"), t.header.file_bytes)
    measured(fw, text("memory_bytes"), b.figures.memory)
    measured(fw, text("cores"), b.job.n_cores)
    measured(fw, text("cpu_level"), b.job.level)
    measured(fw, text("seed"), b.settings.seed)


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
    per_ms = b.figures.cycles_per_ms
    end_row(con)
    put_number(con, b.figures.n_generated)
    put_text(con, text(" tokens, "))
    put_ratio(con, max(b.figures.n_generated - 1, 0) * 1000 * per_ms, b.figures.decode_cycles)
    put_text(con, text(" a second; prompt of "))
    put_number(con, b.figures.n_prompt)
    put_text(con, text(", "))
    put_ratio(con, b.figures.n_prompt * 1000 * per_ms, b.figures.prefill_cycles)
    put_text(con, text(" a second; seed "))
    put_number(con, b.settings.seed)
    end_row(con)
    put_text(con, text("loaded at "))
    put_ratio(con, t.header.file_bytes // 1000 * per_ms, b.figures.load_cycles)
    put_text(con, text(" MB/s; memory "))
    put_ratio(con, b.figures.memory, 1000000)
    put_text(con, text(" MB; cores "))
    put_number(con, b.job.n_cores)
    put_text(con, text("; x86-64-v"))
    put_number(con, b.job.level + 2)
    end_row(con)
    flush(con)
