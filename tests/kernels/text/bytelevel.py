"""Byte-level BPE twice: Hugging Face's `tokenizers`, and our tables from the very same vocabulary and merges."""

from __future__ import annotations

import functools
import json
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from barelm.checkpoint.checkpoint import Vocab
from barelm.checkpoint.gguf_vocab import ALPHABET, undo_alphabet
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.contract.sections import N_SECTIONS
from barelm.kernels.text.tokenizer import Vocabulary, bind_vocabulary
from barelm.pack import word_rules
from barelm.pack.tokenizer_tables import describe_tokenizer, tokenizer_tables

LLAMA = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>!", "<tool>", "[INST]")
MARKED = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPLITS = {
    "llama-bpe": (LLAMA,), "dbrx": (LLAMA,), "qwen2": (LLAMA.replace("{1,3}", ""),), "qwen35": (MARKED,),
    "minicpm5": (r"\p{N}{1,3}", LLAMA.replace("{1,3}", "+")),
    "deepseek-v3": (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK),
}
"""The expressions of models of these kinds, as Hugging Face's tokenizers apply them one after another."""
RULES = ("gpt-2", "smollm", *SPLITS)
"""Those Hugging Face and llama.cpp agree on."""

ALPHABETS = ("abcdefgh", "ABCXYZ", "\u00e4\u00f6\u00fc\u00df\u00e9", "\u0430\u0431\u0432\u0433",
             "\u4f60\u597d\u4e16\u754c", "\u0905\u0906\u0915\u094d", "\u0e01\u0e32\u0e48",
             "\U0001f600\U0001f469\u200d", "0123456789", ".,;:!?-'\"")


KEPT: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
"""What bound vocabularies are views of."""


@dataclass(frozen=True)
class Twins:
    """The oracle and our tables."""

    oracle: Tokenizer
    vocab: Vocab
    v: Vocabulary


def pre_tokenizer(rule: str) -> Any:
    """A rule as Hugging Face's models of that kind state it."""
    byte_level = functools.partial(pre_tokenizers.ByteLevel, add_prefix_space=False)
    if rule == "gpt-2":
        return byte_level()
    if rule == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()])
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITS[rule]]
    return pre_tokenizers.Sequence([*splits, byte_level(use_regex=False)])


def corpus(seed: int) -> list[str]:
    """Lines of made-up words in many scripts: frequent syllables, so that merges of several levels are learnt."""
    rng = random.Random(seed)
    words = ["".join(rng.choice(letters) for _ in range(rng.randint(1, 7))) for letters in ALPHABETS for _ in range(40)]
    ends = [" ", " ", " ", " ", "  ", "\n", ", ", ".\r\n", "'s ", "'ll ", "\t", "\n\n", "    "]
    return ["".join(rng.choice(words) + rng.choice(ends) for _ in range(60)) for _ in range(200)]


@functools.cache
def twins(rule: str, special: tuple[str, ...] = SPECIAL, chat_template: str = "") -> Twins:
    """A vocabulary of 1200 tokens learnt from a made-up corpus, in both forms."""
    oracle = Tokenizer(models.BPE(ignore_merges=word_rules.RULES[rule].whole_words))
    oracle.pre_tokenizer = pre_tokenizer(rule)
    oracle.decoder = decoders.ByteLevel()
    oracle.train_from_iterator(corpus(7), trainers.BpeTrainer(
        vocab_size=1200, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if word_rules.RULES[rule].whole_words:
        oracle = with_word_no_merge_makes(oracle)
    oracle.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    vocab = vocab_of(oracle, rule, special, chat_template)
    return Twins(oracle, vocab, bind(vocab))


def with_word_no_merge_makes(oracle: Tokenizer) -> Tokenizer:
    """The same with a token that only `ignore_merges` finds."""
    state = json.loads(oracle.to_str())
    words = state["model"]["vocab"]
    for word in ("zyxzyx", "\u0120qqq"):
        words[word] = len(words)
    return Tokenizer.from_str(json.dumps(state))


def vocab_of(oracle: Tokenizer, rule: str, special: tuple[str, ...], chat_template: str) -> Vocab:
    """The oracle's vocabulary as a reader returns it."""
    model = json.loads(oracle.to_str())["model"]
    ids = model["vocab"]
    texts = {token: text.encode() for token in range(oracle.get_vocab_size())
             if (text := oracle.id_to_token(token)) in special}
    pieces = tuple(texts.get(token) or undo_alphabet(oracle.id_to_token(token).encode())
                   for token in range(oracle.get_vocab_size()))
    bytes_in_order = sorted(ALPHABET, key=ALPHABET.__getitem__)
    return Vocab(
        kind="bytelevel", pieces=pieces, outputs=tuple(b"" if k in texts else p for k, p in enumerate(pieces)),
        merges=tuple((ids[left], ids[right]) for left, right in model["merges"]),
        byte_ids=tuple(ids.get(character, -1) for character in bytes_in_order), bos_id=-1, eos_ids=(),
        add_bos=False, add_space_prefix=False, pretokenizer=rule,
        special={text.decode(): token for token, text in texts.items()}, chat_template=chat_template)


def oracle_of(vocab: Vocab) -> Tokenizer:
    """Hugging Face's tokenizer of a vocabulary a reader returned."""
    letters = {byte: letter for letter, byte in ALPHABET.items()}
    special = set(vocab.special.values())
    texts = [piece.decode(errors="replace") if token in special else "".join(letters[byte] for byte in piece)
             for token, piece in enumerate(vocab.pieces)]
    oracle = Tokenizer(models.BPE(vocab={text: token for token, text in reversed(list(enumerate(texts)))},
                                  merges=[(texts[left], texts[right]) for left, right in vocab.merges],
                                  ignore_merges=word_rules.RULES[vocab.pretokenizer].whole_words))
    oracle.pre_tokenizer = pre_tokenizer(vocab.pretokenizer)
    oracle.add_special_tokens([AddedToken(text, normalized=False) for text in vocab.special])
    return oracle


def bind(vocab: Vocab) -> Vocabulary:
    """A vocabulary packed and bound, without a model around it."""
    tables = tokenizer_tables(vocab)
    KEPT.append(np.zeros(layout.HEADER_BYTES, np.uint8))
    header = Header.over(KEPT[-1])
    header.vocab_size = len(vocab)
    describe_tokenizer(header, vocab, tables)
    addresses = np.zeros(N_SECTIONS, np.int64)
    for number, array in tables.sections.items():
        raw = np.frombuffer(array.tobytes(), np.uint8)
        KEPT.append(np.pad(raw, (0, -len(raw) % 8)))
        header.sections[number].n_bytes, addresses[number] = KEPT[-1].nbytes, KEPT[-1].ctypes.data
    return bind_vocabulary(header, addresses)


def bytes_of(text: str | bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A text as kernels take it; one byte more, since an empty array has no address."""
    raw = text.encode() if isinstance(text, str) else text
    return np.frombuffer(raw + b"\0", np.uint8).copy()


# Where rules differ: contractions of any case, digits, newlines and other white space, marks, joiners.
TRICKY = st.sampled_from([
    *"'''sStTmMdDrRvVlLeE\u017f\u212a 123\r\n\t  ", *"\u00a0\u3000\u2028\u0085\x0b\x1c\x1f\x00\x7f\u0300\u200d\ufeff",
    "'s", "'LL", " 'Ve", "  ", "\r\n", " \n ", "\u0661\u0662", "\u2167", "\u00bd", "\u0e01\u0e33", "\ufffd",
    "\U0001f469\u200d\U0001f4bb", "\U0001d7d8", "\u4e00\u4e8c", "zyxzyx", " qqq", "hello", " world",
    "<|im_end|>", "<|im_", "[INST]"])
# Only assigned characters: of the others Unicode versions think differently.
ANY = st.characters(exclude_categories=("Cs", "Cn"))
TEXTS = st.lists(st.one_of(TRICKY, TRICKY, ANY, st.sampled_from("".join(ALPHABETS))), max_size=60).map("".join)
