"""Answers with and without guesses at what comes next: what repeats its source, and what does not; a JSON line each.

    python bench/lookup.py MODEL... [--cores 1] [--rounds 5]

In every round each answer is made once with `lookup` and once without, one after the other, on the hosted firmware; the
ids have to be the same.  Medians of the tokens made a second, their ratio, and how many guesses came true.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from barelm import pipeline
from barelm.commands.progress import ProgressBar
from barelm.host_files import working_folder
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.outcome import Outcome
from barelm.pack.reader import Packed
from barelm.settings import Settings

CODE = '''class Account:
    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.balance += amount
        self.history.append(("deposit", amount))

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("not enough money")
        self.balance -= amount
        self.history.append(("withdraw", amount))
'''
LETTER = ("The town library will be closed from Monday the third of June until Friday the fourteenth, because the roof "
          "of the reading room is being repaired. Books that are due in this time may be returned until the end of the "
          "month. The children's room in Mill Street stays open in the afternoon, and the book bus comes to the market "
          "place on both Saturdays between nine and twelve. Whoever needs a book for school can call the library and "
          "will find it ready at the town hall on the next day.")
ASKED = {
    "edit": (f"Rename `balance` to `total` in this code and print all of it:\n\n{CODE}", 0.0),
    "copy": (f"Repeat this text word for word:\n\n{LETTER}", 0.0),
    "summary": (f"Say the most important points of this text in its own words:\n\n{LETTER}", 0.0),
    "story": ("Tell a story of a fox who wanted to learn how to read.", 0.0),
    "drawn story": ("Tell a story of a fox who wanted to learn how to read.", 1.0),
    "explain": ("Why is the sky blue during the day and red in the evening?", 0.7),
}
CONTEXT, MOST_TOKENS = 1024, 220


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="What guessing from what was said before is worth.")
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--cores", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--asked", nargs="+", choices=ASKED, default=list(ASKED))
    chosen = parser.parse_args()
    for path in chosen.models:
        model = pipeline.packed_model(str(path), None, pipeline.Packing(context=CONTEXT), ProgressBar())
        for name in chosen.asked:
            for cores in chosen.cores:
                with working_folder() as folder:
                    measure(folder, model, name, cores, chosen.rounds)


def measure(folder: Path, model: Packed, name: str, cores: int, rounds: int) -> None:
    """One answer, `rounds` times with guesses and as often without."""
    prompt, temperature = ASKED[name]
    specs = []
    for lookup in (True, False):
        settings = Settings(prompt, temperature, tokens=MOST_TOKENS, seed=7, at_end="shutdown", report=True,
                            lookup=lookup)
        program = pipeline.built_program(ProgressBar())
        image = pipeline.bootable_image(folder / f"{lookup}.img", program, model.path, settings, ProgressBar())
        specs.append(Spec(image, pipeline.memory_mb(model.memory_bytes), cores))
    pairs = [[answer(spec, model) for spec in specs] for _ in range(rounds)]
    for own, other in pairs:
        if own.token_ids != other.token_ids:
            raise SystemExit(f"{model.name}, {name}: guesses changed the answer")
    report(model.name, name, cores, pairs)


def answer(spec: Spec, model: Packed) -> Outcome:
    """Boot it once."""
    return pipeline.boot(spec, Hosted(), model, ProgressBar(), lambda text: None)


def report(model: str, name: str, cores: int, pairs: list[list[Outcome]]) -> None:
    """One row."""
    speeds = [[outcome.decode_tokens_per_s for outcome in side] for side in zip(*pairs)]
    own, other = map(statistics.median, speeds)
    last = pairs[-1][0]
    row = {"bench": "lookup", "model": model, "asked": name, "cores": cores, "tokens": last.n_generated,
           "with_tokens_per_s": round(own, 1), "without_tokens_per_s": round(other, 1), "ratio": round(own / other, 3),
           "guessed": last.n_guessed, "right": last.n_right, "with_runs": speeds[0], "without_runs": speeds[1]}
    print(json.dumps(row), flush=True)
    print(f"{model:<28} {name:<12} cores {cores}  {last.n_generated:>4} tokens  {own:>7.1f} {other:>7.1f}  "
          f"x{own / other:.2f}  {last.n_right} of {last.n_guessed} right", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
