"""What the machine tells of itself in a conversation: /stats, /cpu, /bench, /selftest."""

from __future__ import annotations

from barelm.dialect.memory import text
from barelm.dialect.processor import cpu_features, feature_name, level_name
from barelm.dialect.rooms import metal
from barelm.metal.console.sinks import ACCENT, ALARM, DIM
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import end_row, put_megabytes, put_number, put_ratio, put_text, say_line
from barelm.metal.conversation.talk import Talk
from barelm.metal.conversation.turns import N_TURNS, end_of, turns_of
from barelm.metal.measuring.facts import memory_facts, put_cpu_name, put_firmware_name
from barelm.metal.measuring.selftest import (
    BENCH_DECODE,
    BENCH_PREFILL,
    BENCH_TOKENS,
    FAILED,
    PASSED,
    measure,
    next_count,
    self_test,
)
from barelm.metal.processors.cores import processors_present


@metal
def tell_stats(t: Talk) -> None:
    """`/stats`: what was said, read and made, how fast, and what it takes."""
    con = t.con
    b = t.b
    per_ms = b.figures.cycles_per_ms
    set_colour(con, DIM)
    put_text(con, text("turns "))
    put_number(con, turns_of(t)[N_TURNS])
    put_text(con, text(", "))
    put_number(con, end_of(t, turns_of(t)[N_TURNS]))
    put_text(con, text(" of "))
    put_number(con, t.header.seq_len)
    put_text(con, text(" tokens, "))
    put_number(con, b.job.cached)
    put_text(con, text(" of them cached\nread "))
    put_number(con, b.figures.n_prompt)
    put_text(con, text(" at "))
    put_ratio(con, b.figures.n_prompt * 1000 * per_ms, b.figures.prefill_cycles)
    put_text(con, text(" a second, made "))
    put_number(con, b.figures.n_generated)
    put_text(con, text(" at "))
    put_ratio(con, b.figures.n_generated * 1000 * per_ms, b.figures.decode_cycles)
    put_text(con, text(" a second; the last answer: read "))
    put_number(con, b.figures.last_read)
    put_text(con, text(", made "))
    put_number(con, b.figures.last_made)
    put_text(con, text("\nmemory "))
    put_megabytes(con, b.figures.memory)
    put_text(con, text(", cores "))
    put_number(con, b.job.n_cores)
    put_text(con, text(", seed "))
    put_number(con, b.settings.seed)
    put_text(con, text(", loaded at "))
    put_ratio(con, t.header.file_bytes // 1000 * per_ms, b.figures.load_cycles)
    say_line(con, DIM, text(" MB/s"))


@metal
def tell_cpu(t: Talk) -> None:
    """`/cpu`: processor, cores, memory, firmware."""
    con = t.con
    set_colour(con, DIM)
    put_cpu_name(con)
    put_text(con, text(", "))
    put_text(con, level_name(t.b.job.level))
    put_features(t)
    present, enabled = processors_present(con.fw)
    end_row(con)
    put_text(con, text("processors: "))
    put_number(con, present)
    put_text(con, text(" present, "))
    put_number(con, enabled)
    put_text(con, text(" enabled, "))
    put_number(con, t.b.job.team)
    put_text(con, text(" answered, "))
    put_number(con, t.b.job.n_cores)
    put_text(con, text(" compute\n"))
    m = memory_facts(con.fw, t.workspace)
    put_megabytes(con, m.total)
    put_text(con, text(" of memory, "))
    put_megabytes(con, m.free)
    put_text(con, text(" free; firmware: "))
    put_firmware_name(con)
    say_line(con, DIM, text(""))


@metal
def put_features(t: Talk) -> None:
    """The vector instructions there are, used or not."""
    features = cpu_features()
    number = 0
    while features >> number > 0:
        if features >> number & 1:
            put_text(t.con, text(" "))
            put_text(t.con, feature_name(number))
        number += 1


@metal
def tell_bench(t: Talk) -> None:
    """`/bench`: tokens a second, reading and making, by number of cores."""
    con = t.con
    start = end_of(t, turns_of(t)[N_TURNS])
    if start + BENCH_TOKENS > t.header.seq_len:
        say_line(con, ALARM, text("The context has no room to measure in: /save, then /clear."))
        return
    n_cores = 1
    while n_cores > 0:
        read, made = measure(t, n_cores, start)
        set_colour(con, DIM)
        put_number(con, n_cores)
        if n_cores == 1:
            put_text(con, text(" core:  reads "))
        else:
            put_text(con, text(" cores: reads "))
        put_ratio(con, BENCH_PREFILL * 1000 * t.b.figures.cycles_per_ms, read)
        put_text(con, text(", makes "))
        put_ratio(con, BENCH_DECODE * 1000 * t.b.figures.cycles_per_ms, made)
        say_line(con, DIM, text(" tokens a second"))
        n_cores = next_count(n_cores, t.b.job.team)


@metal
def tell_selftest(t: Talk) -> None:
    """`/selftest`: does this machine compute as the one the model was packed on?"""
    verdict = self_test(t)
    if verdict == PASSED:
        say_line(t.con, ACCENT, text("Self-test passed: every bit as on the machine that packed the model."))
    elif verdict == FAILED:
        say_line(t.con, ALARM, text("Self-test FAILED: do not trust this machine; test its memory and cooling."))
    else:
        say_line(t.con, DIM, text("This model was packed without an example to compare with."))
