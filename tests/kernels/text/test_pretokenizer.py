"""Words as Hugging Face's pre-tokenizers cut them, and the table of categories behind them."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from tokenizers import Regex, pre_tokenizers

from barelm.contract import layout
from barelm.errors import BarelmError
from barelm.kernels.text import pretokenizer, utf8
from barelm.kernels.text.pretokenizer import LETTER, MARK, NUMBER, OTHER, PUNCTUATION, SPACE, SYMBOL
from barelm.pack import word_rules
from barelm.pack.categories import category_table
from tests.kernels.text.bytelevel import RULES, TEXTS, bytes_of, pre_tokenizer
from tests.kernels.text.llama_cpp import EXPRESSIONS, library, llama_words
from tests.worlds import World, interpreter, jit

TABLE = category_table()
UNDEFINED = 1  # a bit of what llama.cpp knows of a character
CODE_POINTS = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]


@functools.cache
def table_of(name: str) -> Any:
    """The categories of a rule."""
    return category_table(word_rules.RULES[name])


def words(world: World, name: str, text: str) -> list[str]:
    """The words a kernel cuts a text into."""
    raw, rule, table = bytes_of(text), word_rules.RULES[name], table_of(name)
    stages, state = np.zeros(layout.MOST_STAGES, np.int64), np.zeros(layout.MOST_STAGES, np.int64)
    stages[:len(rule.stages)] = rule.stages
    cut, at, end = [], 0, len(raw) - 1
    while at < end:
        after = int(world(pretokenizer.next_word)(stages, state, table, raw, at, end))
        assert after > at
        cut.append(bytes(raw[at:after]).decode())
        at = after
    return cut


def words_of_oracle(rule: str, text: str) -> list[str]:
    """The same by Hugging Face."""
    return [text[lo:hi] for _, (lo, hi) in pre_tokenizer(rule).pre_tokenize_str(text)]


@pytest.mark.parametrize("rule", RULES)
@given(text=TEXTS)
@settings(max_examples=400)
def test_words_are_those_of_hugging_face(rule: str, text: str) -> None:
    assert words(jit, rule, text) == words_of_oracle(rule, text)


@pytest.mark.parametrize("rule", word_rules.RULES)
@given(text=TEXTS)
@settings(max_examples=300)
def test_words_are_those_of_llama_cpp(rule: str, text: str) -> None:
    # The long s is an s to Hugging Face's expressions alone; llama.cpp's categories are of Unicode 15.1.
    text = "".join(letter for letter in text if letter != "\u017f" and not new(letter))
    assert words(jit, rule, text) == llama_words(text, EXPRESSIONS[rule])


def test_every_rule_is_compared() -> None:
    assert EXPRESSIONS.keys() == word_rules.RULES.keys()
    with pytest.raises(BarelmError, match="a rule barelm does not know: 'martian'"):
        word_rules.word_rule("martian")


@pytest.mark.parametrize("rule", word_rules.RULES)
@given(text=TEXTS)
@settings(max_examples=8)
def test_the_interpreter_cuts_the_same_words(rule: str, text: str) -> None:
    assert words(interpreter, rule, text) == words(jit, rule, text)


@pytest.mark.parametrize(("rule", "text", "cut"), [
    ("gpt-2", "I'll  go 12 x", ["I", "'ll", " ", " go", " 12", " x"]),
    ("smollm", "a  12 b", ["a", "  ", "1", "2", " b"]),
    ("llama-bpe", "I'LL\tpay 12345!\n\n x", ["I", "'LL", "\tpay", " ", "123", "45", "!\n\n", " x"]),
    ("qwen2", "12 \n  y", ["1", "2", " \n", " ", " y"]),
    ("qwen35", "\u0939\u093f\u0928\u094d\u0926\u0940 x", ["\u0939\u093f\u0928\u094d\u0926\u0940", " x"]),
    ("deepseek-v3", "1234 (is) \u4f60a", ["123", "4", " ", "(is", ")", " ", "\u4f60", "a"]),
])
def test_words_by_example(rule: str, text: str, cut: list[str]) -> None:
    assert words(interpreter, rule, text) == cut == words_of_oracle(rule, text)


@pytest.mark.parametrize(("rule", "text", "cut"), [
    ("gpt-4o", "GPTmodels'RE 1234//\n/", ["GPTmodels'RE", " ", "123", "4", "//\n/"]),
    ("gpt-4o", "aBc ABc\u00c9D", ["a", "Bc", " ABc\u00c9", "D"]),
    ("tekken", "It's 12", ["It", "'s", " ", "1", "2"]),
    ("falcon", "a 1234.5b", ["a", " ", "123", "4", ".", "5", "b"]),
    ("deepseek-coder", "f(x)\n\n  y", ["f", "(", "x", ")", "\n", "\n", " ", " y"]),
    ("viking", "a, b1 c", ["a", ",", " b", "1", " c"]),
])
def test_words_of_llama_cpp_by_example(rule: str, text: str, cut: list[str]) -> None:
    assert words(interpreter, rule, text) == cut == llama_words(text, EXPRESSIONS[rule])


def test_categories_are_those_of_the_oracles_regular_expressions() -> None:
    expected = np.zeros(0x110000, np.int64)
    for pattern, category in ((r"\p{L}", LETTER), (r"\p{N}", NUMBER), (r"\p{M}", MARK), (r"\p{P}", PUNCTUATION),
                              (r"\p{S}", SYMBOL), (r"\s", SPACE)):
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
        if kind != "Cn" and (ours[point] not in (OTHER, SPACE) or kind[0] in "LNMPS"):
            known = {"L": LETTER, "N": NUMBER, "M": MARK, "P": PUNCTUATION, "S": SYMBOL}
            assert ours[point] == known[kind[0]], hex(point)


def new(letter: str) -> bool:
    """Whether a character is known to us and not to llama.cpp."""
    return not library()._Z26unicode_cpt_flags_from_cptj(ord(letter)) & UNDEFINED == 0


def test_categories_are_those_of_llama_cpp() -> None:
    ours, flags = every_category(), library()._Z26unicode_cpt_flags_from_cptj
    bits = {SPACE: 0x100, NUMBER: 0x2, LETTER: 0x4, MARK: 0x10, PUNCTUATION: 0x20, SYMBOL: 0x40}
    for point in CODE_POINTS:
        theirs = int(flags(point))
        if not theirs & UNDEFINED:
            assert bool(theirs & 0x100) == (ours[point] == SPACE), hex(point)
            assert ours[point] in (OTHER, SPACE) or theirs & bits[int(ours[point])], hex(point)


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
