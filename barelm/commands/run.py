"""`barelm run`."""

import sys
from dataclasses import replace
from pathlib import Path

from barelm.aot.build import build_program
from barelm.commands.make import new_file
from barelm.commands.progress import ProgressBar
from barelm.errors import BarelmError
from barelm.machine.choice import quick_machine
from barelm.machine.machine import host_processors
from barelm.machine.qemu import MOST_CORES
from barelm.outcome import Outcome
from barelm.pipeline import Order, run
from barelm.printed import json_text, spoken


def run_model(order: Order, machine: str | None, as_json: bool) -> int:
    """Complete a prompt or answer it: the text streams on stdout, or comes in one JSON object at the end."""
    order = replace(order, cores=machine_cores(order.memory_mb, order.cores),
                    receipt=receipt_file(order) if order.settings.receipt else None)
    with ProgressBar() as bar:
        chosen = quick_machine(machine, bar.note)

        def say(text: str) -> None:
            if text and not as_json:
                bar.clear()
                bar.end_thought()
                sys.stdout.write(spoken(text) if sys.stdout.isatty() else text)
                sys.stdout.flush()

        outcome = run(order, chosen, bar, say)
    if as_json:
        print(json_text(outcome.as_json(build_program().stat().st_size)))
        return 0
    if not outcome.text.endswith("\n"):
        print(flush=True)
    if outcome.thought and not sys.stderr.isatty():
        print("[thoughts left out; --json has them, --think off asks for none]", file=sys.stderr)
    print(summary(outcome), file=sys.stderr)
    if order.receipt is not None:
        print(f"receipt: {order.receipt}", file=sys.stderr)
    return 0


def receipt_file(order: Order) -> Path:
    """Where the receipt goes, which is written over nothing."""
    path = Path(order.model)
    return new_file(path.stem if path.is_file() else order.model, ".receipt.json")


def summary(outcome: Outcome) -> str:
    """The figures of a run in one line."""
    return (f"{outcome.n_generated} tokens, {outcome.decode_tokens_per_s:g} a second; prompt of {outcome.n_prompt}, "
            f"{outcome.prefill_tokens_per_s:g} a second; seed {outcome.seed}; "
            f"loaded at {outcome.load_mb_per_s:g} MB/s; memory {outcome.memory_bytes / 1e6:.1f} MB; "
            f"{outcome.machine}, {outcome.cores} core{'s' * (outcome.cores > 1)}")


def machine_cores(memory_mb: int, cores: int) -> int:
    """How many cores a machine gets, 0 being all of this host; refuses a machine that cannot be."""
    if not 0 <= memory_mb <= 1 << 24:
        raise BarelmError(f"a machine cannot have {memory_mb} MiB of memory",
                          "Give --memory in MiB, 0 for what it takes.")
    if not 0 <= cores <= MOST_CORES:
        raise BarelmError(f"a machine cannot have {cores} cores", f"Give --cores from 1 to {MOST_CORES}, 0 for all.")
    return cores or min(host_processors(), MOST_CORES)
