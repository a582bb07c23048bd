"""llama.cpp's own tokenizer, by ctypes, out of the extension module of the Python binding `xllamacpp`.

Its C functions take a file with a vocabulary and no weights.  How it cuts text into words by a list of expressions is
a C++ function, called here with strings and vectors laid out as its compiler does it; where a later version lays them
out otherwise it has another name, and the tests that need it skip.  x86-64 and System V calls only.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any

import pytest

_ROOM = 1024  # bytes, more than any parameter block has
_VOCAB_ONLY, _FLAGS = 72, [0, 0, 1]  # where in it the flags begin, of which that is the first, and what they are
_SPLIT = "_Z19unicode_regex_splitRKSsRKSt6vectorISsSaISsEEb"


class _Block(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint8 * _ROOM)]


@functools.cache
def library() -> Any:
    """The library; the test is skipped where it is not installed."""
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        pytest.skip("xllamacpp is not installed")
    c: Any = ctypes.CDLL(next(str(path) for path in Path(spec.origin).parent.glob("*.so")))
    c.llama_model_default_params.restype = _Block
    c.llama_model_load_from_file.restype = c.llama_model_get_vocab.restype = ctypes.c_void_p
    c.llama_backend_init()
    c.silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    c.llama_log_set(c.silent, None)
    return c


class LlamaVocabulary:
    """The vocabulary of a GGUF file, as llama.cpp reads it."""

    def __init__(self, path: Path) -> None:
        self._c = c = library()
        block = c.llama_model_default_params()
        if list(block.bytes[_VOCAB_ONLY:_VOCAB_ONLY + len(_FLAGS)]) != _FLAGS:
            pytest.skip("this llama.cpp's parameters are not understood")
        block.bytes[_VOCAB_ONLY] = 1
        model = c.llama_model_load_from_file(str(path).encode(), block)
        assert model, f"llama.cpp does not read {path}"
        self._vocab = ctypes.c_void_p(c.llama_model_get_vocab(ctypes.c_void_p(model)))

    def encode(self, text: str, *, beginning: bool, special: bool) -> list[int]:
        """The ids of a text: with what the model wants in front, with special tokens' texts as these tokens."""
        raw = text.encode()
        ids = (ctypes.c_int32 * (2 * len(raw) + 8))()
        n = self._c.llama_tokenize(self._vocab, raw, len(raw), ids, len(ids), ctypes.c_bool(beginning),
                                   ctypes.c_bool(special))
        assert n >= 0
        return list(ids[:n])

    def ends(self) -> set[int]:
        """The tokens that end an answer."""
        count = self._c.llama_vocab_n_tokens(self._vocab)
        return {token for token in range(count) if self._c.llama_vocab_is_eog(self._vocab, token) & 0xFF}


class _String:
    """A `std::string` whose object is a pointer to its bytes, with length, capacity and references before them."""

    def __init__(self, raw: bytes) -> None:
        size = len(raw).to_bytes(8, "little")
        self._room = ctypes.create_string_buffer(size + size + bytes(8) + raw)
        self.object = ctypes.c_void_p(ctypes.addressof(self._room) + 24)


def llama_words(text: str, expressions: tuple[str, ...]) -> list[str]:
    """A text cut into words by expressions, one after another."""
    c = library()
    if not hasattr(c, _SPLIT):
        pytest.skip("this llama.cpp cuts words with another function")
    given, strings = _String(text.encode()), [_String(expression.encode()) for expression in expressions]
    objects = (ctypes.c_void_p * len(strings))(*[string.object.value for string in strings])
    begin, end = ctypes.addressof(objects), ctypes.addressof(objects) + ctypes.sizeof(objects)
    vector, found = (ctypes.c_void_p * 3)(begin, end, end), (ctypes.c_void_p * 3)()
    getattr(c, _SPLIT)(ctypes.byref(found), ctypes.byref(given.object), ctypes.byref(vector), ctypes.c_bool(False))
    words = []
    for place in range(found[0] or 0, found[1] or 0, 8):
        address = ctypes.c_void_p.from_address(place).value or 0
        length = ctypes.c_uint64.from_address(address - 24).value
        words.append(ctypes.string_at(address, length).decode())
    return words


CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
BEHIND = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
FINNISH = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
DEEPSEEK_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    "\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556"
    "\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943")


def _llama(digits: str) -> str:
    return CONTRACTIONS + rf"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*" + BEHIND


def _cased(suffix: str, digits: str) -> str:
    capital, small = r"((?=[\p{L}])([^a-z]))", r"((?=[\p{L}])([^A-Z]))"
    words = [rf"[^\r\n\p{{L}}\p{{N}}]?{capital}{first}{small}{second}{suffix}" for first, second in ("*+", "+*")]
    return "|".join(words) + rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*" + BEHIND


EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "gpt-2": (GPT2,), "smollm": (r"\p{N}", GPT2), "llama-bpe": (_llama(r"\p{N}{1,3}"),),
    "dbrx": (_llama(r"\p{N}{1,3}"),), "minicpm5": (r"\p{N}{1,3}", _llama(r"\p{N}+")), "qwen2": (_llama(r"\p{N}"),),
    "qwen35": (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + BEHIND,),
    "seed-coder": (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + BEHIND,),
    "gpt-4o": (_cased(CONTRACTIONS + "?", r"\p{N}{1,3}"),), "tekken": (_cased("", r"\p{N}"),),
    "deepseek-llm": ("[\r\n]", rf"\s?[{DEEPSEEK_LETTERS}]+",
                     "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", ASIAN, r"\p{N}+"),
    "deepseek-coder": ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, r"\p{N}"),
    "deepseek-v3": (r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+" "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "poro": (FINNISH,), "viking": (FINNISH, r"\p{N}"),
}
"""The expressions of each rule, as llama.cpp applies them one after another."""
