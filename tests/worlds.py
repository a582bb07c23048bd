"""The worlds a kernel runs in: the interpreter, which is the definition, and the host's JIT."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from barelm.contract.board import Pace
from barelm.dialect.types import f32
from barelm.kernels import session
from barelm.kernels.sampler import Spared
from barelm.kernels.session import Sampling
from barelm.kernels.team import Team
from barelm.kernels.text import tokenizer
from barelm.pack.reader import Packed

World = Callable[[Any], Any]


def interpreter(function: Any) -> Any:
    """The function itself, NumPy's overflow warnings silenced: the dialect's integers wrap."""
    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return run


@functools.cache
def jit(function: Any) -> Any:
    """The function compiled for this host, once a process."""
    from barelm.dialect.lowering.install import jit as compiled
    return compiled(function)


both_worlds = pytest.mark.parametrize("world", [interpreter, jit], ids=["interpreter", "jit"])


def alone() -> Team:
    """A team of one."""
    return Team(0, 1, np.zeros(16, np.int64), equal_parts())


def equal_parts() -> Pace:
    """The pace of a team whose cores are equally fast, each on a processor of its own."""
    return Pace.over(np.zeros(Pace.BYTES, np.uint8))


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays hold the very same bytes."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


@dataclass(frozen=True)
class Story:
    """What a session said."""

    ids: list[int]
    n_prompt: int
    text: str


def tell(world: World, packed: Packed, prompt: str = "", *, temperature: float = 0.0, top_p: float = 0.9,
         top_k: int = 0, min_p: float = 0.0, repeat: float = 1.0, seed: int = 1, n_tokens: int = 200) -> Story:
    """Run a session in `world`, as `metal.conversation.completion` does on the metal."""
    c, w, s, v = packed.config, packed.weights(), packed.fresh_state(), packed.vocabulary()
    raw = np.frombuffer(prompt.encode() + b"\0", np.uint8)
    ids, ranks = np.zeros(len(raw) + 2, np.int64), np.zeros(len(raw) + 2, np.int64)
    n_prompt = int(world(tokenizer.encode)(v, raw, len(raw) - 1, 0, ids, ranks))
    s.tokens[:n_prompt] = ids[:n_prompt]
    s.rng[0] = seed
    sampling = Sampling(f32(temperature), f32(top_p), top_k, f32(min_p), f32(repeat))
    world(session.prefill)(c, w, s, 0, n_prompt, alone())
    n = n_prompt
    out = bytearray()
    for i in range(n_prompt):
        out += _piece(world, v, int(s.tokens[i - 1]) if i else -1, int(s.tokens[i]))
    while n < n_prompt + n_tokens:
        token = int(world(session.choose)(c, s, sampling, n, 0, spared(packed)))
        if world(session.ends)(packed.header, token):
            break
        s.tokens[n] = token
        out += _piece(world, v, int(s.tokens[n - 1]), token)
        n += 1
        if n < n_prompt + n_tokens:
            world(session.decode)(c, w, s, n - 1, 1, alone())
    return Story([int(t) for t in s.tokens[:n]], n_prompt, out.decode(errors="replace"))


def spared(packed: Packed, first: int = 0) -> Spared:
    """What the repetition penalty passes over, where tokens count from `first` on."""
    return Spared(first, np.array(packed.header.eos_ids, np.int64), packed.vocabulary().piece_ends)


def _piece(world: World, v: tokenizer.Vocabulary, previous: int, token: int) -> bytes:
    lo, hi = world(tokenizer.piece)(v, previous, token)
    return bytes(v.pieces[lo:hi])


def seq_len(packed: Packed) -> int:
    """The context of a packed model."""
    return int(packed.header.seq_len)
