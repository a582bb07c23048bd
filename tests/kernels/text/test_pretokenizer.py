"""Words as Hugging Face's pre-tokenizers cut them, and the table of categories behind them."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from tokenizers import Regex, pre_tokenizers

from barelm.contract import layout
from barelm.kernels.text import pretokenizer, utf8
from barelm.kernels.text.pretokenizer import LETTER, NUMBER, OTHER, SPACE
from barelm.pack.categories import category_table
from tests.kernels.text.bytelevel import RULES, TEXTS, bytes_of, pre_tokenizer
from tests.worlds import World, interpreter, jit

TABLE = category_table()
CODE_POINTS = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]


def words(world: World, rule: str, text: str) -> list[str]:
    """The words a kernel cuts a text into."""
    raw, kind = bytes_of(text), layout.PRETOKENIZERS.index(rule)
    cut, at, end = [], 0, len(raw) - 1
    while at < end:
        after = int(world(pretokenizer.next_word)(kind, TABLE, raw, at, end))
        assert after > at
        cut.append(bytes(raw[at:after]).decode())
        at = after
    return cut


def words_of_oracle(rule: str, text: str) -> list[str]:
    """The same by Hugging Face."""
    return [text[lo:hi] for _, (lo, hi) in pre_tokenizer(rule).pre_tokenize_str(text)]


@pytest.mark.parametrize("rule", RULES)
@given(text=TEXTS)
@settings(max_examples=1000)
def test_words_are_those_of_hugging_face(rule: str, text: str) -> None:
    assert words(jit, rule, text) == words_of_oracle(rule, text)


@pytest.mark.parametrize("rule", RULES)
@given(text=TEXTS)
@settings(max_examples=50)
def test_the_interpreter_cuts_the_same_words(rule: str, text: str) -> None:
    assert words(interpreter, rule, text) == words(jit, rule, text)


@pytest.mark.parametrize(("rule", "text", "cut"), [
    ("gpt-2", "I'll  go 12 x", ["I", "'ll", " ", " go", " 12", " x"]),
    ("smollm", "a  12 b", ["a", "  ", "1", "2", " b"]),
    ("llama-bpe", "I'LL\tpay 12345!\n\n x", ["I", "'LL", "\tpay", " ", "123", "45", "!\n\n", " x"]),
    ("qwen2", "12 \n  y", ["1", "2", " \n", " ", " y"]),
])
def test_words_by_example(rule: str, text: str, cut: list[str]) -> None:
    assert words(interpreter, rule, text) == cut == words_of_oracle(rule, text)


def test_categories_are_those_of_the_oracles_regular_expressions() -> None:
    expected = np.zeros(0x110000, np.int64)
    for pattern, category in ((r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\s", SPACE)):
        split = pre_tokenizers.Split(Regex(pattern), "removed")
        for at in range(0, len(CODE_POINTS), 4096):
            text = "".join(map(chr, CODE_POINTS[at:at + 4096]))
            kept = set("".join(part for part, _ in split.pre_tokenize_str(text)))
            expected[[ord(character) for character in text if character not in kept]] = category
    assert (every_category()[CODE_POINTS] == expected[CODE_POINTS]).all()


def test_categories_agree_with_python_on_what_both_know() -> None:
    ours = every_category()
    for point in CODE_POINTS:
        kind = unicodedata.category(chr(point))
        if kind != "Cn" and (ours[point] in (LETTER, NUMBER) or kind[0] in "LN"):
            assert ours[point] == {"L": LETTER, "N": NUMBER}[kind[0]], hex(point)


def test_the_table_is_small_and_sorted() -> None:
    assert TABLE.nbytes < 20000
    assert (np.diff(TABLE) > 0).all()
    assert TABLE[0] == OTHER


def every_category() -> Any:
    """The category of every code point, as the kernel looks it up."""
    category = jit(pretokenizer.category)
    return np.array([category(TABLE, point) for point in range(0x110000)])


@given(text=TEXTS)
@settings(max_examples=50)
def test_both_worlds_read_utf8(text: str) -> None:
    raw = bytes_of(text)
    for world in (interpreter, jit):
        at, points = 0, []
        while at < len(raw) - 1:
            point, length = world(utf8.decode_character)(raw, at, len(raw) - 1)
            points.append(int(point))
            at += int(length)
        assert points == [ord(character) for character in text]
