"""A GGUF model of a known family as a `Checkpoint`; whatever would change its answers is used or refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.checkpoint import PER_LAYER, Checkpoint, Shape, Tensor, float32_tensor
from barelm.checkpoint.gguf import StoredTensor
from barelm.checkpoint.gguf_metadata import Metadata, read_model_metadata
from barelm.checkpoint.gguf_rope import LONG_FACTORS, stored_tensor, stretched
from barelm.checkpoint.gguf_vocab import read_vocab
from barelm.checkpoint.model_family import CHANGES, LEFT_OUT, ModelFamily
from barelm.contract.layout import DEFAULT_BATCH, TURNED_LOCALLY
from barelm.contract.sections import SECTIONS
from barelm.dialect.types import LANES
from barelm.errors import BarelmError

MOST_EXPERTS_USED = DEFAULT_BATCH  # a row of the state's batch each
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
    metadata = read_model_metadata(path)
    family = _family(metadata)
    shape, vocab = _shape(metadata, family), read_vocab(metadata)
    return Checkpoint(_name(metadata), str(path), shape, dict(_tensors(metadata, family, shape)), vocab)


def read_gguf_header(path: Path) -> GgufHeader:
    """Shape and size of the model in a GGUF file; raises as `read_gguf` does, but for the vocabulary."""
    metadata = read_model_metadata(path)
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
        reason = LEFT_OUT.get(metadata.architecture, "")
        raise BarelmError(f"{metadata.container.path} is a model of the architecture {metadata.architecture!r:.40}, "
                          f"which this barelm does not run{reason and ': '}{reason}",
                          f"Choose one of these: {', '.join(FAMILIES)}.")
    for key, what in CHANGES.items():
        value = metadata.container.metadata.get(metadata.own(key), 0)
        if key not in family.takes and (not isinstance(value, int | float) or value):
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
    head_dim, rope_dim = _head_dim(metadata, dim, n_heads)
    shape = Shape(
        dim=dim, hidden_dim=_size(metadata, family.hidden_dim), n_layers=_size(metadata, "block_count"),
        n_heads=n_heads, n_kv_heads=n_kv_heads, vocab_size=vocab_size, seq_len=_size(metadata, "context_length"),
        head_dim=head_dim, rope_theta=_positive(metadata, "rope.freq_base", 10000.0),
        norm_eps=_positive(metadata, family.norm_eps), rotary=family.rotary)
    if shape.rope_theta < 1:
        raise metadata.damaged(f"its {metadata.own('rope.freq_base')} is {shape.rope_theta:g}")
    if shape.n_layers > len(metadata.container.tensors):
        raise metadata.damaged(f"it has {len(metadata.container.tensors)} tensors for {shape.n_layers} layers")
    traits = replace(family.traits(metadata, shape), rope_dim=rope_dim if rope_dim < head_dim else 0)
    shape = stretched(metadata, replace(shape, traits=traits), family.rope_factors)
    _check_traits(metadata, shape)
    return shape


def _check_traits(metadata: Metadata, shape: Shape) -> None:
    """Refuse what is possible, but not with the kernels: what is normalised or mixed must be whole vectors."""
    traits = shape.traits
    widths = {"the norms of its queries": traits.query_norm_dim, "the norms of its keys": traits.key_norm_dim}
    if traits.norm == "layer":
        widths["its layer norms"] = shape.dim
    if traits.n_experts:
        widths |= {"its experts": shape.hidden_dim, "its blocks": shape.dim}
        if not 1 <= traits.n_experts_used <= min(traits.n_experts, MOST_EXPERTS_USED):
            raise metadata.damaged(f"a token takes {traits.n_experts_used} of its {traits.n_experts} experts")
    if TURNED_LOCALLY in traits.rope_tables and traits.local_theta < 1:
        raise metadata.damaged(f"the RoPE base of its windowed layers is {traits.local_theta:g}")
    for what, width in widths.items():
        if width % LANES:
            raise metadata.refused(f"is such that {what} have {width} components, no multiple of {LANES}")


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


def _head_dim(metadata: Metadata, dim: int, n_heads: int) -> tuple[int, int]:
    """Width of a head: what the keys are wide, the values too; and how much of it is turned by position."""
    if metadata.own("attention.key_length") not in metadata and dim % n_heads:
        raise metadata.damaged(f"{dim} dimensions do not make {n_heads} heads")
    head_dim = _size(metadata, "attention.key_length", max(dim // n_heads, 1))
    if head_dim % 2:
        raise metadata.damaged(f"its heads have {head_dim} dimensions, which is odd")
    if (width := _size(metadata, "attention.value_length", head_dim)) != head_dim:
        raise metadata.refused(f"has values of {width} dimensions where its keys have {head_dim} "
                               f"({metadata.own('attention.value_length')})")
    rope_dim = _size(metadata, "rope.dimension_count", head_dim)
    if rope_dim % 2 or rope_dim > head_dim:
        raise metadata.damaged(f"{rope_dim} of the {head_dim} dimensions of a head would turn")
    return head_dim, rope_dim


def _tensors(metadata: Metadata, family: ModelFamily, shape: Shape) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the model by `Checkpoint`'s names.  Raises BarelmError where one is missing or one too many."""
    container = metadata.container
    expected = dict(_expected(family, shape))
    tables = {family.rope_factors, *LONG_FACTORS}
    for stored_name in container.tensors:
        if stored_name not in expected and stored_name not in tables:
            raise _stranger(metadata, stored_name)
    present = {section_of(name) for stored_name, parts in expected.items() if stored_name in container.tensors
               for name, _, _ in parts}
    for stored_name, parts in expected.items():
        if stored_name in container.tensors:
            yield from _parts(metadata, container.tensors[stored_name], parts)
        elif present & {section_of(name) for name, _, _ in parts} or not family.may_be_absent.issuperset(
                name.rpartition(".")[2] for name, _, _ in parts):
            raise metadata.damaged(f"the tensor {stored_name} is missing")


def section_of(name: str) -> str:
    """The section a tensor belongs to: all of it is there, in every layer, or nothing."""
    return next(row.name for row in SECTIONS if name.rpartition(".")[2] in row.tensors)


Part = tuple[str, int, int]
"""A tensor's name here, its rows and columns."""


def _expected(family: ModelFamily, shape: Shape) -> Iterator[tuple[str, list[Part]]]:
    """Name there, and what every tensor holds: one of ours, or several one above another."""
    sizes = shape.tensors()
    for stored, names in {**{stored: (name,) for name, stored in family.tensors.items()}, **family.fused}.items():
        for l in range(shape.n_layers) if names[0] in PER_LAYER else [-1]:
            layer = f"layers.{l}." if l >= 0 else ""
            yield stored.format(l), [(layer + name, *sizes[name]) for name in names]


def _stranger(metadata: Metadata, name: str) -> BarelmError:
    if name.endswith(".bias"):
        return metadata.refused(f"has biases ({name})")
    if "_exps" in name or "_shexp" in name or "ffn_gate_inp" in name:
        return metadata.refused(f"is a mixture of experts ({name})")
    return metadata.refused(f"has a tensor {name}, unknown in a model of the architecture "
                            f"{metadata.architecture!r}")


def _parts(metadata: Metadata, stored: StoredTensor, parts: list[Part]) -> Iterator[tuple[str, Tensor]]:
    """What a stored tensor holds, where it has the size it should have."""
    if len(parts) == 1:
        (name, rows, cols), = parts
        yield name, stored_tensor(metadata, stored, rows, cols)
        return
    vectors = all(rows == 1 for _, rows, _ in parts)
    if vectors:
        whole = stored_tensor(metadata, stored, 1, sum(cols for _, _, cols in parts)).float32()[0]
    else:
        matrix = stored_tensor(metadata, stored, sum(rows for _, rows, _ in parts), parts[0][2])
    at = 0
    for name, rows, cols in parts:
        size = cols if vectors else rows
        yield name, (float32_tensor(whole[at:at + size]) if vectors
                     else replace(matrix, rows=size, data=matrix.data[at:at + size]))
        at += size
