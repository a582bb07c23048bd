"""GGUF files of random weights in the shape and mixture of well-known models: speed does not depend on the values.

    python bench/large.py 1B [FOLDER]       Llama 3.2 1B, mixed as llama.cpp's Q4_K_M

The vocabulary is the default model's, filled up with tokens nobody types, so that a prompt is cut as usual.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from requantize import model_as

from barelm.host_files import cache_folder, written_beside

_ROWS = 1024
_KINDS = {"Q4_K": gguf.GGMLQuantizationType.Q4_K, "Q6_K": gguf.GGMLQuantizationType.Q6_K,
          "F32": gguf.GGMLQuantizationType.F32}


@dataclass(frozen=True)
class LlamaSizes:
    """What a Llama of that size has."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int


SIZES = {"1B": LlamaSizes(2048, 8192, 16, 32, 8, 128_256)}


def tensors(s: LlamaSizes) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, sizes (outermost first) and encoding of every tensor; the mixture is that of llama.cpp's Q4_K_M."""
    kv_dim = s.dim // s.n_heads * s.n_kv_heads
    found: list[tuple[str, tuple[int, ...], str]] = [
        ("token_embd.weight", (s.vocab_size, s.dim), "Q6_K"), ("output_norm.weight", (s.dim,), "F32")]
    for l in range(s.n_layers):
        eighth = s.n_layers // 8
        more = l < eighth or l >= s.n_layers - eighth or (l - eighth) % 3 == 2
        for name, sizes, kind in (
                ("attn_norm", (s.dim,), "F32"), ("attn_q", (s.dim, s.dim), "Q4_K"), ("attn_k", (kv_dim, s.dim), "Q4_K"),
                ("attn_v", (kv_dim, s.dim), "Q6_K" if more else "Q4_K"), ("attn_output", (s.dim, s.dim), "Q4_K"),
                ("ffn_norm", (s.dim,), "F32"), ("ffn_gate", (s.hidden_dim, s.dim), "Q4_K"),
                ("ffn_up", (s.hidden_dim, s.dim), "Q4_K"),
                ("ffn_down", (s.dim, s.hidden_dim), "Q6_K" if more else "Q4_K")):
            found.append((f"blk.{l}.{name}.weight", sizes, kind))
    return found


def random_bytes(rng: np.random.Generator, sizes: tuple[int, ...], kind: str) -> NDArray[Any]:
    """Blocks whose scales are finite and small."""
    if kind == "F32":
        return rng.normal(1, 0.1, sizes).astype(np.float32)
    block, n_bytes = gguf.GGML_QUANT_SIZES[_KINDS[kind]]
    rows = min(_ROWS, sizes[0])
    blocks = rng.integers(0, 256, (rows, sizes[1] // block, n_bytes), np.uint8)
    for at, scale in {"Q4_K": ((0, 2e-5), (2, 1e-5)), "Q6_K": ((208, 1e-5),)}[kind]:
        blocks[:, :, at:at + 2] = np.array([scale], np.float16).view(np.uint8)
    return np.tile(blocks.reshape(rows, -1), (-(-sizes[0] // rows), 1))[:sizes[0]]


def random_model(name: str, folder: Path | None = None) -> Path:
    """The file, written once."""
    out = (folder or cache_folder("bench")) / f"{name}.Q4_K_M.gguf"
    if out.is_file():
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    s, rng = SIZES[name], np.random.default_rng(1)
    given = gguf.GGUFReader(model_as("Q4_1"))
    words = [bytes(given.fields["tokenizer.ggml.tokens"].parts[k]).decode() for k in
             given.fields["tokenizer.ggml.tokens"].data]
    merges = [bytes(given.fields["tokenizer.ggml.merges"].parts[k]).decode() for k in
              given.fields["tokenizer.ggml.merges"].data]
    with written_beside(out) as beside:
        writer = gguf.GGUFWriter(beside, "llama")
        writer.add_name(f"random {name}")
        writer.add_context_length(4096)
        writer.add_embedding_length(s.dim)
        writer.add_block_count(s.n_layers)
        writer.add_feed_forward_length(s.hidden_dim)
        writer.add_head_count(s.n_heads)
        writer.add_head_count_kv(s.n_kv_heads)
        writer.add_rope_freq_base(500_000.0)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        writer.add_token_list(words + [f"<|unused_{k}|>" for k in range(s.vocab_size - len(words))])
        writer.add_token_merges(merges)
        for tensor, sizes, kind in tensors(s):
            writer.add_tensor(tensor, random_bytes(rng, sizes, kind), raw_dtype=_KINDS[kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return out


def main() -> None:
    """Write one, and say where."""
    parser = argparse.ArgumentParser(description="Random weights in the shape of a well-known model.")
    parser.add_argument("name", choices=SIZES)
    parser.add_argument("folder", type=Path, nargs="?")
    chosen = parser.parse_args()
    print(random_model(chosen.name, chosen.folder))


if __name__ == "__main__":
    main()
