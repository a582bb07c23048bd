"""`barelm bench`: how fast models are here, beside other programs, and as a share of what the machine could do."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from barelm import pipeline
from barelm.checkpoint.sources.model_names import resolve_model
from barelm.commands.progress import ProgressBar
from barelm.errors import BarelmError
from barelm.host_files import replace_file, working_folder
from barelm.machine.hosted import Hosted
from barelm.machine.machine import host_processors
from barelm.measure import rivals
from barelm.measure.figures_of_speed import DECODE, PREFILL, Figure, report_of, same_task, table_of, work_of
from barelm.measure.machine_limits import LimitsMeasured
from barelm.measure.random_models import ENCODINGS, SIZES, random_model
from barelm.measure.rivals import Speeds
from barelm.measure.roofline import draw_roofline
from barelm.measure.timing import Ours, alternate, prompt_of
from barelm.pack.reader import Packed

LLAMA_CPP, LLAMA2C = "llama.cpp", "llama2.c"
MOST_MADE = 64
"""Tokens to make; of a short context a third of it."""
USUAL_CONTEXT = 192


@dataclass(frozen=True)
class BenchOrder:
    """What is to be measured: lists as they were typed, with commas."""

    model: str
    cores: str = ""
    context: str = ""
    sizes: str = ""
    encodings: str = "Q4_0"
    rounds: int = 3
    against: str = LLAMA_CPP
    run_c: Path | None = None


def measure_speed(order: BenchOrder, json_file: Path | None, plot: Path | None) -> int:
    """Measure, print a table, and write what was asked for."""
    if reason := Hosted().why_not():
        raise BarelmError(reason, "`barelm report` shows what /report measured on a machine of its own.")
    if plot is not None and plot.suffix.lower() != ".svg":
        raise BarelmError(f"cannot draw into {plot}: only SVG is written", "Give a name that ends in .svg.")
    if not 1 <= order.rounds <= 1000:
        raise BarelmError(f"{order.rounds} rounds cannot be measured", "Give --rounds from 1 to 1000.")
    cores = numbers(order.cores, "--cores") or sorted({1, host_processors()})
    contexts = numbers(order.context, "--context")
    with ProgressBar() as bar:
        opponents = chosen_rivals(order, bar)
        bar.step("Looking for the models")
        models = models_of(order)
        bar.step("Measuring this machine")
        limits_of = LimitsMeasured(cores)
        limits_of.measure()
        figures: list[Figure] = []
        for model in models:
            for figure in measure_model(model, cores, contexts, order, opponents, bar):
                if not figures or not same_task(figure, figures[-1]):
                    limits_of.measure()
                figures.append(figure)
    limits = [*limits_of.best.values()]
    print("\n".join(table_of(figures, limits)))
    if json_file is not None:
        content = json.dumps(report_of(figures, limits, cpu_name()), indent=1)
        replace_file(json_file, content.encode())
    if plot is not None:
        replace_file(plot, draw_roofline(figures, limits).encode())
    for path in filter(None, (json_file, plot)):
        print(f"{path}: {path.stat().st_size:,} bytes", file=sys.stderr)
    return 0


def numbers(text: str, option: str) -> list[int]:
    """Whole numbers above 0, between commas."""
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and len(word) < 20 and 0 < int(word) <= 1 << 24 for word in words):
        raise BarelmError(f"{option} takes whole numbers between commas, not {text!r}", f"Give {option} 1,2.")
    return list(dict.fromkeys(int(word) for word in words))


def names(text: str, known: Iterator[str] | list[str], option: str) -> list[str]:
    """Known names, between commas."""
    found, known = [word.strip() for word in text.split(",") if word.strip()], list(known)
    if unknown := [name for name in found if name not in known]:
        raise BarelmError(f"{option} does not know {unknown[0]!r}", f"It knows {', '.join(known)}.")
    return found


def chosen_rivals(order: BenchOrder, bar: ProgressBar) -> list[str]:
    """Which other programs there are, of those asked for; what is missing is said in a line."""
    asked = names(order.against, [LLAMA_CPP, LLAMA2C], "--against")
    if LLAMA_CPP in asked and rivals.llama_cpp() is None:
        bar.note("llama.cpp is left out: this Python has none; `pip install xllamacpp` or llama-cpp-python brings it.")
        asked.remove(LLAMA_CPP)
    if LLAMA2C in asked and (order.run_c is None or not order.run_c.is_file()):
        bar.note("llama2.c is left out: --run-c says where the program is that its run.c was built to.")
        asked.remove(LLAMA2C)
    return asked


def models_of(order: BenchOrder) -> list[str]:
    """The model asked for, or those of random weights."""
    sizes = names(order.sizes, list(SIZES), "--sizes")
    encodings = names(order.encodings, list(ENCODINGS), "--encodings")
    return [str(random_model(size, encoding)) for size in sizes for encoding in encodings] or [order.model]


def measure_model(name: str, cores: list[int], contexts: list[int], order: BenchOrder, opponents: list[str],
                  bar: ProgressBar) -> Iterator[Figure]:
    """Every context on every number of cores; a checkpoint of llama2.c's also from nothing, beside it."""
    path, tokenizer = resolve_model(name, None, bar.progress)
    model = pipeline.packed_model(name, tokenizer, pipeline.Packing(context=max(contexts, default=0)), bar)
    if reason := pipeline.hosted_refusal(model.memory_bytes):
        raise BarelmError(reason, "Take a smaller model, or a shorter --context.")
    is_bin = path.suffix == ".bin"
    if is_bin and LLAMA_CPP in opponents:
        bar.note(f"llama.cpp is left out for {path.name}, which it cannot read.")
    beside = LLAMA_CPP in opponents and path.suffix == ".gguf"
    module = rivals.llama_cpp_for(path, bar.note) if beside else None
    for context in contexts or [min(USUAL_CONTEXT, model.config.seq_len)]:
        yield from at_context(model, path, context, cores, order.rounds, module, bar)
    if is_bin and LLAMA2C in opponents and order.run_c is not None:
        yield from from_nothing(model, path, tokenizer or path.with_name("tokenizer.bin"), cores, order, bar)


def at_context(model: Packed, path: Path, context: int, cores: list[int], rounds: int, module: str | None,
               bar: ProgressBar) -> Iterator[Figure]:
    """A prompt that leaves so much of a context that tokens can be made."""
    made = max(min(MOST_MADE, context // 3), 2)
    with working_folder() as folder:
        ours = Ours(folder, model, prompt_of(model, max(context - made, 1)), made, bar)
        for n in cores:
            first = ours.run(n)
            ids, n_made = first.token_ids[:first.n_prompt], first.n_generated
            bar.step(f"Measuring {model.name} on {n} core{'s' * (n > 1)}, context {context}")
            theirs = partial(rivals.run_llama_cpp, module, path, ids, n_made, n) if module else partial(Speeds, 0, 0)
            mine, others = zip(*alternate(rounds, partial(our_speeds, ours, n), theirs))
            programs = [("barelm", mine), *([(rivals.llama_cpp_name(module), others)] if module else [])]
            for what, k, tokens, position in ((PREFILL, 0, len(ids), len(ids) // 2),
                                              (DECODE, 1, n_made - 1, len(ids) + n_made // 2)):
                for program, speeds in programs:
                    if tokens > 0:
                        yield Figure(program, path.stem, what, context, n, tokens, tuple(s[k] for s in speeds),
                                     work_of(model.header, what, position))


def from_nothing(model: Packed, path: Path, tokenizer: Path, cores: list[int], order: BenchOrder, bar: ProgressBar
                 ) -> Iterator[Figure]:
    """Both make the same number of passes over the same positions: as many as barelm makes before the text ends."""
    program = order.run_c
    assert program is not None
    with working_folder() as folder:
        ours = Ours(folder, model, "", model.config.seq_len // 2, bar)
        for n in cores:
            length = ours.run(n).n_generated
            bar.step(f"Measuring {path.name} from nothing, {n} core{'s' * (n > 1)}")
            pairs = alternate(order.rounds, partial(our_speeds, ours, n),
                              partial(rivals.run_llama2c, program, path, tokenizer, length, n))
            for name, runs in zip(("barelm", LLAMA2C), zip(*pairs)):
                yield Figure(name, path.stem, DECODE, length, n, length - 1, tuple(speeds.decode for speeds in runs),
                             work_of(model.header, DECODE, length // 2))


def our_speeds(ours: Ours, cores: int) -> Speeds:
    """barelm's, of one run."""
    outcome = ours.run(cores)
    return Speeds(outcome.prefill_tokens_per_s, outcome.decode_tokens_per_s)


def cpu_name() -> str:
    """What the host's processor calls itself; empty where nobody says."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return ""
