"""GGUF files of random weights in the shape of well-known models: speed does not depend on the values.

The vocabulary is the default model's, cut short or filled up with tokens nobody types, so that a prompt is cut as
usual.  They are written by the `gguf` package, which is no dependency.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.sources.default_model import default_model
from barelm.errors import BarelmError
from barelm.host_files import cache_folder, written_beside

CONTEXT = 4096
_ROWS = 1024


@dataclass(frozen=True)
class LlamaSizes:
    """What a Llama of that size has."""

    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int


SIZES = {"260K": LlamaSizes(64, 192, 5, 8, 4, 512), "15M": LlamaSizes(288, 768, 6, 6, 6, 32_000),
         "135M": LlamaSizes(576, 1536, 30, 9, 3, 49_152), "1B": LlamaSizes(2048, 8192, 16, 32, 8, 128_256)}

ENCODINGS = {"Q4_0": ("Q4_0", "Q4_0", "Q8_0"), "Q8_0": ("Q8_0", "Q8_0", "Q8_0"), "Q4_K_M": ("Q4_K", "Q6_K", "Q6_K"),
             "F32": ("F32", "F32", "F32")}
"""Of most matrices, of the values and down-projections of some layers, of the embedding."""

_SCALES = {"Q4_0": ((0, 2e-3),), "Q8_0": ((0, 1e-4),), "Q4_K": ((0, 2e-5), (2, 1e-5)), "Q6_K": ((208, 1e-5),)}
"""Where in a block half-precision scales lie, and values for them: finite and small."""


def random_model(size: str, encoding: str, folder: Path | None = None) -> Path:
    """The file, written once."""
    out = (folder or cache_folder("bench")) / f"random-{size}.{encoding}.gguf"
    if not out.is_file():
        library = _gguf()
        _check_blocks(library, size, encoding)
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(out) as beside:
            _write(library, library.GGUFWriter(beside, "llama"), size, encoding)
    return out


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise BarelmError("models of random weights are written by the package gguf, which is not installed",
                          "Run `pip install gguf`, or leave --sizes out.") from error
    return gguf


def _check_blocks(library: Any, size: str, encoding: str) -> None:
    sizes = SIZES[size]
    for kind in ENCODINGS[encoding]:
        block = library.GGML_QUANT_SIZES[library.GGMLQuantizationType[kind]][0]
        if sizes.dim % block or sizes.hidden_dim % block:
            raise BarelmError(f"rows of {size} are no whole blocks of {kind}", "Take --encodings Q4_0 or Q8_0 for it.")


def _tensors(s: LlamaSizes, encoding: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, sizes (outermost first) and encoding of every tensor; the mixture is that of llama.cpp's Q4_K_M."""
    kv_dim = s.dim // s.n_heads * s.n_kv_heads
    most, better, embedding = ENCODINGS[encoding]
    yield "token_embd.weight", (s.vocab_size, s.dim), embedding
    yield "output_norm.weight", (s.dim,), "F32"
    for l in range(s.n_layers):
        eighth = s.n_layers // 8
        some = better if l < eighth or l >= s.n_layers - eighth or (l - eighth) % 3 == 2 else most
        for name, sizes, kind in (
                ("attn_norm", (s.dim,), "F32"), ("attn_q", (s.dim, s.dim), most), ("attn_k", (kv_dim, s.dim), most),
                ("attn_v", (kv_dim, s.dim), some), ("attn_output", (s.dim, s.dim), most), ("ffn_norm", (s.dim,), "F32"),
                ("ffn_gate", (s.hidden_dim, s.dim), most), ("ffn_up", (s.hidden_dim, s.dim), most),
                ("ffn_down", (s.dim, s.hidden_dim), some)):
            yield f"blk.{l}.{name}.weight", sizes, kind


def _random(library: Any, rng: np.random.Generator, sizes: tuple[int, ...], kind: str) -> NDArray[Any]:
    """Norms near 1, matrices small; the rows of a large one repeat."""
    if kind == "F32":
        return rng.normal(*((1, 0.1) if len(sizes) == 1 else (0, 0.05)), sizes).astype(np.float32)
    block, n_bytes = library.GGML_QUANT_SIZES[library.GGMLQuantizationType[kind]]
    rows = min(_ROWS, sizes[0])
    blocks = rng.integers(0, 256, (rows, sizes[1] // block, n_bytes), np.uint8)
    for at, scale in _SCALES[kind]:
        blocks[:, :, at:at + 2] = np.array([scale], np.float16).view(np.uint8)
    return np.tile(blocks.reshape(rows, -1), (-(-sizes[0] // rows), 1))[:sizes[0]]


def _write(library: Any, writer: Any, size: str, encoding: str) -> None:
    s, rng = SIZES[size], np.random.default_rng(1)
    writer.add_name(f"random {size} {encoding}")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(s.dim)
    writer.add_block_count(s.n_layers)
    writer.add_feed_forward_length(s.hidden_dim)
    writer.add_head_count(s.n_heads)
    writer.add_head_count_kv(s.n_kv_heads)
    writer.add_rope_freq_base(500_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    words, merges = _vocabulary(library, s.vocab_size)
    writer.add_token_list(words)
    writer.add_token_merges(merges)
    for name, sizes, kind in _tensors(s, encoding):
        writer.add_tensor(name, _random(library, rng, sizes, kind), raw_dtype=library.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(library: Any, n: int) -> tuple[list[str], list[str]]:
    """So many tokens, and the merges that make one of them."""
    fields = library.GGUFReader(default_model()).fields
    words, merges = ([bytes(fields[name].parts[k]).decode() for k in fields[name].data]
                     for name in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"))
    words = words[:n] + [f"<|unused_{k}|>" for k in range(n - len(words))]
    known = set(words)
    return words, [merge for merge in merges if merge.replace(" ", "") in known and {*merge.split(" ")} <= known]
