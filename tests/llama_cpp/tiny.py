"""A tiny model of random weights for every architecture, written by the official library, as its real files are.

Weights are such that every part is heard in the logits: norms are not one, biases and sinks not zero, windows and
original contexts shorter than the texts read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.gguf_files import ARRAY, CONTROL, bytelevel_vocab, sentencepiece_vocab

Sizes = Mapping[str, tuple[str, ...]]
Quantize = Callable[[list[NDArray[np.float32]], list[str]], list[NDArray[np.uint8]]]

MODEL: Sizes = {
    "token_embd.weight": ("vocab", "dim"), "output_norm.weight": ("dim",), "output.weight": ("vocab", "dim")}
LAYER: Sizes = {
    "attn_norm.weight": ("dim",), "attn_q.weight": ("q", "dim"), "attn_k.weight": ("kv", "dim"),
    "attn_v.weight": ("kv", "dim"), "attn_output.weight": ("dim", "q"), "ffn_norm.weight": ("dim",),
    "ffn_gate.weight": ("hidden", "dim"), "ffn_up.weight": ("hidden", "dim"), "ffn_down.weight": ("dim", "hidden")}
QKV_BIASES: Sizes = {"attn_q.bias": ("q",), "attn_k.bias": ("kv",), "attn_v.bias": ("kv",)}
HEAD_NORMS: Sizes = {"attn_q_norm.weight": ("head",), "attn_k_norm.weight": ("head",)}
WHOLE_NORMS: Sizes = {"attn_q_norm.weight": ("q",), "attn_k_norm.weight": ("kv",)}
NORMS_AFTER: Sizes = {"post_attention_norm.weight": ("dim",), "post_ffw_norm.weight": ("dim",)}
EXPERTS: Sizes = {
    "ffn_gate_inp.weight": ("experts", "dim"), "ffn_gate_exps.weight": ("experts", "hidden", "dim"),
    "ffn_up_exps.weight": ("experts", "hidden", "dim"), "ffn_down_exps.weight": ("experts", "dim", "hidden")}
EXPERT_BIASES: Sizes = {
    "ffn_gate_inp.bias": ("experts",), "ffn_gate_exps.bias": ("experts", "hidden"),
    "ffn_up_exps.bias": ("experts", "hidden"), "ffn_down_exps.bias": ("experts", "dim")}
FUSED: Sizes = {"attn_qkv.weight": ("qkv", "dim"), "ffn_up.weight": ("two hidden", "dim")}
UNFUSED = ("attn_q.", "attn_k.", "attn_v.", "ffn_gate.")
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64}


@dataclass(frozen=True)
class Tiny:
    """What to write: the sizes, and how the family differs from the first Llama."""

    architecture: str
    keys: Mapping[str, Any] = field(default_factory=dict)  # of its own, added to the usual or instead of them
    plus: Sizes = field(default_factory=dict)  # tensors of a layer, beside the usual
    minus: tuple[str, ...] = ()  # those left out, by the beginning of their names
    model: Sizes = field(default_factory=dict)  # tensors of the whole model, beside the usual
    tied: bool = False
    vocab: str = "llama-bpe"  # the pre-tokenizer, or "sentencepiece"
    dim: int = 64
    hidden: int = 96
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    head: int = 16
    n_experts: int = 0
    context: int = 512
    type: str = "F32"  # of the matrices
    types: Mapping[str, str] = field(default_factory=dict)  # of single ones, by the beginning of their names

    def metadata(self) -> dict[str, Any]:
        """Keys and values of the model, but for its vocabulary."""
        own = {"block_count": self.n_layers, "context_length": self.context, "embedding_length": self.dim,
               "feed_forward_length": self.hidden, "attention.head_count": self.n_heads,
               "attention.head_count_kv": self.n_kv_heads, "attention.key_length": self.head,
               "attention.value_length": self.head, "rope.dimension_count": self.head, "rope.freq_base": 10000.0,
               "attention.layer_norm_rms_epsilon": 1e-5, **self.keys}
        return {"general.name": f"tiny {self.architecture}",
                **{f"{self.architecture}.{key}": value for key, value in own.items() if value is not None}}

    def words(self) -> dict[str, Any]:
        """Keys and values of the vocabulary."""
        if self.vocab != "sentencepiece":
            return {key: value.value for key, value in bytelevel_vocab().items()} | {"tokenizer.ggml.pre": self.vocab}
        words = {key: value.value for key, value in sentencepiece_vocab().items()}
        words["tokenizer.ggml.add_space_prefix"] = not self.architecture.startswith("gemma")
        if self.architecture == "phi3":  # without which llama.cpp refuses it
            for name, value in (("tokens", "<|endoftext|>"), ("scores", 0.0), ("token_type", CONTROL)):
                words[f"tokenizer.ggml.{name}"] = [*words[f"tokenizer.ggml.{name}"], value]
        return words

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """The sizes of every tensor, rows before columns."""
        words = self.words()["tokenizer.ggml.tokens"]
        known = {"dim": self.dim, "hidden": self.hidden, "head": self.head, "q": self.n_heads * self.head,
                 "kv": self.n_kv_heads * self.head, "vocab": len(words), "experts": self.n_experts,
                 "heads": self.n_heads, "pairs": self.head // 2, "context": self.context,
                 "qkv": (self.n_heads + 2 * self.n_kv_heads) * self.head, "two hidden": 2 * self.hidden}
        found = {}
        for layer, sizes in [("", {**MODEL, **self.model})] + [
                (f"blk.{l}.", {**LAYER, **self.plus}) for l in range(self.n_layers)]:
            found.update({layer + name: tuple(known[size] for size in names) for name, names in sizes.items()
                          if not name.startswith(self.minus or "-") and not (self.tied and name == "output.weight")})
        return found

    def tensors(self, seed: int = 1) -> Iterator[tuple[str, NDArray[np.float32], str]]:
        """Name, values and type of every tensor."""
        rng = np.random.default_rng(seed)
        for name, sizes in self.sizes().items():
            own = name.rpartition("blk.")[2].partition(".")[2] if name.startswith("blk.") else name
            kind = self.type if len(sizes) > 1 and name.endswith(".weight") else "F32"
            if kind != "F32" or len(sizes) > 1:
                kind = next((form for start, form in self.types.items() if own.startswith(start)), kind)
            yield name, _values(rng, own, sizes, self.architecture.startswith("gemma")), kind


def _values(rng: np.random.Generator, name: str, sizes: tuple[int, ...], gemma: bool) -> NDArray[np.float32]:
    values = rng.normal(0, 1, sizes)
    if name.endswith("norm.weight"):
        values = 1 + 0.2 * values
    elif name.startswith("rope_"):
        values = np.sort(1 + 3 * rng.uniform(size=sizes))
    elif name.endswith(".bias"):
        values *= 0.3
    elif name.startswith(("token_embd", "position_embd")):
        values *= 0.2 if gemma else 0.4  # which multiplies embeddings by eight
    elif "sinks" not in name:
        values *= (3.0 if name == "output.weight" else 1.2) * sizes[-1] ** -0.5
    return values.astype(np.float32)


def quantize(values: list[NDArray[np.float32]], kinds: list[str]) -> list[NDArray[np.uint8]]:
    """Tensors in the types given, as bytes of each row, by the official library, which does not know how for all."""
    return [gguf.quantize(each, gguf.GGMLQuantizationType[kind]).view(np.uint8) for each, kind in zip(values, kinds)]


def write_tiny(path: Path, tiny: Tiny, by: Quantize = quantize) -> Path:
    """Write a model, its weights the same for the same sizes, and return its path."""
    writer = gguf.GGUFWriter(path, tiny.architecture)
    for key, value in (tiny.metadata() | tiny.words()).items():
        _add(writer, key, value)
    names, values, kinds = (list(each) for each in zip(*tiny.tensors()))
    for name, raw, kind in zip(names, by(values, kinds), kinds):
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: Any, key: str, value: Any) -> None:
    kinds = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING"}
    if isinstance(value, list):
        item = gguf.GGUFValueType.INT32 if isinstance(value[0], int) else None
        writer.add_key_value(key, value, gguf.GGUFValueType(ARRAY), sub_type=item)
    else:
        writer.add_key_value(key, value, gguf.GGUFValueType[kinds[type(value)]])


TINY: dict[str, Tiny] = {
    "llama": Tiny("llama", tied=True),
    "llama, factors": Tiny("llama", model={"rope_freqs.weight": ("pairs",)}),
    "llama, linear": Tiny("llama", {"rope.scaling.type": "linear", "rope.scaling.factor": 3.0}),
    "llama, yarn": Tiny("llama", YARN, vocab="sentencepiece"),
    "mistral": Tiny("llama", {"rope.freq_base": 1e6}, n_heads=3, n_kv_heads=1, head=24, vocab="sentencepiece"),
    "qwen2": Tiny("qwen2", {"rope.freq_base": 1e6}, QKV_BIASES, vocab="qwen2"),
    "qwen3": Tiny("qwen3", {"rope.freq_base": 1e6}, HEAD_NORMS, head=32, vocab="qwen2", tied=True),
    "gemma2": Tiny("gemma2", {"attention.sliding_window": 8, "attn_logit_softcapping": 5.0,
                              "final_logit_softcapping": 6.0}, NORMS_AFTER, n_layers=3, tied=True,
                   vocab="sentencepiece"),
    "gemma3": Tiny("gemma3", {"attention.sliding_window": 8, "rope.freq_base": 1e6}, {**HEAD_NORMS, **NORMS_AFTER},
                   n_layers=7, head=32, tied=True, vocab="sentencepiece"),
    "gemma3, scaled": Tiny("gemma3", {"attention.sliding_window": 8, "rope.freq_base": 1e6,
                                      "rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
                           {**HEAD_NORMS, **NORMS_AFTER}, n_layers=12, n_kv_heads=1, tied=True, vocab="sentencepiece"),
    "granite": Tiny("granite", {"embedding_scale": 1.5, "residual_scale": 0.6, "attention.scale": 0.125,
                                "logit_scale": 1.5}, tied=True),
    "phi3": Tiny("phi3", {}, FUSED, UNFUSED, vocab="sentencepiece"),
    "phi3, window": Tiny("phi3", {"attention.sliding_window": 16}, FUSED, UNFUSED, vocab="sentencepiece"),
    "phi3, long": Tiny("phi3", {"rope.scaling.original_context_length": 32, "rope.scaling.attn_factor": 1.19},
                       FUSED, UNFUSED,
                       {"rope_factors_long.weight": ("pairs",), "rope_factors_short.weight": ("pairs",)},
                       context=256, vocab="sentencepiece"),
    "phi3, short": Tiny("phi3", {"rope.scaling.original_context_length": 512, "rope.scaling.attn_factor": 1.19},
                        FUSED, UNFUSED,
                        {"rope_factors_long.weight": ("pairs",), "rope_factors_short.weight": ("pairs",)},
                        vocab="sentencepiece"),
    "smollm3": Tiny("smollm3", {"rope.freq_base": 5e6}, n_layers=5, tied=True),
    "olmo2": Tiny("olmo2", {"rope.freq_base": 5e5}, {**WHOLE_NORMS, **NORMS_AFTER}, ("attn_norm", "ffn_norm")),
    "olmo2, windows": Tiny("olmo2", {**YARN, "rope.freq_base": 5e5, "attention.sliding_window": 8},
                           {**WHOLE_NORMS, **NORMS_AFTER}, ("attn_norm", "ffn_norm"), n_layers=5),
    "gpt2": Tiny("gpt2", {"attention.layer_norm_epsilon": 1e-5, "attention.layer_norm_rms_epsilon": None,
                          "rope.freq_base": None, "rope.dimension_count": None},
                 {"attn_norm.bias": ("dim",), "attn_qkv.weight": ("qkv", "dim"), "attn_qkv.bias": ("qkv",),
                  "attn_output.bias": ("dim",), "ffn_norm.bias": ("dim",), "ffn_up.bias": ("hidden",),
                  "ffn_down.bias": ("dim",)}, UNFUSED,
                 {"position_embd.weight": ("context", "dim"), "output_norm.bias": ("dim",)}, n_kv_heads=4, context=256,
                 tied=True, vocab="gpt-2"),
    "qwen3moe": Tiny("qwen3moe", {"rope.freq_base": 1e6, "expert_count": 8, "expert_used_count": 3,
                                  "expert_feed_forward_length": 96}, {**HEAD_NORMS, **EXPERTS},
                     ("ffn_gate.", "ffn_up.", "ffn_down."), n_experts=8, vocab="qwen2"),
    "gpt-oss": Tiny("gpt-oss", {**YARN, "rope.freq_base": 150000.0, "attention.sliding_window": 8, "expert_count": 6,
                                "expert_used_count": 2, "expert_feed_forward_length": 96},
                    {**QKV_BIASES, "attn_output.bias": ("dim",), "attn_sinks.weight": ("heads",),
                     "post_attention_norm.weight": ("dim",), **EXPERTS, **EXPERT_BIASES},
                    ("ffn_norm", "ffn_gate.", "ffn_up.", "ffn_down."), n_layers=3, n_experts=6),
}
"""The models, by the name of their family and what is particular of them."""
