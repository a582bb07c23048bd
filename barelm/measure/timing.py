"""barelm timed: one model and one order, an image that is booted again for every measurement.

The program measures itself, with the cycle counter that it also uses on a PC, and on the hosted firmware is as fast as
there.  What runs beside it takes turns with it, so that what else the machine does meets both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from barelm import pipeline
from barelm.errors import BarelmError
from barelm.kernels.text.tokenizer import encode
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.outcome import Outcome
from barelm.pack.reader import Packed
from barelm.pipeline import Watcher
from barelm.settings import Settings

SENTENCE = "The old man walked down to the river and sat on a big stone under the trees"
"""Of most vocabularies a token each."""

A = TypeVar("A")
B = TypeVar("B")


class Ours:
    """barelm with one model and one order."""

    def __init__(self, folder: Path, model: Packed, prompt: str, n_tokens: int, watch: Watcher) -> None:
        """Write the image."""
        settings = Settings(prompt, temperature=0.0, tokens=n_tokens, seed=1, at_end="shutdown", template=False,
                            report=True, lookup=False)  # every token by itself
        self.model, self._watch = model, watch
        self._image = pipeline.bootable_image(folder / "bench.img", pipeline.built_program(watch), model.path, settings,
                                              watch)

    def run(self, cores: int) -> Outcome:
        """Boot it on so many cores."""
        spec = Spec(self._image, pipeline.memory_mb(self.model.memory_bytes), cores)
        outcome = pipeline.boot(spec, Hosted(), self.model, self._watch, lambda text: None)
        if outcome.cores != cores:
            raise BarelmError(f"{cores} cores were asked for, {outcome.cores} came", "Ask for fewer --cores.")
        return outcome


def prompt_of(model: Packed, n_tokens: int) -> str:
    """Words that are about so many tokens of a model, and no more."""
    words = SENTENCE.split()
    raw = np.frombuffer(f"{SENTENCE}\0".encode(), np.uint8)
    ids, ranks = np.zeros(len(raw) + 2, np.int64), np.zeros(len(raw) + 2, np.int64)
    with np.errstate(all="ignore"):
        whole = int(encode(model.vocabulary(), raw, len(raw) - 1, 0, ids, ranks))
    n_words = max(n_tokens * len(words) // max(whole, len(words)), 1)
    return " ".join(words[k % len(words)] for k in range(n_words))


def alternate(rounds: int, ours: Callable[[], A], theirs: Callable[[], B]) -> list[tuple[A, B]]:
    """Both in turn."""
    return [(ours(), theirs()) for _ in range(rounds)]
