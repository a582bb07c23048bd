"""barelm's logits for given ids: a checkpoint packed, and computed by the host's JIT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.gguf_model import read_gguf
from barelm.kernels import session
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from tests.worlds import alone, jit


def packed_gguf(model: Path, out: Path, quant: str = "keep", context: int = 0) -> Packed:
    """The model in a GGUF file packed as `out`, with its own context or a shorter one."""
    checkpoint = read_gguf(model)
    if context:
        shape = replace(checkpoint.shape, seq_len=min(context, checkpoint.shape.seq_len))
        checkpoint = replace(checkpoint, shape=shape)
    write_packed(checkpoint, out, quant=quant)
    return read_packed(out)


def barelm_logits(packed: Packed, ids: list[int], n_prompt: int) -> NDArray[np.float32]:
    """The logits after each of the ids from the last of a prompt on, (ids - n_prompt + 1, vocab_size).

    The prompt is read at once, the others one by one.
    """
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    s.tokens[:len(ids)] = ids
    jit(session.prefill)(c, w, s, 0, n_prompt, alone())
    rows = [s.logits[0, :c.vocab_size].copy()]
    for position in range(n_prompt, len(ids)):
        jit(session.decode)(c, w, s, position, 1, alone())
        rows.append(s.logits[0, :c.vocab_size].copy())
    return np.stack(rows)
