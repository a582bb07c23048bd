"""The ids of whole vocabularies: those llama.cpp gives, of public ones and of the real models at hand."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from barelm.checkpoint.checkpoint import Vocab
from barelm.checkpoint.gguf import read_container
from barelm.checkpoint.gguf_metadata import Metadata
from barelm.checkpoint.gguf_vocab import read_vocab
from barelm.errors import BarelmError
from barelm.kernels.text import tokenizer
from barelm.kernels.text.tokenizer import Vocabulary
from tests.kernels.text.bytelevel import TEXTS, bind, bytes_of, corpus
from tests.kernels.text.llama_cpp import LlamaVocabulary
from tests.worlds import jit

PUBLIC = Path(__file__).parents[4] / "shared" / "trials" / "vocabularies"
MODELS = Path.home() / ".cache" / "barelm-test-models"
BETWEEN = "\n__ggml_vocab_test__\n"

EQUAL = ("llama-spm", "phi-3", "gpt-2", "falcon", "starcoder", "deepseek-coder", "deepseek-llm")
REFUSED = {"bert-bge": "has a tokenizer of the kind 'bert'"}
"""By file.  The ids of gpt-neox are of another rule than the one its file names; some have no vocabulary, or no ids."""

PROMPTS = (
    "Hello, world!", "a\n\nb\n\n\n\n c\t\td   e      f", "x" * 50 + "\n" * 40, "  leading", "trailing  ", "", " ", "\n",
    "def f(x):\n    return x\n\n\n\tif True:\n        pass\n", "na\u00efve \u4e16\u754c \U0001f642 \x01\x7f \ua66e",
    "<table><tr>1</tr></table>", "tool <tool_call>{}</tool_call>", "1234567890 12.5e-10", "I'LL we've it's",
    "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", "<|im_start|>user\nhi<|im_end|>\n<unk>",
    "[multimodal]",
    "Gr\u00fc\u00dfe aus K\u00f6ln \u2014 \u201eja\u201c!",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a",
    *(line for seed in (1, 2) for line in corpus(seed)[:40]))


@dataclass(frozen=True)
class Both:
    """A vocabulary as read, bound, and in llama.cpp."""

    vocab: Vocab
    v: Vocabulary
    theirs: LlamaVocabulary


def load(path: Path) -> Vocab:
    """The vocabulary of a GGUF file, whatever else is in it."""
    if not path.is_file():
        pytest.skip(f"{path} is not at hand")
    return read_vocab(Metadata(read_container(path)))


@pytest.fixture(scope="module", params=["gemma3-270m-q4_k_m", "qwen2.5-coder-0.5b-q4_k_m", "smollm2-135m-q4_1"])
def real(request: pytest.FixtureRequest) -> Both:
    """A real model's."""
    path = MODELS / f"{request.param}.gguf"
    vocab = load(path)
    return Both(vocab, bind(vocab), LlamaVocabulary(path))


def encode(v: Vocabulary, text: str, special: int) -> list[int]:
    """The ids of a text."""
    raw = bytes_of(text)
    ids, ranks = np.zeros(len(raw) + 1, np.int64), np.zeros(len(raw) + 1, np.int64)
    return [int(token) for token in ids[:int(jit(tokenizer.encode)(v, raw, len(raw) - 1, special, ids, ranks))]]


def public_ids(name: str) -> list[tuple[str, list[int]]]:
    """The texts beside a public vocabulary, and their ids."""
    given_texts, given_ids = (PUBLIC / f"ggml-vocab-{name}.gguf.{kind}" for kind in ("inp", "out"))
    if not given_texts.is_file():
        pytest.skip(f"{given_texts} is not at hand")
    texts = given_texts.read_text(encoding="utf-8").split(BETWEEN)[:-1]
    rows = [list(map(int, line.split())) for line in given_ids.read_text().splitlines()]
    assert len(texts) == len(rows) == 46
    return list(zip(texts, rows))


@pytest.mark.parametrize("name", EQUAL)
def test_public_vocabularies_give_their_ids(name: str) -> None:
    vocab = load(PUBLIC / f"ggml-vocab-{name}.gguf")
    v = bind(vocab)
    lead = [vocab.bos_id] * vocab.add_bos
    for text, ids in public_ids(name):
        assert encode(v, text, 0) == [*lead, *ids], text


def test_the_ids_of_qwen2_are_those_of_a_real_model() -> None:
    v = bind(load(MODELS / "qwen2.5-coder-0.5b-q4_k_m.gguf"))
    for text, ids in public_ids("qwen2"):
        assert encode(v, text, 0) == ids, text


@pytest.mark.parametrize("name", ["baichuan", "gpt-neox"])
def test_vocabularies_without_ids_give_llama_cpps(name: str) -> None:
    path = PUBLIC / f"ggml-vocab-{name}.gguf"
    v, theirs = bind(load(path)), LlamaVocabulary(path)
    for text, _ in public_ids("gpt-2"):
        assert encode(v, text, 0) == theirs.encode(text, beginning=True, special=False), text


@pytest.mark.parametrize("name", REFUSED)
def test_a_vocabulary_of_another_kind_is_refused(name: str) -> None:
    with pytest.raises(BarelmError, match=REFUSED[name]):
        load(PUBLIC / f"ggml-vocab-{name}.gguf")


def test_prompts_of_a_real_model_have_llama_cpps_ids(real: Both) -> None:
    rng = random.Random(5)
    mixed = ["".join(rng.choice(PROMPTS)[:rng.randrange(1, 60)] for _ in range(4)) for _ in range(60)]
    for text in (*PROMPTS, *mixed):
        for special in (False, True):
            assert encode(real.v, text, special) == real.theirs.encode(text, beginning=True, special=special), text


@given(text=TEXTS)
@settings(max_examples=200)
def test_any_text_of_a_real_model_has_llama_cpps_ids(real: Both, text: str) -> None:
    # The long s is one of the things the two think differently of (see `test_pretokenizer`); a zero ends a C text.
    text = text.replace("\u017f", "s").replace("\0", "")
    assert encode(real.v, text, 0) == real.theirs.encode(text, beginning=True, special=False)


def test_answers_of_a_real_model_end_where_llama_cpps_do(real: Both) -> None:
    # Of </s> llama.cpp thinks that it ends an answer in every vocabulary; where it is HTML's it does not.
    html = {token for token, piece in enumerate(real.vocab.pieces) if piece == b"</s>"}
    assert set(real.vocab.eos_ids) == real.theirs.ends() - html


def test_a_large_vocabulary_is_packed_small(real: Both) -> None:
    v, count = real.v, len(real.vocab)
    tables = (v.words, v.ranks, v.merges, v.chars, v.categories)
    assert sum(table.nbytes for table in tables) < 17 * count
