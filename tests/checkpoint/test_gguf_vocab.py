"""Vocabularies in GGUF files: byte-level BPE and SentencePiece."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import pre_tokenizers

from barelm.checkpoint.checkpoint import Vocab
from barelm.checkpoint.gguf import read_container
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.gguf_model import read_gguf
from barelm.checkpoint.gguf_vocab import ALPHABET, QWEN_SIGNS, QWEN_SIZE, SIGNS, undo_alphabet
from barelm.checkpoint.gguf_vocab import read_vocab as vocab_of
from barelm.errors import BarelmError
from tests.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    U32,
    SmallLlama,
    Value,
    bytelevel_vocab,
    gguf_bytes,
    in_alphabet,
    sentencepiece_vocab,
    smollm2,
    write_small_gguf,
)


def read_vocab(folder: Path, vocab: str = "bytelevel", without: tuple[str, ...] = (), **metadata: Value) -> Vocab:
    """The vocabulary of a small model, with entries of `tokenizer.ggml` replaced, or left out."""
    entries = {f"tokenizer.ggml.{key}": value for key, value in metadata.items()}
    model = SmallLlama(vocab=vocab, metadata=entries)
    kept = {key: value for key, value in model.all_metadata().items() if key.rpartition(".")[2] not in without}
    (folder / "a.gguf").write_bytes(gguf_bytes(kept, model.tensors()))
    return read_gguf(folder / "a.gguf").vocab


def test_the_alphabet_is_gpt2s() -> None:
    """The one `tokenizers` has; each character stands for one byte, and back."""
    assert set(ALPHABET) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(ALPHABET.values()) == list(range(256))
    assert undo_alphabet("Ġworld".encode()) == b" world"
    for text in ("naïve 世界 🙂\n\t\0", " the"):
        assert undo_alphabet(in_alphabet(text.encode()).encode()) == text.encode()
        (word, _), *_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert undo_alphabet(word.encode()) == text.encode()


def test_bytelevel_pieces_are_the_bytes_they_stand_for(tmp_path: Path) -> None:
    """Control tokens keep their text but print nothing; the user's print."""
    vocab = read_vocab(tmp_path)
    tokens = bytelevel_vocab()["tokenizer.ggml.tokens"].value
    assert vocab.kind == "bytelevel" and vocab.pretokenizer == "smollm" and len(vocab) == len(tokens)
    assert vocab.pieces[:3] == (b"<|endoftext|>", b"<|im_start|>", b"<|im_end|>") and vocab.outputs[:3] == (b"",) * 3
    assert vocab.pieces[3:259] == tuple(bytes([byte]) for byte in range(256))
    assert vocab.byte_ids == tuple(range(3, 259))
    assert b" hello" in vocab.pieces and "世".encode() in b"".join(vocab.outputs)
    assert vocab.pieces[-1] == vocab.outputs[-1] == b"<tool call>"
    assert vocab.special == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<tool call>": len(tokens) - 1}
    assert (vocab.bos_id, vocab.eos_ids, vocab.add_bos, vocab.add_space_prefix) == (1, (2, 0), False, False)
    assert "<|im_start|>" in vocab.chat_template


def test_merges_come_by_rank_and_the_impossible_are_left_out(tmp_path: Path) -> None:
    """A merge needs both its parts and the whole."""
    tokens = bytelevel_vocab()["tokenizer.ggml.tokens"].value
    vocab = read_vocab(tmp_path, merges=Value(ARRAY, ["t h", "x y", "th e", "q", " h", "th unknown", "Ġ t", ""]))
    found = [tuple(tokens[i] for i in pair) for pair in vocab.merges]
    assert found == [("t", "h"), ("th", "e"), ("Ġ", "t")]


def test_every_merge_of_a_full_vocabulary_joins_two_pieces_into_a_third(tmp_path: Path) -> None:
    """So that `tokenizer_tables` finds them."""
    vocab = read_vocab(tmp_path)
    assert len(vocab.merges) == len(vocab) - 3 - 256 - 1
    assert all(vocab.pieces[left] + vocab.pieces[right] in vocab.pieces for left, right in vocab.merges)


@pytest.mark.parametrize(("pre", "rule", "add_bos"), [
    ("smollm", "smollm", False), ("gpt-2", "gpt-2", False), ("default", "default", False), ("qwen2", "qwen2", False),
    ("deepseek-r1-qwen", "qwen2", False), ("refact", "smollm", False), ("llama4", "gpt-4o", False),
    ("tekken", "tekken", True), ("llama-bpe", "llama-bpe", True)])
def test_the_pretokenizer_decides_the_rule_and_the_first_token(tmp_path: Path, pre: str, rule: str,
                                                               add_bos: bool) -> None:
    """Llama 3 begins with its first token even where its file does not say so."""
    vocab = read_vocab(tmp_path, pre=Value(STRING, pre))
    assert (vocab.pretokenizer, vocab.add_bos) == (rule, add_bos)
    vocab = read_vocab(tmp_path, pre=Value(STRING, pre), add_bos_token=Value(BOOL, not add_bos))
    assert vocab.add_bos is not add_bos


def test_a_vocabulary_may_say_little(tmp_path: Path) -> None:
    """No types, no rule, no first and last token, no template."""
    vocab = read_vocab(tmp_path, without=("pre", "token_type", "bos_token_id", "eos_token_id", "chat_template"),
                       add_bos_token=Value(BOOL, True))
    assert (vocab.pretokenizer, vocab.bos_id, vocab.eos_ids, vocab.add_bos) == ("default", -1, (0, 2), False)
    assert vocab.special == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2} and vocab.outputs[1] == b""
    assert vocab.chat_template == "" and vocab.in_any_text == frozenset()
    (note,) = vocab.notes
    assert "does not name the rule" in note and "llama.cpp's default is taken" in note
    assert read_vocab(tmp_path).notes == ()


@pytest.mark.parametrize(("rule", "signs"), [*SIGNS, ("qwen2", QWEN_SIGNS)])
def test_a_vocabulary_is_known_by_its_tokens(tmp_path: Path, rule: str, signs: tuple[str, ...]) -> None:
    """Where the file names no rule: Llama 3's, Qwen's, ...; and whoever packs it is told."""
    entries = bytelevel_vocab()
    n_more = QWEN_SIZE if rule == "qwen2" else len(signs)
    tokens = [*entries["tokenizer.ggml.tokens"].value, *signs, *(f"<more {i}>" for i in range(n_more - len(signs)))]
    types = [*entries["tokenizer.ggml.token_type"].value, *[1] * n_more]
    for pre in ("default", ""):
        metadata = {"tokenizer.ggml.tokens": Value(ARRAY, list(dict.fromkeys(tokens))),
                    "tokenizer.ggml.token_type": Value(ARRAY, types[:len(set(tokens))], I32),
                    "tokenizer.ggml.pre": Value(STRING, pre), "tokenizer.ggml.model": Value(STRING, "gpt2")}
        path = tmp_path / "a.gguf"
        path.write_bytes(gguf_bytes(entries | metadata, []))
        vocab = vocab_of(Metadata(read_container(path)))
        assert vocab.pretokenizer == rule and f"by its tokens it is {rule}." in vocab.notes[0]


def test_control_tokens_called_ordinary_are_control_tokens(tmp_path: Path) -> None:
    """By their names; text that a user types cannot be one of them then, and they print nothing."""
    vocab = read_vocab(tmp_path, token_type=Value(ARRAY, [1] * N_TOKENS, I32))
    assert vocab.special == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
    assert vocab.outputs[:3] == (b"",) * 3 and vocab.eos_ids == (2, 0)


def test_bytes_called_ordinary_are_bytes(tmp_path: Path) -> None:
    """SentencePiece's <0x41>."""
    types = [1 if kind == 6 else kind for kind in sentencepiece_vocab()["tokenizer.ggml.token_type"].value]
    assert read_vocab(tmp_path, "sentencepiece", token_type=Value(ARRAY, types, I32)) == read_vocab(
        tmp_path, "sentencepiece")


@pytest.mark.parametrize(("names", "ends"), [
    (("<|end|>", "<|return|>", "<|call|>"), ("<|return|>", "<|call|>")),
    (("<|end|>", "<|assistant|>"), ("<|end|>",)),
    (("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"), ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"))])
def test_what_ends_a_reply_by_its_name(tmp_path: Path, names: tuple[str, ...], ends: tuple[str, ...]) -> None:
    """A message's end is none where a reply is made of several."""
    tokens = bytelevel_vocab()["tokenizer.ggml.tokens"].value
    tokens = [*tokens[:3], *names, *tokens[3 + len(names):]]
    vocab = read_vocab(tmp_path, tokens=Value(ARRAY, tokens))
    assert [tokens[i] for i in vocab.eos_ids] == ["<|im_end|>", "<|endoftext|>", *ends]


def test_what_a_user_defined_is_found_in_any_text_and_phi3_strips(tmp_path: Path) -> None:
    """Control tokens are not found there."""
    assert read_vocab(tmp_path).in_any_text == {N_TOKENS - 1} and not read_vocab(tmp_path).strips_after
    model = SmallLlama(metadata={"general.name": Value(STRING, "Phi-3 mini")})
    (tmp_path / "a.gguf").write_bytes(gguf_bytes(model.all_metadata(), model.tensors()))
    assert read_gguf(tmp_path / "a.gguf").vocab.strips_after == {1, 2, N_TOKENS - 1}


def test_all_that_ends_a_reply_is_known(tmp_path: Path) -> None:
    """The metadata's end first, then its end of turn, then what is one by its name."""
    vocab = read_vocab(tmp_path, eos_token_id=Value(U32, 0), eot_token_id=Value(U32, 9))
    assert vocab.eos_ids == (0, 9, 2)


def test_sentencepiece_pieces_scores_and_bytes(tmp_path: Path) -> None:
    """U+2581 is a space; byte tokens print their byte; the unknown and control tokens print nothing."""
    vocab, entries = read_vocab(tmp_path, "sentencepiece"), sentencepiece_vocab()
    assert vocab.kind == "sentencepiece" and b" hello" in vocab.pieces and b" " in vocab.pieces
    assert vocab.outputs[:3] == (b"",) * 3 and vocab.outputs[3 + 65] == b"A" and vocab.pieces[3 + 65] == b"<0x41>"
    assert vocab.byte_ids == tuple(range(3, 259))
    assert vocab.scores == tuple(entries["tokenizer.ggml.scores"].value)
    assert vocab.special == {"<unk>": 0, "<s>": 1, "</s>": 2}
    assert (vocab.bos_id, vocab.eos_ids, vocab.add_bos, vocab.add_space_prefix) == (1, (2,), True, True)
    vocab = read_vocab(tmp_path, "sentencepiece", ("bos_token_id", "eos_token_id"), add_bos_token=Value(BOOL, False),
                       add_space_prefix=Value(BOOL, False))
    assert (vocab.bos_id, vocab.eos_ids, vocab.add_bos, vocab.add_space_prefix) == (1, (2,), False, False)


N_TOKENS = len(bytelevel_vocab()["tokenizer.ggml.tokens"].value)
N_PIECES = len(sentencepiece_vocab()["tokenizer.ggml.tokens"].value)


@pytest.mark.parametrize(("vocab", "key", "value", "why"), [
    ("bytelevel", "model", Value(STRING, "bert"), "a tokenizer of the kind 'bert'"),
    ("bytelevel", "model", Value(U32, 1), "tokenizer.ggml.model is no text"),
    ("bytelevel", "pre", Value(STRING, "martian"), "the rule 'martian'"),
    ("bytelevel", "bos_token_id", Value(U32, N_TOKENS), "bos_token_id is"),
    ("bytelevel", "eos_token_id", Value(STRING, "2"), "eos_token_id is no whole number"),
    ("bytelevel", "add_bos_token", Value(U32, 1), "neither true nor false"),
    ("bytelevel", "token_type", Value(ARRAY, [1, 2], I32), "no array of"),
    ("bytelevel", "token_type", Value(ARRAY, [1.0] * N_TOKENS, F32), "no whole numbers"),
    ("bytelevel", "merges", Value(ARRAY, [1, 2], I32), "no array of strings"),
    ("bytelevel", "tokens", Value(ARRAY, []), "vocabulary is empty"),
    ("bytelevel", "tokens", Value(ARRAY, ["a" * 5000] * N_TOKENS), "5000 bytes long"),
    ("sentencepiece", "scores", Value(ARRAY, [0.0], F32), "no array of"),
    ("sentencepiece", "scores", Value(ARRAY, [float("nan")] * N_PIECES, F32), "no finite numbers"),
    ("sentencepiece", "token_type", Value(ARRAY, [6] * N_PIECES, I32), "is no byte"),
    ("sentencepiece", "tokens", Value(ARRAY, ["<unk>", "<s>", "</s>"] + ["<0x-1>"] * (N_PIECES - 3)), "is no byte"),
])
def test_a_vocabulary_that_cannot_be_is_refused(tmp_path: Path, vocab: str, key: str, value: Value, why: str) -> None:
    """In one sentence that says what it is."""
    path = write_small_gguf(tmp_path / "a.gguf", vocab=vocab)
    path.write_bytes(gguf_bytes(SmallLlama(vocab=vocab).all_metadata() | {f"tokenizer.ggml.{key}": value},
                                SmallLlama(vocab=vocab).tensors()))
    with pytest.raises(BarelmError, match=why):
        read_gguf(path)


def test_smollm2s_vocabulary() -> None:
    """The real one: 49152 tokens, 48900 merges, ChatML."""
    vocab = read_gguf(smollm2()).vocab
    assert (len(vocab), len(vocab.merges), vocab.pretokenizer) == (49152, 48900, "smollm")
    assert (vocab.bos_id, vocab.eos_ids, vocab.add_bos, vocab.add_space_prefix) == (1, (2, 0), False, False)
    assert vocab.special["<|im_start|>"] == 1 and len(vocab.special) == 17
    assert vocab.pieces[vocab.merges[0][0]] + vocab.pieces[vocab.merges[0][1]] == b" t"
    assert "<|im_start|>assistant" in vocab.chat_template
