"""The README's table: `barelm bench` of the default model in three encodings, and of llama2.c's models beside `run.c`.

    python bench/speed.py [--cores 1,2] [--rounds 5] [--quants Q4_1 Q4_0 Q8_0] [--models stories260K 15M 110M]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from peers import llama2c
from requantize import model_as
from shapes import SHAPES, random_checkpoint

from barelm.checkpoint.sources.model_names import resolve_model
from barelm.commands.bench import LLAMA2C, BenchOrder, measure_speed, numbers

SHARED_MODELS = Path(__file__).parents[2] / "shared" / "models"


def main() -> None:
    """Measure what was asked for, a table each."""
    parser = argparse.ArgumentParser(description="Tokens a second, beside llama2.c and llama.cpp.")
    parser.add_argument("--cores", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quants", nargs="*", default=["Q4_1", "Q4_0", "Q8_0"])
    parser.add_argument("--models", nargs="*", default=["stories260K", *SHAPES], help="of llama2.c")
    chosen = parser.parse_args()
    for kind in chosen.quants:
        measure_speed(BenchOrder(str(model_as(kind)), chosen.cores, rounds=chosen.rounds), None, None)
    for name in chosen.models:
        for n in numbers(chosen.cores, "--cores"):
            measure_speed(BenchOrder(str(_llama2c_model(name)), str(n), rounds=chosen.rounds, against=LLAMA2C,
                             run_c=llama2c(n)), None, None)


def _llama2c_model(name: str) -> Path:
    if name in SHAPES:
        return random_checkpoint(name)[0]
    here = SHARED_MODELS / f"{name}.bin"
    return here if here.is_file() else resolve_model(name)[0]


if __name__ == "__main__":
    main()
