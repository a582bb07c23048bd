"""llama2.c checkpoints (`.bin`), as its `export.py` writes them: version 0 (legacy), 1 (float32) and 2 (int8 groups).

The weights follow a header with no names or offsets: their order and the sizes decide where each one lies.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.binary import map_bytes, read_start
from barelm.checkpoint.checkpoint import PER_LAYER, Checkpoint, Shape, Tensor, float32_tensor
from barelm.checkpoint.tokenizer_bin import find_tokenizer, read_tokenizer
from barelm.contract.layout import LARGEST
from barelm.errors import BarelmError

MAGIC = 0x616B3432  # "ak42"
HEADER_BYTES = 256  # of versions 1 and 2
LEGACY_HEADER = struct.Struct("<7i")
HEADER = struct.Struct("<Ii7iBi")

ORDER_V0 = ("token_embedding", "attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w1", "w2", "w3", "final_norm",
            "rotary", "classifier")
ORDER = ("attention_norm", "ffn_norm", "final_norm", "token_embedding", "wq", "wk", "wv", "wo", "w1", "w2", "w3",
         "classifier")
NEVER_QUANTIZED = ("attention_norm", "ffn_norm", "final_norm")

WHAT_TO_GIVE = "Give a checkpoint that llama2.c's export.py wrote (.bin), a GGUF model, or the name of a model."
FETCH_AGAIN = "Was its download or export interrupted? Fetch it again."


@dataclass(frozen=True)
class Llama2cHeader:
    """What the start of a checkpoint says."""

    version: int
    shape: Shape
    tied: bool
    group: int = 0  # values that share a scale; 0: all is float32

    @property
    def format(self) -> str:
        """The name of the format."""
        return f"llama2.c checkpoint, version {self.version}"

    @property
    def n_parameters(self) -> int:
        """How many numbers were learnt."""
        return sum(block.count * block.rows * block.cols for block in blocks(self) if block.name != "rotary")

    @property
    def start(self) -> int:
        """Where the weights begin."""
        return HEADER_BYTES if self.version else LEGACY_HEADER.size


@dataclass(frozen=True)
class Block:
    """All tensors of one name, one after another: `count` of `rows` x `cols`, with `group` values to a scale or 0."""

    name: str
    count: int
    rows: int
    cols: int
    group: int

    @property
    def tensor_bytes(self) -> int:
        """What one of them takes."""
        n = self.rows * self.cols
        return n + 4 * (n // self.group) if self.group else 4 * n


@dataclass(frozen=True)
class GroupedTensor(Tensor):
    """int8 values, and behind all of them a float32 scale for every `group`; a group may run into the next row."""

    scales: NDArray[np.float32]
    group: int

    def float32(self, lo: int = 0, hi: int | None = None) -> NDArray[np.float32]:
        """Rows lo to hi, each value times its group's scale."""
        values = self.data[lo:hi].view(np.int8)
        first = lo * self.cols
        last = first + values.size
        scales = np.repeat(self.scales[first // self.group:-(-last // self.group)], self.group)
        skip = first % self.group
        return values * scales[skip:skip + values.size].reshape(values.shape)


def read_llama2c(path: Path, tokenizer: Path | None = None) -> Checkpoint:
    """A llama2.c checkpoint; the tokenizer is looked for beside it where none is given.

    Weights stay in the file until they are asked for.  Raises BarelmError where either file is not what it should be.
    """
    header = read_llama2c_header(path)
    vocab = read_tokenizer(tokenizer or find_tokenizer(path, header.shape.vocab_size), header.shape.vocab_size)
    tensors = dict(_tensors(header, map_bytes(path)))
    return Checkpoint(path.stem, str(path), header.shape, tensors, vocab)


def read_llama2c_header(path: Path) -> Llama2cHeader:
    """The header of a checkpoint, its sizes sane and in keeping with the size of the file."""
    start, size = read_start(path, HEADER_BYTES, WHAT_TO_GIVE)
    header = _parse(path, start)
    expected = header.start + sum(block.count * block.tensor_bytes for block in blocks(header))
    if size < expected:
        raise BarelmError(f"{path} is cut short: {expected - size} of {expected} bytes are missing", FETCH_AGAIN)
    if size > expected:
        raise BarelmError(f"{path} has {size - expected} bytes more than the {expected} its header asks for",
                          WHAT_TO_GIVE)
    return header


def blocks(header: Llama2cHeader) -> list[Block]:
    """The weights in the order of the file."""
    s = header.shape
    sizes = s.tensors() | {"rotary": (s.seq_len, s.head_dim)}  # tables nobody reads any more, but their place is kept
    return [Block(name, s.n_layers if name in PER_LAYER else 1, *sizes[name],
                  0 if name in NEVER_QUANTIZED else header.group)
            for name in (ORDER if header.version else ORDER_V0) if name != "classifier" or not header.tied]


def _parse(path: Path, start: bytes) -> Llama2cHeader:
    versioned = start[:4] == MAGIC.to_bytes(4, "little")
    if len(start) < (HEADER_BYTES if versioned else LEGACY_HEADER.size):
        raise BarelmError(f"{path} ends within its header, after {len(start)} bytes", FETCH_AGAIN)
    if not versioned:
        *sizes, vocab_size, seq_len = LEGACY_HEADER.unpack_from(start)
        return Llama2cHeader(0, _shape(path, [*sizes, abs(vocab_size), seq_len]), tied=vocab_size > 0)
    _, version, *rest = HEADER.unpack_from(start)
    *sizes, shared, group = rest
    if version not in (1, 2):
        raise BarelmError(f"{path} is a llama2.c checkpoint of version {version}",
                          "This barelm reads versions 0, 1 and 2: export it again as one of them.")
    header = Llama2cHeader(version, _shape(path, sizes), bool(shared), group if version == 2 else 0)
    if version == 2:
        _check_groups(path, header)
    return header


def _shape(path: Path, sizes: list[int]) -> Shape:
    """The shape of seven sizes that are possible together."""
    names = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
    for name, size in zip(names, sizes):
        if not 1 <= size <= LARGEST:
            raise BarelmError(f"{path} is not a llama2.c checkpoint, or is damaged: its {name} would be {size}",
                              WHAT_TO_GIVE)
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = sizes
    why = ""
    if dim % n_heads or dim // n_heads % 2:
        why = f"{dim} dimensions do not make {n_heads} heads of an even size"
    elif n_heads % n_kv_heads:
        why = f"{n_heads} query heads cannot share {n_kv_heads} key heads evenly"
    if why:
        raise BarelmError(f"{path} is not a llama2.c checkpoint, or is damaged: {why}", WHAT_TO_GIVE)
    return Shape(dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len, dim // n_heads)


def _check_groups(path: Path, header: Llama2cHeader) -> None:
    for block in blocks(header):
        if header.group < 1 or block.group and block.rows * block.cols % block.group:
            raise BarelmError(f"{path} is damaged: its {block.name} of {block.rows} x {block.cols} values cannot be in "
                              f"groups of {header.group}", FETCH_AGAIN)


def _tensors(header: Llama2cHeader, raw: NDArray[np.uint8]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its name, as views of the file's bytes."""
    at = header.start
    for block in blocks(header):
        for l in range(block.count):
            tensor = _tensor(block, raw[at:at + block.tensor_bytes])
            at += block.tensor_bytes
            if block.name != "rotary":
                yield f"layers.{l}.{block.name}" if block.name in PER_LAYER else block.name, tensor


def _tensor(block: Block, raw: NDArray[np.uint8]) -> Tensor:
    if not block.group:
        return float32_tensor(raw.view(np.float32).reshape(block.rows, block.cols))
    n = block.rows * block.cols
    return GroupedTensor("Q8", block.rows, block.cols, raw[:n].reshape(block.rows, block.cols), _needs_scales,
                         raw[n:].view(np.float32), block.group)


def _needs_scales(data: NDArray[np.uint8]) -> NDArray[np.float32]:
    raise ValueError("the scales of a grouped tensor lie apart from its rows: ask its float32()")
