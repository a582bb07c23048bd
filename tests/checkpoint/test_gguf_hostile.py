"""GGUF files that lie: one sentence each, and no more memory than the file has bytes for."""

from __future__ import annotations

import re
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.checkpoint.gguf_model import read_gguf
from barelm.errors import BarelmError
from barelm.pack.tokenizer_tables import tokenizer_tables
from barelm.pipeline import Packing, planned
from tests.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    U32,
    SmallLlama,
    Stored,
    Value,
    gguf_bytes,
    string,
    write_small_gguf,
)
from tests.llama_cpp.tiny import TINY as TINY_MODELS
from tests.llama_cpp.tiny import write_tiny

TINY = SmallLlama(dim=32, hidden_dim=32, n_layers=1, n_heads=2, n_kv_heads=1, vocab="sentencepiece", type="Q8_0")
TINY_BYTES = TINY.encode()
HEAD = len(gguf_bytes(TINY.all_metadata(), [replace(tensor, data=b"") for tensor in TINY.tensors()]))


def read_whole(path: Path) -> None:
    """Everything a packer would look at; a refusal is one sentence and one hint."""
    try:
        checkpoint = read_gguf(path)
        tokenizer_tables(checkpoint.vocab)
        for tensor in checkpoint.tensors.values():
            assert tensor.float32().shape == (tensor.rows, tensor.cols)
    except BarelmError as error:
        assert error.message and not error.message.endswith(".") and "\n" not in error.message
        assert error.hint.endswith(".") and len(error.message) < 1000


def refused(path: Path, content: bytes, why: str) -> None:
    """The file is refused, with `why` in the sentence."""
    path.write_bytes(content)
    with pytest.raises(BarelmError, match=re.escape(why)):
        read_gguf(path)


@pytest.mark.parametrize(("key", "value", "why"), [
    ("general.architecture", Value(STRING, "gemma"), "architecture 'gemma', which this barelm does not run"),
    ("general.architecture", Value(STRING, "qwen35"), "does not run: most of its layers keep a recurrent state"),
    ("llama.expert_count", Value(U32, 8), "mixture of experts"),
    ("llama.logit_scale", Value(F32, 0.5), "scales its logits (llama.logit_scale)"),
    ("llama.expert_count", Value(ARRAY, [8], U32), "mixture of experts"),
    ("llama.attention.causal", Value(BOOL, False), "attends to what comes later"),
    ("llama.rope.scaling.type", Value(STRING, "dynamic"), "the rule 'dynamic'"),
    ("llama.rope.scaling.factor", Value(F32, -2.0), "rope.scaling.factor is -2"),
    ("llama.rope.dimension_count", Value(U32, 18), "18 of the 16 dimensions of a head would turn"),
    ("llama.attention.value_length", Value(U32, 32), "has values of 32 dimensions"),
    ("llama.attention.key_length", Value(U32, 15), "which is odd"),
    ("llama.attention.head_count", Value(U32, 0), "head_count is 0"),
    ("llama.attention.head_count", Value(ARRAY, [4, 4], U32), "head_count is no whole number"),
    ("llama.attention.head_count_kv", Value(U32, 3), "cannot share 3 key heads"),
    ("llama.attention.layer_norm_rms_epsilon", Value(F32, float("nan")), "no finite number"),
    ("llama.rope.freq_base", Value(F32, 0.0), "freq_base is 0"),
    ("llama.block_count", Value(U32, 1 << 31), "tensors for 2147483648 layers"),
    ("llama.block_count", Value(U32, 3), "the tensor blk.2.attn_norm.weight is missing"),
    ("llama.block_count", Value(U32, 1), "has a tensor blk.1.attn_norm.weight"),
    ("llama.embedding_length", Value(U32, 128), "values instead of"),
    ("llama.vocab_size", Value(U32, 5), "llama.vocab_size"),
    ("general.alignment", Value(U32, 48), "general.alignment cannot be 48"),
    ("general.alignment", Value(STRING, "x" * 1000), "general.alignment cannot be"),
    ("split.count", Value(U32, 2), "one of 2 parts"),
])
def test_metadata_this_cannot_compute_with_is_named(tmp_path: Path, key: str, value: Value, why: str) -> None:
    """Scaling, experts, other architectures, impossible sizes."""
    refused(tmp_path / "a.gguf", SmallLlama(metadata={key: value}).encode(), why)


@pytest.mark.parametrize("key", ["general.architecture", "llama.context_length", "llama.block_count",
                                 "llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.tokens"])
def test_missing_metadata_is_named(tmp_path: Path, key: str) -> None:
    """What has no usual value must be there."""
    model = SmallLlama()
    entries = {name: value for name, value in model.all_metadata().items() if name != key}
    refused(tmp_path / "a.gguf", gguf_bytes(entries, model.tensors()), f"{key} is missing")


@pytest.mark.parametrize(("name", "why"), [
    ("blk.0.attn_q.bias", "the tensor blk.1.attn_q.bias is missing"),
    ("blk.0.attn_sinks.bias", "has biases (blk.0.attn_sinks.bias)"),
    ("blk.0.ffn_gate_exps.weight", "mixture of experts"),
    ("blk.0.attn_q_norm.weight", "has a tensor blk.0.attn_q_norm.weight, unknown"),
    ("output_norm.weight", "is there twice"), ("\x1b[2J", "control characters"), ("n" * 300, "300 bytes long")])
def test_tensors_a_llama_does_not_have_are_named(tmp_path: Path, name: str, why: str) -> None:
    """Biases, experts, whatever else; a name is shown only where it is safe to show."""
    more = Stored(name, 0, (64,), bytes(256))
    refused(tmp_path / "a.gguf", gguf_bytes(SmallLlama().all_metadata(), [*SmallLlama().tensors(), more]), why)


@pytest.mark.parametrize(("change", "why"), [
    (lambda t: replace(t, type_id=16), "stores the tensor token_embd.weight as IQ2_XXS"),
    (lambda t: replace(t, type_id=4), "as the unknown type 4"),
    (lambda t: replace(t, type_id=12), "do not make whole blocks of Q4_K"),
    (lambda t: replace(t, offset=1 << 62), "ends at byte"),
    (lambda t: replace(t, offset=(1 << 64) - 32), "ends at byte"),
    (lambda t: replace(t, offset=33), "is not aligned to 32 bytes"),
    (lambda t: replace(t, offset=256), "overlap"),
    (lambda t: replace(t, sizes=(64, 1 << 60)), "ends at byte"),
    (lambda t: replace(t, sizes=(1 << 63, 1 << 63, 1 << 63, 1 << 63)), "ends at byte"),
    (lambda t: replace(t, sizes=(64, 0)), "is empty"),
    (lambda t: replace(t, sizes=(2,) * 5), "has 5 dimensions"),
    (lambda t: replace(t, sizes=t.sizes[::-1]), "values instead of"),
    (lambda t: replace(t, sizes=(*t.sizes, 1)), "values instead of"),
])
def test_a_tensor_that_lies_is_named(tmp_path: Path, change: Callable[[Stored], Stored], why: str) -> None:
    """Its type, offset, sizes, number of dimensions."""
    first, *others = SmallLlama().tensors()
    refused(tmp_path / "a.gguf", gguf_bytes(SmallLlama().all_metadata(), [change(first), *others]), why)


@pytest.mark.parametrize(("content", "why"), [
    (b"", "is empty"), (b"GGUF\3\0\0\0", "ends within its header"), (b"ggml" + bytes(100), "is not a GGUF model"),
    (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"), (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "of version 1"),
    (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "of version 4"), (b"GGUF" + struct.pack("<IQQ", 0, 0, 0), "of version 0"),
    (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "claims to hold 1152921504606846976 tensors"),
    (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "metadata entries"),
    (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "holds no tensors"),
])
def test_a_header_that_lies_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    """No GGUF, another version, the other byte order, counts beyond reason."""
    refused(tmp_path / "a.gguf", content, why)


@pytest.mark.parametrize(("entry", "why"), [
    (struct.pack("<Q", 1 << 62), "the name of a metadata entry would be"),
    (string("k") + struct.pack("<IQ", STRING, 1 << 62), "k would be"),
    (string("k") + struct.pack("<IQ", STRING, 1 << 20), "it ends within k"),
    (string("k") + struct.pack("<IIQ", ARRAY, U32, 1 << 61), "it ends within k"),
    (string("k") + struct.pack("<IIQ", ARRAY, STRING, 1 << 61), "k claims to hold"),
    (string("k") + struct.pack("<IIQQ", ARRAY, STRING, 2, 1 << 63), "it ends within k"),
    (string("k") + struct.pack("<IIQ", ARRAY, ARRAY, 1), "an array of arrays"),
    (string("k") + struct.pack("<IIQ", ARRAY, 77, 1), "the unknown type 77"),
    (string("k") + struct.pack("<I", 77), "the unknown type 77"),
    (string("k") + struct.pack("<I", STRING) + string(b"\xff"), "k is not UTF-8"),
    (string("k") + struct.pack("<IB", BOOL, 1) + string("k"), "k is there twice"),
])
def test_metadata_that_lies_takes_no_memory(tmp_path: Path, entry: bytes, why: str) -> None:
    """Counts and lengths are held against the file before anything is made of them."""
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + entry + bytes(64)
    (tmp_path / "a.gguf").write_bytes(content)
    tracemalloc.start()
    refused(tmp_path / "a.gguf", content, why)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """In the header at every byte, in the weights at some; but for what fills up the end."""
    path = tmp_path / "a.gguf"
    for length in [*range(0, HEAD, 7), *range(HEAD, len(TINY_BYTES), 4001), len(TINY_BYTES) - 1]:
        path.write_bytes(TINY_BYTES[:length])
        with pytest.raises(BarelmError):
            read_gguf(path)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(4, HEAD - 1), st.sampled_from([0, 1, 2, 8, 9, 127, 128, 255])),
                min_size=1, max_size=4))
def test_any_header_is_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    """Bytes anywhere in the header replaced by others."""
    mutated = bytearray(TINY_BYTES)
    for at, byte in changes:
        mutated[at] = byte
    (tmp_path / "a.gguf").write_bytes(mutated)
    read_whole(tmp_path / "a.gguf")


def _numbers_in_the_header() -> list[int]:
    """Where small 64-bit numbers lie: lengths, counts, sizes, offsets, and the types next to them."""
    return [at for at in range(8, HEAD - 8) if 0 < int.from_bytes(TINY_BYTES[at:at + 8], "little") < 1 << 20]


@settings(max_examples=150)
@given(st.sampled_from(_numbers_in_the_header()), st.one_of(
    st.integers(0, 300), st.sampled_from([1 << 31, (1 << 32) - 1, 1 << 62, 1 << 63, (1 << 64) - 1, (1 << 64) - 32])))
def test_any_count_is_read_or_refused(tmp_path: Path, at: int, value: int) -> None:
    """A length, count, size or offset replaced by another."""
    (tmp_path / "a.gguf").write_bytes(TINY_BYTES[:at] + struct.pack("<Q", value) + TINY_BYTES[at + 8:])
    read_whole(tmp_path / "a.gguf")


def test_weights_that_are_no_numbers_are_read_as_they_are(tmp_path: Path) -> None:
    """Whether they make sense is not the reader's question, and NumPy does not complain."""
    path = write_small_gguf(tmp_path / "a.gguf", type="Q4_K")
    content = path.read_bytes()
    path.write_bytes(content[:-5000] + b"\xff" * 5000)
    with np.errstate(all="raise"):
        assert np.isnan(read_gguf(path).tensors["layers.1.w2"].float32()).any()


def test_a_folder_or_nothing_is_refused(tmp_path: Path) -> None:
    """As for any other model."""
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(BarelmError):
            read_gguf(path)


@pytest.mark.parametrize("base", [0.0, 0.5, -1.0])
def test_angles_of_windowed_layers_need_a_base(tmp_path: Path, base: float) -> None:
    tiny = TINY_MODELS["gemma3"]
    path = write_tiny(tmp_path / "tiny.gguf", replace(tiny, keys={**tiny.keys, "rope.freq_base_swa": base}))
    with pytest.raises(BarelmError, match="the RoPE base of its windowed layers is"):
        read_gguf(path)


@pytest.mark.parametrize("changes", [
    {"rope.scaling.yarn_beta_fast": 0.0}, {"rope.scaling.yarn_beta_slow": -1.0}, {"rope.freq_base": 1.0},
    {"rope.scaling.yarn_beta_fast": 1e-38, "rope.freq_base": 1.0000001192092896}])
def test_numbers_that_stretch_positions_have_bounds(tmp_path: Path, changes: dict[str, float]) -> None:
    tiny = TINY_MODELS["llama, yarn"]
    path = write_tiny(tmp_path / "tiny.gguf", replace(tiny, keys={**tiny.keys, **changes}))
    try:
        checkpoint = read_gguf(path)
    except BarelmError as error:
        assert "stretch its positions" in error.message
    else:
        assert np.isfinite(checkpoint.shape.rope_factors).all()


def test_a_table_of_angles_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    tiny = TINY_MODELS["llama, yarn"]
    tiny = replace(tiny, keys={**tiny.keys, "rope.scaling.attn_factor": 3.4e38})
    with pytest.raises(BarelmError, match="make no finite table"):
        planned(write_tiny(tmp_path / "tiny.gguf", tiny), None, Packing())
