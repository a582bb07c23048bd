"""Byte-level BPE gives the ids of Hugging Face's `tokenizers`; special tokens, malformed UTF-8, cut characters."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from barelm.kernels.text import tokenizer, utf8
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.transcript import Transcript
from tests.kernels.text.bytelevel import RULES, SPECIAL, TEXTS, Twins, bind, bytes_of, corpus, oracle_of, twins
from tests.worlds import World, both_worlds, interpreter, jit

BYTES = st.one_of(st.binary(max_size=40), st.lists(st.one_of(
    st.sampled_from([b"\xc3", b"\xe4\xbd", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80",
                     b"\xff"]),
    st.characters(exclude_categories=["Cs"]).map(str.encode)), max_size=20).map(b"".join))


def encode(world: World, v: Vocabulary, text: str | bytes, special: int) -> list[int]:
    """The ids of a text, after what the metal does with a prompt first."""
    raw = bytes_of(text)
    clean = np.zeros(3 * len(raw), np.uint8)
    n_bytes = int(world(tokenizer.clean_prompt)(v, clean, raw, len(raw) - 1))
    ids, ranks = np.zeros(n_bytes + 2, np.int64), np.zeros(n_bytes + 2, np.int64)
    n = int(world(tokenizer.encode)(v, clean, n_bytes, special, ids, ranks))
    return [int(token) for token in ids[:n]]


def decode(v: Vocabulary, ids: list[int]) -> bytes:
    """What tokens print."""
    spans = [tokenizer.piece(v, -1, token) for token in ids]
    return b"".join(bytes(v.pieces[lo:hi]) for lo, hi in spans)


@pytest.mark.parametrize("rule", RULES)
@given(text=TEXTS)
@settings(max_examples=300)
def test_ids_are_those_of_hugging_face(rule: str, text: str) -> None:
    both = twins(rule)
    assert encode(jit, both.v, text, 1) == both.oracle.encode(text).ids


@pytest.mark.parametrize("rule", RULES)
@given(text=TEXTS)
@settings(max_examples=150)
def test_ids_without_special_tokens(rule: str, text: str) -> None:
    ordinary = twins(rule, ())
    ids = encode(jit, twins(rule).v, text, 0)
    assert ids == ordinary.oracle.encode(text).ids
    assert decode(ordinary.v, ids) == text.encode()


SPLICED = st.lists(st.one_of(st.sampled_from([*SPECIAL, "<", "|", "<|im_", "start|>", " ", "a"]), TEXTS),
                   max_size=12).map("".join)


@given(text=SPLICED)
@settings(max_examples=300)
def test_what_a_person_types_never_becomes_a_control_token(text: str) -> None:
    both = twins("llama-bpe")
    assert not set(encode(jit, both.v, text, 0)) & set(both.vocab.special.values())


@given(text=SPLICED)
@settings(max_examples=300)
def test_what_a_user_defined_is_found_in_what_a_person_types(text: str) -> None:
    both, ordinary = twins("qwen2"), twins("qwen2", ())
    mine = ("<tool>", "[INST]")
    ids = {name: both.vocab.special[name] for name in mine}
    oracle = Tokenizer.from_str(ordinary.oracle.to_str())
    oracle.add_tokens([AddedToken(name, normalized=False) for name in mine])
    given_ids = {oracle.token_to_id(name): ids[name] for name in mine}
    v = defined_by_a_user(mine)
    assert encode(jit, v, text, 0) == [given_ids.get(token, token) for token in oracle.encode(text).ids]
    assert encode(jit, v, text, 1) == encode(jit, both.v, text, 1)


@functools.cache
def defined_by_a_user(names: tuple[str, ...]) -> Vocabulary:
    """The vocabulary of qwen2 with some of its special tokens found in any text."""
    vocab = twins("qwen2").vocab
    return bind(replace(vocab, in_any_text=frozenset(vocab.special[name] for name in names)))


@both_worlds
def test_a_text_has_one_beginning(world: World) -> None:
    vocab = twins("qwen2").vocab
    bos = vocab.special["<|im_start|>"]
    v = bind(replace(vocab, add_bos=True, bos_id=bos))
    assert encode(world, v, "<|im_start|>a", 1) == encode(world, v, "a", 1)
    assert encode(world, v, "a<|im_start|>", 1).count(bos) == 2
    assert encode(world, v, "", 1) == encode(world, v, "", 0) == [bos]
    typed = encode(world, v, "<|im_start|>a", 0)
    assert typed[0] == bos and typed.count(bos) == 1 and decode(v, typed[1:]) == b"<|im_start|>a"


@both_worlds
def test_white_space_behind_a_token_goes_where_the_model_says_so(world: World) -> None:
    vocab = twins("qwen2").vocab
    end = vocab.special["<|im_end|>"]
    v = bind(replace(vocab, strips_after=frozenset([end])))
    plain = encode(world, v, "a<|im_end|>b<|im_start|> c", 1)
    assert encode(world, v, "a<|im_end|> \n\t b<|im_start|> c", 1) == plain
    assert encode(world, v, "a<|im_end|> \n", 1) == encode(world, v, "a<|im_end|>", 1)


@pytest.mark.parametrize("rule", RULES)
@given(text=TEXTS)
@settings(max_examples=8)
def test_the_interpreter_gives_the_same_ids(rule: str, text: str) -> None:
    v = twins(rule).v
    for special in (0, 1):
        assert encode(interpreter, v, text, special) == encode(jit, v, text, special)


@both_worlds
def test_a_word_that_is_a_token_is_not_cut_where_the_model_says_so(world: World) -> None:
    both = twins("llama-bpe")
    ids = encode(world, both.v, "zyxzyx qqq", 0)
    assert ids == both.oracle.encode("zyxzyx qqq").ids
    assert len(ids) == 2
    assert len(twins("qwen2").v.words) == 0


@both_worlds
def test_the_longest_special_token_wins(world: World) -> None:
    both = twins("smollm")
    ids = encode(world, both.v, "a<|im_end|>!b<|im_end|>?", 1)
    names = [both.oracle.id_to_token(token) for token in ids]
    assert [name for name in names if name in SPECIAL] == ["<|im_end|>!", "<|im_end|>"]


@given(raw=BYTES)
@settings(max_examples=500)
def test_malformed_utf8_is_replaced_as_python_does(raw: bytes) -> None:
    both, text = twins("smollm"), raw.decode(errors="replace")
    assert encode(jit, both.v, raw, 0) == encode(jit, both.v, text, 0)
    target, given_bytes = np.zeros(3 * len(raw) + 1, np.uint8), bytes_of(raw)
    for world in (interpreter, jit):
        n = int(world(utf8.copy_clean)(target, 0, given_bytes, 0, len(raw)))
        assert bytes(target[:n]).decode() == text


@both_worlds
def test_text_that_does_not_fit_is_refused(world: World) -> None:
    assert world(utf8.copy_clean)(np.zeros(5, np.uint8), 0, bytes_of(b"\xff\xff"), 0, 2) == -1
    assert world(utf8.copy_clean)(np.zeros(6, np.uint8), 0, bytes_of(b"\xff\xff"), 0, 2) == 6


@given(raw=st.binary(max_size=60))
@settings(max_examples=200)
def test_even_bytes_that_are_no_text_stay_inside_the_ids(raw: bytes) -> None:
    v = twins("llama-bpe").v
    ids, ranks = np.full(len(raw) + 4, -7, np.int64), np.zeros(len(raw) + 2, np.int64)
    n = int(jit(tokenizer.encode)(v, bytes_of(raw), len(raw), 1, ids, ranks))
    assert n <= len(raw) + 2
    assert (ids[len(raw) + 2:] == -7).all()


@given(text=TEXTS)
@settings(max_examples=100)
def test_streaming_never_shows_half_a_character(text: str) -> None:
    v = twins("gpt-2").v
    heard, shown = Transcript(v), ""
    for byte in text.encode():
        # The cruellest way to say it: a token for each byte.
        said = heard.hear(f"BARELM IDS {v.byte_tokens[byte]}\r\n".encode())
        assert said == "" or text.encode().startswith((shown + said).encode())
        shown += said
    assert shown + heard.finish() == text


@pytest.fixture(scope="module")
def real() -> Twins:
    """SmolLM2, from BARELM_MODELS, ../shared/models or the cache."""
    from barelm.checkpoint.gguf_model import read_gguf
    from barelm.checkpoint.sources.default_model import find_default_model

    folders = [Path(os.environ.get("BARELM_MODELS", "/nonexistent")), Path(__file__).parents[4] / "shared" / "models"]
    found = [path for folder in folders for path in sorted(folder.glob("*[sS]mol[lL][mM]2*.gguf"))]
    path = found[0] if found else find_default_model()
    if path is None:
        pytest.skip("SmolLM2 is not at hand: put its GGUF where BARELM_MODELS points")
    vocab = read_gguf(path).vocab
    return Twins(oracle_of(vocab), vocab, bind(vocab))


def test_ids_of_the_real_model(real: Twins) -> None:
    v, oracle = real.v, real.oracle
    assert real.vocab.pretokenizer == "smollm"
    assert len(v.merges) > 0
    source = Path(tokenizer.__file__).read_text(encoding="utf-8")
    talk = "<|im_start|>user\nWie sp\u00e4t ist's? \u4f60\u597d \U0001f600 12345\t\t x<|im_end|>\n<|im_start|>x"
    for text in (source, talk, " ".join(map(str, range(300))), *(line * 3 for line in corpus(3)[:50])):
        assert encode(jit, v, text, 1) == oracle.encode(text).ids


@given(text=TEXTS)
@settings(max_examples=500)
def test_any_text_with_the_real_model(real: Twins, text: str) -> None:
    assert encode(jit, real.v, text, 1) == real.oracle.encode(text).ids


@pytest.mark.parametrize("text", ["a" * 5000, "ab" * 3000, "\u4f60\u597d" * 1500, "hgfe" * 1500])
def test_a_word_without_end(text: str) -> None:
    both = twins("gpt-2")
    assert encode(jit, both.v, text, 0) == both.oracle.encode(text).ids
