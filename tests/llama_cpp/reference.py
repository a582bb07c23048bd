"""Every architecture in float64, said in the plainest way, from a file as the official library reads it.

What a layer has is seen by the tensors in the file, what is scaled or capped by its keys; what neither says is in
`FAMILIES`.  Formulas: the papers and model cards of the families; where these leave it open, llama.cpp's answers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Ids = NDArray[np.int64]
ROWS = 2048


def _always(l: int) -> bool:
    return True


def _never(l: int) -> bool:
    return False


def silu(x: F64) -> F64:
    """x / (1 + e^-x), Elfwing et al. 2017."""
    return x / (1 + np.exp(-x))


def gelu(x: F64) -> F64:
    """The tanh form of GELU, Hendrycks and Gimpel 2016."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def gate_oss(gate: F64, up: F64) -> F64:
    """gpt-oss: g σ(1.702 g) (u + 1), g at most 7 and u within 7 of zero."""
    gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
    return gate / (1 + np.exp(-1.702 * gate)) * (up + 1)


@dataclass(frozen=True)
class Family:
    """What a file does not say of itself."""

    halves: bool = True  # the rotary pairs: half a head apart, or else neighbours
    activation: Callable[[F64], F64] = silu
    embedding_times_root: bool = False  # embeddings times √dim
    windowed: Callable[[int], bool] = _never  # whether a layer sees its window only, where the file has one
    window_theta: float | None = None  # windowed layers are not stretched, but turned by this base; by the usual, if 0
    rotated: Callable[[int], bool] = _always  # whether a layer is rotated by position
    weigh_chosen: bool = False  # experts: softmax over the chosen instead of over all, then again over the chosen
    wide_layers: int = -1  # with so many layers, queries are scaled by 1/√(dim / heads)


FAMILIES = {
    "llama": Family(halves=False), "granite": Family(halves=False), "qwen2": Family(), "qwen3": Family(),
    "qwen3moe": Family(), "phi3": Family(windowed=_always),
    "olmo2": Family(windowed=lambda l: l % 4 != 3, window_theta=0.0),
    "gpt2": Family(activation=gelu, rotated=_never),
    "smollm3": Family(halves=False, rotated=lambda l: l % 4 != 3),
    "gemma2": Family(activation=gelu, embedding_times_root=True, windowed=lambda l: l % 2 == 0, wide_layers=46),
    "gemma3": Family(activation=gelu, embedding_times_root=True, windowed=lambda l: l % 6 != 5, window_theta=10000.0,
                     wide_layers=62),
    "gpt-oss": Family(windowed=lambda l: l % 2 == 0, weigh_chosen=True)}


class Reference:
    """A model, and the keys and values of several texts that it reads side by side."""

    def __init__(self, path: Path, n_texts: int = 1, context: int = 0) -> None:
        """`context` is what the texts may grow to, by default the model's own: it decides between rotary factors."""
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()
                       if not name.startswith("tokenizer.")}
        self._stored = {tensor.name: tensor for tensor in reader.tensors}
        self._architecture = str(self.fields["general.architecture"])
        self._family = FAMILIES[self._architecture]
        self.n_layers, self.dim, self.n_heads = (int(self._key(name)) for name in (
            "block_count", "embedding_length", "attention.head_count"))
        self.n_kv_heads = int(self._key("attention.head_count_kv", self.n_heads))
        self.head = int(self._key("attention.key_length", self.dim // self.n_heads))
        self._context = context or int(self._key("context_length"))
        self.tensors: dict[str, NDArray[np.floating[Any]]] = {}  # those read so far, as the formulas of their types say
        self._cache = self._nothing_read(n_texts)

    def _nothing_read(self, n_texts: int) -> list[list[F64]]:
        return [[np.zeros((2, 0, self.n_kv_heads, self.head))] * n_texts for _ in range(self.n_layers)]

    def again(self) -> Reference:
        """The same model with one text, of which nothing is read; its fields and tensors may be changed."""
        fresh = copy.copy(self)
        fresh.fields, fresh.tensors, fresh._cache = dict(self.fields), dict(self.tensors), self._nothing_read(1)
        return fresh

    def _key(self, name: str, default: Any = None) -> Any:
        value = self.fields.get(f"{self._architecture}.{name}", default)
        if value is None:
            raise KeyError(name)
        return value

    def tensor(self, name: str) -> F64:
        """A tensor in float64.  Raises KeyError where the file has none of the name."""
        found = self._maybe(name)
        if found is None:
            raise KeyError(name)
        return found

    def _maybe(self, name: str) -> F64 | None:
        """A tensor in float64, None where the file has none of the name."""
        found = self._dequantized(name)
        return None if found is None else found.astype(np.float64, copy=False)

    def _dequantized(self, name: str) -> NDArray[np.floating[Any]] | None:
        if name not in self.tensors and name in self._stored:
            stored = self._stored[name]
            self.tensors[name] = gguf.dequantize(stored.data, stored.tensor_type)
        return self.tensors.get(name)

    def read(self, texts: list[list[int]]) -> F64:
        """Read some more ids of every text; the logits after the last of each, shape (texts, vocab_size)."""
        return self._logits(self._hidden(texts)[np.cumsum([len(text) for text in texts]) - 1])

    def read_all(self, text: list[int]) -> F64:
        """Read some more ids of the only text; the logits after each, shape (ids, vocab_size)."""
        return self._logits(self._hidden([text]))

    def _hidden(self, texts: list[list[int]]) -> F64:
        starts = np.cumsum([0, *map(len, texts)])
        parts = [slice(lo, hi) for lo, hi in zip(starts, starts[1:])]
        positions = np.concatenate([np.arange(len(text)) + cached.shape[1]
                                    for cached, text in zip(self._cache[0], texts)])
        embedding = self._dequantized("token_embd.weight")
        assert embedding is not None
        x = embedding[np.concatenate(texts)].astype(np.float64)
        x = x * (self.dim ** 0.5 if self._family.embedding_times_root else float(self._key("embedding_scale", 1.0)))
        learned = self._maybe("position_embd.weight")
        x = x if learned is None else x + learned[positions]
        residual = float(self._key("residual_scale", 1.0))
        for l in range(self.n_layers):
            # gpt-oss calls the norm before its experts by the name others have for one after attention.
            before, after = ("post_attention_norm", "-") if self._architecture == "gpt-oss" else (
                "ffn_norm", "post_attention_norm")
            added = self._attention(l, self._norm(x, f"blk.{l}.attn_norm"), positions, parts)
            x = x + residual * self._norm(added, f"blk.{l}.{after}")
            added = self._feed_forward(l, self._norm(x, f"blk.{l}.{before}"))
            x = x + residual * self._norm(added, f"blk.{l}.post_ffw_norm")
        return x

    def _logits(self, x: F64) -> F64:
        own = self._dequantized("output.weight")
        logits = _product(self._norm(x, "output_norm"), self._dequantized("token_embd.weight") if own is None else own)
        cap = float(self._key("final_logit_softcapping", 0.0))
        return _capped(logits / float(self._key("logit_scale", 1.0)), cap)

    def _norm(self, x: F64, name: str) -> F64:
        """RMSNorm (Zhang and Sennrich 2019), or with a bias LayerNorm (Ba et al. 2016); x without a weight."""
        weight, bias = self._maybe(f"{name}.weight"), self._maybe(f"{name}.bias")
        if weight is None:
            return x
        x = x if bias is None else x - x.mean(-1, keepdims=True)
        epsilon = self._key("attention.layer_norm_rms_epsilon" if bias is None else "attention.layer_norm_epsilon")
        normed: F64 = weight * x / np.sqrt((x * x).mean(-1, keepdims=True) + float(epsilon))
        return normed if bias is None else normed + bias

    def _linear(self, x: F64, name: str) -> F64:
        bias = self._maybe(f"{name}.bias")
        y = _product(x, self._dequantized(f"{name}.weight"))
        return y if bias is None else y + bias

    def _attention(self, l: int, x: F64, positions: Ids, parts: list[slice]) -> F64:
        q, k, v = self._queries_keys_values(l, x)
        if self._family.rotated(l):
            q, k = (self._rotated(l, heads, positions) for heads in (q, k))
        out = np.empty((len(x), self.n_heads, self.head))
        for text, part in enumerate(parts):
            cached = np.concatenate([self._cache[l][text], np.stack([k[part], v[part]])], axis=1)
            self._cache[l][text] = cached
            keys, values = (np.repeat(each, self.n_heads // self.n_kv_heads, axis=1) for each in cached)
            distance = positions[part][:, None] - np.arange(len(keys))
            seen = distance >= 0
            if self._windowed(l):
                seen &= distance < int(self._key("attention.sliding_window"))
            scores = _capped(self._scale() * np.einsum("qhd,khd->hqk", q[part], keys),
                             float(self._key("attn_logit_softcapping", 0.0)))
            shares = self._shares(l, np.where(seen, scores, -np.inf))
            out[part] = np.einsum("hqk,khd->qhd", shares, values)
        return self._linear(out.reshape(len(x), -1), f"blk.{l}.attn_output")

    def _windowed(self, l: int) -> bool:
        return self._family.windowed(l) and bool(self._key("attention.sliding_window", 0))

    def _scale(self) -> float:
        """What products of queries and keys are multiplied by."""
        wide = self.n_layers == self._family.wide_layers
        return float(self._key("attention.scale", (self.dim // self.n_heads if wide else self.head) ** -0.5))

    def _shares(self, l: int, scores: F64) -> F64:
        """Softmax over the last axis; a sink is a score that takes a share and gives nothing."""
        sinks = self._maybe(f"blk.{l}.attn_sinks.weight")
        if sinks is None:
            return _softmax(scores)
        column = np.broadcast_to(sinks[:, None, None], (*scores.shape[:2], 1))
        return _softmax(np.concatenate([scores, column], axis=2))[..., :-1]

    def _queries_keys_values(self, l: int, x: F64) -> list[F64]:
        names = [f"blk.{l}.attn_{which}" for which in "qkv"]
        if f"{names[0]}.weight" in self._stored:
            found = [self._linear(x, name) for name in names]
        else:
            widths = np.cumsum([self.n_heads * self.head, self.n_kv_heads * self.head])
            found = np.split(self._linear(x, f"blk.{l}.attn_qkv"), widths, axis=1)
        for i, name in enumerate(names[:2]):
            norm = self._maybe(f"{name}_norm.weight")
            if norm is not None and len(norm) == found[i].shape[1] != self.head:  # over the whole width
                found[i] = self._norm(found[i], f"{name}_norm")
        heads = [each.reshape(len(x), -1, self.head) for each in found]
        for i, name in enumerate(names[:2]):
            norm = self._maybe(f"{name}_norm.weight")
            if norm is not None and len(norm) == self.head:
                heads[i] = self._norm(heads[i], f"{name}_norm")
        return heads

    def _rotated(self, l: int, x: F64, positions: Ids) -> F64:
        """Rotary position embedding (Su et al. 2021) of (ids, heads, head)."""
        together = (*x.shape[:2], 2, -1) if self._family.halves else (*x.shape[:2], -1, 2)
        last = -2 if self._family.halves else -1
        a, b = np.moveaxis(x.reshape(together), last, 0)
        frequencies, magnitude = self._frequencies(self._windowed(l))
        turned = (a + 1j * b) * (magnitude * np.exp(1j * positions[:, None] * frequencies))[:, None]
        floats: F64 = np.stack([turned.real, turned.imag], last).reshape(x.shape)
        return floats

    def _frequencies(self, windowed: bool) -> tuple[F64, float]:
        """Of every rotary pair, and what sines and cosines are multiplied by."""
        theta = float(self._key("rope.freq_base", 10000.0))
        if windowed and self._family.window_theta is not None:
            return (self._family.window_theta or theta) ** (-np.arange(0, self.head, 2) / self.head), 1.0
        frequencies = theta ** (-np.arange(0, self.head, 2) / self.head) / self._factors()
        kind = self._key("rope.scaling.type", "linear")
        scale = 1.0 if kind == "none" else float(self._key("rope.scaling.factor", 1.0))
        magnitude = float(self._key("rope.scaling.attn_factor", 1.0))
        if kind != "yarn":
            return frequencies / scale, magnitude
        shares = self._yarn_ramp(theta)
        return frequencies * (1 - shares) + frequencies / scale * shares, magnitude * (1 + 0.1 * np.log(scale))

    def _factors(self) -> F64:
        """What frequencies are divided by: Llama 3's, or Phi 3's for texts beyond or within the original context."""
        original = int(self._key("rope.scaling.original_context_length", self._context))
        for name in ("rope_freqs", f"rope_factors_{'long' if self._context > original else 'short'}"):
            if (found := self._maybe(f"{name}.weight")) is not None:
                return found
        return np.ones(self.head // 2)

    def _yarn_ramp(self, theta: float) -> F64:
        """Peng et al. 2023: from 0 for pairs of 32 turns over the original context, to 1 for those of a single one."""
        context = int(self._key("rope.scaling.original_context_length"))
        turns = [float(self._key(f"rope.scaling.yarn_beta_{end}", n)) for end, n in (("fast", 32.0), ("slow", 1.0))]
        fast, slow = (self.head * np.log(context / (n * 2 * np.pi)) / (2 * np.log(theta)) for n in turns)
        lo, hi = max(np.floor(fast), 0), min(np.ceil(slow), self.head - 1)
        ramp: F64 = np.clip((np.arange(self.head // 2) - lo) / max(hi - lo, 0.001), 0, 1)
        return ramp

    def _feed_forward(self, l: int, x: F64) -> F64:
        name = f"blk.{l}.ffn_"
        if f"{name}gate_inp.weight" in self._stored:
            return self._experts(name, x)
        act, up = self._family.activation, self._linear(x, f"{name}up")
        if f"{name}gate.weight" in self._stored:
            return self._linear(act(self._linear(x, f"{name}gate")) * up, f"{name}down")
        if up.shape[1] == 2 * self.tensor(f"{name}down.weight").shape[1]:  # gate and up in one
            gate, up = np.split(up, 2, axis=1)
            return self._linear(act(gate) * up, f"{name}down")
        return self._linear(act(up), f"{name}down")

    def _experts(self, name: str, x: F64) -> F64:
        """The best experts for each id, each with its share (Shazeer et al. 2017)."""
        scores = self._linear(x, f"{name}gate_inp")
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :int(self._key("expert_used_count"))]
        # Renormalised, a softmax over all is one over the chosen.
        shares = _softmax(np.take_along_axis(scores, chosen, axis=1))
        out = np.zeros_like(x)
        for expert in np.unique(chosen):
            rows, places = np.nonzero(chosen == expert)
            gate, up = (self._expert(x[rows], f"{name}{which}_exps", expert) for which in ("gate", "up"))
            hidden = gate_oss(gate, up) if self._family.weigh_chosen else self._family.activation(gate) * up
            out[rows] += shares[rows, places][:, None] * self._expert(hidden, f"{name}down_exps", expert)
        return out

    def _expert(self, x: F64, name: str, expert: int) -> F64:
        bias = self._maybe(f"{name}.bias")
        y: F64 = x @ self.tensor(f"{name}.weight")[expert].T
        return y if bias is None else y + bias[expert]


def _capped(x: F64, cap: float) -> F64:
    """cap tanh(x / cap); x where there is no cap."""
    return cap * np.tanh(x / cap) if cap else x


def _product(x: F64, matrix: NDArray[np.floating[Any]] | None) -> F64:
    """x times a matrix of rows, some rows at a time: a copy of a large one in float64 would take its time and room."""
    assert matrix is not None
    out = np.empty((len(x), len(matrix)))
    for lo in range(0, len(matrix), ROWS):
        out[:, lo:lo + ROWS] = x @ matrix[lo:lo + ROWS].astype(np.float64, copy=False).T
    return out


def _softmax(x: F64) -> F64:
    e = np.exp(x - x.max(-1, keepdims=True))
    floats: F64 = e / e.sum(-1, keepdims=True)
    return floats


def continue_greedily(model: Path, prompts: list[list[int]], n: int, context: int = 0
                      ) -> tuple[list[list[int]], list[NDArray[np.float32]]]:
    """n ids chosen behind each prompt, and for each prompt the logits they were chosen by, (n, vocab_size).

    Chosen in float64; kept in float32, where they round below any difference that is looked for.
    """
    reference = Reference(model, len(prompts), context)
    logits: list[list[NDArray[np.float32]]] = [[] for _ in prompts]
    chosen: list[list[int]] = [[] for _ in prompts]
    more = prompts
    for _ in range(n):
        for text, row in enumerate(reference.read(more)):
            logits[text].append(row.astype(np.float32))
            chosen[text].append(int(row.argmax()))
        more = [ids[-1:] for ids in chosen]
    return chosen, [np.stack(rows) for rows in logits]
