"""Does this processor, this memory, this firmware compute what they should?  And how fast?

When a model is packed, the host computes an example: fixed ids are read, the most likely ones follow.  What comes out,
ids and every bit of the logits, is the same on every machine that works.
"""

from typing import NamedTuple

from barelm.contract import board
from barelm.contract.board import Board, Job
from barelm.contract.layout import DEFAULT_MAX_CORES, GOLDEN_MOST, GOLDEN_PROMPT, Header
from barelm.contract.settings import SettingsView
from barelm.dialect.memory import address_of, cells, copy_bytes, crc32c, memory, text
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import sentence
from barelm.dialect.types import f32
from barelm.kernels.decoder.state import SessionTranscript, bind_transcript
from barelm.kernels.session import sum_with
from barelm.metal.console.sinks import Console, flush
from barelm.metal.console.writing import put, put_text
from barelm.metal.processors.cores import command, place

PASSED, FAILED, NO_EXAMPLE = 0, 1, 2

STRIDE = 7919
"""Given id i is STRIDE (i + 1) modulo the size of the vocabulary."""

BENCH_PREFILL, BENCH_DECODE = 64, 16
BENCH_TOKENS = BENCH_PREFILL + BENCH_DECODE


class ModelUnderTest(NamedTuple):
    """A loaded model, and what it computes with: what is tested and measured."""

    header: Header
    job: Job
    settings: SettingsView


def transcript_of_model(m: ModelUnderTest) -> SessionTranscript:
    """The session's ids and the logits, where they are now: a core that is lost takes its state with it."""
    return bind_transcript(m.header, memory(Board(m.job.address).model.state, m.header.state_bytes))


def self_test(m: ModelUnderTest) -> int:
    """Compute the packed example again and compare.  The conversation stays, but has to be read again."""
    n = m.header.golden_n
    if n == 0:
        return NO_EXAMPLE
    kept = cells(GOLDEN_MOST)
    copy_bytes(address_of(kept), address_of(transcript_of_model(m).tokens), 8 * n)
    computed, found = compute_example(m)
    good = computed == n
    tokens = transcript_of_model(m).tokens
    for i in range(n):
        good = good and tokens[i] == m.header.golden_ids[i]
        place(m.job, tokens, i, kept[i])
    good = good and found == m.header.golden_sum
    return PASSED if good else FAILED


def compute_example(m: ModelUnderTest) -> tuple[int, int]:
    """Read the given ids, choose and read the rest; returns how many there are, and the sum of each step's logits."""
    temperature = m.settings.temperature
    repeat = m.settings.repeat
    m.settings.temperature = f32(0)
    m.settings.repeat = f32(1)
    most = min(GOLDEN_MOST, m.header.seq_len)
    n = min(GOLDEN_PROMPT, most)
    for i in range(n):
        place(m.job, transcript_of_model(m).tokens, i, STRIDE * (i + 1) % m.header.vocab_size)
    m.job.cached = 0
    command(m.job, board.PREFILL, n)
    found = 0
    while True:
        logits = transcript_of_model(m).logits
        found = crc32c(found, memory(address_of(logits), 4 * len(logits)), 4 * len(logits))
        if n == most:
            break
        token = command(m.job, board.CHOOSE, n)
        place(m.job, transcript_of_model(m).tokens, n, token)
        n += 1
        command(m.job, board.DECODE, n - 1)
    m.settings.temperature = temperature
    m.settings.repeat = repeat
    return n, found


def measure(m: ModelUnderTest, n_cores: int, start: int) -> tuple[int, int]:
    """Cycles that reading BENCH_PREFILL ids and then BENCH_DECODE, one by one, takes so many cores.

    The ids come behind `start`, where there has to be room for BENCH_TOKENS; nothing before it is touched.
    """
    job = m.job
    team = job.n_cores
    job.n_cores = n_cores
    for i in range(BENCH_TOKENS):
        place(job, transcript_of_model(m).tokens, start + i, STRIDE * (i + 1) % m.header.vocab_size)
    if job.cached < start:
        command(job, board.PREFILL, start)
    job.cached = start
    began = cycles()
    command(job, board.PREFILL, start + BENCH_PREFILL)
    read = cycles()
    for i in range(BENCH_PREFILL, BENCH_TOKENS):
        command(job, board.DECODE, start + i)
    done = cycles()
    job.n_cores = min(team, job.team)
    job.cached = start
    return read - began, done - read


def most_cores(m: ModelUnderTest) -> int:
    """Of the cores that answered, as many as the model has room for."""
    return min(m.job.team, m.header.max_cores, DEFAULT_MAX_CORES)


def next_count(n_cores: int, team: int) -> int:
    """How many cores to measure after n: 1, 2, 3, 4, 6, 8, 12, 16, ..., the whole team; 0 at the end."""
    if n_cores >= team:
        return 0
    step = 1
    while 4 * step <= n_cores:
        step *= 2
    return min(n_cores + step, team)


def tell_example(con: Console, m: ModelUnderTest) -> None:
    """To a program: GOLDEN, the sum of the logits, then the ids, and the sum of all."""
    n, found = compute_example(m)
    put_text(con, text("BARELM GOLDEN"))
    total = 0
    for k in range(1 + n):
        number = int(transcript_of_model(m).tokens[k - 1]) if k > 0 else found
        total = sum_with(total, number)
        put(con, sentence(" {}", (number,)))
    put(con, sentence(" {}\n", (total,)))
    flush(con)
