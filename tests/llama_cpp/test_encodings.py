"""Every encoding of GGML's: barelm strays no further from the formulas on the same weights than llama.cpp does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.llama_cpp.computing import barelm_logits, packed_gguf
from tests.llama_cpp.distance import divergences
from tests.llama_cpp.oracle import llama_cpp_logits, needs_llama_cpp, quantize_by_ggml
from tests.llama_cpp.reference import Reference
from tests.llama_cpp.tiny import QKV_BIASES, Tiny, write_tiny

N_TEXTS, N_IDS = 4, 32
LARGE = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")
SMALL = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4")


def wide(kind: str, **types: str) -> Tiny:
    """A Llama whose rows are whole blocks of any type."""
    return Tiny("llama", dim=256, hidden=512, head=64, type=kind, types=types, context=256)


MODELS = {kind: wide(kind) for kind in (*SMALL, *LARGE)} | {
    "Q4_K_M": wide("Q4_K", attn_v="Q6_K", ffn_down="Q6_K", output="Q6_K"),
    "Q4_K_M, narrow": Tiny("qwen2", plus=QKV_BIASES, dim=96, hidden=160, head=32, n_heads=3, n_kv_heads=1,
                           vocab="qwen2", type="Q5_0", context=256,
                           types={"attn_v": "Q8_0", "token_embd": "Q8_0", "output": "Q8_0"}),
    "Q3_K_L": wide("Q3_K", attn_v="Q5_K", attn_output="Q5_K", ffn_down="Q5_K", token_embd="Q6_K")}


@needs_llama_cpp
@pytest.mark.parametrize("name", MODELS)
def test_barelm_strays_no_further_than_llama_cpp(name: str, tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "tiny.gguf", MODELS[name], quantize_by_ggml)
    rng = np.random.default_rng(7)
    reference = Reference(model)
    texts = rng.integers(0, len(reference.tensor("token_embd.weight")), (N_TEXTS, N_IDS)).tolist()
    truth = np.concatenate([reference.again().read_all(text) for text in texts])
    packed = packed_gguf(model, tmp_path / "tiny.blm")
    ours = np.concatenate([barelm_logits(packed, text, 1) for text in texts])
    theirs = llama_cpp_logits(model, *texts, exact_cache=False)
    kl, their_kl = (divergences(truth, found).mean() for found in (ours, theirs))
    assert kl < their_kl
