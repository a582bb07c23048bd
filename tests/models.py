"""Models for tests: tiny ones made from a seed, the llama2.c files they would come from, and where real ones lie."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import PER_LAYER, Checkpoint, Shape, Tensor, Traits, Vocab, float32_tensor
from barelm.contract.sections import SECTIONS

MAGIC = 0x616B3432  # "ak42": llama2.c's export.py, versions 1 and 2
CONTROL = (b"<unk>", b"\n<s>\n", b"\n</s>\n")
BYTE_PIECES = tuple(b"<0x%02X>" % byte for byte in range(256))
CHARACTERS = " etaoinshrdlu.,\n<>éß世🙂"

NORMS = ("attention_norm", "ffn_norm")
UNUSUAL = frozenset(name for row in SECTIONS if row.may_be_absent for name in row.tensors) - {
    "classifier", "attention_norm", "ffn_norm"}
"""Tensors a plain Llama has not."""

BIASES = frozenset(("bq", "bk", "bv"))
MATRICES = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
V0_LAYERS = ("attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w1", "w2", "w3")


def synthetic_vocab(seed: int = 1, size: int = 320) -> Vocab:
    """A SentencePiece vocabulary in llama2.c's order: control, bytes, merges by score, then characters.

    `size` is at least 300.  Every merge joins two pieces that exist, so all of them can be reached.
    """
    rng = np.random.default_rng(seed)
    characters = [character.encode() for character in CHARACTERS]
    n_merges = size - len(CONTROL) - len(BYTE_PIECES) - len(characters)
    known, merges = list(characters), list[bytes]()
    while len(merges) < n_merges:
        joined = known[rng.integers(len(known))] + known[rng.integers(len(known))]
        if joined not in known and len(joined) <= 12:
            known.append(joined)
            merges.append(joined)
    pieces = (*CONTROL, *BYTE_PIECES, *merges, *characters)
    scores = (*[0.0] * 259, *[float(-i // 2) for i in range(len(merges) + len(characters))])
    outputs = (b"", b"", b"", *[bytes([byte]) for byte in range(256)], *pieces[259:])
    return Vocab("sentencepiece", pieces, outputs, scores, byte_ids=tuple(range(3, 259)),
                 special={"<unk>": 0, "<s>": 1, "</s>": 2})


def tiny_checkpoint(seed: int = 1, *, dim: int = 32, hidden_dim: int = 48, n_layers: int = 2, n_heads: int = 4,
                    n_kv_heads: int = 2, vocab_size: int = 320, seq_len: int = 64, tied: bool = True,
                    head_dim: int = 0, rotary: str = "pairs", traits: Traits | None = None,
                    has: Collection[str] = (), lacks: Collection[str] = (), name: str = "tiny",
                    vocab: Vocab | None = None) -> Checkpoint:
    """A model of random weights; the same seed and sizes give the same bits.  `vocab` comes before `vocab_size`.

    `has` names tensors that a plain Llama has not, `lacks` those of its own it does without.
    """
    vocab = vocab or synthetic_vocab(seed, vocab_size)
    rng = np.random.default_rng(seed)
    shape = Shape(dim, hidden_dim, n_layers, n_heads, n_kv_heads, len(vocab), seq_len, head_dim or dim // n_heads,
                  rotary=rotary, traits=traits or Traits())
    tensors: dict[str, Tensor] = {}
    for key, (rows, cols) in tensor_sizes(shape, tied, has, lacks).items():
        if key.endswith("norm"):
            values = 1 + rng.normal(0, 0.1, cols)
        elif rows == 1:
            values = rng.normal(0, 0.5, cols)
        else:
            values = rng.normal(0, 1, (rows, cols)) / np.sqrt(cols if key != "token_embedding" else 4)
        tensors[key] = float32_tensor(values.astype(np.float32))
    return Checkpoint(name, "made from a seed", shape, tensors, vocab)


def tensor_sizes(shape: Shape, tied: bool, has: Collection[str] = (), lacks: Collection[str] = ()
                 ) -> dict[str, tuple[int, int]]:
    """Rows and columns of every tensor, by the keys of `Checkpoint.tensors`."""
    left_out = {"classifier"} if tied else set()
    left_out |= (UNUSUAL - set(has)) | set(lacks)
    names = [name for name in shape.tensors() if name not in left_out]
    return {key: shape.tensors()[name] for name in names
            for key in (_of_layers(shape, name) if name in PER_LAYER else [name])}


def same_weights(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints have the same shape and the same float32 bits in every tensor."""
    return a.shape == b.shape and a.tensors.keys() == b.tensors.keys() and all(
        (tensor.rows, tensor.cols) == (b.tensors[key].rows, b.tensors[key].cols)
        and tensor.float32().tobytes() == b.tensors[key].float32().tobytes() for key, tensor in a.tensors.items())


def write_llama2c_v0(path: Path, checkpoint: Checkpoint) -> None:
    """The legacy form: seven integers, the weights, a gap where rotary tables used to be."""
    s = checkpoint.shape
    vocab_size = s.vocab_size if checkpoint.tied else -s.vocab_size
    parts = [_sizes(s, vocab_size), _float32(checkpoint, "token_embedding")]
    parts += [_float32(checkpoint, key) for name in V0_LAYERS for key in _of_layers(s, name)]
    parts += [_float32(checkpoint, "final_norm"), bytes(4 * s.seq_len * s.head_dim)]
    if not checkpoint.tied:
        parts.append(_float32(checkpoint, "classifier"))
    path.write_bytes(b"".join(parts))


def write_llama2c_v1(path: Path, checkpoint: Checkpoint) -> None:
    """Version 1: a header of 256 bytes, norms first, float32."""
    norms, matrices = _keys_norms_first(checkpoint)
    path.write_bytes(_long_header(checkpoint, 1, b"")
                     + b"".join(_float32(checkpoint, key) for key in norms + matrices))


def write_llama2c_v2(path: Path, checkpoint: Checkpoint, group: int = 16) -> None:
    """Version 2: the norms in float32, then every matrix as int8 and a scale for each `group` of values."""
    norms, matrices = _keys_norms_first(checkpoint)
    parts = [_long_header(checkpoint, 2, struct.pack("<i", group)), *[_float32(checkpoint, key) for key in norms]]
    for key in matrices:
        values, scales = quantize(checkpoint.tensors[key].float32(), group)
        parts += [values.tobytes(), scales.tobytes()]
    path.write_bytes(b"".join(parts))


def quantize(weights: NDArray[np.float32], group: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 in groups, as llama2.c exports it: values and scales, both flat."""
    groups = weights.reshape(-1, group)
    scales = (np.abs(groups).max(axis=1) / np.float32(127)).astype(np.float32)
    return np.rint(groups / scales[:, None]).astype(np.int8).reshape(-1), scales


def write_tokenizer_bin(path: Path, vocab: Vocab) -> None:
    """A vocabulary in llama2.c's form."""
    parts = [struct.pack("<i", max(map(len, vocab.pieces)))]
    parts += [struct.pack("<fi", score, len(piece)) + piece for score, piece in zip(vocab.scores, vocab.pieces)]
    path.write_bytes(b"".join(parts))


def shared_model(name: str) -> Path:
    """A real model or tokenizer; skips the test where it is not at hand."""
    folders = [Path(__file__).parents[2] / "shared" / "models"]
    if given := os.environ.get("BARELM_MODELS"):
        folders.insert(0, Path(given))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    pytest.skip(f"{name} is in none of {', '.join(map(str, folders))}: set BARELM_MODELS to the folder that has it")


def _sizes(s: Shape, vocab_size: int) -> bytes:
    return struct.pack("<7i", s.dim, s.hidden_dim, s.n_layers, s.n_heads, s.n_kv_heads, vocab_size, s.seq_len)


def _long_header(checkpoint: Checkpoint, version: int, more: bytes) -> bytes:
    start = struct.pack("<Ii", MAGIC, version) + _sizes(checkpoint.shape, checkpoint.shape.vocab_size)
    return (start + struct.pack("<B", checkpoint.tied) + more).ljust(256, b"\0")


def _keys_norms_first(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    s = checkpoint.shape
    norms = [key for name in NORMS for key in _of_layers(s, name)] + ["final_norm"]
    matrices = ["token_embedding"] + [key for name in MATRICES for key in _of_layers(s, name)]
    return norms, matrices + ([] if checkpoint.tied else ["classifier"])


def _of_layers(s: Shape, name: str) -> list[str]:
    return [f"layers.{l}.{name}" for l in range(s.n_layers)]


def _float32(checkpoint: Checkpoint, key: str) -> bytes:
    return checkpoint.tensors[key].float32().tobytes()
