"""What every reader returns: the shape, the weights as stored, the vocabulary."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from barelm.contract.layout import TURNED, TURNED_LOCALLY, WINDOW_SLACK
from barelm.contract.sections import LOCAL_ROPE, MATRIX, ROPE, SECTIONS, Size
from barelm.dialect.types import padded

# Ids with a meaning, where the format does not name its own (SentencePiece, Llama 2).
BOS_ID = 1
EOS_ID = 2


@dataclass(frozen=True)
class Traits:
    """In what a model is not a plain Llama; every default is a Llama's.

    norm            "rms" or "layer"
    activation      "silu", "gelu" (by tanh) or "clamped" (gpt-oss)
    gated           whether one matrix gates another in the feed-forward network
    n_experts       feed-forward networks beside each other, 0: one for every token
    query_norm_dim  components of queries that are normalised together: none, a head's, or all; keys likewise
    rope_dim        components of a head that turn; 0: all
    rope_magnitude  what cosine and sine are multiplied by
    short_factors   instead of rope_factors, in contexts up to short_context
    local_theta     the base of the second table of angles, 0: there is none
    n_positions     positions that have learnt vectors
    attention_scale of q · k; 0: 1 / sqrt(head_dim)
    windows         of each layer, how many positions it sees, 0: all; ()
    rope_tables     of each layer, which of layout.TURNED, TURNED_LOCALLY and NOT_TURNED; (): the first
    """

    norm: str = "rms"
    activation: str = "silu"
    gated: bool = True
    n_experts: int = 0
    n_experts_used: int = 0
    query_norm_dim: int = 0
    key_norm_dim: int = 0
    rope_dim: int = 0
    rope_magnitude: float = 1.0
    short_factors: tuple[float, ...] = ()
    short_context: int = 0
    local_theta: float = 0.0
    n_positions: int = 0
    attention_scale: float = 0.0
    attention_cap: float = 0.0
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    logit_cap: float = 0.0
    windows: tuple[int, ...] = ()
    rope_tables: tuple[int, ...] = ()


@dataclass(frozen=True)
class Shape:
    """The sizes of a model, under their usual names, and its traits.

    Positions are divided by `rope_scale`, the frequency of each rotary pair by its own of `rope_factors` (one per
    pair, or none at all).  `rotary` says which components of a head make a pair: neighbours, or with "halves" those
    half a head apart.
    """

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    head_dim: int
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    rope_scale: float = 1.0
    rope_factors: tuple[float, ...] = ()
    rotary: str = "pairs"  # or one of the other layout.ROTARY_NAMES
    traits: Traits = Traits()

    @property
    def q_dim(self) -> int:
        """Width of all query heads together."""
        return self.n_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all key (or value) heads together."""
        return self.n_kv_heads * self.head_dim

    @property
    def up_rows(self) -> int:
        """Width of the feed-forward networks of all experts."""
        return self.hidden_dim * max(self.traits.n_experts, 1)

    @property
    def gate_rows(self) -> int:
        """The same, of what gates them."""
        return self.up_rows if self.traits.gated else 0

    @property
    def down_rows(self) -> int:
        """What all experts answer."""
        return self.dim * max(self.traits.n_experts, 1)

    @property
    def rope_dim(self) -> int:
        """Components of a head that turn."""
        return self.traits.rope_dim or self.head_dim

    @property
    def attention_scale(self) -> float:
        """What q · k is multiplied by, a float32."""
        return self.traits.attention_scale or float(np.float32(1) / np.sqrt(np.float32(self.head_dim)))

    @property
    def frequency_factors(self) -> tuple[float, ...]:
        """What the frequency of each rotary pair is divided by in this context, or ()."""
        return self.traits.short_factors if self.seq_len <= self.traits.short_context else self.rope_factors

    @property
    def window_room(self) -> int:
        """Positions that layers with a window keep; 0: all, as the others do."""
        enough = padded(max(self.traits.windows, default=0) + WINDOW_SLACK)
        return enough if any(self.traits.windows) and enough < self.seq_len else 0

    @property
    def n_windowed(self) -> int:
        """Layers that keep no more than those."""
        return sum(map(bool, self.traits.windows)) if self.window_room else 0

    def layers(self) -> list[tuple[int, int, int]]:
        """The words of every layer: its window, the table that turns it, how many before it have a window."""
        none = (0,) * self.n_layers
        windows = self.traits.windows or none
        before = itertools.accumulate(map(bool, windows), initial=0)
        return list(zip(windows, self.traits.rope_tables or none, map(int, before)))

    def has_table(self, section: int) -> bool:
        """Whether the model has a section that is made of no tensor."""
        used = {table for _, table, _ in self.layers()}
        if section == ROPE:
            return TURNED in used
        return section != LOCAL_ROPE or TURNED_LOCALLY in used

    def tensors(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of every tensor there may be, by its name within a layer; a vector is one row."""
        sizes = {}
        for row in SECTIONS:
            for name, rows in row.tensors.items():
                cols = row.cols if row.form is MATRIX else rows
                sizes[name] = (self._size(rows) if row.form is MATRIX else 1, self._size(cols))
        return {name: size for name, size in sizes.items() if min(size)}

    def _size(self, size: Size) -> int:
        return size if isinstance(size, int) else int(getattr(self, size, getattr(self.traits, size, 0)))


PER_LAYER = frozenset(name for row in SECTIONS if row.per_layer for name in row.tensors)
"""The tensors every layer has one of."""


@dataclass(frozen=True)
class Tensor:
    """A matrix (or a vector, as one row) as its file stores it.

    `encoding` is GGML's name for the block format ("F32", "F16", "Q8_0", "Q4_1", ...), `rows` and `cols` the
    logical size, `data` the stored bytes of each row, shape (rows, bytes per row), usually a view of the mapped
    file.  `dequantize` turns a slice of rows of `data` into float32 of shape (n, cols).
    """

    encoding: str
    rows: int
    cols: int
    data: NDArray[np.uint8]
    dequantize: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = field(repr=False)

    def float32(self, lo: int = 0, hi: int | None = None) -> NDArray[np.float32]:
        """Rows lo to hi as float32, shape (hi - lo, cols)."""
        return self.dequantize(self.data[lo:hi])


def float32_tensor(values: NDArray[np.float32]) -> Tensor:
    """A tensor over values already in float32, shape (rows, cols) or (cols,)."""
    matrix = values.reshape(-1, values.shape[-1])
    return Tensor("F32", matrix.shape[0], matrix.shape[1], matrix.view(np.uint8),
                  lambda raw: np.ascontiguousarray(raw).view(np.float32))


@dataclass(frozen=True)
class Vocab:
    """The tokenizer: what each id stands for, and how text is cut into ids.

    kind        "sentencepiece" (merge by `scores`) or "bytelevel" (merge by order of `merges`)
    pieces      per id, the text as the tokenizer stores it, in UTF-8 (bytelevel: the bytes it stands for)
    outputs     per id, the bytes it prints (byte tokens already turned into their byte; control tokens: b"")
    scores      sentencepiece: a merge that makes a piece of higher score goes first
    merges      bytelevel: (left id, right id) in order of rank
    byte_ids    id of each of the 256 single bytes (sentencepiece: the <0xHH> fallback tokens), -1 where absent
    pretokenizer  bytelevel: the name of the rule that cuts text into words (`pack.word_rules`)
    special     by their text, tokens that no other text turns into: control tokens, which a chat template may name,
                and those of the user who made the vocabulary
    in_any_text  those of them that are found in what a person types too: the user's
    strips_after  those of them behind which white space goes
    notes       what whoever packs it should be told
    """

    kind: str
    pieces: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[tuple[int, int], ...] = ()
    byte_ids: tuple[int, ...] = (-1,) * 256
    bos_id: int = BOS_ID
    eos_ids: tuple[int, ...] = (EOS_ID,)
    add_bos: bool = True
    add_space_prefix: bool = True
    pretokenizer: str = ""
    special: Mapping[str, int] = field(default_factory=dict)
    in_any_text: frozenset[int] = frozenset()
    strips_after: frozenset[int] = frozenset()
    chat_template: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from disk.

    `tensors` is keyed by the names of `contract.sections`, those of layer l with "layers.{l}." in front; `classifier`
    is absent when the embedding serves as it.
    """

    name: str
    source: str
    shape: Shape
    tensors: Mapping[str, Tensor]
    vocab: Vocab

    @property
    def tied(self) -> bool:
        """True where the embedding is the classifier too."""
        return "classifier" not in self.tensors

    def sources(self, number: int) -> list[list[str]]:
        """The tensors of a section: a list for each layer, in the order their rows follow one another; [] for none."""
        row = SECTIONS[number]
        layers = [f"layers.{l}." for l in range(self.shape.n_layers)] if row.per_layer else [""]
        sizes = self.shape.tensors()
        names = [[layer + name for name in row.tensors if name in sizes] for layer in layers]
        return names if names and any(name in self.tensors for name in names[0]) else []
