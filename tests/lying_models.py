"""Small honest models, for files that lie to be made of."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from barelm.checkpoint.gguf_model import read_gguf
from barelm.pack.writer import write_packed
from tests.gguf_files import CHATML, STRING, Value, write_small_gguf
from tests.models import BIASES, tiny_checkpoint


@cache
def small_models() -> tuple[bytes, ...]:
    """A byte-level one with a chat, one of SentencePiece, one with every section of its kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small"
        chat = read_gguf(write_small_gguf(
            path.with_suffix(".gguf"), seed=8, seq_len=128, dim=32, hidden_dim=32, n_heads=2, n_kv_heads=2, n_layers=1,
            type="Q8_0", metadata={"tokenizer.chat_template": Value(STRING, CHATML)}))
        found = []
        for checkpoint in (chat, tiny_checkpoint(5), tiny_checkpoint(tied=False, has=BIASES)):
            write_packed(checkpoint, path)
            found.append(path.read_bytes())
        return tuple(found)
