"""How far the logits are from those of float64, barelm's and llama.cpp's: one JSON line per model, a table on stderr.

    python bench/accuracy.py [--quants Q4_1 Q4_0 Q8_0] [--tokens 64] [--each]

The reference (`reference.py`) continues every prompt greedily; both then read the same ids, and at every position
their distribution over the next one is compared with the reference's: KL(reference || theirs), in nats.  Where one's
greatest logit is not the reference's for the first time, a greedy continuation of its own would leave the reference's
there; `gap` is then how far the reference's two greatest logits lie apart.

barelm runs in the host's JIT: the kernels of the `.efi`, whose bits are the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import peers
from llama_logits import llama_cpp_logits
from numpy.typing import NDArray
from prompts import PROMPTS, Prompt
from reference import F64, continue_greedily
from requantize import ORIGINAL, model_as

from barelm.checkpoint.checkpoint import Checkpoint
from barelm.checkpoint.gguf_model import read_gguf
from barelm.checkpoint.sources.default_model import find_default_model
from barelm.dialect.lowering.install import jit
from barelm.host_files import working_folder
from barelm.kernels import session
from barelm.kernels.team import GATE_WORDS, Team
from barelm.kernels.text import tokenizer
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed

CONTEXT = 384
Text = tuple[list[int], list[int]]  # a prompt and its continuation


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


def distance(reference: F64, found: NDArray[np.floating[Any]]) -> Distance:
    """Compare logits of shape (positions, vocab_size)."""
    theirs = found.astype(np.float64)
    p, q = _log_softmax(reference), _log_softmax(theirs)
    error = theirs - reference
    greatest = np.partition(reference, -2, axis=1)[:, -2:]
    return Distance((np.exp(p) * (p - q)).sum(1), float(np.sqrt(error.var(axis=1).mean())),
                    reference.argmax(1) == theirs.argmax(1), greatest[:, 1] - greatest[:, 0])


def _log_softmax(logits: F64) -> F64:
    shifted = logits - logits.max(1, keepdims=True)
    found: F64 = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found


def barelm_logits(packed: Packed, texts: list[Text]) -> Iterator[NDArray[np.float32]]:
    """For each prompt and its continuation, the logits each id of the continuation is drawn from."""
    prefill, decode = jit(session.prefill), jit(session.decode)
    c, w, alone = packed.config, packed.weights(), Team(0, 1, np.zeros(GATE_WORDS, np.int64))
    for prompt, continuation in texts:
        s = packed.fresh_state()
        s.tokens[:len(prompt) + len(continuation)] = prompt + continuation
        rows = np.empty((len(continuation), c.vocab_size), np.float32)
        prefill(c, w, s, 0, len(prompt), alone)
        rows[0] = s.logits[0, :c.vocab_size]
        for k in range(1, len(continuation)):
            decode(c, w, s, len(prompt) + k - 1, alone)
            rows[k] = s.logits[0, :c.vocab_size]
        yield rows


def ids_of(packed: Packed, prompt: Prompt) -> list[int]:
    """A prompt's ids, as the metal has them."""
    text = prompt.text
    if prompt.chat:
        if packed.chat is None:
            raise SystemExit(packed.chat_refusal)
        text = packed.chat.turn(text)
    raw = np.frombuffer(text.encode(), np.uint8)
    ids, ranks = np.zeros(len(raw) + 2, np.int64), np.zeros(len(raw) + 2, np.int64)
    with np.errstate(over="ignore"):  # the interpreter is quicker here than the compiler
        n = tokenizer.encode(packed.vocabulary(), raw, len(raw), int(prompt.chat), ids, ranks)
    return [int(token) for token in ids[:n]]


def measure(kind: str, model: Path, n_tokens: int, module: str | None, each: bool) -> None:
    """One model: the reference, barelm, llama.cpp; a row."""
    read = read_gguf(model)
    checkpoint: Checkpoint = replace(read, shape=replace(read.shape, seq_len=min(CONTEXT, read.shape.seq_len)))
    with working_folder() as folder:
        write_packed(checkpoint, folder / "accuracy.blm")
        packed = read_packed(folder / "accuracy.blm")
        prompts = [ids_of(packed, prompt) for prompt in PROMPTS]
        chosen, reference = continue_greedily(checkpoint, prompts, n_tokens)
        texts = list(zip(prompts, chosen))
        sides = {"barelm": [distance(*pair) for pair in zip(reference, barelm_logits(packed, texts))]}
    if module is not None:
        theirs = llama_cpp_logits(module, model, texts, CONTEXT)
        sides["llama_cpp"] = [distance(*pair) for pair in zip(reference, theirs)]
    row = {"bench": "accuracy", "model": f"SmolLM2-135M {kind}", "prompts": len(prompts), "tokens": n_tokens,
           "prompt_tokens": [min(map(len, prompts)), max(map(len, prompts))],
           "peer": None if module is None else peers.llama_cpp_name(module),
           **{side: summary(distances) for side, distances in sides.items()}, "difference": difference(sides)}
    print(json.dumps(row), flush=True)
    show(str(row["model"]), sides, each)


def summary(distances: list[Distance]) -> dict[str, Any]:
    """What goes into the row."""
    kl = np.concatenate([d.kl for d in distances])
    partings = [(prompt.name, d.parting, round(float(d.gaps[d.parting]), 4))
                for prompt, d in zip(PROMPTS, distances) if d.parting is not None]
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


def show(model: str, sides: dict[str, list[Distance]], each: bool) -> None:
    """The table."""
    print(f"{model}: {len(PROMPTS)} prompts", file=sys.stderr)
    for side, distances in sides.items():
        s = summary(distances)
        print(f"  {side:<10} mean KL {s['mean_kl']:.3e}  median {s['median_kl']:.3e}  max {s['max_kl']:.3e}  "
              f"logit noise {s['logit_noise']:.4f}  top-1 {s['top1']:.2%}", file=sys.stderr)
        print(f"  {'':<10} whole {s['whole_continuations']}/{len(distances)}  "
              f"largest gap at parting {s['largest_gap_at_parting']:.4f}", file=sys.stderr)
    if error := difference(sides):
        print(f"  barelm's mean KL less llama.cpp's: {error[0]:.1e}, standard error {error[1]:.1e}", file=sys.stderr)
    if each:
        for k, prompt in enumerate(PROMPTS):
            figures = "   ".join(f"{side} {d[k].kl.mean():.3e} parts {_parting(d[k])}" for side, d in sides.items())
            print(f"    {prompt.name:<18} {figures}", file=sys.stderr)


def _parting(d: Distance) -> str:
    at = d.parting
    return "never        " if at is None else f"at {at:<2} ({d.gaps[at]:.3f})"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description="Distance of the logits from float64, beside llama.cpp's.")
    parser.add_argument("--quants", nargs="+", default=[ORIGINAL], help="of the default model")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--each", action="store_true", help="say it for every prompt too")
    chosen = parser.parse_args()
    if find_default_model() is None:
        raise SystemExit("The default model is not at hand: fetch it by `barelm show`, or set BARELM_MODELS.")
    module = peers.llama_cpp()
    if module is None:
        print("There is no llama.cpp in this Python: `pip install xllamacpp` brings one.", file=sys.stderr)
    for kind in chosen.quants:
        measure(kind, model_as(kind), chosen.tokens, module, chosen.each)


if __name__ == "__main__":
    main()
