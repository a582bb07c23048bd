"""llama2.c checkpoints: what was written is read, what is wrong is said, nothing large is ever allocated for it."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.checkpoint.checkpoint import Checkpoint
from barelm.checkpoint.llama2c import read_llama2c, read_llama2c_header
from barelm.errors import BarelmError
from tests.models import (
    quantize,
    same_weights,
    shared_model,
    tensor_sizes,
    tiny_checkpoint,
    write_llama2c_v0,
    write_llama2c_v1,
    write_llama2c_v2,
    write_tokenizer_bin,
)

Writer = Callable[[Path, Checkpoint], None]
WRITERS: tuple[Writer, ...] = (write_llama2c_v0, write_llama2c_v1, write_llama2c_v2)
versions = pytest.mark.parametrize("write", WRITERS, ids=["v0", "v1", "v2"])
SMALL = 2 << 20
"""Bytes that reading a header may take: far below what a lying one could ask for."""

tiny_models = st.builds(
    lambda seed, heads, per_head, group, hidden, layers, seq, tied: tiny_checkpoint(
        seed, dim=heads * group * 2 * per_head, hidden_dim=hidden, n_layers=layers, n_heads=heads * group,
        n_kv_heads=heads, vocab_size=300 + seed % 7, seq_len=seq, tied=tied),
    st.integers(1, 99), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 40),
    st.integers(1, 3), st.integers(1, 40), st.booleans())


def written(folder: Path, checkpoint: Checkpoint, write: Writer = write_llama2c_v0) -> Path:
    """A checkpoint's files in `folder`."""
    path = folder / "model.bin"
    write(path, checkpoint)
    write_tokenizer_bin(folder / "tokenizer.bin", checkpoint.vocab)
    return path


@given(tiny_models, st.sampled_from((write_llama2c_v0, write_llama2c_v1)))
def test_float32_is_read_back(tmp_path: Path, checkpoint: Checkpoint, write: Writer) -> None:
    read = read_llama2c(written(tmp_path, checkpoint, write))
    assert same_weights(read, checkpoint)
    assert read.vocab == checkpoint.vocab
    assert read.tied == checkpoint.tied
    assert read.name == "model"


@given(tiny_models, st.sampled_from((1, 2, 4)), st.data())
def test_int8_groups_are_read_back(tmp_path: Path, checkpoint: Checkpoint, group: int, data: st.DataObject) -> None:
    if any(rows * cols % group for rows, cols in tensor_sizes(checkpoint.shape, checkpoint.tied).values()):
        group = 1
    path = tmp_path / "model.bin"
    write_llama2c_v2(path, checkpoint, group)
    write_tokenizer_bin(tmp_path / "tokenizer.bin", checkpoint.vocab)
    read = read_llama2c(path)
    assert read.tensors.keys() == checkpoint.tensors.keys()
    for key, tensor in read.tensors.items():
        expected = checkpoint.tensors[key].float32()
        if not key.endswith("norm"):
            values, scales = quantize(expected, group)
            expected = np.multiply(values, np.repeat(scales, group), dtype=np.float32).reshape(expected.shape)
        assert np.array_equal(tensor.float32(), expected)
        lo = data.draw(st.integers(0, tensor.rows))
        hi = data.draw(st.integers(lo, tensor.rows))
        assert np.array_equal(tensor.float32(lo, hi), expected[lo:hi])


@versions
def test_weights_stay_in_the_file(tmp_path: Path, write: Writer) -> None:
    path = written(tmp_path, tiny_checkpoint(dim=256, hidden_dim=512, n_layers=4), write)
    tracemalloc.start()
    try:
        read = read_llama2c(path)
        read.tensors["token_embedding"].float32(3, 5)
        assert tracemalloc.get_traced_memory()[1] < SMALL < path.stat().st_size
    finally:
        tracemalloc.stop()


@versions
@pytest.mark.parametrize("change", [-1, -4, 1, 4096])
def test_a_wrong_size_is_refused(tmp_path: Path, write: Writer, change: int) -> None:
    path = written(tmp_path, tiny_checkpoint(), write)
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(BarelmError, match="cut short: [14] of" if change < 0 else f"has {change} bytes more") as error:
        read_llama2c(path)
    assert str(path) in error.value.message and error.value.hint


@versions
def test_every_cut_within_the_header_is_refused(tmp_path: Path, write: Writer) -> None:
    path = written(tmp_path, tiny_checkpoint(), write)
    content = path.read_bytes()[:300]
    for n in range(len(content)):
        path.write_bytes(content[:n])
        with pytest.raises(BarelmError):
            read_llama2c(path)


@versions
@given(st.data())
def test_a_mutated_header_never_crashes_or_allocates(tmp_path: Path, write: Writer, data: st.DataObject) -> None:
    path = written(tmp_path, tiny_checkpoint(), write)
    content = bytearray(path.read_bytes())
    n_words = 7 if write is write_llama2c_v0 else 10
    for _ in range(data.draw(st.integers(1, 3))):
        at = 4 * data.draw(st.integers(0, n_words - 1)) + (n_words > 7) * data.draw(st.integers(0, 1))
        struct.pack_into("<i", content, at, data.draw(st.one_of(
            st.integers(-2**31, 2**31 - 1), st.integers(-3, 600), st.sampled_from((1 << 24, (1 << 24) + 1, 1 << 30)))))
    path.write_bytes(content)
    tracemalloc.start()
    try:
        read_llama2c(path)
    except BarelmError as error:
        assert error.message and error.hint
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < SMALL


@pytest.mark.parametrize("word, value, says", [
    (0, 0, "dim would be 0"), (1, -5, "hidden_dim would be -5"), (2, 1 << 25, "n_layers would be 33554432"),
    (3, 64, "do not make 64 heads"), (3, 32, "do not make 32 heads"), (3, 5, "do not make 5 heads"),
    (4, 3, "cannot share 3 key heads"), (4, 8, "cannot share 8 key heads"), (5, 0, "vocab_size would be 0"),
    (5, -2**31, "vocab_size would be 2147483648"), (6, 0, "seq_len would be 0"), (1, 1 << 24, "cut short"),
])
def test_impossible_sizes_are_named(tmp_path: Path, word: int, value: int, says: str) -> None:
    path = written(tmp_path, tiny_checkpoint())
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 4 * word, value)
    path.write_bytes(content)
    with pytest.raises(BarelmError, match=says):
        read_llama2c(path)


@pytest.mark.parametrize("version", [0, 3, -1])
def test_an_unknown_version_is_named(tmp_path: Path, version: int) -> None:
    path = written(tmp_path, tiny_checkpoint(), write_llama2c_v1)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 4, version)
    path.write_bytes(content)
    with pytest.raises(BarelmError, match=f"of version {version}"):
        read_llama2c(path)


@pytest.mark.parametrize("group", [0, -8, 7, 2**31 - 1])
def test_groups_that_do_not_fit_are_refused(tmp_path: Path, group: int) -> None:
    path = written(tmp_path, tiny_checkpoint(), write_llama2c_v2)
    content = bytearray(path.read_bytes())
    struct.pack_into("<i", content, 37, group)
    path.write_bytes(content)
    with pytest.raises(BarelmError, match=f"groups of {group}"):
        read_llama2c(path)


def test_stories260k_is_what_its_readme_says() -> None:
    path = shared_model("stories260K.bin")
    header = read_llama2c_header(path)
    assert (header.format, header.tied, header.n_parameters) == ("llama2.c checkpoint, version 0", True, 260_032)
    s = read_llama2c(path, shared_model("tok512.bin")).shape
    assert (s.dim, s.hidden_dim, s.n_layers, s.n_heads, s.n_kv_heads, s.vocab_size, s.seq_len, s.head_dim) == (
        64, 172, 5, 8, 4, 512, 512, 8)
