"""GGUF files for tests: a writer of our own, which writes lies as readily, and small models made from a seed."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.checkpoint.gguf_vocab import ALPHABET
from barelm.checkpoint.sources.default_model import FILE, find_default_model

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
WORDS = ("the", " the", " and", " to", "ing", " hello", " world", "123", "\n\n", "é", " 世界", "🙂", "'s", "    ")
CHATML = ("{% for message in messages %}"
          "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

# Where a block's half-precision scales lie: byte offset, and how large a value they multiply, about.
SCALES = {"Q8_0": ((0, 74.0),), "Q4_0": ((0, 4.6),), "Q4_1": ((0, 4.6), (2, -4.6 / 7.5)), "Q5_0": ((0, 9.2),),
          "Q5_1": ((0, 9.2), (2, -9.2 / 15.5)), "Q4_K": ((0, 170.0), (2, 24.0)), "Q5_K": ((0, 340.0), (2, 24.0)),
          "Q6_K": ((208, 1370.0),), "IQ4_NL": ((0, 66.0),), "IQ4_XS": ((0, 1220.0),), "Q3_K": ((108, 42.0),),
          "Q2_K": ((80, 14.0), (82, 9.0)), "MXFP4": ()}


@dataclass(frozen=True)
class Value:
    """A value and its type; an array, where `item` is given."""

    kind: int
    value: Any
    item: int = STRING

    def encode(self) -> bytes:
        """As the file holds it, its type in front."""
        return struct.pack("<I", self.kind) + self._encode(self.kind, self.value)

    def _encode(self, kind: int, value: Any) -> bytes:
        if kind == STRING:
            return string(value)
        if kind == ARRAY:
            head = struct.pack("<IQ", self.item, len(value))
            return head + b"".join(self._encode(self.item, item) for item in value)
        return struct.pack("<" + CODES[kind], value)


@dataclass(frozen=True)
class Stored:
    """A tensor to write: sizes innermost first.  `offset` and `type_id` may lie."""

    name: str
    type_id: int
    sizes: tuple[int, ...]
    data: bytes
    offset: int | None = None


def string(text: str | bytes) -> bytes:
    """A string with its length in front."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf_bytes(metadata: Mapping[str, Value], tensors: list[Stored], *, version: int = 3, alignment: int = 32) -> bytes:
    """A file."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(string(key) + value.encode() for key, value in metadata.items())
    body = b""
    for tensor in tensors:
        body += bytes(-len(body) % alignment)
        offset = len(body) if tensor.offset is None else tensor.offset
        head += string(tensor.name) + struct.pack(f"<I{len(tensor.sizes)}QIQ", len(tensor.sizes), *tensor.sizes,
                                                  tensor.type_id, offset)
        body += tensor.data
    return head + bytes(-len(head) % alignment) + body


@dataclass(frozen=True)
class SmallLlama:
    """What to write: sizes, and the tensor type of the matrices (cols must be whole blocks: 256 for the K types).

    `types` overrides the type of single tensors by the end of their name, as in {"token_embd.weight": "Q8_0"};
    `metadata` adds entries, or overrides them; `vocab` is "bytelevel" or "sentencepiece".
    """

    seed: int = 1
    dim: int = 64
    hidden_dim: int = 96
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 16
    seq_len: int = 128
    type: str = "F32"
    tied: bool = True
    vocab: str = "bytelevel"
    architecture: str = "llama"  # or "qwen2", which has biases
    types: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Value] = field(default_factory=dict)

    def all_metadata(self) -> dict[str, Value]:
        """Every entry, in the order of the file."""
        own = {
            "block_count": Value(U32, self.n_layers), "context_length": Value(U32, self.seq_len),
            "embedding_length": Value(U32, self.dim), "feed_forward_length": Value(U32, self.hidden_dim),
            "attention.head_count": Value(U32, self.n_heads), "attention.head_count_kv": Value(U32, self.n_kv_heads),
            "attention.key_length": Value(U32, self.head_dim), "attention.value_length": Value(U32, self.head_dim),
            "rope.freq_base": Value(F32, 10000.0), "rope.dimension_count": Value(U32, self.head_dim),
            "attention.layer_norm_rms_epsilon": Value(F32, 1e-5)}
        entries = {
            "general.architecture": Value(STRING, self.architecture),
            "general.name": Value(STRING, f"small {self.seed}"),
            **{f"{self.architecture}.{key}": value for key, value in own.items()}}
        words = bytelevel_vocab() if self.vocab == "bytelevel" else sentencepiece_vocab()
        return entries | words | dict(self.metadata)

    def tensors(self) -> list[Stored]:
        """Every tensor, the same for the same seed."""
        rng = np.random.default_rng(self.seed)
        n_vocab = len(self.all_metadata()["tokenizer.ggml.tokens"].value)
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        sizes: dict[str, tuple[int, ...]] = {"token_embd": (self.dim, n_vocab), "output_norm": (self.dim,)}
        if not self.tied:
            sizes["output"] = (self.dim, n_vocab)
        for l in range(self.n_layers):
            layer: dict[str, tuple[int, ...]] = {
                "attn_norm": (self.dim,), "attn_q": (self.dim, q_dim), "attn_k": (self.dim, kv_dim),
                "attn_v": (self.dim, kv_dim), "attn_output": (q_dim, self.dim), "ffn_norm": (self.dim,),
                "ffn_gate": (self.dim, self.hidden_dim), "ffn_up": (self.dim, self.hidden_dim),
                "ffn_down": (self.hidden_dim, self.dim)}
            if self.architecture == "qwen2":
                layer |= {"attn_q.bias": (q_dim,), "attn_k.bias": (kv_dim,), "attn_v.bias": (kv_dim,)}
            sizes |= {f"blk.{l}.{name}": size for name, size in layer.items()}
        return [self._tensor(rng, name if name.endswith(".bias") else f"{name}.weight", size)
                for name, size in sizes.items()]

    def _tensor(self, rng: np.random.Generator, name: str, sizes: tuple[int, ...]) -> Stored:
        if len(sizes) == 1:
            values = rng.normal(0, 0.5, sizes) if name.endswith(".bias") else 1 + rng.normal(0, 0.1, sizes)
            data = values.astype(np.float32).tobytes()
            return Stored(name, BY_NAME["F32"].type_id, sizes, data)
        form = next((form for end, form in self.types.items() if name.endswith(end)), self.type)
        scale = 0.5 if name == "token_embd.weight" else sizes[0] ** -0.5
        return Stored(name, BY_NAME[form].type_id, sizes, random_rows(rng, form, sizes[1], sizes[0], scale).tobytes())

    def encode(self) -> bytes:
        """The file."""
        return gguf_bytes(self.all_metadata(), self.tensors())

    def write(self, path: Path) -> Path:
        """Write the file to `path`, and return that."""
        path.write_bytes(self.encode())
        return path


def write_small_gguf(path: Path, **choices: Any) -> Path:
    """A small random Llama of the fields of `SmallLlama` given, which for the K types is as wide as they need."""
    model = SmallLlama(**choices)
    if any(BY_NAME[form].block_size == 256 for form in (model.type, *model.types.values())):
        model = replace(model, dim=256, hidden_dim=256, head_dim=64)
    return model.write(path)


def write_split(folder: Path, model: SmallLlama, count: int, stem: str = "part") -> list[Path]:
    """The same model in `count` files, named as llama.cpp names them."""
    tensors, paths = model.tensors(), []
    for number in range(count):
        mine = tensors[number * len(tensors) // count:(number + 1) * len(tensors) // count]
        split = {"split.no": Value(U16, number), "split.count": Value(U16, count),
                 "split.tensors.count": Value(I32, len(tensors))}
        path = folder / f"{stem}-{number + 1:05}-of-{count:05}.gguf"
        path.write_bytes(gguf_bytes((model.all_metadata() if number == 0 else {}) | split, mine))
        paths.append(path)
    return paths


def random_rows(rng: np.random.Generator, form: str, rows: int, cols: int, scale: float) -> NDArray[np.uint8]:
    """Random blocks of a type, shape (rows, bytes per row), worth about a normal distribution of width `scale`."""
    values = rng.normal(0, scale, (rows, cols)).astype(np.float32)
    if form == "F32":
        return values.view(np.uint8)
    if form == "F16":
        return values.astype(np.float16).view(np.uint8)
    if form == "BF16":
        return np.ascontiguousarray(values.view(np.uint16)[:, 1::2]).view(np.uint8)
    raw = rng.integers(0, 256, (rows, BY_NAME[form].row_bytes(cols)), np.uint8)
    blocks = raw.reshape(-1, BY_NAME[form].block_bytes)
    for at, worth in SCALES[form]:
        halves = (scale / worth * rng.uniform(0.5, 1.5, len(blocks))).astype(np.float16)
        blocks[:, at:at + 2] = halves.view(np.uint8).reshape(-1, 2)
    if form == "MXFP4":
        blocks[:, 0] = 126 + round(np.log2(scale)) + rng.integers(-1, 1, len(blocks))
    return raw


def in_alphabet(text: bytes) -> str:
    """Bytes in GPT-2's characters."""
    characters = {byte: character for character, byte in ALPHABET.items()}
    return "".join(characters[byte] for byte in text)


def bytelevel_vocab() -> dict[str, Value]:
    """Three control tokens, every byte, what WORDS merge into from the left, and a token of the user's."""
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(in_alphabet(bytes([byte])) for byte in range(256))]
    types = [CONTROL] * 3 + [NORMAL] * 256
    merges = []
    for word in WORDS:
        letters = in_alphabet(word.encode())
        for end in range(2, len(letters) + 1):
            if letters[:end] not in tokens:
                tokens.append(letters[:end])
                types.append(NORMAL)
                merges.append(f"{letters[:end - 1]} {letters[end - 1]}")
    tokens.append("<tool call>")
    types.append(USER_DEFINED)
    return {"tokenizer.ggml.model": Value(STRING, "gpt2"), "tokenizer.ggml.pre": Value(STRING, "smollm"),
            "tokenizer.ggml.tokens": Value(ARRAY, tokens), "tokenizer.ggml.token_type": Value(ARRAY, types, I32),
            "tokenizer.ggml.merges": Value(ARRAY, merges), "tokenizer.ggml.bos_token_id": Value(U32, 1),
            "tokenizer.ggml.eos_token_id": Value(U32, 2), "tokenizer.chat_template": Value(STRING, CHATML)}


def sentencepiece_vocab() -> dict[str, Value]:
    """Llama 2's order: unknown, control, bytes, pieces by falling score, then characters."""
    pieces = ["▁t", "he", "▁the", "▁a", "▁hello", "lo", "el", "hel", "lo▁", "in", "▁▁"]
    characters = ["▁", *"etaoinshrdlu.,\né世🙂"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, *characters]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(pieces) + len(characters))
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces) + len(characters))]
    return {"tokenizer.ggml.model": Value(STRING, "llama"), "tokenizer.ggml.tokens": Value(ARRAY, tokens),
            "tokenizer.ggml.scores": Value(ARRAY, scores, F32), "tokenizer.ggml.token_type": Value(ARRAY, types, I32),
            "tokenizer.ggml.bos_token_id": Value(U32, 1), "tokenizer.ggml.eos_token_id": Value(U32, 2),
            "tokenizer.ggml.unknown_token_id": Value(U32, 0)}


def smollm2() -> Path:
    """The default model; skips the test where it is not at hand."""
    beside = Path(__file__).parents[2] / "shared" / "models" / FILE
    if found := find_default_model() or (beside if beside.is_file() else None):
        return found
    pytest.skip(f"{FILE} is neither in the user's cache nor in {beside.parent}: set BARELM_MODELS to its folder")
