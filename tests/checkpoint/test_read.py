"""Which format a file has, and what is said of files that have none of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from barelm.checkpoint.read import read_checkpoint, read_header, tokenizer_beside
from barelm.errors import BarelmError
from barelm.pack.reader import read_packed
from barelm.pack.writer import write_packed
from tests.gguf_files import write_small_gguf
from tests.models import same_weights, tiny_checkpoint, write_llama2c_v1, write_tokenizer_bin


def test_a_checkpoint_is_read_with_the_tokenizer_given(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()
    write_llama2c_v1(tmp_path / "model.bin", checkpoint)
    write_tokenizer_bin(tmp_path / "mine", checkpoint.vocab)
    assert same_weights(read_checkpoint(tmp_path / "model.bin", tmp_path / "mine"), checkpoint)
    assert read_header(tmp_path / "model.bin").shape == checkpoint.shape
    with pytest.raises(BarelmError, match="no tokenizer for"):
        read_checkpoint(tmp_path / "model.bin")


@pytest.mark.parametrize("content, says", [
    (b"", "is empty"), (b"PK\x03\x04" + bytes(60), "is a PyTorch checkpoint"),
    (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"), (b"<!DOCTYPE html>", "is a web page"),
    (b"GGU", "ends within its header, after 3 bytes"), (b"Once upon a time, there was a little girl", "dim would be"),
])
def test_other_files_are_named_for_what_they_are(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    for read in (read_checkpoint, read_header):
        with pytest.raises(BarelmError, match=says) as error:
            read(path)
        assert str(path) in error.value.message and error.value.hint


def test_no_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, says in (("absent", "No such file"), (".", "is a folder"), ("pipe", "not a regular file"),
                       ("a\0b", "cannot read"), ("x" * 300, "name too long")):
        with pytest.raises(BarelmError, match=says):
            read_checkpoint(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(100))
    path.chmod(0)
    with pytest.raises(BarelmError, match="Permission denied"):
        read_checkpoint(path)


def test_a_packed_model_is_no_checkpoint_and_needs_no_tokenizer(tmp_path: Path) -> None:
    write_packed(tiny_checkpoint(), tmp_path / "model.blm")
    assert tokenizer_beside(tmp_path / "model.blm") is None
    with pytest.raises(BarelmError, match="is packed already"):
        read_checkpoint(tmp_path / "model.blm")


def test_a_checkpoint_takes_the_rope_base_it_was_trained_with(tmp_path: Path) -> None:
    """llama2.c's format has no place for it; the table of angles is made of what is given."""
    checkpoint = tiny_checkpoint()
    write_llama2c_v1(tmp_path / "model.bin", checkpoint)
    write_tokenizer_bin(tmp_path / "tokenizer.bin", checkpoint.vocab)
    assert read_checkpoint(tmp_path / "model.bin").shape.rope_theta == 10_000
    other = read_checkpoint(tmp_path / "model.bin", rope_theta=500_000.0)
    write_packed(other, tmp_path / "model.blm")
    s, packed = other.shape, read_packed(tmp_path / "model.blm")
    angles = np.arange(s.seq_len)[:, None] / 500_000 ** (np.arange(0, s.head_dim, 2) / s.head_dim)
    table = packed.weights().rope.reshape(s.seq_len, s.head_dim // 2, 2)
    assert np.allclose(table, np.stack([np.cos(angles), np.sin(angles)], -1), atol=1e-7)


@pytest.mark.parametrize("theta", [-1.0, math.nan, math.inf, 1e13])
def test_a_rope_base_that_cannot_be_is_refused(tmp_path: Path, theta: float) -> None:
    write_llama2c_v1(tmp_path / "model.bin", tiny_checkpoint())
    with pytest.raises(BarelmError, match="the RoPE base cannot be"):
        read_checkpoint(tmp_path / "model.bin", rope_theta=theta)


def test_a_gguf_file_keeps_what_it_says(tmp_path: Path) -> None:
    path = write_small_gguf(tmp_path / "model.gguf")
    with pytest.raises(BarelmError, match="has a RoPE base of its own"):
        read_checkpoint(path, rope_theta=500_000.0)
    with pytest.raises(BarelmError, match="has a tokenizer of its own"):
        read_checkpoint(path, tmp_path / "tokenizer.bin")
