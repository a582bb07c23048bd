"""Conversations on the hosted firmware, to be measured: an image, a question typed, what came of it."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from barelm import pipeline
from barelm.contract.session_file import PREFIX_PATH
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Session, Spec
from barelm.settings import Settings

PATIENCE_S = 120
ENDLESS_ROWS = "\x1b[1000;1000R"
"""What a terminal answers whose rows are never too short: nothing is wrapped, there is no status."""
_STATS = re.compile(r"read (\d+) at ([\d.]+) a second, made (\d+) at ([\d.]+) a second")


@dataclass(frozen=True)
class Answer:
    """Seconds from Enter to the first of it, tokens read, and how many were made a second."""

    start_s: float
    read: int
    tokens_per_s: float


def chat_image(path: Path, model: str, settings: Settings, watch: pipeline.Watcher, *, prefix: bool = True) -> Spec:
    """An image as `barelm image --chat` writes it, with or without its system text already read."""
    packed = pipeline.packed_model(model, None, pipeline.Packing(), watch)
    program = pipeline.built_program(watch)
    settings = settings.but(chat=True, wait=0, at_end="shutdown")
    found = pipeline.prefix_of(packed, settings, program, watch) if prefix else None
    more = {PREFIX_PATH: found} if found else {}
    pipeline.bootable_image(path, program, packed.path, settings, watch, more=more)
    return Spec(path, pipeline.memory_mb(packed.memory_bytes), max(settings.cores, 1))


def ask(spec: Spec, machine: Hosted, question: str) -> Answer:
    """Boot, ask, wait for the answer and for what `/stats` says of it."""
    with machine.start(spec) as session:
        until(session, "\n> ")
        session.send(ENDLESS_ROWS + question)
        until(session, question[-8:])
        began = time.perf_counter()
        session.send("\n")
        shown = ""
        while not shown.partition("\n")[2].strip():  # the line is drawn once more
            shown += session.read(PATIENCE_S).decode()
        start_s = time.perf_counter() - began
        until(session, "\n> ")
        session.send("/stats\n")
        found = _STATS.search(until(session, "a second; the last answer"))
        assert found
        return Answer(start_s, int(found[1]), float(found[4]))


def until(session: Session, words: str) -> str:
    """Read until some words were shown; returns everything up to there."""
    shown = ""
    while words not in shown:
        content = session.read(PATIENCE_S)
        if not content:
            raise SystemExit(f"the machine went off: {shown}")
        shown += content.decode()
    return shown


def in_turn(cases: dict[str, tuple[Spec, Hosted]], question: str, rounds: int) -> dict[str, list[Answer]]:
    """Every case once a round, after one round that does not count."""
    answers: dict[str, list[Answer]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, (spec, machine) in cases.items():
            answer = ask(spec, machine, question)
            if number:
                answers[name].append(answer)
    return answers


def print_row(what: str, figures: dict[str, list[float]], unit: str, best: Callable[[list[float]], float],
              **more: object) -> None:
    """One JSON line: medians and what is best of each, the ratios of the second to the first, every figure.

    Whatever else a machine does only slows it down: where it is busy, the best tells more than the median.
    """
    medians = {name: round(statistics.median(values), 4) for name, values in figures.items()}
    bests = {name: round(best(values), 4) for name, values in figures.items()}
    ratios = [round(second / first, 4) for first, second, *_ in (list(medians.values()), list(bests.values()))]
    print(json.dumps({"what": what, "unit": unit, "medians": medians, "ratio": ratios[0], "best": bests,
                      "best_ratio": ratios[1], **more,
                      "runs": {name: [round(value, 4) for value in values] for name, values in figures.items()}}))
