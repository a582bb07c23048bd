r"""The rules by which byte-level tokenizers cut text into words, as the stages of `kernels.text.pretokenizer`.

Each is what llama.cpp makes of the rule of that name.  Where Hugging Face's expression can be met exactly it is met
too; gpt-4o and tekken know capitals and small letters in ASCII alone, and their marks are no letters, as there.
"""

from dataclasses import dataclass, field

from barelm.errors import BarelmError
from barelm.kernels.text import pretokenizer as cut
from barelm.kernels.text.pretokenizer import CASES, CONTRACTIONS, LINES, MARKS, SLASHES, STRICT, SUFFIXES

SIGNS_OF_FALCON = "24 2b 3c-3e 5e 7c 7e"
SIGNS_OF_PORO = "21 28 29 2c 2e 3f 7c 60c 6d4 964 2026 3001-3002 ff0c"
DEEPSEEK_BOTH = "41-5a 61-7a ff21-ff3a ff41-ff5a"
DEEPSEEK_SIGNS = "21-2f 3a-40 5b-60 7b-7e 2018-201f 3001-3002 ff01-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff5e"
DEEPSEEK_LETTERS = """
b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376-377 37b-37d 37f 386 388-38a 38c 38e-3a1 3a3-3f5 3f7-481
48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d
1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3
1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139
213c-213f 2145-2149 214e 2183-2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2-2cf3 a640-a66d a680-a69b a722-a76f a771-a787
a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df
1e900-1e943"""


@dataclass(frozen=True)
class WordRule:
    """A rule: its stages, whether a word that is a token is never cut, and where its categories are not Unicode's."""

    stages: tuple[int, ...]
    whole_words: bool = False
    without: tuple[str, ...] = ()  # categories that count for nothing
    ranges: dict[str, str] = field(default_factory=dict)  # characters of another category


def run(*categories: int, most: int = 0, after: int = 0) -> int:
    """A stage RUN."""
    return cut.RUN | after | most << cut.MOST_AT | sum(1 << category for category in categories) << cut.MASK_AT


def words(traits: int, most_digits: int) -> int:
    """A stage WORDS."""
    return cut.WORDS | traits | most_digits << cut.MOST_AT


_LLAMA = words(CONTRACTIONS | LINES, 3)
_PORO = run(*(category for category in range(cut.NOTHING) if category not in (cut.SPACE, cut.PUNCTUATION)),
            after=cut.AFTER_BLANK)
_NOT_OF_PORO = ("marks", "symbols", "punctuation")
_NUMBER, _LETTER, _SIGN = cut.NUMBER, cut.LETTER, cut.PUNCTUATION

RULES = {
    "gpt-2": WordRule((cut.GPT2,)),
    "smollm": WordRule((run(_NUMBER, most=1), cut.GPT2)),
    "llama-bpe": WordRule((_LLAMA,), whole_words=True),
    "dbrx": WordRule((_LLAMA,)),
    "minicpm5": WordRule((run(_NUMBER, most=3), _LLAMA), whole_words=True),
    "qwen2": WordRule((words(CONTRACTIONS | LINES, 1),)),
    "qwen35": WordRule((words(CONTRACTIONS | LINES | MARKS, 1),)),
    "seed-coder": WordRule((words(CONTRACTIONS, 1),)),
    "gpt-4o": WordRule((words(CASES | SUFFIXES | LINES | SLASHES, 3),)),
    "tekken": WordRule((words(CASES | LINES | SLASHES, 1),), whole_words=True),
    "deepseek-llm": WordRule(
        (cut.NEWLINE, run(_LETTER, cut.SYMBOL, after=cut.AFTER_SPACE), run(_SIGN, cut.SYMBOL, after=cut.AFTER_SPACE),
         cut.AT_END, cut.CJK, run(_NUMBER)),
        without=("letters", "marks", "punctuation", "symbols"),
        ranges={"letters": DEEPSEEK_LETTERS, "punctuation": DEEPSEEK_SIGNS, "symbols": DEEPSEEK_BOTH}),
    "deepseek-coder": WordRule((cut.NEWLINE, run(_LETTER, after=cut.AFTER_SPACE), run(_SIGN, after=cut.AFTER_SPACE),
                                cut.CJK, run(_NUMBER, most=1))),
    "deepseek-v3": WordRule((run(_NUMBER, most=3), cut.CJK | cut.KANA, words(STRICT | MARKS | LINES, 0))),
    "falcon": WordRule((run(_SIGN), cut.GPT2, cut.DIGITS), ranges={"punctuation": SIGNS_OF_FALCON + " 60"}),
    "default": WordRule((run(_SIGN), cut.GPT2, run(_NUMBER), cut.DIGITS), ranges={"punctuation": SIGNS_OF_FALCON}),
    "poro": WordRule((_PORO,), without=_NOT_OF_PORO, ranges={"punctuation": SIGNS_OF_PORO}),
    "viking": WordRule((_PORO, run(_NUMBER, most=1)), without=_NOT_OF_PORO, ranges={"punctuation": SIGNS_OF_PORO}),
}
"""By the name `checkpoint.gguf_vocab` gives each."""


def word_rule(name: str) -> WordRule:
    """A rule by its name.  Raises BarelmError where there is none of that name."""
    if name not in RULES:
        raise BarelmError(f"the tokenizer cuts text into words by a rule barelm does not know: {name!r}",
                          f"Known are {', '.join(RULES)}.")
    return RULES[name]
