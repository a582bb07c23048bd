"""The lesson is right: its gradients are those of finite differences, it learns, and its file says what it computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples import train_nano_gpt as nano
from tests.llama_cpp.computing import barelm_logits, packed_gguf
from tests.llama_cpp.oracle import llama_cpp_logits, needs_llama_cpp

TINY = nano.Sizes(n_layers=2, dim=8, n_heads=2, context=6, n_tokens=11)


def in_float64(w: nano.Weights, seed: int) -> nano.Weights:
    """The weights a little moved, so that none is one or zero, in double precision."""
    rng = np.random.default_rng(seed)
    return {name: values + rng.normal(0, 0.3, values.shape) for name, values in w.items()}


def test_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(2)
    w = in_float64(nano.new_weights(TINY, rng), 3)
    ids, following = rng.integers(0, TINY.n_tokens, (2, 3, 5))
    _, grads = nano.loss_and_gradients(w, TINY, ids, following)
    assert grads.keys() == w.keys()
    for name, values in w.items():
        direction = rng.normal(0, 1, values.shape)
        sides = [nano.loss_and_gradients(w | {name: values + step * direction}, TINY, ids, following)[0]
                 for step in (1e-5, -1e-5)]
        assert (grads[name] * direction).sum() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=1e-9), name


def test_it_has_about_120_thousand_weights() -> None:
    w = nano.new_weights(nano.Sizes(), np.random.default_rng(0))
    assert 115_000 < sum(values.size for values in w.values()) < 125_000


def test_paragraphs_become_bytes_with_an_end_behind_each() -> None:
    assert nano.tokens_of(b"ab\r\nc\r\n\r\n\r\nd\n").tolist() == [*b"ab\nc", nano.END, *b"d", nano.END]


def test_some_steps_lower_the_loss(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = nano.Sizes(n_layers=1, dim=32, context=24)
    w = nano.new_weights(sizes, np.random.default_rng(1))
    tokens = nano.tokens_of(b"so it goes on and on\n\n" * 20)
    ids, following = nano.some_windows(tokens, np.random.default_rng(2), 4, 24)
    before = nano.loss_and_gradients(w, sizes, ids, following)[0]
    nano.train(w, sizes, tokens, 120, rate=1e-2)
    assert before == pytest.approx(np.log(nano.N_TOKENS), rel=0.1)
    assert nano.loss_and_gradients(w, sizes, ids, following)[0] < before / 4
    assert "step   100  loss" in capsys.readouterr().err


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int], nano.Array]:
    """A model as written, ids, and the logits NumPy computes for them."""
    sizes = nano.Sizes(n_layers=2, dim=32, context=48)
    w = {name: values.astype(np.float32)
         for name, values in in_float64(nano.new_weights(sizes, np.random.default_rng(4)), 5).items()}
    path = tmp_path_factory.mktemp("nano") / "nano.gguf"
    nano.write(path, w, sizes)
    ids = list(b"Once I saw a little bird")
    return path, ids, nano.forward(w, sizes, np.array([ids]))[0][0]


@needs_llama_cpp
def test_llama_cpp_computes_the_same(written: tuple[Path, list[int], nano.Array]) -> None:
    path, ids, logits = written
    # It looks GELU up in a table of float16.
    assert np.abs(llama_cpp_logits(path, ids) - logits).max() < 1e-3 * np.abs(logits).max()


def test_barelm_computes_the_same(written: tuple[Path, list[int], nano.Array], tmp_path: Path) -> None:
    path, ids, logits = written
    packed = packed_gguf(path, tmp_path / "nano.blm")
    assert np.abs(barelm_logits(packed, ids, len(ids))[0] - logits[-1]).max() < 1e-4 * np.abs(logits).max()
