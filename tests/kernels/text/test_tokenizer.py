"""Text to ids and back, against llama2.c's `encode` said again in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.checkpoint.checkpoint import Vocab
from barelm.checkpoint.tokenizer_bin import read_tokenizer
from barelm.kernels.text import tokenizer
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.pack.reader import Packed
from tests.conftest import Pack
from tests.kernels import references
from tests.kernels.agree import agree
from tests.models import CHARACTERS, shared_model, synthetic_vocab, tiny_checkpoint
from tests.worlds import World, both_worlds, interpreter, jit

Tables = Callable[[Vocab], Vocabulary]

# What the vocabulary knows, what it must spell in bytes, and bytes that are no text at all; llama2.c's end at a zero.
texts = st.one_of(
    st.text(CHARACTERS, max_size=40).map(str.encode),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30).map(str.encode),
    st.binary(max_size=30).map(lambda raw: raw.replace(b"\0", b"")),
    st.sampled_from((b"", b" ", b"  ", b"\x80", b"\xf0\x9f\x99", b"\xe2\x96\x81a", b"\x80\x80\x80\x80\x80\x80")))
sentences = st.lists(st.sampled_from((
    "Once", " upon", " a time", ",", " Lily", " and", " the", "\n", "  ", "<s>", "</s>", "<unk>", "<0x41>", " tree",
    " world", "!", "é", " naïve", "世界", "🙂", "'s", " 42", "ing", "ed")), max_size=12).map(
        lambda words: "".join(words).encode())


@pytest.fixture
def tables(pack: Pack) -> Iterator[Tables]:
    """A function that lays a vocabulary out as the kernels want it."""
    def laid_out(vocab: Vocab) -> Vocabulary:
        kept.append(pack(tiny_checkpoint(dim=2, hidden_dim=1, n_heads=1, n_kv_heads=1, n_layers=1, seq_len=1,
                                         vocab=vocab)))
        return kept[-1].vocabulary()

    kept: list[Packed] = []  # as long as the views are looked at
    yield laid_out


def encode(world: World, v: Vocabulary, text: bytes) -> list[int]:
    """The ids of a text, none of it special."""
    raw = np.frombuffer(text + b"\0", np.uint8)
    ids, ranks = np.full(len(text) + 2, -9, np.int64), np.zeros(len(text) + 2, np.int64)
    n = int(world(tokenizer.encode)(v, raw, len(text), 0, ids, ranks))
    return [int(token) for token in ids[:n]]


@pytest.fixture
def real(tables: Tables, request: pytest.FixtureRequest) -> tuple[Vocab, Vocabulary]:
    """A real tokenizer, read and laid out."""
    name, size = request.param
    vocab = read_tokenizer(shared_model(name), size)
    return vocab, tables(vocab)


real_ones = pytest.mark.parametrize("real", [("tok512.bin", 512), ("tokenizer.bin", 32000)], indirect=True,
                                    ids=["tok512", "llama2"])


@pytest.fixture(params=[1, 2, 3])
def made(tables: Tables, request: pytest.FixtureRequest) -> tuple[Vocab, Vocabulary]:
    """A tokenizer made from a seed."""
    vocab = synthetic_vocab(request.param, 330)
    return vocab, tables(vocab)


@given(text=texts)
def test_encode_is_llama2c_s(made: tuple[Vocab, Vocabulary], text: bytes) -> None:
    vocab, v = made
    expected = references.encode(vocab, text)
    assert encode(interpreter, v, text) == encode(jit, v, text) == expected


@real_ones
@settings(max_examples=100)
@given(text=st.one_of(texts, sentences))
def test_real_tokenizers_encode_as_llama2c(real: tuple[Vocab, Vocabulary], text: bytes) -> None:
    vocab, v = real
    expected = references.encode(vocab, text)
    assert encode(jit, v, text) == expected
    assert encode(interpreter, v, text[:12]) == references.encode(vocab, text[:12])


@both_worlds
@pytest.mark.parametrize("text, ids", [
    (b"", [1]),
    (b"I believe the meaning of life is", [1, 306, 4658, 278, 6593, 310, 2834, 338]),
    (b"Simply put, the theory of relativity states that ",
     [1, 3439, 17632, 1925, 29892, 278, 6368, 310, 14215, 537, 5922, 393, 29871]),
])
def test_llama2c_s_own_examples(tables: Tables, world: World, text: bytes, ids: list[int]) -> None:
    assert encode(world, tables(read_tokenizer(shared_model("tokenizer.bin"), 32000)), text) == ids


@real_ones
def test_what_was_encoded_prints_as_it_was(real: tuple[Vocab, Vocabulary]) -> None:
    _, v = real
    for text in ("Once upon a time", "naïve 世界 🙂\n", "  two  spaces ", "\x01\x7f<s>"):
        ids = encode(jit, v, text.encode())
        spans = [agree(tokenizer.piece, v, previous, token) for previous, token in zip(ids, ids[1:])]
        assert b"".join(bytes(v.pieces[lo:hi]) for lo, hi in spans).decode() == text


def test_control_tokens_print_nothing(tables: Tables) -> None:
    v = tables(synthetic_vocab())
    for token in range(3):
        lo, hi = agree(tokenizer.piece, v, 5, token)
        assert lo == hi


@given(st.dictionaries(st.integers(-2**62, 2**62), st.integers(-1, 2**40), max_size=40), st.integers(-2**62, 2**62))
def test_lookup_finds_what_is_there(entries: dict[int, int], other: int) -> None:
    table = np.array([word for pair in sorted(entries.items()) for word in pair], np.int64)
    for key in (*entries, other):
        assert agree(tokenizer.lookup, table, len(entries), key) == entries.get(key, -1)
