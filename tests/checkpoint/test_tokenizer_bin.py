"""llama2.c tokenizers: read back as written, found beside the checkpoint, refused where they do not fit."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.checkpoint.checkpoint import Vocab
from barelm.checkpoint.tokenizer_bin import LONGEST_PIECE, find_tokenizer, read_tokenizer
from barelm.errors import BarelmError
from tests.models import shared_model, synthetic_vocab, write_tokenizer_bin

scores = st.floats(-1e9, 1e9, width=32)


def entry(score: float, length: int, piece: bytes) -> bytes:
    """One piece as the file has it, its length free to lie."""
    return struct.pack("<fi", score, length) + piece


@given(st.lists(st.tuples(scores, st.binary(max_size=20)), min_size=1, max_size=60))
def test_pieces_and_scores_are_read_back(tmp_path: Path, entries: list[tuple[float, bytes]]) -> None:
    path = tmp_path / "tokenizer.bin"
    vocab = Vocab("sentencepiece", tuple(piece for _, piece in entries), (), tuple(score for score, _ in entries))
    write_tokenizer_bin(path, vocab)
    read = read_tokenizer(path, len(entries))
    assert (read.pieces, read.scores) == (vocab.pieces, vocab.scores)
    assert len(read) == len(read.outputs) == len(entries)
    assert read.outputs[:3] == (b"",) * len(read.outputs[:3])


@given(st.integers(1, 50), st.integers(300, 400))
def test_a_vocabulary_comes_back_whole(tmp_path: Path, seed: int, size: int) -> None:
    vocab = synthetic_vocab(seed, size)
    write_tokenizer_bin(tmp_path / "tokenizer.bin", vocab)
    assert read_tokenizer(tmp_path / "tokenizer.bin", size) == vocab


@given(st.data())
def test_mutated_bytes_never_crash(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "tokenizer.bin"
    write_tokenizer_bin(path, synthetic_vocab())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.integers(0, len(content)))])
    try:
        assert len(read_tokenizer(path, 320)) == 320
    except BarelmError as error:
        assert error.message and error.hint


@pytest.mark.parametrize("content, says", [
    (b"", "is empty"),
    (b"\7\0", "is not a tokenizer: it has 2 bytes"),
    (struct.pack("<i", 7), "has 0 pieces, the model 2"),
    (struct.pack("<i", 7) + b"\0\0\0", "cut short within piece 0"),
    (struct.pack("<i", 7) + entry(0, 1, b"a") + entry(0, 5, b"bc"), "cut short within piece 1"),
    (struct.pack("<i", 7) + entry(0, -1, b""), "piece 0 would have -1 bytes"),
    (struct.pack("<i", 7) + entry(0, 8, b"12345678"), "piece 0 would have 8 bytes where 7"),
    (struct.pack("<i", 2**31 - 1) + entry(0, LONGEST_PIECE + 1, b""), f"where {LONGEST_PIECE} are the most"),
    (struct.pack("<i", -7) + entry(0, 1, b"a"), "piece 0 would have 1 bytes"),
    (struct.pack("<i", 7) + entry(float("nan"), 1, b"a"), "the score of piece 0 is nan"),
    (struct.pack("<i", 7) + entry(0, 1, b"a"), "has 1 pieces, the model 2"),
    (struct.pack("<i", 7) + 3 * entry(0, 1, b"a"), "more than the 2 pieces"),
])
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(content)
    with pytest.raises(BarelmError, match=says) as error:
        read_tokenizer(path, 2)
    assert str(path) in error.value.message and error.value.hint


def test_the_named_one_is_found_before_the_common_one(tmp_path: Path) -> None:
    write_tokenizer_bin(tmp_path / "tokenizer.bin", synthetic_vocab(1, 320))
    assert find_tokenizer(tmp_path / "model.bin", 320).name == "tokenizer.bin"
    write_tokenizer_bin(tmp_path / "tok320.bin", synthetic_vocab(2, 320))
    assert find_tokenizer(tmp_path / "model.bin", 320).name == "tok320.bin"
    write_tokenizer_bin(tmp_path / "tok320.bin", synthetic_vocab(2, 321))
    assert find_tokenizer(tmp_path / "model.bin", 320).name == "tokenizer.bin"


def test_without_one_the_error_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match="tok320.bin and tokenizer.bin beside it, with 320 pieces") as error:
        find_tokenizer(tmp_path / "model.bin", 320)
    assert "--tokenizer" in error.value.hint
    write_tokenizer_bin(tmp_path / "tokenizer.bin", synthetic_vocab(1, 310))
    with pytest.raises(BarelmError, match="tokenizer.bin has 310 pieces, the model 320"):
        find_tokenizer(tmp_path / "model.bin", 320)


@pytest.mark.parametrize("name, size", [("tok512.bin", 512), ("tokenizer.bin", 32000)])
def test_real_ones_have_bytes_and_silent_control_tokens(name: str, size: int) -> None:
    vocab = read_tokenizer(shared_model(name), size)
    assert vocab.pieces[:3] == (b"<unk>", b"\n<s>\n", b"\n</s>\n")
    assert vocab.outputs[:3] == (b"", b"", b"")
    assert vocab.byte_ids == tuple(range(3, 259))
    assert vocab.outputs[3:259] == tuple(bytes([byte]) for byte in range(256))
    assert vocab.outputs[259:] == vocab.pieces[259:]
    assert (vocab.bos_id, vocab.eos_ids, vocab.special["</s>"]) == (1, (2,), 2)
