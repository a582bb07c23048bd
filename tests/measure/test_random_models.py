"""Models of random weights: files that are read, in the shape and the encodings asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.checkpoint.read import read_checkpoint
from barelm.checkpoint.sources.default_model import find_default_model
from barelm.errors import BarelmError
from barelm.measure import random_models
from barelm.measure.random_models import SIZES, random_model

pytest.importorskip("gguf")
pytestmark = pytest.mark.skipif(find_default_model() is None, reason="its vocabulary is the default model's")


@pytest.mark.parametrize("encoding", ["Q4_0", "Q8_0", "F32"])
def test_a_small_one(tmp_path: Path, encoding: str) -> None:
    path = random_model("260K", encoding, tmp_path)
    shape, sizes = read_checkpoint(path).shape, SIZES["260K"]
    assert (shape.dim, shape.hidden_dim, shape.n_layers, shape.vocab_size) == (
        sizes.dim, sizes.hidden_dim, sizes.n_layers, sizes.vocab_size)
    written = path.stat().st_mtime_ns
    assert random_model("260K", encoding, tmp_path) == path and path.stat().st_mtime_ns == written


def test_rows_that_are_no_whole_blocks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match="rows of 260K are no whole blocks of Q4_K"):
        random_model("260K", "Q4_K_M", tmp_path)


def test_without_the_writer_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(BarelmError, match="gguf") as refusal:
        random_models.random_model("260K", "Q4_0", tmp_path)
    assert "pip install gguf" in refusal.value.hint
