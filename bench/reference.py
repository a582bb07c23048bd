"""A model in float64, from the weights as the file's own formulas give them: what `accuracy.py` compares with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint

F64 = NDArray[np.float64]


class Reference:
    """The model, and the keys and values of several texts that it reads side by side."""

    def __init__(self, checkpoint: Checkpoint, n_texts: int) -> None:
        self._shape = s = checkpoint.shape
        self._tensors = {name: tensor.float32().astype(np.float64) for name, tensor in checkpoint.tensors.items()}
        self._keys, self._values = (np.zeros((s.n_layers, n_texts, s.n_kv_heads, s.seq_len, s.head_dim))
                                    for _ in range(2))
        self._lengths = [0] * n_texts
        frequencies = s.rope_theta ** (-np.arange(0, s.head_dim, 2) / s.head_dim)
        frequencies /= s.rope_scale * np.array(s.rope_factors or 1.0)
        self._turns = np.exp(1j * np.arange(s.seq_len)[:, None] * frequencies)[:, None]

    def read(self, texts: list[list[int]]) -> F64:
        """Read some more ids of every text; the logits after the last of each, shape (texts, vocab_size)."""
        starts = np.cumsum([0, *map(len, texts)])
        parts = [slice(lo, hi) for lo, hi in zip(starts, starts[1:])]
        positions = np.concatenate([np.arange(length, length + len(text))
                                    for length, text in zip(self._lengths, texts)])
        t = self._tensors
        x = t["token_embedding"][np.concatenate(texts)]
        for l in range(self._shape.n_layers):
            x = x + self._attention(l, self._norm(x, f"layers.{l}.attention_norm"), positions, parts)
            x = x + self._feed_forward(l, self._norm(x, f"layers.{l}.ffn_norm"))
        self._lengths = [length + len(text) for length, text in zip(self._lengths, texts)]
        last: F64 = self._norm(x[starts[1:] - 1], "final_norm") @ t.get("classifier", t["token_embedding"]).T
        return last

    def _norm(self, x: F64, name: str) -> F64:
        normed: F64 = self._tensors[name] * x / np.sqrt((x * x).mean(-1, keepdims=True) + self._shape.norm_eps)
        return normed

    def _attention(self, l: int, x: F64, positions: NDArray[np.int64], parts: list[slice]) -> F64:
        s, size = self._shape, self._shape.head_dim
        q, k, v = ((x @ self._tensors[f"layers.{l}.w{which}"].T + self._tensors.get(f"layers.{l}.b{which}", 0.0)
                    ).reshape(len(x), -1, size) for which in "qkv")
        q, k = (self._rotated(heads, positions).swapaxes(0, 1) for heads in (q, k))
        out = np.empty((s.n_heads, len(x), size))
        for text, part in enumerate(parts):
            lo, hi = positions[part][0], positions[part][-1] + 1
            keys, values = self._keys[l, text, :, :hi], self._values[l, text, :, :hi]
            keys[:, lo:], values[:, lo:] = k[:, part], v[part].swapaxes(0, 1)
            unseen = np.arange(hi) > positions[part][:, None]
            for head in range(s.n_heads):
                group = head * s.n_kv_heads // s.n_heads
                scores = q[head, part] @ keys[group].T / np.sqrt(size)
                shares = np.exp(np.where(unseen, -np.inf, scores - scores.max(-1, keepdims=True)))
                out[head, part] = shares / shares.sum(-1, keepdims=True) @ values[group]
        added: F64 = out.swapaxes(0, 1).reshape(len(x), -1) @ self._tensors[f"layers.{l}.wo"].T
        return added

    def _rotated(self, x: F64, positions: NDArray[np.int64]) -> F64:
        # Pairs are neighbours, or a component of the first half of a head and its like in the second.
        together = (*x.shape[:2], -1, 2) if self._shape.rotary == "pairs" else (*x.shape[:2], 2, -1)
        last = -1 if self._shape.rotary == "pairs" else -2
        a, b = np.moveaxis(x.reshape(together), last, 0)
        turned = (a + 1j * b) * self._turns[positions]
        floats: F64 = np.stack([turned.real, turned.imag], last).reshape(x.shape)
        return floats

    def _feed_forward(self, l: int, x: F64) -> F64:
        a, b, w2 = (self._tensors[f"layers.{l}.{name}"] for name in ("w1", "w3", "w2"))
        h = x @ a.T
        added: F64 = h / (1 + np.exp(-h)) * (x @ b.T) @ w2.T
        return added


def continue_greedily(checkpoint: Checkpoint, prompts: list[list[int]], n: int) -> tuple[list[list[int]], list[F64]]:
    """n ids chosen behind each prompt, and for each prompt the logits they were chosen by, (n, vocab_size)."""
    model = Reference(checkpoint, len(prompts))
    logits = [np.empty((n, checkpoint.shape.vocab_size)) for _ in prompts]
    chosen: list[list[int]] = [[] for _ in prompts]
    more = prompts
    for step in range(n):
        for text, row in enumerate(model.read(more)):
            logits[text][step] = row
            chosen[text].append(int(row.argmax()))
        more = [ids[-1:] for ids in chosen]
    return chosen, logits
