"""Attention by fours: the same bits in both worlds and alone, in any form of the cache, close to double precision."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.contract import layout
from barelm.dialect.types import BLOCK, f32, padded
from barelm.kernels.decoder import attention, cache, cache_plan
from barelm.kernels.decoder.model import Config, Weights
from barelm.kernels.decoder.state import State
from barelm.kernels.encodings.activations import Activations
from barelm.kernels.team import Team
from tests.kernels import references
from tests.kernels.agree import agree, normal
from tests.kernels.batches import batch_of
from tests.worlds import equal_parts, jit

# How far a form of the cache may take the result from the float64 one.
TOLERANCE = {layout.KV_F32: 1e-6, layout.KV_F16: 2e-3, layout.KV_Q8: 3e-2}
every_kind = pytest.mark.parametrize("kind", TOLERANCE, ids=layout.KV_NAMES)


class Layer(NamedTuple):
    """One layer of a model without anything else, and what it remembers."""

    c: Config
    w: Weights
    s: State
    k: NDArray[np.float32]  # (position, key head, head_dim)
    v: NDArray[np.float32]


def layer(kind: int, n_kv_heads: int, group: int, head_dim: int, seq_len: int, window: int = 0, cap: float = 0.0,
          room: int = 0, cores: int = 1, sinks: bool = False) -> Layer:
    """One with nothing in its cache yet; `room` 0: every position is kept."""
    n_heads = n_kv_heads * group
    c = Config(*(0,) * len(Config._fields))._replace(  # type: ignore[arg-type]
        n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=head_dim, q_dim=n_heads * head_dim,
        kv_dim=n_kv_heads * head_dim, seq_len=seq_len, kv_kind=kind, attention_scale=f32(0.3), attention_cap=f32(cap),
        n_layers=1, n_windowed=int(room > 0), window_room=room)
    words = np.zeros(layout.LAYER_WORDS, np.int32)
    words[layout.WINDOW] = window
    w = Weights(*(None,) * len(Weights._fields))._replace(  # type: ignore[arg-type]
        layers=words, sinks=normal(5, 1 if sinks else 0, n_heads))
    wide = padded(c.q_dim, BLOCK)
    s = State(*(None,) * len(State._fields))._replace(  # type: ignore[arg-type]
        qkv=normal(1, seq_len, padded(c.q_dim)),
        attended=Activations(np.zeros((seq_len, wide), np.float32), np.zeros((seq_len, 2 * wide), np.uint8)),
        queries=np.zeros((4 * cores, padded(head_dim)), np.float32),
        scores=np.full((4 * cores, padded(seq_len)), 7, np.float32),
        out=np.zeros((4 * cores, padded(head_dim)), np.float32),
        cache=np.zeros(cache_plan.cache_bytes(c, seq_len), np.uint8), tokens=np.zeros(seq_len, np.int64))
    return Layer(c, w, s, normal(2, seq_len, n_kv_heads, head_dim), normal(3, seq_len, n_kv_heads, head_dim))


def remember(m: Layer, pos: int) -> None:
    """Put keys and values of a position into the cache."""
    for g in range(m.c.n_kv_heads):
        head = cache_plan.head_cache(m.c, m.w.layers, m.s.cache.ctypes.data, m.c.seq_len, 0, g)
        jit(cache.remember_key)(head, m.k[pos, g], pos, m.c.head_dim)
        jit(cache.remember_value)(head, m.v[pos, g], pos, m.c.head_dim)


def attend(m: Layer, pos: int, n: int, world: Any = agree) -> NDArray[np.float32]:
    """What n tokens, whose queries are the first rows, attend to from a position on."""
    gate = np.zeros(16, np.int64)
    batch = batch_of((m.s.tokens, m.s.cache, m.c.seq_len, pos, n, 0))
    if world is agree:
        agree(attention.attention, m.c, m.w, m.s, 0, batch, Team(0, 1, gate, equal_parts()))
    else:
        world(attention.attention)(m.c, m.w, m.s, 0, batch, Team(0, 1, gate, equal_parts()))
    return m.s.attended.values[:n, :m.c.q_dim].copy()


def expected(m: Layer, pos: int, n: int, window: int, cap: float) -> NDArray[np.float64]:
    """The same in double precision."""
    group, found = m.c.n_heads // m.c.n_kv_heads, np.zeros((n, m.c.n_heads, m.c.head_dim))
    for t in range(n):
        for h in range(m.c.n_heads):
            q = m.s.qkv[t, h * m.c.head_dim:(h + 1) * m.c.head_dim].astype(float)
            k, v = (x[:pos + t + 1, h // group].astype(float) for x in (m.k, m.v))
            found[t, h] = references.attend(np.tile(q, (pos + t + 1, 1)), k, v, scale=0.3, cap=cap, window=window,
                                            sink=float(m.w.sinks[0, h]) if len(m.w.sinks) else -np.inf)[-1]
    return found.reshape(n, -1)


@pytest.mark.parametrize("n_kv_heads, group, head_dim", [(1, 1, 64), (2, 3, 20), (1, 7, 32), (3, 1, 96), (2, 2, 8)])
@pytest.mark.parametrize("pos, n", [(0, 1), (0, 5), (15, 2), (16, 3), (40, 7)])
@every_kind
def test_queries_attend_to_what_came_before(kind: int, pos: int, n: int, n_kv_heads: int, group: int,
                                            head_dim: int) -> None:
    for window, cap, sinks in ((0, 0.0, False), (11, 0.0, True), (0, 1.25, True), (17, 2.0, False)):
        m = layer(kind, n_kv_heads, group, head_dim, pos + n, window, cap, sinks=sinks)
        for t in range(pos + n):
            remember(m, t)
        found = attend(m, pos, n)
        limit = TOLERANCE[kind] * np.abs(m.v).max()
        assert np.allclose(found, expected(m, pos, n, window, cap), 0, limit)


@pytest.mark.parametrize("group, head_dim", [(1, 64), (3, 64), (4, 24)])
@every_kind
def test_every_query_has_the_bits_of_it_alone(kind: int, group: int, head_dim: int) -> None:
    for window in (0, 13):
        m = layer(kind, 2, group, head_dim, 60, window)
        for t in range(60):
            remember(m, t)
        together = attend(m, 47, 13, jit)
        queries = m.s.qkv.copy()
        for t in range(13):
            m.s.qkv[0] = queries[t]
            assert attend(m, 47 + t, 1, jit).tobytes() == together[t].tobytes(), (window, t)


@pytest.mark.parametrize("n", [1, 4])
@every_kind
def test_a_window_has_the_bits_of_the_same_positions_among_all(kind: int, n: int) -> None:
    rings = [layer(kind, 1, 2, 24, 160, 32, room=room) for room in (0, 64)]
    for pos in range(0, 160 - n, n):
        found = []
        for m in rings:
            for t in range(pos, pos + n):
                remember(m, t)
            found.append(attend(m, pos, n, jit).tobytes())
        assert found[0] == found[1], pos
