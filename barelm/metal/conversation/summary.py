"""What talking took, in words: behind an answer, when somebody asks, and at the end."""

from barelm.dialect.processor import level_name
from barelm.dialect.sentences import sentence
from barelm.metal.console.sinks import DIM, flush
from barelm.metal.console.writing import put, say
from barelm.metal.conversation.reply import end_line
from barelm.metal.conversation.talk import Talk
from barelm.metal.conversation.turns import end_of
from barelm.metal.measuring.clock import microseconds


def tell_answer(t: Talk) -> None:
    """Where there is no status row: what the last reply took, in a line."""
    figures = t.figures
    say(t.con, DIM, sentence("[{} tokens, {:/} a second; {} read; {} of {}]", (
        figures.last_made, max(figures.last_made - 1, 0) * 1000 * figures.cycles_per_ms, figures.last_cycles,
        figures.last_read, end_of(t.conversation, t.conversation.n_turns), t.header.seq_len)))


def tell_stats(t: Talk) -> None:
    """`/stats`: what was said, read and made, how fast, and what it takes."""
    figures = t.figures
    per_ms = figures.cycles_per_ms
    say(t.con, DIM, sentence(
        "turns {}, {} of {} tokens, {} of them cached\n"
        "read {} at {:/} a second, made {} at {:/} a second; the last answer: read {}, made {}\n"
        "guessed {}, {} of them right; memory {:MB}, cores {}, seed {}, loaded at {:/} MB/s", (
            t.conversation.n_turns, end_of(t.conversation, t.conversation.n_turns), t.header.seq_len, t.job.cached,
            figures.n_prompt, figures.n_prompt * 1000 * per_ms, figures.prefill_cycles,
            figures.n_generated, figures.n_generated * 1000 * per_ms, figures.decode_cycles,
            figures.last_read, figures.last_made, figures.n_guessed, figures.n_right,
            figures.memory, t.job.n_cores, t.settings.seed, t.header.file_bytes // 1000 * per_ms, figures.load_cycles)))


def summarise(t: Talk) -> None:
    """What was made, how fast, and what it took: in two lines, or to a program by name (see `completion`)."""
    end_line(t)
    flush(t.con)
    figures = t.figures
    per_ms = figures.cycles_per_ms
    if t.settings.report != 0:
        summarise_for_a_program(t)
    else:
        put(t.con, sentence(
            "\n{} tokens, {:/} a second; prompt of {}, {:/} a second; seed {}\n"
            "loaded at {:/} MB/s; memory {:/} MB; cores {}; {}\n", (
                figures.n_generated, max(figures.n_generated - 1, 0) * 1000 * per_ms, figures.decode_cycles,
                figures.n_prompt, figures.n_prompt * 1000 * per_ms, figures.prefill_cycles, t.settings.seed,
                t.header.file_bytes // 1000 * per_ms, figures.load_cycles, figures.memory, 1000000,
                t.job.n_cores, level_name(t.job.level))))
    flush(t.con)


def summarise_for_a_program(t: Talk) -> None:
    """A line for each measurement, by its name (see `completion`)."""
    figures = t.figures
    per_ms = figures.cycles_per_ms
    put(t.con, sentence(
        "BARELM n_generated {}\nBARELM n_guessed {}\nBARELM n_right {}\nBARELM prefill_us {}\nBARELM decode_us {}\n"
        "BARELM load_us {}\nBARELM load_bytes {}\nBARELM memory_bytes {}\nBARELM cores {}\nBARELM cpu_level {}\n"
        "BARELM seed {}\nBARELM ids_sum {}\n", (
            figures.n_generated, figures.n_guessed, figures.n_right, microseconds(figures.prefill_cycles, per_ms),
            microseconds(figures.decode_cycles, per_ms), microseconds(figures.load_cycles, per_ms),
            t.header.file_bytes, figures.memory, t.job.n_cores, t.job.level, t.settings.seed,
            figures.ids_sum)))
