"""Weights on their way into panels: which encoding a section gets, and what quantizing here loses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Tensor, float32_tensor
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.checkpoint.gguf_model import read_gguf
from barelm.contract import sections
from barelm.errors import BarelmError
from barelm.kernels import session
from barelm.kernels.decoder.model import first_tensor
from barelm.kernels.encodings import F32, MXFP4, Q4_0, Q4_1, Q4_K, Q5_0, Q6_K, Q8_0, TABLE
from barelm.kernels.encodings.look_up import MOST_E
from barelm.pack.quantizers import QUANTIZE, restored
from barelm.pack.reader import read_packed
from barelm.pack.weights import QUANTS, kind_of, matrix_parts
from barelm.pack.writer import write_packed
from tests.gguf_files import SCALES, random_rows, write_small_gguf
from tests.models import tiny_checkpoint
from tests.worlds import alone, jit

Floats = NDArray[np.float32]


def encoded(**encodings: str) -> Checkpoint:
    """A checkpoint of which only the encodings are looked at."""
    checkpoint = tiny_checkpoint(tied=False)
    return replace(checkpoint, tensors={
        name: replace(tensor, encoding=encodings.get(name.rpartition(".")[2], "F32"))
        for name, tensor in checkpoint.tensors.items()})


@pytest.mark.parametrize("encoding, kind", [(row.name, kind) for kind, row in enumerate(TABLE)])
def test_an_encoding_is_kept_where_the_kernels_have_it(encoding: str, kind: int) -> None:
    assert kind_of(encoded(w2=encoding).tensors["layers.1.w2"], "keep") == kind


@pytest.mark.parametrize("quant, kind", [("q8", Q8_0), ("q4", Q4_1), ("f32", F32)])
def test_what_is_asked_for_comes_before_what_is_stored(quant: str, kind: int) -> None:
    tensors = encoded(token_embedding="Q4_0", wq="Q8_0", w1="Q4_1").tensors.values()
    assert {kind_of(tensor, quant) for tensor in tensors} == {kind}


@pytest.mark.parametrize("encoding, cols, quant, kind", [
    ("F32", 512, "q4_k", Q4_K), ("BF16", 512, "q6_k", Q6_K), ("Q8_0", 256, "q4_k", Q4_K), ("Q6_K", 256, "q4_k", Q4_K),
    ("F16", 96, "q4_k", Q5_0), ("F32", 40, "q6_k", Q8_0), ("Q5_0", 96, "q4_k", Q5_0), ("Q8_0", 96, "q4_k", Q5_0),
    ("Q4_0", 256, "q4_k", Q4_0), ("Q4_K", 256, "q6_k", Q4_K), ("MXFP4", 32, "q4_k", MXFP4), ("Q8_0", 96, "q6_k", Q8_0)])
def test_what_is_as_narrow_stays_and_rows_of_other_sizes_get_smaller_blocks(encoding: str, cols: int, quant: str,
                                                                            kind: int) -> None:
    tensor = replace(encoded(token_embedding=encoding).tensors["token_embedding"], cols=cols)
    assert kind_of(tensor, quant) == kind


def test_a_tied_classifier_has_no_section_of_its_own() -> None:
    assert not list(matrix_parts(tiny_checkpoint(), sections.CLASSIFIER, "keep"))


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encoding, at", [
    (encoding, at) for encoding, places in SCALES.items() for at, _ in places])
def test_a_scale_that_is_no_number_is_refused(encoding: str, at: int, scale: float) -> None:
    raw = random_rows(np.random.default_rng(1), encoding, 320, BY_NAME[encoding].block_size, 1.0)
    raw[200, at:at + 2] = np.array([scale], np.float16).view(np.uint8)
    with pytest.raises(BarelmError, match="token_embedding holds a scale that is not a finite number"):
        list(embedding_parts(encoding, raw, "keep"))


def test_a_scale_of_mxfp4_whose_weights_may_be_infinite_is_refused() -> None:
    raw = np.zeros((320, 17), np.uint8)
    raw[:, 0] = MOST_E
    assert list(embedding_parts("MXFP4", raw, "keep"))
    raw[200, 0] += 1
    with pytest.raises(BarelmError, match="token_embedding holds a scale that is not a finite number"):
        list(embedding_parts("MXFP4", raw, "keep"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("quant", QUANTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encoding", ["F32", "F16", "BF16"])
def test_a_weight_that_is_no_number_is_refused(encoding: str, value: float, quant: str) -> None:
    values = np.ones((320, 256), np.float32)
    values[200, 7] = value
    raw = {"F32": values, "F16": values.astype(np.float16), "BF16": values.view(np.uint16)[:, 1::2]}[encoding]
    with pytest.raises(BarelmError, match="token_embedding holds a weight that is not a finite number"):
        list(embedding_parts(encoding, np.ascontiguousarray(raw).view(np.uint8), quant))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("quant", ["q8", "q4", "q4_k", "q6_k"])
@pytest.mark.parametrize("cols", [32, 256])
@pytest.mark.parametrize("value", [-1e30, -9e8, 9e8])
def test_a_weight_that_no_scale_holds_is_refused(quant: str, cols: int, value: float) -> None:
    values = np.ones((320, cols), np.float32)
    values[200, 7] = value
    with pytest.raises(BarelmError, match="token_embedding holds a weight too large for Q"):
        list(embedding_parts("F32", values.view(np.uint8), quant))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["attention_norm", "ffn_norm", "final_norm"])
def test_a_norm_that_is_no_number_is_refused(tmp_path: Path, name: str, value: float) -> None:
    checkpoint = tiny_checkpoint()
    found = [full for full in checkpoint.tensors if full.rpartition(".")[2] == name][-1]
    values = checkpoint.tensors[found].float32().copy()
    values[0, 3] = value
    checkpoint = replace(checkpoint, tensors={**checkpoint.tensors, found: float32_tensor(values)})
    with pytest.raises(BarelmError, match=f"{found} holds a weight that is not a finite number"):
        write_packed(checkpoint, tmp_path / "m.blm")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("quant", QUANTS)
def test_the_entry_says_what_quantizing_cost(tmp_path: Path, quant: str) -> None:
    checkpoint = read_gguf(write_small_gguf(tmp_path / "small.gguf", type="Q8_0"))
    write_packed(checkpoint, tmp_path / "m.blm", quant=quant)
    packed = read_packed(tmp_path / "m.blm")
    entries = packed.header.sections
    kind = int(packed.header.tensors[first_tensor(packed.header, sections.W2)].kind)
    values = np.concatenate([checkpoint.tensors[name].float32() for names in checkpoint.sources(sections.W2)
                             for name in names])
    cost = 0.0
    if kind in QUANTIZE and kind != Q8_0:
        width = TABLE[kind].columns
        blocks = np.pad(values, ((0, 0), (0, -values.shape[1] % width))).reshape(len(values), -1, width)
        cost = float(np.linalg.norm(restored(QUANTIZE[kind](blocks), kind) - blocks) / np.linalg.norm(blocks))
        assert 0.001 < cost < 0.12
    assert float(entries[sections.W2].error) == pytest.approx(cost, rel=1e-4)
    assert entries[sections.FINAL_NORM].error == 0


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
    write_packed(checkpoint, path, quant=quant, kv="f32")
    packed = read_packed(path)
    s = packed.fresh_state()
    s.tokens[:6] = [1, 70, 9, 200, 33, 5]
    jit(session.prefill)(packed.config, packed.weights(), s, 0, 6, alone())
    logits: Floats = s.logits[0, :packed.config.vocab_size].copy()
    return logits


EXACT = ("F32", "F16", "BF16")
FINE = {"Q4_1": ("q8", "q4"), "Q4_0": ("q8", "q4"), "Q8_0": ("q8",), "F32": ("q8",)}


@pytest.mark.parametrize("stored", [row.name for row in TABLE])
def test_every_choice_says_about_what_float32_does(tmp_path: Path, stored: str) -> None:
    checkpoint = read_gguf(write_small_gguf(tmp_path / "small.gguf", type=stored))
    exact = logits_of(checkpoint, tmp_path / "f32.blm", "f32")
    for quant in QUANTS if stored in FINE else ("keep", "q4_k"):
        tolerance = 0.03 if quant == "keep" or quant in FINE.get(stored, ()) else 0.35
        if quant == "keep" and stored in EXACT:
            tolerance = 0.0
        found = logits_of(checkpoint, tmp_path / f"{quant}.blm", quant)
        assert np.linalg.norm(found - exact) <= tolerance * np.linalg.norm(exact), quant
