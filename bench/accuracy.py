"""How far the logits are from those of float64, barelm's and llama.cpp's: one JSON line per model, a table on stderr.

    python bench/accuracy.py [MODEL.gguf ...] [--quants Q4_1 Q4_0 Q8_0] [--tokens 64] [--prompts 28] [--each]

Without a model it is the default one, in the encodings given.

The reference (`tests/llama_cpp/reference.py`) continues every prompt greedily; both then read the same ids, and at
every position their distribution over the next one is compared with the reference's: KL(reference || theirs), in nats.
Where one's greatest logit is not the reference's for the first time, a greedy continuation of its own would leave the
reference's there; `gap` is then how far the reference's two greatest logits lie apart.

barelm runs in the host's JIT: the kernels of the `.efi`, whose bits are the same.  A model that cannot chat is asked
what is no question only.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llama_logits import Llama, Text, llama_cpp_logits, open_llama_cpp
from numpy.typing import NDArray
from prompts import PROMPTS, Prompt
from requantize import ORIGINAL, model_as

from barelm.checkpoint.sources.default_model import find_default_model
from barelm.host_files import working_folder
from barelm.kernels.text import tokenizer
from barelm.measure import rivals
from barelm.pack.reader import Packed
from tests.llama_cpp.computing import barelm_logits, packed_gguf
from tests.llama_cpp.distance import F64, Logits, divergences, gaps
from tests.llama_cpp.reference import continue_greedily

CONTEXT = 384


@dataclass(frozen=True)
class Distance:
    """One program's logits beside the reference's, over one prompt."""

    kl: F64  # at every position
    noise: float  # root mean square of the logits' errors, their mean taken away
    agreed: NDArray[np.bool_]  # whether the greatest is the same, at every position
    gaps: F64  # between the reference's two greatest

    @property
    def parting(self) -> int | None:
        """Where a greedy continuation first differs."""
        return None if self.agreed.all() else int(self.agreed.argmin())


def distance(reference: Logits, found: Logits) -> Distance:
    """Compare logits of shape (positions, vocab_size)."""
    error = found.astype(np.float64) - reference
    return Distance(divergences(reference, found), float(np.sqrt(error.var(axis=1).mean())),
                    reference.argmax(1) == found.argmax(1), gaps(reference))


def barelm_rows(packed: Packed, texts: list[Text]) -> Iterator[NDArray[np.float32]]:
    """For each prompt and its continuation, the logits each id of the continuation is drawn from."""
    for prompt, continuation in texts:
        yield barelm_logits(packed, prompt + continuation[:-1], len(prompt))


def text_of(packed: Packed, prompt: Prompt) -> str:
    """A prompt's text, in the model's template where it is a question."""
    return packed.chat.turn(prompt.text) if prompt.chat and packed.chat is not None else prompt.text


def ids_of(packed: Packed, prompt: Prompt) -> list[int]:
    """A prompt's ids, as the metal has them."""
    raw = np.frombuffer(text_of(packed, prompt).encode(), np.uint8)
    ids, ranks = np.zeros(len(raw) + 2, np.int64), np.zeros(len(raw) + 2, np.int64)
    with np.errstate(over="ignore"):  # the interpreter is quicker here than the compiler
        n = tokenizer.encode(packed.vocabulary(), raw, len(raw), int(prompt.chat), ids, ranks)
    return [int(token) for token in ids[:n]]


def measure(name: str, model: Path, n_tokens: int, module: str | None, each: bool, most: int) -> None:
    """One model: the reference, barelm, llama.cpp; a row."""
    with working_folder() as folder:
        packed = packed_gguf(model, folder / "accuracy.blm", context=CONTEXT)
        asked = [prompt for prompt in PROMPTS if not prompt.chat or packed.chat is not None]
        asked = asked[::-(-len(asked) // most)]
        prompts = [ids_of(packed, prompt) for prompt in asked]
        chosen, reference = continue_greedily(model, prompts, n_tokens, CONTEXT)
        texts = list(zip(prompts, chosen))
        sides = {"barelm": [distance(*pair) for pair in zip(reference, barelm_rows(packed, texts))]}
    others = []
    if module is not None:
        llama = open_llama_cpp(module, model, CONTEXT)
        sides["llama_cpp"] = [distance(*pair) for pair in zip(reference, llama_cpp_logits(llama, texts))]
        others = [prompt.name for prompt, ids in zip(asked, prompts) if ids != their_ids(llama, packed, prompt)]
    row = {"bench": "accuracy", "model": name, "prompts": len(prompts), "tokens": n_tokens,
           "prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
           "peer": None if module is None else rivals.llama_cpp_name(module), "prompts_of_other_ids": others,
           **{side: summary(asked, distances) for side, distances in sides.items()}, "difference": difference(sides)}
    print(json.dumps(row), flush=True)
    show(row, asked, sides, each)


def their_ids(llama: Llama, packed: Packed, prompt: Prompt) -> list[int]:
    """A prompt's ids, as llama.cpp has them."""
    return llama.tokenize(text_of(packed, prompt), special=prompt.chat)


def summary(asked: list[Prompt], distances: list[Distance]) -> dict[str, Any]:
    """What goes into the row."""
    kl = np.concatenate([d.kl for d in distances])
    partings = [(prompt.name, d.parting, round(float(d.gaps[d.parting]), 4))
                for prompt, d in zip(asked, distances) if d.parting is not None]
    return {"mean_kl": float(f"{kl.mean():.4g}"), "median_kl": float(f"{np.median(kl):.4g}"),
            "max_kl": float(f"{kl.max():.4g}"),
            "logit_noise": round(float(np.sqrt(np.mean([d.noise ** 2 for d in distances]))), 4),
            "top1": round(float(np.mean(np.concatenate([d.agreed for d in distances]))), 5),
            "whole_continuations": len(distances) - len(partings),
            "largest_gap_at_parting": max((gap for _, _, gap in partings), default=0.0), "partings": partings}


def difference(sides: dict[str, list[Distance]]) -> list[float]:
    """Mean of barelm's KL less llama.cpp's, prompt by prompt, and its standard error; nothing where one is missing."""
    if len(sides) < 2:
        return []
    ours, theirs = (np.array([d.kl.mean() for d in distances]) for distances in sides.values())
    less = ours - theirs
    return [float(f"{figure:.3g}") for figure in (less.mean(), less.std(ddof=1) / np.sqrt(len(less)))]


def show(row: dict[str, Any], asked: list[Prompt], sides: dict[str, list[Distance]], each: bool) -> None:
    """The table."""
    print(f"{row['model']}: {len(asked)} prompts, other ids than llama.cpp's in {len(row['prompts_of_other_ids'])}",
          file=sys.stderr)
    for side, distances in sides.items():
        s = row[side]
        print(f"  {side:<10} mean KL {s['mean_kl']:.3e}  median {s['median_kl']:.3e}  max {s['max_kl']:.3e}  "
              f"logit noise {s['logit_noise']:.4f}  top-1 {s['top1']:.2%}", file=sys.stderr)
        print(f"  {'':<10} whole {s['whole_continuations']}/{len(distances)}  "
              f"largest gap at parting {s['largest_gap_at_parting']:.4f}", file=sys.stderr)
    if error := difference(sides):
        print(f"  barelm's mean KL less llama.cpp's: {error[0]:.1e}, standard error {error[1]:.1e}", file=sys.stderr)
    if each:
        for k, prompt in enumerate(asked):
            figures = "   ".join(f"{side} {d[k].kl.mean():.3e} parts {_parting(d[k])}" for side, d in sides.items())
            print(f"    {prompt.name:<18} {figures}", file=sys.stderr)


def _parting(d: Distance) -> str:
    at = d.parting
    return "never        " if at is None else f"at {at:<2} ({d.gaps[at]:.3f})"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Distance of the logits from float64, beside llama.cpp's.")
    parser.add_argument("models", nargs="*", type=Path, help="GGUF files; the default model where there is none")
    parser.add_argument("--quants", nargs="+", default=[ORIGINAL], help="of the default model")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="at most so many, from all over the list")
    parser.add_argument("--each", action="store_true", help="say it for every prompt too")
    chosen = parser.parse_args()
    if not chosen.models and find_default_model() is None:
        raise SystemExit("The default model is not at hand: fetch it by `barelm show`, or set BARELM_MODELS.")
    module = rivals.llama_cpp()
    if module is None:
        print("There is no llama.cpp in this Python: `pip install xllamacpp` brings one.", file=sys.stderr)
    models = {path.stem: path for path in chosen.models} or {
        f"SmolLM2-135M {kind}": model_as(kind) for kind in chosen.quants}
    for name, model in models.items():
        measure(name, model, chosen.tokens, module, chosen.each, chosen.prompts)


if __name__ == "__main__":
    main()
