"""Tokens a second, side by side with llama2.c and llama.cpp: one JSON line per row, and a table on stderr.

    python bench/speed.py --llama2c [BINARY] [--cores 1 2]
    python bench/speed.py --llama-cpp [--cores 1 2] [--quants Q4_1 Q4_0 Q8_0]
    python bench/speed.py --llama-cpp --gguf FILE... [--cores 1 2]

barelm runs on the hosted firmware and measures itself, as on any machine.  In every round both run once, one after the
other; medians of five rounds.  `decode` counts the forward passes after the first token made, `prefill` the tokens of
the prompt.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import peers
from requantize import model_as
from shapes import SHAPES, random_checkpoint

from barelm import pipeline
from barelm.checkpoint.sources.model_names import resolve_model
from barelm.host_files import working_folder
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.outcome import Outcome
from barelm.pack.reader import Packed
from barelm.settings import Settings

STORIES = "stories260K"
STEPS = {STORIES: 512, "15M": 256, "110M": 128}
"""Tokens to generate with each model of llama2.c."""

N_PROMPT = 128
N_TOKENS = 64
CONTEXT = 256
SENTENCE = "The old man walked down to the river and sat on a big stone under the trees"  # a token each
SHARED_MODELS = Path(__file__).parents[2] / "shared" / "models"

A = TypeVar("A")


class Quiet:
    """A `pipeline.Watcher` that tells nobody."""

    def step(self, what: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def think(self, thought: str) -> None:
        """Nothing."""


class Ours:
    """barelm with one model and one order: an image that is booted again for every measurement."""

    def __init__(self, folder: Path, model: Path, tokenizer: Path | None, prompt: str, n_tokens: int) -> None:
        settings = Settings(prompt, temperature=0.0, tokens=n_tokens, seed=1, at_end="shutdown", template=False,
                            report=True)
        self.model: Packed = pipeline.packed_model(str(model), tokenizer, pipeline.Packing(context=CONTEXT), Quiet())
        self._image = pipeline.bootable_image(folder / "bench.img", pipeline.built_program(Quiet()), self.model.path,
                                              settings, Quiet())

    def run(self, cores: int) -> Outcome:
        """Boot it on so many cores."""
        spec = Spec(self._image, pipeline.memory_mb(self.model.memory_bytes), cores)
        outcome = pipeline.boot(spec, Hosted(), self.model, Quiet(), lambda text: None)
        if outcome.cores != cores:
            raise SystemExit(f"{cores} cores were asked for, {outcome.cores} came")
        return outcome


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Tokens a second, beside llama2.c and llama.cpp.")
    parser.add_argument("--llama2c", nargs="?", const="", metavar="BINARY",
                        help="beside llama2.c's run.c, fetched and built where no binary is given")
    parser.add_argument("--llama-cpp", action="store_true", help="beside the llama.cpp this Python has")
    parser.add_argument("--cores", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS), help="for llama2.c")
    parser.add_argument("--quants", nargs="+", default=["Q4_1", "Q4_0", "Q8_0"], help="for llama.cpp")
    parser.add_argument("--gguf", type=Path, nargs="+", default=[], help="for llama.cpp, in place of the default model")
    chosen = parser.parse_args()
    if chosen.llama2c is None and not chosen.llama_cpp:
        parser.error("choose --llama2c, --llama-cpp or both")
    if chosen.llama2c is not None:
        for model in chosen.models:
            beside_llama2c(model, Path(chosen.llama2c) if chosen.llama2c else None, chosen.cores, chosen.rounds)
    if chosen.llama_cpp:
        models = [(model.stem, model) for model in chosen.gguf] or [
            (f"SmolLM2-135M {kind}", model_as(kind)) for kind in chosen.quants]
        for name, model in models:
            beside_llama_cpp(name, model, chosen.cores, chosen.rounds)


def beside_llama2c(name: str, binary: Path | None, cores: list[int], rounds: int) -> None:
    """One model of llama2.c, from an empty prompt."""
    checkpoint, tokenizer = _llama2c_model(name)
    with working_folder() as folder:
        ours = Ours(folder, checkpoint, tokenizer, "", STEPS[name])
        for n in cores:
            _beside_run_c(name, ours, binary or peers.llama2c(n), checkpoint, tokenizer, n, rounds)


def _beside_run_c(name: str, ours: Ours, program: Path, checkpoint: Path, tokenizer: Path, cores: int,
                  rounds: int) -> None:
    """Both make the same number of passes over the same positions: as many as barelm makes before the text ends."""
    length = ours.run(cores).n_generated
    pairs = _alternate(rounds, lambda: ours.run(cores).decode_tokens_per_s,
                       lambda: peers.run_llama2c(program, checkpoint, tokenizer, length, cores))
    report(name, "llama2.c run.c", "decode", cores, length - 1, pairs)


def _llama2c_model(name: str) -> tuple[Path, Path]:
    if name in SHAPES:
        return random_checkpoint(name)
    if (SHARED_MODELS / f"{name}.bin").is_file():
        return SHARED_MODELS / f"{name}.bin", SHARED_MODELS / "tok512.bin"
    checkpoint, tokenizer = resolve_model(name)
    assert tokenizer is not None
    return checkpoint, tokenizer


def beside_llama_cpp(name: str, model: Path, cores: list[int], rounds: int) -> None:
    """A model in one file: both read the same prompt and make as many tokens."""
    module = peers.llama_cpp()
    if module is None:
        raise SystemExit("there is no llama.cpp in this Python: `python bench/peers.py` says how to get one")
    with working_folder() as folder:
        ours = Ours(folder, model, None, _prompt(), N_TOKENS)
        for n in cores:
            _beside_llama_cpp(name, ours, module, model, n, rounds)


def _beside_llama_cpp(name: str, ours: Ours, module: str, model: Path, cores: int, rounds: int) -> None:
    first = ours.run(cores)
    ids, made = first.token_ids[:first.n_prompt], first.n_generated
    pairs = _alternate(rounds, lambda: _speeds(ours.run(cores)),
                       lambda: peers.run_llama_cpp(module, model, ids, made, cores))
    peer = peers.llama_cpp_name(module)
    report(name, peer, "prefill", cores, len(ids), [(a.prefill, b.prefill) for a, b in pairs])
    report(name, peer, "decode", cores, made - 1, [(a.decode, b.decode) for a, b in pairs])


def _prompt() -> str:
    """N_PROMPT words that are one token each."""
    words = SENTENCE.split()
    return " ".join(words[k % len(words)] for k in range(N_PROMPT))


def _speeds(outcome: Outcome) -> peers.Speeds:
    return peers.Speeds(outcome.prefill_tokens_per_s, outcome.decode_tokens_per_s)


def _alternate(rounds: int, ours: Callable[[], A], theirs: Callable[[], A]) -> list[tuple[A, A]]:
    """Both in turn, so that what else the machine does meets both."""
    return [(ours(), theirs()) for _ in range(rounds)]


def report(model: str, peer: str, what: str, cores: int, tokens: int, pairs: list[tuple[float, float]]) -> None:
    """One row: medians, their ratio, and every single figure in the JSON."""
    ours, theirs = (statistics.median(side) for side in zip(*pairs))
    row = {"bench": "speed", "model": model, "peer": peer, "what": what, "cores": cores, "tokens": tokens,
           "barelm_tokens_per_s": round(ours, 1), "peer_tokens_per_s": round(theirs, 1),
           "ratio": round(ours / theirs, 2), "barelm_runs": [round(a, 1) for a, _ in pairs],
           "peer_runs": [round(b, 1) for _, b in pairs]}
    print(json.dumps(row), flush=True)
    print(f"{model:<18} {what:<8} cores {cores}  barelm {ours:>9.1f}  {theirs:>9.1f}  x{ours / theirs:.2f}  {peer}",
          file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
