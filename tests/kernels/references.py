"""What the kernels should compute, said again in the plainest way, in double precision or whole numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Shape, Traits, Vocab

F64 = NDArray[np.float64]


def rmsnorm(x: F64, g: F64, eps: float) -> F64:
    """g · x / sqrt(mean(x²) + ε) along the last axis."""
    return g * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


def softmax(x: F64) -> F64:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rotate(x: F64, theta: float, rotary: str = "pairs", size: int = 0) -> F64:
    """Rotary position embedding of (position, head, head_dim); neighbours paired, or the two halves of a head.

    Only the first `size` components turn, where it is given.
    """
    if 0 < size < x.shape[2]:
        return np.concatenate([rotate(x[:, :, :size], theta, rotary), x[:, :, size:]], axis=2)
    n, heads, size = x.shape
    angles = np.arange(n)[:, None] * theta ** (-np.arange(0, size, 2) / size)
    pairs = x.reshape(n, heads, size // 2, 2) if rotary == "pairs" else x.reshape(n, heads, 2, -1).swapaxes(2, 3)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)[:, None]
    return np.stack([turned.real, turned.imag], axis=-1 if rotary == "pairs" else -2).reshape(x.shape)


def capped(x: F64, most: float) -> F64:
    """most · tanh(x / most), or x where there is no such cap."""
    return most * np.tanh(x / most) if most else x


def attend(q: F64, k: F64, v: F64, *, scale: float = 0.0, cap: float = 0.0, window: int = 0,
           sink: float = -np.inf) -> F64:
    """Causal attention of one head, (position, head_dim) each; a sink is a score without a value."""
    scores = capped(q @ k.T * (scale or 1 / np.sqrt(q.shape[1])), cap)
    far = np.arange(len(q))[:, None] - np.arange(len(q))
    seen = (far >= 0) & (far < window if window else True)
    scores = np.concatenate([np.where(seen, scores, -np.inf), np.full((len(q), 1), sink)], axis=1)
    return softmax(scores)[:, :-1] @ v


def activate(a: F64, kind: str) -> F64:
    """What stands between the two matrices of a feed-forward network."""
    if kind == "gelu":
        return 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a ** 3)))
    return a / (1 + np.exp(-a))


def feed_forward(h: F64, w: dict[str, F64], kind: str) -> F64:
    """W2 (act(W1 h) · W3 h), with what biases there are; without W1 W2 act(W3 h)."""
    up = h @ w["w3"].T + w.get("b3", 0.0)
    if "w1" not in w:
        return activate(up, kind) @ w["w2"].T + w.get("b2", 0.0)
    gate = h @ w["w1"].T + w.get("b1", 0.0)
    if kind == "clamped":
        gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
        return (gate / (1 + np.exp(-1.702 * gate)) * (up + 1)) @ w["w2"].T + w.get("b2", 0.0)
    return (activate(gate, kind) * up) @ w["w2"].T + w.get("b2", 0.0)


def mixture(h: F64, w: dict[str, F64], traits: Traits) -> F64:
    """Every row through its best experts, each by its part in the softmax of their routes."""
    routes, out = h @ w["router"].T + w.get("router_bias", 0.0), np.zeros_like(h)
    for t, route in enumerate(routes):
        best = np.argsort(-route, kind="stable")[:traits.n_experts_used]
        for e, part in zip(best, softmax(route[best])):
            own: dict[str, F64] = {}
            for name in {"w1", "w2", "w3", "b1", "b2", "b3"} & w.keys():
                own[name] = np.split(w[name].reshape(-1) if name[0] == "b" else w[name], traits.n_experts)[e]
            out[t] += part * feed_forward(h[t], own, traits.activation)
    return out


def normal(x: F64, t: Mapping[str, F64], name: str, shape: Shape) -> F64:
    """x as a norm leaves it, where there is one of that name."""
    if f"{name}_norm" not in t:
        return x
    if shape.traits.norm == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    return rmsnorm(x, t[f"{name}_norm"], shape.norm_eps) + t.get(f"{name}_shift", 0.0)


def attention(h: F64, w: dict[str, F64], s: Shape, l: int) -> F64:
    """Of a layer: all heads, put together."""
    q, k, v = (h @ w[f"w{which}"].T + w.get(f"b{which}", 0.0) for which in "qkv")
    for name in ("query", "key"):
        x, width = (q, s.traits.query_norm_dim) if name == "query" else (k, s.traits.key_norm_dim)
        if width:
            x[:] = normal(x.reshape(len(h), -1, width), w, name, s).reshape(x.shape)
    window, table, _ = s.layers()[l]
    q, k, v = (x.reshape(len(h), -1, s.head_dim) for x in (q, k, v))
    if table >= 0:
        theta, magnitude = (s.traits.local_theta, 1.0) if table else (s.rope_theta, s.traits.rope_magnitude)
        q, k = (rotate(heads, theta, s.rotary, s.rope_dim) for heads in (q, k))
        q[..., :s.rope_dim], k[..., :s.rope_dim] = q[..., :s.rope_dim] * magnitude, k[..., :s.rope_dim] * magnitude
    group, sinks = s.n_heads // s.n_kv_heads, w["sinks"][0] if "sinks" in w else np.full(s.n_heads, -np.inf)
    heads = [attend(q[:, i], k[:, i // group], v[:, i // group], scale=s.attention_scale, cap=s.traits.attention_cap,
                    window=window, sink=sinks[i]) for i in range(s.n_heads)]
    return np.concatenate(heads, axis=1) @ w["wo"].T + w.get("bo", 0.0)


def logits(checkpoint: Checkpoint, tokens: list[int]) -> F64:
    """What a model says after each of the tokens, shape (n, vocab_size)."""
    s, traits = checkpoint.shape, checkpoint.shape.traits
    t = {key: tensor.float32().astype(np.float64) for key, tensor in checkpoint.tensors.items()}
    x = t["token_embedding"][tokens] * traits.embedding_scale
    x = x + t["positions"][:len(tokens)] if traits.n_positions else x
    for l in range(s.n_layers):
        w = {key.rpartition(".")[2]: value for key, value in t.items() if key.startswith(f"layers.{l}.")}
        y = attention(normal(x, w, "attention", s), w, s, l)
        x = x + traits.residual_scale * normal(y, w, "attention_post", s)
        h = normal(x, w, "ffn", s)
        y = mixture(h, w, traits) if traits.n_experts else feed_forward(h, w, traits.activation)
        x = x + traits.residual_scale * normal(y, w, "ffn_post", s)
    x = normal(x, t, "final", s) @ t.get("classifier", t["token_embedding"]).T
    return capped(x * traits.logit_scale, traits.logit_cap)


def encode(vocab: Vocab, text: bytes) -> list[int]:
    """The ids llama2.c's `encode` gives (bos, no eos), following its text: pieces looked up, joined and compared."""
    ids: dict[bytes, int] = {}
    for token, piece in enumerate(vocab.pieces):
        ids.setdefault(piece, token)
    tokens = [1]
    if text:
        tokens.append(ids[b" "])
    character = b""
    for i, byte in enumerate(text):
        if byte & 0xC0 != 0x80:
            character = b""
        character += text[i:i + 1]
        if i + 1 < len(text) and text[i + 1] & 0xC0 == 0x80 and len(character) < 4:
            continue
        tokens += [ids[character]] if character in ids else [byte + 3 for byte in character]
        character = b""
    while True:
        best_score, best = -1e10, -1
        for i in range(len(tokens) - 1):
            merged = ids.get(vocab.pieces[tokens[i]] + vocab.pieces[tokens[i + 1]], -1)
            if merged >= 0 and vocab.scores[merged] > best_score:
                best_score, best = vocab.scores[merged], i
        if best < 0:
            return tokens
        tokens[best:best + 2] = [ids[vocab.pieces[tokens[best]] + vocab.pieces[tokens[best + 1]]]]


def random_numbers(state: int, n: int) -> list[float]:
    """llama2.c's generator: n numbers in [0, 1)."""
    mask, numbers = (1 << 64) - 1, []
    for _ in range(n):
        state ^= state >> 12
        state ^= state << 25 & mask
        state ^= state >> 27
        numbers.append(((state * 0x2545F4914F6CDD1D & mask) >> 32 >> 8) / 16777216)
    return numbers


def draw_top_p(p: NDArray[np.float32], top_p: np.float32, coin: np.float32) -> int:
    """llama2.c's `sample_topp`: sort, keep the first that together exceed top_p, draw among them; float32 sums."""
    cutoff = (np.float32(1) - top_p) / np.float32(len(p) - 1)
    order = sorted((i for i in range(len(p)) if p[i] >= cutoff), key=lambda i: (-p[i], i))
    if not order:  # where llama2.c reads what is not there
        return int(np.argmax(p))
    total, kept = np.float32(0), 0
    for i in order:
        total += p[i]
        kept += 1
        if total > top_p:
            break
    threshold, seen = coin * total, np.float32(0)
    for i in order[:kept]:
        seen += p[i]
        if threshold < seen:
            return i
    return order[kept - 1]


def candidates(p: F64, top_p: float, top_k: int, min_p: float) -> list[int]:
    """The tokens that may be drawn, the most likely first: a step for each limit."""
    order = sorted(range(len(p)), key=lambda i: (-p[i], i))
    kept = order[:top_k] if top_k > 0 else order
    kept = [i for i in kept if p[i] >= min_p * p.max()]
    if 0 < top_p < 1:
        kept = kept[:int(np.searchsorted(np.cumsum(p[kept]), top_p, side="right")) + 1]
    return kept


def penalised(logits: F64, tokens: list[int], penalty: float) -> F64:
    """Keskar et al. 2019, equation 2, each token once, as `transformers` and llama.cpp treat negative logits."""
    out = logits.copy()
    for token in set(tokens):
        out[token] = out[token] / penalty if out[token] > 0 else out[token] * penalty
    return out
