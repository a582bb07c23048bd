"""The feed-forward network of a layer, or a mixture of them of which every token takes a few (Shazeer et al. 2017)."""

import numpy as np

from barelm.dialect.types import BLOCK, F32, I64, LANES, f32, padded
from barelm.kernels.decoder.blocks import add, add_bias, add_scaled, gate, softmax
from barelm.kernels.decoder.model import Config, Weights
from barelm.kernels.decoder.state import State
from barelm.kernels.encodings.activations import Activations, quantize, tokens_from
from barelm.kernels.matrices import matmul
from barelm.kernels.team import Team, meet, share


def feed_forward(c: Config, w: Weights, s: State, l: int, xn: Activations, n: int, team: Team) -> None:
    """added = W2 (act(W1 x̂) · W3 x̂) for n tokens, of each every core its rows; without a gate W2 act(W3 x̂)."""
    expand(c, w, s, l, 0, xn, 0, n, team)
    meet(team)
    lo, hi = share(w.w2.rows // LANES, team)
    matmul(s.added, w.w2, l, s.h, n, lo, hi)
    add_bias(s.added, w.b2, l, n, lo, hi)


def mixture(c: Config, w: Weights, s: State, l: int, xn: Activations, n: int, team: Team) -> None:
    """added = Σ p_e FFN_e(x̂) over the experts e a token takes, p a softmax of their routes; token after token."""
    lo, hi = share(w.router.rows // LANES, team)
    matmul(s.routes, w.router, l, xn, n, lo, hi)
    add_bias(s.routes, w.router_bias, l, n, lo, hi)
    meet(team)
    lo, hi = share(n, team)
    for t in range(lo, hi):
        choose_experts(s.routes[t], c.n_experts, c.n_experts_used, s.chosen[t], s.shares[t])
    meet(team)
    lo, hi = share(w.w2.rows // LANES, team)
    for t in range(n):
        for j in range(c.n_experts_used):
            expand(c, w, s, l, s.chosen[t, j], tokens_from(xn, t), j, 1, team)
        meet(team)
        for i in range(lo * LANES, hi * LANES):
            s.added[t, i] = f32(0)
        for j in range(c.n_experts_used):
            e = s.chosen[t, j]
            matmul(s.answers[j:], w.w2, l * c.n_experts + e, tokens_from(s.h, j), 1, lo, hi)
            if len(w.b2) > 0:
                add(s.answers[j], w.b2[l, e * w.w2.rows:], lo, hi)
            add_scaled(s.added[t], s.answers[j], s.shares[t, j], lo, hi)
        meet(team)


def choose_experts(routes: F32, n_experts: int, n_used: int, chosen: I64, shares: F32) -> None:
    """The experts of the greatest routes, the first of equal ones; shares = softmax of these."""
    for j in range(n_used):
        best = -1
        for e in range(n_experts):
            if best >= 0 and not routes[e] > routes[best]:
                continue
            taken = False
            for k in range(j):
                taken = taken or chosen[k] == e
            if not taken:
                best = e
        chosen[j] = best
        shares[j] = routes[best]
    for j in range(n_used, len(shares)):
        shares[j] = f32(-np.inf)
    softmax(shares, len(shares), f32(-np.inf))


def expand(c: Config, w: Weights, s: State, l: int, e: int, x: Activations, row: int, n: int, team: Team) -> None:
    """h = act(W1 x) · W3 x of expert e for n tokens x, into the rows of h from `row` on."""
    lo, hi = share(padded(c.hidden_dim, BLOCK) // BLOCK, team)
    panels = padded(c.hidden_dim) // LANES
    first = lo * BLOCK // LANES
    last = min(hi * BLOCK // LANES, panels)
    up = panels if c.gate_rows > 0 else 0
    h13 = s.h13[row:]
    number = l * w.w13.n_experts + e
    matmul(h13, w.w13, number, x, n, first, last)
    if up > 0:
        matmul(h13, w.w13, number, x, n, up + first, up + last)
    for t in range(n):
        if len(w.b13) > 0:
            at = padded(c.gate_rows) + e * c.hidden_dim
            add(h13[t, up * LANES:], w.b13[l, at:], first, last)
            if up > 0:
                add(h13[t], w.b13[l, e * c.hidden_dim:], first, last)
        gate(s.h.values[row + t], h13[t], up * LANES, c.activation, first, last)
        quantize(s.h, row + t, lo, hi)
