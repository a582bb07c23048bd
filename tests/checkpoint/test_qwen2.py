"""Qwen2 from its file to its logits, against its formulas in double precision on what the official library reads."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from barelm.checkpoint.gguf_model import read_gguf
from barelm.contract import sections
from barelm.errors import BarelmError
from barelm.kernels import session
from tests.conftest import Pack
from tests.gguf_files import SmallLlama, gguf_bytes
from tests.kernels.references import F64, attend, rmsnorm
from tests.worlds import alone, interpreter, jit

SMALL = SmallLlama(architecture="qwen2", tied=False)


def rotated(x: F64, theta: float) -> F64:
    """x cos + rotate_half(x) sin of (position, head, head_dim), as the authors' code has it."""
    angles = np.arange(len(x))[:, None] * theta ** (-np.arange(0, x.shape[2], 2) / x.shape[2])
    angles = np.concatenate([angles, angles], axis=1)[:, None]
    first, second = np.split(x, 2, axis=2)
    return x * np.cos(angles) + np.concatenate([-second, first], axis=2) * np.sin(angles)


def logits(path: Path, model: SmallLlama, tokens: list[int]) -> F64:
    """What the model in a file says after each of the tokens."""
    t = {tensor.name: tensor.data.astype(np.float64) for tensor in gguf.GGUFReader(path).tensors}
    x = t["token_embd.weight"][tokens]
    for l in range(model.n_layers):
        w = {name.removeprefix(f"blk.{l}."): data for name, data in t.items() if name.startswith(f"blk.{l}.")}
        h = rmsnorm(x, w["attn_norm.weight"], 1e-5)
        q, k, v = ((h @ w[f"attn_{which}.weight"].T + w[f"attn_{which}.bias"]).reshape(len(x), -1, model.head_dim)
                   for which in "qkv")
        q, k = rotated(q, 10000.0), rotated(k, 10000.0)
        group = model.n_heads // model.n_kv_heads
        heads = [attend(q[:, i], k[:, i // group], v[:, i // group]) for i in range(model.n_heads)]
        x = x + np.concatenate(heads, axis=1) @ w["attn_output.weight"].T
        h = rmsnorm(x, w["ffn_norm.weight"], 1e-5)
        gate = h @ w["ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w["ffn_up.weight"].T)) @ w["ffn_down.weight"].T
    return rmsnorm(x, t["output_norm.weight"], 1e-5) @ t["output.weight"].T


def test_it_computes_what_the_formulas_say(pack: Pack, tmp_path: Path) -> None:
    path = SMALL.write(tmp_path / "a.gguf")
    packed = pack(read_gguf(path))
    assert packed.header.sections[sections.BQKV].n_bytes > 0
    tokens = [int(token) for token in np.random.default_rng(3).integers(0, packed.config.vocab_size, 20)]
    truth = logits(path, SMALL, tokens)
    states = []
    for world in (jit, interpreter):
        s = packed.fresh_state()
        s.tokens[:20] = tokens
        world(session.prefill)(packed.config, packed.weights(), s, 0, 20, alone())
        found = s.logits[0, :packed.config.vocab_size]
        assert np.abs(found - truth[-1]).max() < 2e-5 * np.abs(truth).max()
        states.append(s.logits.tobytes())
    assert states[0] == states[1]


def test_all_biases_are_needed(tmp_path: Path) -> None:
    tensors = [tensor for tensor in SMALL.tensors() if tensor.name != "blk.1.attn_k.bias"]
    (tmp_path / "a.gguf").write_bytes(gguf_bytes(SMALL.all_metadata(), tensors))
    with pytest.raises(BarelmError, match=r"the tensor blk\.1\.attn_k\.bias is missing"):
        read_gguf(tmp_path / "a.gguf")
