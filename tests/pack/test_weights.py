"""Weights on their way into panels: which encoding a section gets, and what quantizing here loses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import quants
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Tensor
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.checkpoint.gguf_model import read_gguf
from barelm.contract import sections
from barelm.dialect.types import BLOCK
from barelm.errors import BarelmError
from barelm.kernels import session
from barelm.kernels.encodings import F32, Q4_0, Q4_1, Q5_0, Q6_K, Q8_0
from barelm.pack.reader import read_packed
from barelm.pack.weights import QUANTS, Rows, kind_of, matrix_parts, quantize_q4_1, quantize_q8_0
from barelm.pack.writer import write_packed
from tests.gguf_files import random_rows, write_small_gguf
from tests.models import tiny_checkpoint
from tests.worlds import alone, jit

Floats = NDArray[np.float32]


some_value = st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-30) | st.sampled_from([0.0, 1.0])
values_of_blocks = arrays(np.float32, (3, BLOCK), elements=some_value)


def encoded(**encodings: str) -> Checkpoint:
    """A checkpoint of which only the encodings are looked at."""
    checkpoint = tiny_checkpoint(tied=False)
    return replace(checkpoint, tensors={
        name: replace(tensor, encoding=encodings.get(name.rpartition(".")[2], "F32"))
        for name, tensor in checkpoint.tensors.items()})


@pytest.mark.parametrize("encoding, kind", [
    ("Q8_0", Q8_0), ("Q5_0", Q5_0), ("Q4_0", Q4_0), ("Q4_1", Q4_1), ("F32", F32),
    ("F16", F32), ("BF16", F32), ("Q5_1", F32), ("Q4_K", F32), ("Q5_K", F32),
    ("Q6_K", Q6_K)])
def test_an_encoding_is_kept_where_the_kernels_have_it(encoding: str, kind: int) -> None:
    assert kind_of(encoded(w2=encoding).tensors["layers.1.w2"], "keep") == kind


@pytest.mark.parametrize("quant, kind", [("q8", Q8_0), ("q4", Q4_1), ("f32", F32)])
def test_what_is_asked_for_comes_before_what_is_stored(quant: str, kind: int) -> None:
    tensors = encoded(token_embedding="Q4_0", wq="Q8_0", w1="Q4_1").tensors.values()
    assert {kind_of(tensor, quant) for tensor in tensors} == {kind}


def test_a_tied_classifier_has_no_section_of_its_own() -> None:
    assert not list(matrix_parts(tiny_checkpoint(), sections.CLASSIFIER, "keep"))


def dequantized(rows: Rows) -> NDArray[np.float64]:
    """What blocks stand for."""
    scales, *minima = (factor.astype(np.float64) for factor in rows.factors)
    return rows.values.astype(np.float64) * scales + sum(minima)


@given(values_of_blocks)
def test_q8_0_is_within_half_a_step(values: Floats) -> None:
    rows = quantize_q8_0(values)
    peak = np.abs(values).max(-1, keepdims=True).astype(np.float64)
    # Half a step, and 127 times what is lost of the scale when it becomes a float16.
    bound = peak / 127 * 0.5001 + peak * 2.0 ** -11 + 127 * 2.0 ** -25
    assert (np.abs(dequantized(rows) - values) <= bound).all()
    assert np.abs(rows.values.astype(int)).max() <= 127


@given(values_of_blocks)
def test_q4_1_is_within_half_a_step(values: Floats) -> None:
    rows = quantize_q4_1(values)
    lo, hi = (pick(values, axis=-1, keepdims=True).astype(np.float64) for pick in (np.min, np.max))
    bound = (hi - lo) / 15 * 0.501 + (hi - lo + np.abs(lo)) * 2.0 ** -11 + 16 * 2.0 ** -25
    assert (np.abs(dequantized(rows) - values) <= bound).all()
    assert rows.values.max() <= 15


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_q8_0_is_the_official_librarys(scale: float) -> None:
    values = np.random.default_rng(1).normal(0, scale, (64, 256)).astype(np.float32)
    blocks = quants.quantize(values, gguf.GGMLQuantizationType.Q8_0).reshape(-1, 34)
    rows = quantize_q8_0(values.reshape(-1, BLOCK))
    assert rows.factors[0].tobytes() == blocks[:, :2].tobytes()
    assert rows.values.tobytes() == blocks[:, 2:].tobytes()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_q4_1_is_the_official_librarys(scale: float) -> None:
    values = np.random.default_rng(2).normal(0, scale, (64, 256)).astype(np.float32)
    blocks = quants.quantize(values, gguf.GGMLQuantizationType.Q4_1).reshape(-1, 20)
    rows = quantize_q4_1(values.reshape(-1, BLOCK))
    assert [factor.tobytes() for factor in rows.factors] == [blocks[:, :2].tobytes(), blocks[:, 2:4].tobytes()]
    theirs = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    assert (rows.values == theirs).all()


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encoding, at", [
    ("Q8_0", 0), ("Q5_0", 0), ("Q4_0", 0), ("Q4_1", 0), ("Q4_1", 2), ("Q6_K", 208)])
def test_a_scale_that_is_no_number_is_refused(encoding: str, at: int, scale: float) -> None:
    raw = random_rows(np.random.default_rng(1), encoding, 320, BY_NAME[encoding].block_size, 1.0)
    raw[200, at:at + 2] = np.array([scale], np.float16).view(np.uint8)
    with pytest.raises(BarelmError, match="token_embedding holds a scale that is not a finite number"):
        list(embedding_parts(encoding, raw, "keep"))


@pytest.mark.parametrize("quant", ["q8", "q4"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_a_weight_that_no_scale_holds_is_refused(quant: str, value: float) -> None:
    values = np.ones((320, 32), np.float32)
    values[200, 7] = value
    with np.errstate(all="ignore"), pytest.raises(BarelmError, match="token_embedding holds a scale"):
        list(embedding_parts("F32", values.view(np.uint8), quant))


def embedding_parts(encoding: str, raw: NDArray[np.uint8], quant: str) -> list[NDArray[np.uint8]]:
    """The embedding of a checkpoint that has this one."""
    form = BY_NAME[encoding]
    cols = raw.shape[1] // form.block_bytes * form.block_size
    tensor = Tensor(encoding, len(raw), cols, raw, form.dequantize)
    checkpoint = tiny_checkpoint()
    checkpoint = replace(checkpoint, tensors={**checkpoint.tensors, "token_embedding": tensor})
    return list(matrix_parts(checkpoint, sections.EMBEDDING, quant))


def logits_of(checkpoint: Checkpoint, path: Path, quant: str) -> Floats:
    """What a packed model says after a few tokens."""
    write_packed(checkpoint, path, quant=quant)
    packed = read_packed(path)
    s = packed.fresh_state()
    s.tokens[:6] = [1, 70, 9, 200, 33, 5]
    jit(session.prefill)(packed.config, packed.weights(), s, 0, 6, alone())
    logits: Floats = s.logits[0, :packed.config.vocab_size].copy()
    return logits


@pytest.mark.parametrize("stored, tolerances", [
    ("F32", {"q8": 0.03, "q4": 0.35, "keep": 0.0}), ("Q8_0", {"q8": 0.03, "q4": 0.35, "keep": 0.03}),
    ("Q4_1", {"q8": 0.03, "q4": 0.03, "keep": 0.03}), ("Q4_0", {"q8": 0.03, "q4": 0.03, "keep": 0.03}),
    ("Q5_0", {"q8": 0.03, "q4": 0.35, "keep": 0.03}), ("Q6_K", {"q8": 0.03, "q4": 0.35, "keep": 0.03})])
def test_every_choice_says_about_what_float32_does(tmp_path: Path, stored: str, tolerances: dict[str, float]) -> None:
    checkpoint = read_gguf(write_small_gguf(tmp_path / "small.gguf", type=stored))
    exact = logits_of(checkpoint, tmp_path / "f32.blm", "f32")
    assert set(tolerances) | {"f32"} == set(QUANTS)
    for quant, tolerance in tolerances.items():
        found = logits_of(checkpoint, tmp_path / f"{quant}.blm", quant)
        assert np.linalg.norm(found - exact) <= tolerance * np.linalg.norm(exact), quant
