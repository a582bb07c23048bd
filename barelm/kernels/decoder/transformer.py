"""The forward pass of the one decoder, a Llama (Touvron et al. 2023) with traits, for n tokens and a team of cores.

Decoding is a pass over one token, reading the prompt a pass over as many as the batch holds: the same code and the
same sums, hence the same bits.  What a model has not is empty or 0, and is passed over.
"""

from barelm.contract import layout
from barelm.dialect.types import BLOCK, F32, F32_2D, LANES, padded
from barelm.kernels.decoder.attention import attention, head_cache
from barelm.kernels.decoder.blocks import add, add_bias, add_scaled, cap, layernorm, multiply_by, rmsnorm, rope
from barelm.kernels.decoder.cache import remember_key, remember_value
from barelm.kernels.decoder.feed_forward import feed_forward, mixture
from barelm.kernels.decoder.model import Config, Weights
from barelm.kernels.decoder.state import State
from barelm.kernels.encodings.activations import Activations, quantize, tokens_from
from barelm.kernels.matrices import embed, matmul
from barelm.kernels.team import Team, meet, share


def forward(c: Config, w: Weights, s: State, pos: int, n: int, n_logits: int, team: Team) -> None:
    """Run tokens[pos : pos + n] through the model; the logits of the last n_logits of them, a row each.

    Every core of the team makes the same call.  Keys and values of positions before `pos` must be in the cache.
    """
    lo, hi = share(n, team)
    for t in range(lo, hi):
        embed(s.x[t], w.embedding, s.tokens[pos + t])
        multiply_by(s.x[t], c.embedding_scale, 0, padded(c.dim, BLOCK) // LANES)
        if w.positions.rows > 0:
            embed(s.added[t], w.positions, pos + t)
            add(s.x[t], s.added[t], 0, padded(c.dim) // LANES)
    meet(team)
    for l in range(c.n_layers):
        attention_block(c, w, s, l, pos, n, team)
        feed_forward_block(c, w, s, l, n, team)
    if n_logits > 0:
        xn = normalise(c, s, w.norm, w.final_shift, 0, n - n_logits, n, team)
        lo, hi = share(padded(c.vocab_size) // LANES, team)
        matmul(s.logits, w.classifier, 0, xn, n_logits, lo, hi)
        for t in range(n_logits):
            multiply_by(s.logits[t], c.logit_scale, lo, hi)
            cap(s.logits[t], c.logit_cap, lo, hi)
        meet(team)


def attention_block(c: Config, w: Weights, s: State, l: int, pos: int, n: int, team: Team) -> None:
    """x = x + Wo attention(Wq x̂ + bq, Wk x̂ + bk, Wv x̂ + bv) + bo with x̂ = norm(x), and no b in most models"""
    xn = normalise(c, s, w.attention_norm, w.attention_shift, l, 0, n, team)
    lo, hi = share(w.wqkv.rows // LANES, team)
    matmul(s.qkv, w.wqkv, l, xn, n, lo, hi)
    add_bias(s.qkv, w.bqkv, l, n, lo, hi)
    meet(team)
    normalise_whole(c, w, s, l, n, team)
    position(c, w, s, l, pos, n, team)
    attention(c, w, s, l, pos, n, team)
    lo, hi = share(w.wo.rows // LANES, team)
    matmul(s.added, w.wo, l, s.attended, n, lo, hi)
    add_bias(s.added, w.bo, l, n, lo, hi)
    connect(c, s, w.attention_post_norm, l, n, lo, hi, team)


def feed_forward_block(c: Config, w: Weights, s: State, l: int, n: int, team: Team) -> None:
    """x = x + FFN(x̂) with x̂ = norm(x)"""
    xn = normalise(c, s, w.ffn_norm, w.ffn_shift, l, 0, n, team)
    if c.n_experts > 0:
        mixture(c, w, s, l, xn, n, team)
    else:
        feed_forward(c, w, s, l, xn, n, team)
    lo, hi = share(w.w2.rows // LANES, team)
    connect(c, s, w.ffn_post_norm, l, n, lo, hi, team)


def connect(c: Config, s: State, g: F32_2D, l: int, n: int, lo: int, hi: int, team: Team) -> None:
    """x = x + r y, the residual connection, y being what was added, normalised where there are weights for that.

    Every core connects the panels of y that it made.
    """
    if len(g) > 0:
        meet(team)
        for t in range(n):
            rmsnorm(s.xn.values[t], s.added[t], g[l], c.norm_eps, c.dim, lo, hi)
            add_scaled(s.x[t], s.xn.values[t], c.residual_scale, lo, hi)
    else:
        for t in range(n):
            add_scaled(s.x[t], s.added[t], c.residual_scale, lo, hi)
    meet(team)


def normalise(c: Config, s: State, g: F32_2D, shift: F32_2D, l: int, first: int, n: int, team: Team) -> Activations:
    """x̂ = norm(x) for tokens first to n, every core its blocks of columns; x̂ = x without weights.

    Of one token every core makes all of x̂ for itself, which takes less time than to wait for the others.
    """
    n_blocks = padded(c.dim, BLOCK) // BLOCK
    if n - first == 1 and team.n_cores <= c.batch:
        normalise_blocks(c, s, s.x[first], g, shift, l, team.core, 0, n_blocks)
        return tokens_from(s.xn, team.core)
    lo, hi = share(n_blocks, team)
    for t in range(first, n):
        normalise_blocks(c, s, s.x[t], g, shift, l, t, lo, hi)
    meet(team)
    return tokens_from(s.xn, first)


def normalise_blocks(c: Config, s: State, x: F32, g: F32_2D, shift: F32_2D, l: int, row: int, lo: int, hi: int) -> None:
    """The blocks lo to hi of one token, into a row of x̂."""
    begin, end = lo * BLOCK // LANES, hi * BLOCK // LANES
    if len(g) == 0:
        for i in range(lo * BLOCK, hi * BLOCK):
            s.xn.values[row, i] = x[i]
    elif c.norm == layout.LAYER:
        layernorm(s.xn.values[row], x, g[l], shift[l], c.norm_eps, c.dim, begin, end)
    else:
        rmsnorm(s.xn.values[row], x, g[l], c.norm_eps, c.dim, begin, end)
    quantize(s.xn, row, lo, hi)


def normalise_whole(c: Config, w: Weights, s: State, l: int, n: int, team: Team) -> None:
    """Queries and keys of all heads together, in models that normalise them so."""
    if c.query_norm_dim <= c.head_dim and c.key_norm_dim <= c.head_dim:
        return
    lo, hi = share(n, team)
    for t in range(lo, hi):
        normalise_heads(s.qkv[t], w.query_norm[l], c, c.q_dim)
        normalise_heads(s.qkv[t, padded(c.q_dim):], w.key_norm[l], c, c.kv_dim)
    meet(team)


def normalise_heads(x: F32, g: F32, c: Config, dim: int) -> None:
    """x = rmsnorm(x) over the first dim components, which are whole vectors."""
    rmsnorm(x, x[:dim], g, c.norm_eps, dim, 0, dim // LANES)


def position(c: Config, w: Weights, s: State, l: int, pos: int, n: int, team: Team) -> None:
    """Normalise queries and keys, rotate them by their positions; put keys and values into the cache."""
    heads = c.n_heads + c.n_kv_heads
    key_at = padded(c.q_dim)
    lo, hi = share(n * heads, team)
    for i in range(lo, hi):
        t = i // heads
        head = i % heads
        g = head - c.n_heads
        at = head * c.head_dim if g < 0 else key_at + g * c.head_dim
        if g < 0 and c.query_norm_dim == c.head_dim:
            normalise_heads(s.qkv[t, at:], w.query_norm[l], c, c.head_dim)
        if g >= 0 and c.key_norm_dim == c.head_dim:
            normalise_heads(s.qkv[t, at:], w.key_norm[l], c, c.head_dim)
        turn(c, w, s.qkv[t], at, l, pos + t)
        if g >= 0:
            kept = head_cache(c, w.layers, s, l, g)
            remember_key(kept, s.qkv[t, at:], pos + t, c.head_dim)
            remember_value(kept, s.qkv[t, at + padded(c.kv_dim):], pos + t, c.head_dim)
    meet(team)


def turn(c: Config, w: Weights, x: F32, at: int, l: int, pos: int) -> None:
    """Rotate a head by the angles of its layer, if any."""
    table = w.layers[l * layout.LAYER_WORDS + layout.ROPE_TABLE]
    if table == layout.TURNED:
        rope(x, at, w.rope, pos, c.rope_dim, c.rotary)
    elif table == layout.TURNED_LOCALLY:
        rope(x, at, w.local_rope, pos, c.rope_dim, c.rotary)
