"""A GGUF model of a known family as a `Checkpoint`; whatever would change its answers is used or refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.architectures.model_family import ModelFamily
from barelm.checkpoint.checkpoint import PER_LAYER, Checkpoint, Shape, Tensor
from barelm.checkpoint.gguf import StoredTensor
from barelm.checkpoint.gguf_kinds import read_model_container
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.gguf_vocab import read_vocab
from barelm.errors import BarelmError

LARGEST_SIZE = (1 << 32) - 1  # what the format's numbers hold; whether it fits a machine is asked elsewhere


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
    """The model in a GGUF file, or in all parts of a split one.

    Weights stay in the file until they are asked for.  Raises BarelmError where it is damaged, or where it has
    something this cannot compute with, which is then named.
    """
    metadata = Metadata(read_model_container(path))
    family = _family(metadata)
    shape, vocab = _shape(metadata, family), read_vocab(metadata)
    return Checkpoint(_name(metadata), str(path), shape, dict(_tensors(metadata, family, shape)), vocab)


def read_gguf_header(path: Path) -> GgufHeader:
    """Shape and size of the model in a GGUF file; raises as `read_gguf` does, but for the vocabulary."""
    metadata = Metadata(read_model_container(path))
    family = _family(metadata)
    shape = _shape(metadata, family)
    tensors = dict(_tensors(metadata, family, shape))
    return GgufHeader(metadata.container.version, shape, "classifier" not in tensors,
                      sum(tensor.rows * tensor.cols for tensor in tensors.values()))


def _name(metadata: Metadata) -> str:
    name = metadata.text("general.name", "")[:200].strip()
    return name if name and name.isprintable() else metadata.container.path.stem


def _family(metadata: Metadata) -> ModelFamily:
    """The family whose name the file gives, where it has no trait the decoder has not."""
    family = FAMILIES.get(metadata.architecture)
    if family is None:
        raise BarelmError(f"{metadata.container.path} is a model of the architecture {metadata.architecture!r:.40}, "
                          "which this barelm does not run",
                          f"Choose one of the architecture {' or '.join(map(repr, FAMILIES))}.")
    for key, what in family.refused.items():
        value = metadata.container.metadata.get(metadata.own(key), 0)
        if not isinstance(value, int | float) or value:
            raise metadata.refused(f"{what} ({metadata.own(key)})")
    if not metadata.flag(metadata.own("attention.causal"), True):
        raise metadata.refused(f"attends to what comes later ({metadata.own('attention.causal')})")
    return family


def _shape(metadata: Metadata, family: ModelFamily) -> Shape:
    """The sizes, those that are possible together."""
    vocab_size = len(metadata.strings("tokenizer.ggml.tokens"))
    if metadata.whole(metadata.own("vocab_size"), vocab_size) != vocab_size:
        raise metadata.damaged(f"its {metadata.own('vocab_size')} is not the {vocab_size} tokens of its vocabulary")
    dim, n_heads = _size(metadata, "embedding_length"), _size(metadata, "attention.head_count")
    n_kv_heads = _size(metadata, "attention.head_count_kv", n_heads)
    if n_heads % n_kv_heads:
        raise metadata.damaged(f"{n_heads} query heads cannot share {n_kv_heads} key heads evenly")
    head_dim = _head_dim(metadata, dim, n_heads)
    return Shape(
        dim=dim, hidden_dim=_size(metadata, "feed_forward_length"), n_layers=_size(metadata, "block_count"),
        n_heads=n_heads, n_kv_heads=n_kv_heads, vocab_size=vocab_size, seq_len=_size(metadata, "context_length"),
        head_dim=head_dim, rope_theta=_positive(metadata, "rope.freq_base", 10000.0),
        norm_eps=_positive(metadata, "attention.layer_norm_rms_epsilon"), rope_scale=_rope_scale(metadata),
        rope_factors=_rope_factors(metadata, family.rope_factors, head_dim), rotary=family.rotary)


def _size(metadata: Metadata, key: str, default: int | None = None) -> int:
    value = metadata.whole(metadata.own(key), default)
    if not 1 <= value <= LARGEST_SIZE:
        raise metadata.damaged(f"its {metadata.own(key)} is {value}")
    return value


def _positive(metadata: Metadata, key: str, default: float | None = None) -> float:
    value = metadata.real(metadata.own(key), default)
    if not 0 < value < 1e12:
        raise metadata.damaged(f"its {metadata.own(key)} is {value:g}")
    return value


def _head_dim(metadata: Metadata, dim: int, n_heads: int) -> int:
    """Width of a head: what the keys are wide, the values too, all of it turned by position."""
    if metadata.own("attention.key_length") not in metadata and dim % n_heads:
        raise metadata.damaged(f"{dim} dimensions do not make {n_heads} heads")
    head_dim = _size(metadata, "attention.key_length", max(dim // n_heads, 1))
    if head_dim % 2:
        raise metadata.damaged(f"its heads have {head_dim} dimensions, which is odd")
    for key, what in (("attention.value_length", "has values"), ("rope.dimension_count", "rotates heads")):
        if (width := _size(metadata, key, head_dim)) != head_dim:
            raise metadata.refused(f"{what} of {width} dimensions where its keys have {head_dim} "
                                   f"({metadata.own(key)})")
    return head_dim


def _rope_scale(metadata: Metadata) -> float:
    """What positions are divided by: "linear" scaling, in its present or its former spelling."""
    rule, factor = metadata.own("rope.scaling.type"), metadata.own("rope.scaling.factor")
    kind = metadata.text(rule, "linear")
    if kind not in ("linear", "none"):
        raise metadata.refused(f"stretches its positions by the rule {kind!r:.40} ({rule})")
    if metadata.real(metadata.own("rope.scaling.attn_factor"), 1.0) != 1:
        raise metadata.refused(f"scales its attention ({metadata.own('rope.scaling.attn_factor')})")
    value = metadata.real(factor, metadata.real(metadata.own("rope.scale_linear"), 0.0))
    if kind == "none" or value == 0:
        return 1.0
    if not 0 < value < 1e6:
        raise metadata.damaged(f"its {factor} is {value:g}")
    return value


def _rope_factors(metadata: Metadata, name: str, head_dim: int) -> tuple[float, ...]:
    """What each pair's frequency is divided by: how a GGUF file holds Llama 3's scaling."""
    stored = metadata.container.tensors.get(name)
    if stored is None:
        return ()
    factors = _tensor(metadata, stored, 1, head_dim // 2).float32()[0]
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise metadata.damaged(f"its {name} are not all positive")
    return tuple(map(float, factors))


def _tensors(metadata: Metadata, family: ModelFamily, shape: Shape) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the model by `Checkpoint`'s names.  Raises BarelmError where one is missing or one too many."""
    container = metadata.container
    if shape.n_layers > len(container.tensors):
        raise metadata.damaged(f"it has {len(container.tensors)} tensors for {shape.n_layers} layers")
    expected = dict(_expected(family, shape))
    for stored_name in container.tensors:
        if stored_name not in expected and stored_name != family.rope_factors:
            raise _stranger(metadata, stored_name)
    for stored_name, (name, rows, cols) in expected.items():
        if stored_name in container.tensors:
            yield name, _tensor(metadata, container.tensors[stored_name], rows, cols)
        elif name not in family.may_be_absent:
            raise metadata.damaged(f"the tensor {stored_name} is missing")


def _expected(family: ModelFamily, shape: Shape) -> Iterator[tuple[str, tuple[str, int, int]]]:
    """Name there, and name here, rows and columns of every tensor."""
    sizes = shape.tensors()
    layers = [(f"layers.{l}.", l) for l in range(shape.n_layers)]
    for name, stored in family.tensors.items():
        for prefix, l in layers if name in PER_LAYER else [("", 0)]:
            yield stored.format(l), (prefix + name, *sizes[name])


def _stranger(metadata: Metadata, name: str) -> BarelmError:
    if name.endswith(".bias"):
        return metadata.refused(f"has biases ({name})")
    if "_exps" in name or "_shexp" in name or "ffn_gate_inp" in name:
        return metadata.refused(f"is a mixture of experts ({name})")
    return metadata.refused(f"has a tensor {name}, unknown in a model of the architecture "
                            f"{metadata.architecture!r}")


def _tensor(metadata: Metadata, stored: StoredTensor, rows: int, cols: int) -> Tensor:
    """A stored tensor, where it has the size it should have."""
    sizes = (cols,) if rows == 1 else (cols, rows)
    # One row may be written as a vector or as a matrix.
    if stored.sizes not in (sizes, (cols, rows)):
        found = " x ".join(map(str, reversed(stored.sizes)))
        raise metadata.damaged(f"the tensor {stored.name} has {found} values instead of {rows} x {cols}")
    return Tensor(stored.form.name, rows, cols, stored.data.reshape(rows, -1), stored.form.dequantize)

