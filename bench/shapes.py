"""Checkpoints of known shapes with random weights, in llama2.c's version 0 form: speed does not depend on the values.

    python bench/shapes.py 15M [FOLDER]        writes 15M.bin and its tokenizer

The tokens that end a text get weights so small that none of them is ever the most likely one: a greedy run goes on
for as long as it is asked to.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.host_files import cache_folder, replace_file, written_beside
from barelm.measure.random_models import LlamaSizes

_CHUNK = 1 << 22
_SPREAD = np.float32(0.05)
_SILENT = 3  # <unk>, <s>, </s>


@dataclass(frozen=True)
class Sizes(LlamaSizes):
    """The seven numbers of a version 0 header."""

    seq_len: int


SHAPES = {"15M": Sizes(288, 768, 6, 6, 6, 32000, 256), "110M": Sizes(768, 2048, 12, 12, 12, 32000, 1024)}


def random_checkpoint(name: str, folder: Path | None = None) -> tuple[Path, Path]:
    """A checkpoint of a known shape and its tokenizer, written where they are not there yet."""
    folder = folder or cache_folder("bench")
    sizes = SHAPES[name]
    checkpoint, tokenizer = folder / f"{name}.bin", folder / "tokenizer.bin"
    if not tokenizer.is_file():
        replace_file(tokenizer, made_up_tokenizer(sizes.vocab_size))
    if not checkpoint.is_file():
        with written_beside(checkpoint) as beside, open(beside, "wb") as file:
            file.write(struct.pack("<7i", *vars(sizes).values()))
            for part in _weights(sizes):
                file.write(part.tobytes())
    return checkpoint, tokenizer


def _weights(s: Sizes) -> Iterator[NDArray[np.float32]]:
    """Every tensor of the file in its order, a few megabytes at a time."""
    rng = np.random.default_rng(1)
    kv_dim = s.dim // s.n_heads * s.n_kv_heads
    embedding = _random(rng, s.vocab_size * s.dim)
    embedding[:_SILENT * s.dim] *= np.float32(1e-3)
    yield embedding
    yield np.ones(s.n_layers * s.dim, np.float32)
    for rows in (s.dim, kv_dim, kv_dim, s.dim):
        yield from _chunks(rng, s.n_layers * rows * s.dim)
    yield np.ones(s.n_layers * s.dim, np.float32)
    for _ in range(3):
        yield from _chunks(rng, s.n_layers * s.hidden_dim * s.dim)
    yield np.ones(s.dim, np.float32)
    yield np.zeros(s.seq_len * (s.dim // s.n_heads), np.float32)  # where rotary tables used to be


def _random(rng: Any, n: int) -> NDArray[np.float32]:
    values: NDArray[np.float32] = rng.standard_normal(n, np.float32) * _SPREAD
    return values


def _chunks(rng: Any, n: int) -> Iterator[NDArray[np.float32]]:
    for done in range(0, n, _CHUNK):
        yield _random(rng, min(_CHUNK, n - done))


def made_up_tokenizer(vocab_size: int) -> bytes:
    """A tokenizer in llama2.c's form: control pieces, bytes, and words that are only numbered."""
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]
    pieces += [b" w%d" % token for token in range(len(pieces), vocab_size)]
    entries = (struct.pack("<fi", -float(token), len(piece)) + piece for token, piece in enumerate(pieces))
    return struct.pack("<i", max(map(len, pieces))) + b"".join(entries)


def main() -> None:
    """Write one."""
    parser = argparse.ArgumentParser(description="Write a checkpoint of random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    chosen = parser.parse_args()
    for path in random_checkpoint(chosen.shape, chosen.folder):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
