"""Every architecture: llama.cpp, barelm and the formulas in float64 say the same of a tiny model."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.llama_cpp.computing import barelm_logits, packed_gguf
from tests.llama_cpp.distance import divergences, same_choices
from tests.llama_cpp.oracle import llama_cpp_logits, needs_llama_cpp
from tests.llama_cpp.reference import F64, Reference
from tests.llama_cpp.tiny import TINY, write_tiny

N_IDS = 40
CHANGED = 1e-5  # a mean KL, where what a part does is missing
NOISE = 0.01  # of logits: llama.cpp looks GELU up in a table of float16
BY_TABLE = ("gemma", "gpt2")
# An expert's width is that of its tensors, and a tiny number in a root is not heard.
INAUDIBLE = ("expert_count", "expert_feed_forward_length", "attention.layer_norm_epsilon")
OTHERWISE = {"phi3, window": "llama.cpp leaves out the window of Phi 3, which its authors' code has"}


class Case:
    """A tiny model in a file, ids to read, and what each side says after them, computed when asked for."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.tiny, self.folder = name, TINY[name], folder
        self.path = write_tiny(folder / "tiny.gguf", self.tiny)
        n_words = len(self.tiny.words()["tokenizer.ggml.tokens"])
        self.ids = [int(token) for token in np.random.default_rng(5).integers(0, n_words, N_IDS)]

    @cached_property
    def reference(self) -> Reference:
        """In float64."""
        return Reference(self.path)

    @cached_property
    def formulas(self) -> F64:
        """The reference's."""
        return self.reference.again().read_all(self.ids)

    @cached_property
    def llama_cpp(self) -> NDArray[np.float32]:
        """llama.cpp's; skips where it computes something else."""
        if self.name in OTHERWISE:
            pytest.skip(OTHERWISE[self.name])
        return llama_cpp_logits(self.path, self.ids)

    @cached_property
    def barelm(self) -> NDArray[np.float32]:
        """barelm's."""
        return barelm_logits(packed_gguf(self.path, self.folder / "tiny.blm"), self.ids, 1)


@pytest.fixture(scope="module", params=TINY)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Each of the models."""
    return Case(request.param, tmp_path_factory.mktemp("tiny"))


@needs_llama_cpp
def test_llama_cpp_says_what_the_formulas_say(case: Case) -> None:
    by_table = case.tiny.architecture.startswith(BY_TABLE)
    assert divergences(case.formulas, case.llama_cpp).mean() < (1e-6 if by_table else 1e-10)
    assert same_choices(case.formulas, case.llama_cpp, NOISE)


def test_barelm_says_what_the_formulas_say(case: Case) -> None:
    assert divergences(case.formulas, case.barelm).mean() < 1e-9
    assert same_choices(case.formulas, case.barelm, NOISE / 100)


@needs_llama_cpp
def test_barelm_says_what_llama_cpp_says(case: Case) -> None:
    assert divergences(case.llama_cpp, case.barelm).mean() < 1e-6
    assert same_choices(case.llama_cpp, case.barelm, NOISE)


def test_a_prompt_read_at_once_gives_the_same_bits(case: Case) -> None:
    packed = packed_gguf(case.path, case.folder / "again.blm")
    for n_prompt in (7, N_IDS):
        assert barelm_logits(packed, case.ids, n_prompt).tobytes() == case.barelm[n_prompt - 1:].tobytes()


def test_every_key_of_its_own_is_heard(case: Case) -> None:
    """A model whose logits would not change tests nothing."""
    for key, value in case.tiny.keys.items():
        if value is None or key.startswith(INAUDIBLE):
            continue
        changed = case.reference.again()
        changed.fields[f"{case.tiny.architecture}.{key}"] = changed_value(value)
        kl = divergences(case.formulas, changed.read_all(case.ids)).mean()
        assert kl > CHANGED, f"{key}: {kl}"


def changed_value(value: object) -> object:
    """Another value that a key can have; whole numbers become large where they were small, and small where large."""
    assert isinstance(value, int | float | str)
    if isinstance(value, str):
        return "none"
    return value / 8 if isinstance(value, float) else 1 if value > 2 * N_IDS else 8 * value


def test_every_tensor_is_heard(case: Case) -> None:
    for name in case.tiny.sizes():
        if name.startswith("blk.") and not name.startswith("blk.1.") or name == silent_factors(case):
            continue
        changed = case.reference.again()
        changed.tensors[name] = 1.5 * case.reference.tensor(name) + 0.5
        kl = divergences(case.formulas, changed.read_all(case.ids)).mean()
        assert kl > CHANGED, f"{name}: {kl}"


def silent_factors(case: Case) -> str:
    """Of the two sets of rotary factors that a file has, the one that is not for so long a context."""
    original = case.tiny.keys.get("rope.scaling.original_context_length", 0)
    return f"rope_factors_{'short' if case.tiny.context > original else 'long'}.weight"
