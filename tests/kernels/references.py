"""What the kernels should compute, said again in the plainest way, in double precision or whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Vocab

F64 = NDArray[np.float64]


def rmsnorm(x: F64, g: F64, eps: float) -> F64:
    """g · x / sqrt(mean(x²) + ε) along the last axis."""
    return g * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


def softmax(x: F64) -> F64:
    """Along the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rotate(x: F64, theta: float, rotary: str = "pairs") -> F64:
    """Rotary position embedding of (position, head, head_dim); neighbours paired, or the two halves of a head."""
    n, heads, size = x.shape
    angles = np.arange(n)[:, None] * theta ** (-np.arange(0, size, 2) / size)
    pairs = x.reshape(n, heads, size // 2, 2) if rotary == "pairs" else x.reshape(n, heads, 2, -1).swapaxes(2, 3)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)[:, None]
    return np.stack([turned.real, turned.imag], axis=-1 if rotary == "pairs" else -2).reshape(x.shape)


def attend(q: F64, k: F64, v: F64) -> F64:
    """Causal attention of one head, (position, head_dim) each."""
    scores = q @ k.T / np.sqrt(q.shape[1])
    return softmax(np.where(np.tri(len(q), dtype=bool), scores, -np.inf)) @ v


def logits(checkpoint: Checkpoint, tokens: list[int]) -> F64:
    """What a model says after each of the tokens, shape (n, vocab_size)."""
    s = checkpoint.shape
    t = {key: tensor.float32().astype(np.float64) for key, tensor in checkpoint.tensors.items()}
    x = t["token_embedding"][tokens]
    for l in range(s.n_layers):
        w = {key.rpartition(".")[2]: value for key, value in t.items() if key.startswith(f"layers.{l}.")}
        h = rmsnorm(x, w["attention_norm"], s.norm_eps)
        q, k, v = ((h @ w[f"w{which}"].T + w.get(f"b{which}", 0.0)).reshape(len(tokens), -1, s.head_dim)
                   for which in "qkv")
        q, k = (rotate(heads, s.rope_theta, s.rotary) for heads in (q, k))
        group = s.n_heads // s.n_kv_heads
        heads = [attend(q[:, i], k[:, i // group], v[:, i // group]) for i in range(s.n_heads)]
        x = x + np.concatenate(heads, axis=1) @ w["wo"].T
        h = rmsnorm(x, w["ffn_norm"], s.norm_eps)
        a = h @ w["w1"].T
        x = x + (a / (1 + np.exp(-a)) * (h @ w["w3"].T)) @ w["w2"].T
    return rmsnorm(x, t["final_norm"], s.norm_eps) @ t.get("classifier", t["token_embedding"]).T


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
