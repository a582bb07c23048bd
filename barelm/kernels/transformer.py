"""The forward pass of the one decoder, a Llama (Touvron et al. 2023) with traits, for n tokens and a team of cores.

Decoding is a pass over one token, reading the prompt a pass over as many as the batch holds: the same code and the
same sums, hence the same bits.
"""

from barelm.dialect.types import BLOCK, F32_2D, LANES, padded
from barelm.kernels.blocks import add, attend, rmsnorm, rope, swiglu
from barelm.kernels.cache import remember_key, remember_value
from barelm.kernels.encodings.activations import quantize, tokens_from
from barelm.kernels.matrices import embed, matmul
from barelm.kernels.model import Config, State, Weights
from barelm.kernels.team import Team, meet, share


def forward(c: Config, w: Weights, s: State, pos: int, n: int, want_logits: bool, team: Team) -> None:
    """Run tokens[pos : pos + n] through the model; the last one's logits where wanted.

    Every core of the team makes the same call.  Keys and values of positions before `pos` must be in the cache.
    """
    lo, hi = share(n, team)
    for t in range(lo, hi):
        embed(s.x[t], w.embedding, s.tokens[pos + t])
    meet(team)
    for l in range(c.n_layers):
        attention_block(c, w, s, l, pos, n, team)
        feed_forward_block(c, w, s, l, n, team)
    if want_logits:
        normalise(c, s, w.norm, 0, n - 1, n, team)
        lo, hi = share(padded(c.vocab_size) // LANES, team)
        matmul(s.logits, w.classifier, 0, tokens_from(s.xn, n - 1), 1, lo, hi)
        meet(team)


def attention_block(c: Config, w: Weights, s: State, l: int, pos: int, n: int, team: Team) -> None:
    """x = x + Wo attention(Wq x̂ + bq, Wk x̂ + bk, Wv x̂ + bv) with x̂ = rmsnorm(x), and no b in most models"""
    normalise(c, s, w.attention_norm, l, 0, n, team)
    lo, hi = share(w.wqkv.rows // LANES, team)
    matmul(s.qkv, w.wqkv, l, s.xn, n, lo, hi)
    if len(w.bqkv) > 0:
        for t in range(n):
            add(s.qkv[t], w.bqkv[l], lo, hi)
    meet(team)
    position(c, w, s, l, pos, n, team)
    attention(c, s, l, pos, n, team)
    lo, hi = share(w.wo.rows // LANES, team)
    matmul(s.added, w.wo, l, s.attended, n, lo, hi)
    for t in range(n):
        add(s.x[t], s.added[t], lo, hi)
    meet(team)


def feed_forward_block(c: Config, w: Weights, s: State, l: int, n: int, team: Team) -> None:
    """x = x + W2 (silu(W1 x̂) · W3 x̂) with x̂ = rmsnorm(x)"""
    normalise(c, s, w.ffn_norm, l, 0, n, team)
    lo, hi = share(padded(c.hidden_dim, BLOCK) // BLOCK, team)
    first = lo * BLOCK // LANES
    last = min(hi * BLOCK // LANES, padded(c.hidden_dim) // LANES)
    matmul(s.h13, w.w13, l, s.xn, n, 2 * first, 2 * last)
    for t in range(n):
        swiglu(s.h.values[t], s.h13[t], first, last)
        quantize(s.h, t, lo, hi)
    meet(team)
    lo, hi = share(w.w2.rows // LANES, team)
    matmul(s.added, w.w2, l, s.h, n, lo, hi)
    for t in range(n):
        add(s.x[t], s.added[t], lo, hi)
    meet(team)


def normalise(c: Config, s: State, g: F32_2D, l: int, first: int, n: int, team: Team) -> None:
    """x̂ = rmsnorm(x) for tokens first to n, every core its blocks of columns."""
    lo, hi = share(padded(c.dim, BLOCK) // BLOCK, team)
    for t in range(first, n):
        rmsnorm(s.xn.values[t], s.x[t], g[l], c.norm_eps, c.dim, lo * BLOCK // LANES, hi * BLOCK // LANES)
        quantize(s.xn, t, lo, hi)
    meet(team)


def position(c: Config, w: Weights, s: State, l: int, pos: int, n: int, team: Team) -> None:
    """Rotate queries and keys by their positions; put keys and values into the cache."""
    heads = c.n_heads + c.n_kv_heads
    lo, hi = share(n * heads, team)
    for i in range(lo, hi):
        t = i // heads
        head = i % heads
        at = head * c.head_dim
        rope(s.qkv[t], at, w.rope, pos + t, c.head_dim, c.rotary)
        if head >= c.n_heads:
            g = head - c.n_heads
            k = s.qkv[t, at:]
            v = s.qkv[t, at + c.kv_dim:]
            remember_key(c.kv_kind, s.keys[l, g], s.key_scales[l, g], k, pos + t, c.head_dim)
            remember_value(c.kv_kind, s.values[l, g], s.value_scales[l, g], v, pos + t, c.head_dim)
    meet(team)


def attention(c: Config, s: State, l: int, pos: int, n: int, team: Team) -> None:
    """Every query head attends to the positions up to its own; n_heads / n_kv_heads of them share a key head."""
    group = c.n_heads // c.n_kv_heads
    scores = s.scores[team.core]
    out = s.out[team.core]
    lo, hi = share(n * c.n_heads, team)
    for i in range(lo, hi):
        t = i // c.n_heads
        head = i % c.n_heads
        g = head // group
        at = head * c.head_dim
        attend(out, s.qkv[t, at:], s.keys[l, g], s.values[l, g], s.key_scales[l, g], s.value_scales[l, g], scores,
               c.kv_kind, c.head_dim, pos + t + 1)
        for k in range(c.head_dim):
            s.attended.values[t, at + k] = out[k]
    meet(team)
    lo, hi = share(n, team)
    for t in range(lo, hi):
        quantize(s.attended, t, 0, padded(c.q_dim, BLOCK) // BLOCK)
    meet(team)
