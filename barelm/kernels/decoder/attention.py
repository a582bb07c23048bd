"""Attention: the queries of a key head, of all tokens of a run, four at a time (Vaswani et al. 2017).

Four of them read keys and values once.  Every sum runs over components, or over positions, in order, whatever stands
beside it, so that four have the bits of each alone.  Buffers are padded with zeros to whole vectors.
"""

from typing import Any, NamedTuple

import numpy as np

from barelm.contract import layout
from barelm.contract.board import Batch
from barelm.dialect.memory import address_of, copy_bytes, prefetch
from barelm.dialect.types import BLOCK, F32, F32_2D, LANES, F32x16, Kernel, Real, f32, padded
from barelm.dialect.vectors import load_f32x16, splat_f32x16, store_f32x16
from barelm.kernels.decoder.blocks import cap, softmax
from barelm.kernels.decoder.cache import HeadCache, by_cache, item_bytes
from barelm.kernels.decoder.cache_plan import head_cache
from barelm.kernels.decoder.model import Config, Weights
from barelm.kernels.decoder.state import State
from barelm.kernels.encodings.activations import quantize
from barelm.kernels.team import Team, meet, share

FOUR = 4
"""Queries side by side: as many sums as registers hold on most processors."""

TILE = 64
"""Positions whose values are read together, before the next: for every component they are near."""

AHEAD = 8192
"""Bytes between the keys in use and those being fetched."""


Sums = tuple[F32x16, F32x16, F32x16, F32x16]
"""One for each of the four queries."""


class Four(NamedTuple):
    """Up to four queries side by side: of the run whose tokens are rows from `row` on, the first at `position`."""

    g: int  # their key head
    first: int  # the number of the first among the run's of that head, counted token by token
    n: int
    row: int
    position: int


class Seen(NamedTuple):
    """The positions of a key head that some queries attend to, each to as many of them as it may."""

    first: int  # a multiple of 16
    turned: int  # positions from here on lie at the front of the cache again
    shared: int  # positions up to here are seen by all
    end: int
    is_far: bool  # in memory: fetched ahead of its use, for nobody read it a moment ago


def attention(c: Config, w: Weights, s: State, l: int, batch: Batch, team: Team) -> None:
    """Every query head attends to the positions of its sequence up to its own, or to a window of them.

    n_heads / n_kv_heads of them share a key head.
    """
    group = c.n_heads // c.n_kv_heads
    n = 0
    total = 0
    for k in range(batch.n_runs):
        n += batch.runs[k].n
        total += fours_of(batch.runs[k].n * group) * c.n_kv_heads
    lo, hi = share(total, team)
    row = 0
    for k in range(batch.n_runs):
        run = batch.runs[k]
        fours = fours_of(run.n * group)
        for i in range(max(lo, 0), min(hi, fours * c.n_kv_heads)):
            first = i % fours * FOUR
            head = head_cache(c, w.layers, run.cache, run.positions, l, i // fours)
            four = Four(i // fours, first, min(FOUR, run.n * group - first), row, run.first)
            attend(c, w, s, l, head, four, team.core * FOUR)
        lo -= fours * c.n_kv_heads
        hi -= fours * c.n_kv_heads
        row += run.n
    meet(team)
    if c.head_dim % BLOCK != 0:
        lo, hi = share(n, team)
        for t in range(lo, hi):
            quantize(s.attended, t, 0, padded(c.q_dim, BLOCK) // BLOCK)
        meet(team)


def fours_of(n: int) -> int:
    """How many times four n queries are."""
    return (n + FOUR - 1) // FOUR


def attend(c: Config, w: Weights, s: State, l: int, head: HeadCache, four: Four, own: int) -> None:
    """attended = softmax(scale q Kᵀ) V for the queries of a four.

    Rows of `queries`, `scores` and `out` from `own` on are this core's.
    """
    g, first, n, row, pos = four
    group = c.n_heads // c.n_kv_heads
    window = w.layers[l * layout.LAYER_WORDS + layout.WINDOW]
    queries, scores, out = s.queries[own:own + FOUR], s.scores[own:own + FOUR], s.out[own:own + FOUR]
    for j in range(FOUR):
        query = first + min(j, n - 1)  # where there are fewer, the last one again
        at = (g * group + query % group) * c.head_dim
        copy_bytes(address_of(queries[j]), address_of(s.qkv[row + query // group, at:]), 4 * c.head_dim)
    seen = positions_seen(head, window, pos + first // group, pos + (first + n - 1) // group, first == 0)
    by_cache(score, head.kind, (scores, queries, head, c, seen, n))
    for j in range(n):
        query = first + j
        upto = pos + query // group + 1
        sink = w.sinks[l, g * group + query % group] if len(w.sinks) > 0 else f32(-np.inf)
        weigh(scores[j], head, c, seen.first, max(upto - window, 0) if window > 0 else 0, upto, sink)
    by_cache(add_values, head.kind, (out, scores, head, padded(c.head_dim), seen, n))
    for j in range(n):
        query = first + j
        token = query // group
        by_cache(add_rest, head.kind, (out[j], scores[j], head, padded(c.head_dim), seen, pos + token + 1))
        at = (g * group + query % group) * c.head_dim
        copy_bytes(address_of(s.attended.values[row + token, at:]), address_of(out[j]), 4 * c.head_dim)
        if c.head_dim % BLOCK == 0:
            quantize(s.attended, row + token, at // BLOCK, (at + c.head_dim) // BLOCK)


def positions_seen(head: HeadCache, window: int, first: int, last: int, is_far: bool) -> Seen:
    """What the tokens at positions first to last see."""
    since = max(first + 1 - window, 0) // LANES * LANES if window > 0 else 0
    return Seen(since, (since // head.room + 1) * head.room, first + 1, last + 1, is_far)


def kept_at(pos: int, turned: int, room: int) -> int:
    """Where a position lies, `turned` being the first multiple of room above the oldest that is asked for."""
    return pos - turned if pos >= turned else pos - turned + room


def score(key: Kernel, job: Any) -> None:
    """scores[j, t] = q_j · k_t for sixteen positions at a time; one query alone takes 32."""
    scores, queries, head, c, seen, n = job
    p = seen.first
    size = item_bytes(head.kind)
    ahead = AHEAD if seen.is_far else 0
    while n == 1 and p + 2 * LANES <= padded(seen.end):
        score_two(key, scores[0], queries[0], head, c.head_dim, p, seen.turned)
        p += 2 * LANES
    while p < padded(seen.end):
        zero = splat_f32x16(f32(0))
        sums = (zero, zero, zero, zero)
        at = kept_at(p, seen.turned, head.room) * c.head_dim
        for i in range(c.head_dim):
            prefetch(head.keys, (at + i * LANES) * size + ahead)
            sums = add_products(sums, queries, i, key(head.keys, at + i * LANES))
        store_four(scores, p, sums)
        p += LANES


def add_products(sums: Sums, x: F32_2D, i: int, v: F32x16) -> Sums:
    """sums[j] + x[j, i] v for each of the four queries j."""
    a, b, c, d = sums
    return (a + splat_f32x16(x[0, i]) * v, b + splat_f32x16(x[1, i]) * v,
            c + splat_f32x16(x[2, i]) * v, d + splat_f32x16(x[3, i]) * v)


def store_four(x: F32_2D, i: int, sums: Sums) -> None:
    """A vector for each of the four queries, from element i on."""
    a, b, c, d = sums
    store_f32x16(x[0], i, a)
    store_f32x16(x[1], i, b)
    store_f32x16(x[2], i, c)
    store_f32x16(x[3], i, d)


def score_two(key: Kernel, scores: F32, q: F32, head: HeadCache, head_dim: int, p: int, turned: int) -> None:
    """The same of one query for 32 positions: two sums side by side hide the latency of the addition."""
    a0 = splat_f32x16(f32(0))
    a1 = a0
    at = kept_at(p, turned, head.room) * head_dim
    beside = kept_at(p + LANES, turned, head.room) * head_dim
    size = item_bytes(head.kind)
    for i in range(head_dim):
        prefetch(head.keys, (at + 2 * i * LANES) * size + AHEAD)
        qi = splat_f32x16(q[i])
        a0 = a0 + qi * key(head.keys, at + i * LANES)
        a1 = a1 + qi * key(head.keys, beside + i * LANES)
    store_f32x16(scores, p, a0)
    store_f32x16(scores, p + LANES, a1)


def weigh(scores: F32, head: HeadCache, c: Config, first: int, since: int, upto: int, sink: Real) -> None:
    """scores = softmax(cap(scale scores)) over positions since to upto, times the scales of int8; 0 from `first` on."""
    end = padded(upto)
    scale = splat_f32x16(c.attention_scale)
    for i in range(first, end, LANES):
        store_f32x16(scores, i, load_f32x16(scores, i) * scale)
    if head.kind == layout.KV_Q8:
        for i in range(first, end, LANES):
            store_f32x16(scores, i, load_f32x16(scores, i) * load_f32x16(head.key_scales, i % head.room))
    cap(scores, c.attention_cap, first // LANES, end // LANES)
    for t in range(upto, end):
        scores[t] = f32(-np.inf)
    for t in range(first, since):
        scores[t] = f32(-np.inf)
    softmax(scores[first:], end - first, sink)
    if head.kind == layout.KV_Q8:
        for i in range(first, end, LANES):
            store_f32x16(scores, i, load_f32x16(scores, i) * load_f32x16(head.value_scales, i % head.room))


def add_values(value: Kernel, job: Any) -> None:
    """out[j] = Σ_t scores[j, t] v_t over the positions that all see, some of them for all components, then the next."""
    out, _, _, width, seen, _ = job
    zero = splat_f32x16(f32(0))
    for column in range(0, width, LANES):
        store_four(out, column, (zero, zero, zero, zero))
    for part in range(2):
        lo, hi = part_of(seen, part)
        for t in range(lo, hi, TILE):
            add_tile(value, job, t, min(t + TILE, hi))


def part_of(seen: Seen, part: int) -> tuple[int, int]:
    """The positions all see up to where the cache begins again, and those from there on."""
    turn = min(seen.turned, seen.shared)
    if part == 0:
        return seen.first, turn
    return turn, seen.shared


def add_tile(value: Kernel, job: Any, lo: int, hi: int) -> None:
    """out[j] = out[j] + Σ_t scores[j, t] v_t over positions lo to hi, sixteen components at a time.

    One query alone takes 64 components.
    """
    out, scores, head, width, seen, n = job
    first = kept_at(lo, seen.turned, head.room) * width
    size = item_bytes(head.kind)
    fetched = (first + (hi - lo) * width) * size if seen.is_far else first * size
    column = 0
    while n == 1 and column + FOUR * LANES <= width:
        add_columns(value, out[0], scores[0], head, width, (first + column, lo, hi, fetched), column)
        column += FOUR * LANES
        fetched += (hi - lo) * FOUR * LANES * size
    while column < width:
        sums = (load_f32x16(out[0], column), load_f32x16(out[1], column),
                load_f32x16(out[2], column), load_f32x16(out[3], column))
        at = first + column
        for t in range(lo, hi):
            prefetch(head.values, fetched)
            fetched += LANES * size
            sums = add_products(sums, scores, t, value(head.values, at))
            at += width
        store_four(out, column, sums)
        column += LANES


def add_columns(value: Kernel, out: F32, scores: F32, head: HeadCache, width: int, tile: tuple[int, int, int, int],
                column: int) -> None:
    """The same for one query, 64 components side by side, from element tile[0] on."""
    at, lo, hi, fetched = tile
    size = item_bytes(head.kind)
    a0 = load_f32x16(out, column)
    a1 = load_f32x16(out, column + LANES)
    a2 = load_f32x16(out, column + 2 * LANES)
    a3 = load_f32x16(out, column + 3 * LANES)
    for t in range(lo, hi):
        weight = splat_f32x16(scores[t])
        prefetch(head.values, fetched)
        prefetch(head.values, fetched + 2 * LANES * size)
        fetched += FOUR * LANES * size
        a0 = a0 + weight * value(head.values, at)
        a1 = a1 + weight * value(head.values, at + LANES)
        a2 = a2 + weight * value(head.values, at + 2 * LANES)
        a3 = a3 + weight * value(head.values, at + 3 * LANES)
        at += width
    store_f32x16(out, column, a0)
    store_f32x16(out, column + LANES, a1)
    store_f32x16(out, column + 2 * LANES, a2)
    store_f32x16(out, column + 3 * LANES, a3)


def add_rest(value: Kernel, job: Any) -> None:
    """out = out + Σ_t scores[t] v_t over the positions that not all see, up to the query's own."""
    out, scores, head, width, seen, upto = job
    for t in range(seen.shared, upto):
        at = kept_at(t, seen.turned, head.room) * width
        for column in range(0, width, LANES):
            v = value(head.values, at + column)
            store_f32x16(out, column, load_f32x16(out, column) + splat_f32x16(scores[t]) * v)
