"""A GGUF model of the llama architecture as a `Checkpoint`; whatever would change its answers is used or refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barelm.checkpoint.checkpoint import Checkpoint, Shape, Tensor
from barelm.checkpoint.gguf import StoredTensor, read_container
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.gguf_vocab import read_vocab
from barelm.errors import BarelmError

ARCHITECTURE = "llama"
LARGEST_SIZE = (1 << 32) - 1  # what the format's numbers hold; whether it fits a machine is asked elsewhere

OUTER = {"token_embedding": "token_embd.weight", "final_norm": "output_norm.weight", "classifier": "output.weight"}
LAYER = {"attention_norm": "attn_norm", "wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output",
         "ffn_norm": "ffn_norm", "w1": "ffn_gate", "w2": "ffn_down", "w3": "ffn_up"}
ROPE_FACTORS = "rope_freqs.weight"

# Keys that change what a Llama computes; absent or zero they do not.
CHANGES = {
    "expert_count": "is a mixture of experts",
    "attention.scale": "scales its attention",
    "attention.clamp_kqv": "clamps its attention",
    "attention.max_alibi_bias": "biases its attention by position (ALiBi)",
    "attn_logit_softcapping": "caps its attention",
    "final_logit_softcapping": "caps its logits",
    "logit_scale": "scales its logits",
    "embedding_scale": "scales its embedding",
    "residual_scale": "scales its residuals",
    "use_parallel_residual": "has parallel residuals",
}


@dataclass(frozen=True)
class GgufHeader:
    """What `barelm show` says of a GGUF model."""

    version: int
    shape: Shape
    tied: bool
    n_parameters: int

    @property
    def format(self) -> str:
        """The name of the format."""
        return f"GGUF model, version {self.version}"


def read_gguf(path: Path) -> Checkpoint:
    """The Llama in a GGUF file, or in all parts of a split one.

    Weights stay in the file until they are asked for.  Raises BarelmError where it is damaged, or where it has
    something this cannot compute with, which is then named.
    """
    container = read_container(path)
    metadata = Metadata(container)
    shape, vocab = _shape(metadata), read_vocab(metadata)
    return Checkpoint(_name(metadata), str(path), shape, dict(_tensors(metadata, shape)), vocab)


def read_gguf_header(path: Path) -> GgufHeader:
    """Shape and size of the Llama in a GGUF file; raises as `read_gguf` does, but for the vocabulary."""
    container = read_container(path)
    metadata = Metadata(container)
    shape = _shape(metadata)
    tensors = dict(_tensors(metadata, shape))
    return GgufHeader(container.version, shape, "classifier" not in tensors,
                      sum(tensor.rows * tensor.cols for tensor in tensors.values()))


def _name(metadata: Metadata) -> str:
    name = metadata.text("general.name", "")[:200].strip()
    return name if name and name.isprintable() else metadata.container.path.stem


def _shape(metadata: Metadata) -> Shape:
    """The sizes, those that are possible together."""
    _refuse_what_changes_it(metadata)
    vocab_size = len(metadata.strings("tokenizer.ggml.tokens"))
    if metadata.whole("llama.vocab_size", vocab_size) != vocab_size:
        raise metadata.damaged(f"its llama.vocab_size is not the {vocab_size} tokens of its vocabulary")
    dim, n_heads = _size(metadata, "embedding_length"), _size(metadata, "attention.head_count")
    n_kv_heads = _size(metadata, "attention.head_count_kv", n_heads)
    if n_heads % n_kv_heads:
        raise metadata.damaged(f"{n_heads} query heads cannot share {n_kv_heads} key heads evenly")
    head_dim = _head_dim(metadata, dim, n_heads)
    return Shape(
        dim=dim, hidden_dim=_size(metadata, "feed_forward_length"), n_layers=_size(metadata, "block_count"),
        n_heads=n_heads, n_kv_heads=n_kv_heads, vocab_size=vocab_size, seq_len=_size(metadata, "context_length"),
        head_dim=head_dim, rope_theta=_positive(metadata, "llama.rope.freq_base", 10000.0),
        norm_eps=_positive(metadata, "llama.attention.layer_norm_rms_epsilon"),
        rope_scale=_rope_scale(metadata), rope_factors=_rope_factors(metadata, head_dim))


def _refuse_what_changes_it(metadata: Metadata) -> None:
    architecture = metadata.text("general.architecture")
    if architecture != ARCHITECTURE:
        raise BarelmError(f"{metadata.container.path} is a model of the architecture {architecture!r:.40}, which this "
                          "barelm does not run", f"Choose one of the architecture {ARCHITECTURE!r}.")
    for key, what in CHANGES.items():
        value = metadata.container.metadata.get(f"llama.{key}", 0)
        if not isinstance(value, int | float) or value:
            raise metadata.refused(f"{what} (llama.{key})")
    if not metadata.flag("llama.attention.causal", True):
        raise metadata.refused("attends to what comes later (llama.attention.causal)")


def _size(metadata: Metadata, key: str, default: int | None = None) -> int:
    value = metadata.whole(f"llama.{key}", default)
    if not 1 <= value <= LARGEST_SIZE:
        raise metadata.damaged(f"its llama.{key} is {value}")
    return value


def _positive(metadata: Metadata, key: str, default: float | None = None) -> float:
    value = metadata.real(key, default)
    if not 0 < value < 1e12:
        raise metadata.damaged(f"its {key} is {value:g}")
    return value


def _head_dim(metadata: Metadata, dim: int, n_heads: int) -> int:
    """Width of a head: what the keys are wide, the values too, all of it turned by position."""
    if "llama.attention.key_length" not in metadata and dim % n_heads:
        raise metadata.damaged(f"{dim} dimensions do not make {n_heads} heads")
    head_dim = _size(metadata, "attention.key_length", max(dim // n_heads, 1))
    if head_dim % 2:
        raise metadata.damaged(f"its heads have {head_dim} dimensions, which is odd")
    for key, what in (("attention.value_length", "has values"), ("rope.dimension_count", "rotates heads")):
        if (width := _size(metadata, key, head_dim)) != head_dim:
            raise metadata.refused(f"{what} of {width} dimensions where its keys have {head_dim} (llama.{key})")
    return head_dim


def _rope_scale(metadata: Metadata) -> float:
    """What positions are divided by: "linear" scaling, in its present or its former spelling."""
    kind = metadata.text("llama.rope.scaling.type", "linear")
    if kind not in ("linear", "none"):
        raise metadata.refused(f"stretches its positions by the rule {kind!r:.40} (llama.rope.scaling.type)")
    if metadata.real("llama.rope.scaling.attn_factor", 1.0) != 1:
        raise metadata.refused("scales its attention (llama.rope.scaling.attn_factor)")
    former = metadata.real("llama.rope.scale_linear", 0.0)
    factor = metadata.real("llama.rope.scaling.factor", former)
    if kind == "none" or factor == 0:
        return 1.0
    if not 0 < factor < 1e6:
        raise metadata.damaged(f"its llama.rope.scaling.factor is {factor:g}")
    return factor


def _rope_factors(metadata: Metadata, head_dim: int) -> tuple[float, ...]:
    """What each pair's frequency is divided by: how a GGUF file holds Llama 3's scaling."""
    stored = metadata.container.tensors.get(ROPE_FACTORS)
    if stored is None:
        return ()
    factors = _tensor(metadata, stored, 1, head_dim // 2).float32()[0]
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise metadata.damaged(f"its {ROPE_FACTORS} are not all positive")
    return tuple(map(float, factors))


def _tensors(metadata: Metadata, shape: Shape) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the Llama by `Checkpoint`'s names.  Raises BarelmError where one is missing or one too many.

    GGUF's wq and wk have the pairs that rotate together side by side already.
    """
    container = metadata.container
    if shape.n_layers > len(container.tensors):
        raise metadata.damaged(f"it has {len(container.tensors)} tensors for {shape.n_layers} layers")
    expected = {stored: (name, rows, cols) for name, stored, rows, cols in _expected(shape)}
    for stored_name in container.tensors:
        if stored_name not in expected and stored_name != ROPE_FACTORS:
            raise _stranger(metadata, stored_name)
    for stored_name, (name, rows, cols) in expected.items():
        if stored_name in container.tensors:
            yield name, _tensor(metadata, container.tensors[stored_name], rows, cols)
        elif name != "classifier":
            raise metadata.damaged(f"the tensor {stored_name} is missing")


def _expected(s: Shape) -> Iterator[tuple[str, str, int, int]]:
    """Name here, name there, rows and columns of every tensor."""
    sizes = {"token_embedding": (s.vocab_size, s.dim), "classifier": (s.vocab_size, s.dim), "final_norm": (1, s.dim),
             "attention_norm": (1, s.dim), "ffn_norm": (1, s.dim), "wq": (s.q_dim, s.dim), "wk": (s.kv_dim, s.dim),
             "wv": (s.kv_dim, s.dim), "wo": (s.dim, s.q_dim), "w1": (s.hidden_dim, s.dim),
             "w2": (s.dim, s.hidden_dim), "w3": (s.hidden_dim, s.dim)}
    for name, stored in OUTER.items():
        yield name, stored, *sizes[name]
    for l in range(s.n_layers):
        for name, stored in LAYER.items():
            yield f"layers.{l}.{name}", f"blk.{l}.{stored}.weight", *sizes[name]


def _stranger(metadata: Metadata, name: str) -> BarelmError:
    if name.endswith(".bias"):
        return metadata.refused(f"has biases ({name})")
    if "_exps" in name or "_shexp" in name or "ffn_gate_inp" in name:
        return metadata.refused(f"is a mixture of experts ({name})")
    return metadata.refused(f"has a tensor {name}, unknown in a Llama")


def _tensor(metadata: Metadata, stored: StoredTensor, rows: int, cols: int) -> Tensor:
    """A stored tensor, where it has the size it should have."""
    sizes = (cols,) if rows == 1 else (cols, rows)
    # One row may be written as a vector or as a matrix.
    if stored.sizes not in (sizes, (cols, rows)):
        found = " x ".join(map(str, reversed(stored.sizes)))
        raise metadata.damaged(f"the tensor {stored.name} has {found} values instead of {rows} x {cols}")
    return Tensor(stored.form.name, rows, cols, stored.data.reshape(rows, -1), stored.form.dequantize)

