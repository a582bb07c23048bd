"""Which format a file has, and what is said of files that have none of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from barelm.checkpoint.read import read_checkpoint, read_header, tokenizer_beside
from barelm.errors import BarelmError
from barelm.pack.writer import write_packed
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
