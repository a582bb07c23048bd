"""Does this processor, this memory, this firmware compute what they should?  And how fast?

When a model is packed, the host computes an example: fixed ids are read, the most likely ones follow.  What comes out,
ids and every bit of the logits, is the same on every machine that works.
"""

from __future__ import annotations

from barelm.contract import board, layout
from barelm.dialect.memory import address_of, cells, i64_array, memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import metal
from barelm.dialect.types import U64, f32, u64
from barelm.kernels.checksum import extend_checksum
from barelm.metal import arena
from barelm.metal.console.sinks import flush
from barelm.metal.console.writing import end_row, put_number, put_text
from barelm.metal.conversation.saved_sessions import fresh_sums
from barelm.metal.conversation.talk import Talk, place, transcript_of
from barelm.metal.processors.cores import command

PASSED, FAILED, NO_EXAMPLE = 0, 1, 2

STRIDE = 7919
"""Given id i is STRIDE (i + 1) modulo the size of the vocabulary."""

BENCH_PREFILL, BENCH_DECODE = 64, 16
BENCH_TOKENS = BENCH_PREFILL + BENCH_DECODE


@metal
def self_test(t: Talk) -> int:
    """Compute the packed example again and compare.  The conversation stays, but has to be read again."""
    n = t.header.golden_n
    if n == 0:
        return NO_EXAMPLE
    kept = i64_array(memory(t.workspace.address + arena.SCRATCH, 8 * layout.GOLDEN_MOST), 0, layout.GOLDEN_MOST)
    tokens = transcript_of(t).tokens
    for i in range(n):
        kept[i] = tokens[i]
    words = cells(2)
    sums = fresh_sums(words)
    good = compute_example(t, sums) == n
    for i in range(n):
        good = good and tokens[i] == t.header.golden_ids[i]
        place(t, i, kept[i])
    good = good and sums[0] == u64(t.header.golden_sum_a) and sums[1] == u64(t.header.golden_sum_b)
    return PASSED if good else FAILED


@metal
def compute_example(t: Talk, sums: U64) -> int:
    """Read the given ids, choose and read the rest; returns how many there are, `sums` over the logits of each step."""
    b = t.b
    temperature = b.settings.temperature
    repeat = b.settings.repeat
    b.settings.temperature = f32(0)
    b.settings.repeat = f32(1)
    most = min(layout.GOLDEN_MOST, t.header.seq_len)
    n = min(layout.GOLDEN_PROMPT, most)
    for i in range(n):
        place(t, i, STRIDE * (i + 1) % t.header.vocab_size)
    b.job.cached = 0
    command(b.job, board.PREFILL, n)
    logits = transcript_of(t).logits
    n_bytes = len(logits) // 2 * 8
    while True:
        extend_checksum(sums, memory(address_of(logits), n_bytes), n_bytes)
        if n == most:
            break
        place(t, n, command(b.job, board.CHOOSE, n))
        n += 1
        command(b.job, board.DECODE, n - 1)
    b.settings.temperature = temperature
    b.settings.repeat = repeat
    return n


@metal
def measure(t: Talk, n_cores: int, start: int) -> tuple[int, int]:
    """Cycles that reading BENCH_PREFILL ids and then BENCH_DECODE, one by one, takes so many cores.

    The ids come behind `start`, where there has to be room for BENCH_TOKENS; nothing before it is touched.
    """
    b = t.b
    team = b.job.n_cores
    b.job.n_cores = n_cores
    for i in range(BENCH_TOKENS):
        place(t, start + i, STRIDE * (i + 1) % t.header.vocab_size)
    if b.job.cached < start:
        command(b.job, board.PREFILL, start)
    b.job.cached = start
    began = cycles()
    command(b.job, board.PREFILL, start + BENCH_PREFILL)
    read = cycles()
    for i in range(BENCH_PREFILL, BENCH_TOKENS):
        command(b.job, board.DECODE, start + i)
    done = cycles()
    b.job.n_cores = team
    b.job.cached = start
    return read - began, done - read


@metal
def next_count(n_cores: int, team: int) -> int:
    """How many cores to measure after n: 1, 2, 3, 4, 6, 8, 12, 16, ..., the whole team; 0 at the end."""
    if n_cores >= team:
        return 0
    step = 1
    while 4 * step <= n_cores:
        step *= 2
    return min(n_cores + step, team)


@metal
def tell_example(t: Talk) -> None:
    """To a program: GOLDEN, the two sums of the logits as four numbers of 32 bits, then the ids."""
    words = cells(2)
    sums = fresh_sums(words)
    n = compute_example(t, sums)
    put_text(t.con, text("BARELM GOLDEN"))
    for half in range(4):
        put_text(t.con, text(" "))
        put_number(t.con, int(sums[half // 2]) >> (32 * (half % 2)) & 0xFFFFFFFF)
    for i in range(n):
        put_text(t.con, text(" "))
        put_number(t.con, int(transcript_of(t).tokens[i]))
    end_row(t.con)
    flush(t.con)
