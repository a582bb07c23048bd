"""How fast one core reads keys and values back, for queries that share a key head, under the host's JIT.

    python bench/attention.py [--positions 2000] [--heads 540] [--head-dim 64]

There are so many key heads that keys and values come from memory, as they do when a token is made and all weights have
gone by since the last.  A line of JSON for each cache and number of queries: milliseconds for the scores and for the
values of all heads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from products import fastest

from barelm.contract import layout
from barelm.dialect.lowering.install import jit
from barelm.dialect.types import F32_2D, LANES
from barelm.kernels.decoder.attention import FOUR, Seen, add_values, score
from barelm.kernels.decoder.cache import HeadCache, by_cache
from barelm.kernels.decoder.model import Config

_TYPES = {layout.KV_F16: np.float16, layout.KV_Q8: np.int8, layout.KV_F32: np.float32}
_KINDS = {"f16": layout.KV_F16, "q8": layout.KV_Q8, "f32": layout.KV_F32}


def scores_of(scores: F32_2D, queries: F32_2D, head: HeadCache, c: Config, seen: Seen, n: int) -> None:
    """What `attend` does first."""
    by_cache(score, head.kind, (scores, queries, head, c, seen, n))


def values_of(out: F32_2D, scores: F32_2D, head: HeadCache, width: int, seen: Seen, n: int) -> None:
    """And then."""
    by_cache(add_values, head.kind, (out, scores, head, width, seen, n))


def random_heads(n: int, kind: int, positions: int, head_dim: int) -> list[HeadCache]:
    """Key heads side by side in one piece of memory, all numbers small."""
    room = -(-positions // LANES) * LANES
    scales = np.ones(room if kind == layout.KV_Q8 else 0, np.float32)
    whole = np.random.default_rng(1).integers(1, 63, (n, 2, room * head_dim), np.uint8).astype(_TYPES[kind])
    return [HeadCache(kind, room, keys.view(np.uint8), values.view(np.uint8), scales, scales)
            for keys, values in whole]


def milliseconds(run: Callable[..., object], heads: list[HeadCache], rounds: int) -> float:
    """What the fastest round through all heads took."""
    return round(1e3 * fastest(lambda: [run(head=head) for head in heads], rounds), 3)


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description="Measure what attention takes of a long context.")
    parser.add_argument("--positions", type=int, default=2000)
    parser.add_argument("--heads", type=int, default=540)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    positions, width = chosen.positions, chosen.head_dim
    nothing: Any = (0 if kind is int else np.float32(0) for kind in Config.__annotations__.values())
    c = Config(*nothing)._replace(head_dim=width)
    for name, kind in _KINDS.items():
        heads = random_heads(chosen.heads, kind, positions, width)
        scores = np.ones((FOUR, positions + 2 * LANES), np.float32)
        queries, out = (np.ones((FOUR, width), np.float32) for _ in range(2))
        for n in (1, 3, FOUR):
            seen = Seen(0, heads[0].room, positions, positions, True)
            read = partial(jit(scores_of), scores, queries, c=c, seen=seen, n=n)
            add = partial(jit(values_of), out, scores, width=width, seen=seen, n=n)
            print(json.dumps({"cache": name, "queries": n, "bytes": 2 * sum(len(head.keys) for head in heads),
                              "scores_ms": milliseconds(read, heads, chosen.rounds),
                              "values_ms": milliseconds(add, heads, chosen.rounds)}), flush=True)


if __name__ == "__main__":
    main()
