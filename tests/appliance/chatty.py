"""Chat models for tests: random weights, which answer in words, and volumes that hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from barelm import pipeline
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.checkpoint.gguf_model import read_gguf
from barelm.disk import write_image
from barelm.pack.golden import Golden
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from tests.built import program
from tests.gguf_files import STRING, SmallLlama, Stored, Value, gguf_bytes
from tests.quiet import Quiet

SPOKEN = ("the", " the", " and", " to", "ing", " hello", " world", "123", "é")
MEMORY_MB = 192


@dataclass(frozen=True)
class Chatty:
    """A chat model that says nothing but SPOKEN, and never ends by itself: of all others the logits are zero."""

    seed: int = 1
    seq_len: int = 512
    dim: int = 64
    hidden_dim: int = 96
    n_layers: int = 2
    name: str = "chatty"

    def write(self, path: Path, *, kv: str = "auto", golden: bool = False,
              example: Callable[[Path], Golden | None] | None = None) -> Packed:
        """Pack it; with an example for the self-test where that is wanted, or the one given."""
        model = SmallLlama(self.seed, self.dim, self.hidden_dim, self.n_layers, head_dim=self.dim // 4,
                           seq_len=self.seq_len, tied=False, metadata={"general.name": Value(STRING, self.name)})
        gguf = path.with_suffix(".gguf")
        gguf.write_bytes(gguf_bytes(model.all_metadata(), [limited(model, tensor) for tensor in model.tensors()]))
        if golden:
            example = partial(pipeline.example_of, program=program(), watch=Quiet())
        write_packed(read_gguf(gguf), path, kv=kv, example=example)
        gguf.unlink()
        return read_packed(path)


def limited(model: SmallLlama, tensor: Stored) -> Stored:
    """The classifier with zeros for every token that is not to be said; other tensors as they are."""
    if tensor.name != "output.weight":
        return tensor
    tokens = model.all_metadata()["tokenizer.ggml.tokens"].value
    rows = np.frombuffer(tensor.data, np.float32).reshape(len(tokens), model.dim).copy()
    spoken = {word.replace(" ", "Ġ").replace("é", "Ã©") for word in SPOKEN}
    for number, token in enumerate(tokens):
        if token not in spoken:
            rows[number] = 0
    assert BY_NAME["F32"].type_id == tensor.type_id
    return replace(tensor, data=rows.tobytes())


def volume_of(path: Path, settings: Settings, models: dict[str, Path | bytes], *, free_mb: int = 8,
              prefix: bytes | None = None) -> Path:
    """An image with the program, a configuration and models by their file names."""
    files: dict[str, Path | bytes] = {"EFI/BOOT/BOOTX64.EFI": program(), "barelm.toml": settings.toml(), **models}
    if prefix is not None:
        files["prefix.session"] = prefix
    write_image(path, files, free_bytes=free_mb << 20)
    return path
