"""What the machine reports about itself when asked: /cpu, /bench, /selftest."""

from barelm.contract.board import Figures, Job
from barelm.contract.regions import Workspace
from barelm.dialect.memory import text
from barelm.dialect.processor import core_speed, cpu_features, feature_name, level_name
from barelm.dialect.sentences import sentence
from barelm.metal.console.sinks import ACCENT, ALARM, DIM, Console
from barelm.metal.console.stream import set_colour
from barelm.metal.console.writing import put, say, say_line
from barelm.metal.measuring import selftest
from barelm.metal.measuring.facts import memory_facts, put_clock_asked, put_cpu_name, put_firmware_name
from barelm.metal.measuring.selftest import BENCH_DECODE, BENCH_PREFILL, BENCH_TOKENS, FAILED, PASSED, ModelUnderTest
from barelm.metal.processors.cores import processors_present, weigh_cores

NOTICED = 32
"""By one of so many parts of its time a larger number of cores has to be faster."""


def tell_cpu(con: Console, job: Job, figures: Figures, workspace: Workspace) -> None:
    """`/cpu`: processor, its clock, cores, memory, firmware."""
    set_colour(con, DIM)
    put_cpu_name(con)
    put(con, sentence(", {}", (level_name(job.level),)))
    put_features(con)
    put(con, sentence("\nclock: {:/} GHz measured; asked for the highest: ", (
        figures.cycles_per_ms * core_speed(), 10**9)))
    put_clock_asked(con, figures.clock)
    present, enabled = processors_present(con.fw)
    m = memory_facts(con.fw, workspace)
    put(con, sentence("\nprocessors: {} present, {} enabled, {} answered, {} compute\n"
                      "{:MB} of memory, {:MB} free; firmware: ",
                      (present, enabled, job.team, job.n_cores, m.total, m.free)))
    put_firmware_name(con)
    say_line(con, DIM, text(""))


def put_features(con: Console) -> None:
    """The vector instructions there are, used or not."""
    features = cpu_features()
    number = 0
    while features >> number > 0:
        if features >> number & 1:
            put(con, sentence(" {}", (feature_name(number),)))
        number += 1


def tell_bench(con: Console, m: ModelUnderTest, per_ms: int, start: int) -> None:
    """`/bench`: tokens a second, reading and making, by number of cores; measured behind the first `start` ids.

    Where fewer cores make tokens as fast, or faster, these few compute from here on.
    """
    if start + BENCH_TOKENS > m.header.seq_len:
        say_line(con, ALARM, text("The context has no room to measure in: /save, then /clear."))
        return
    n_cores = 1
    best = 0
    fewest = 0
    while n_cores > 0:
        read, made = selftest.measure(m, n_cores, start)
        plural = text(": ") if n_cores == 1 else text("s:")
        say(con, DIM, sentence("{} core{} reads {:/}, makes {:/} tokens a second", (
            n_cores, plural, BENCH_PREFILL * 1000 * per_ms, read, BENCH_DECODE * 1000 * per_ms, made)))
        if best == 0 or made * NOTICED < fewest * (NOTICED - 1):
            best = n_cores
            fewest = made
        n_cores = selftest.next_count(n_cores, selftest.most_cores(m))
    if best != m.job.n_cores:
        m.job.n_cores = best
        weigh_cores(m.job)
        say(con, ACCENT, sentence("From here on {} compute; `cores = {}` in barelm.toml keeps it so.", (best, best)))


def tell_selftest(con: Console, m: ModelUnderTest) -> None:
    """`/selftest`: does this machine compute as the one the model was packed on?"""
    verdict = selftest.self_test(m)
    if verdict == PASSED:
        say_line(con, ACCENT, text("Self-test passed: every bit as on the machine that packed the model."))
    elif verdict == FAILED:
        say_line(con, ALARM, text("Self-test FAILED: do not trust this machine; test its memory and cooling."))
    else:
        say_line(con, DIM, text("This model was packed without an example to compare with."))
