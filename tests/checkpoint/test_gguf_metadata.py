"""GGUF files that are no models are called what they are, on every way in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from barelm.checkpoint.gguf_metadata import KINDS, read_model_metadata
from barelm.checkpoint.read import read_checkpoint, read_header
from barelm.errors import BarelmError
from tests.gguf_files import F32, STRING, SmallLlama, Stored, Value, bytelevel_vocab, gguf_bytes, write_small_gguf

LOW_RANK = [Stored(f"blk.0.attn_q.weight.lora_{half}", 0, (64, 4), np.zeros((4, 64), np.float32).tobytes())
            for half in "ab"]
LLAMA = {"general.architecture": Value(STRING, "llama")}


@pytest.mark.parametrize(("metadata", "tensors", "says"), [
    (LLAMA | {"general.type": Value(STRING, "adapter"), "adapter.lora.alpha": Value(F32, 16.0)}, LOW_RANK,
     "a LoRA adapter"),
    ({"general.type": Value(STRING, "imatrix")}, LOW_RANK, "an importance matrix"),
    ({"general.type": Value(STRING, "mmproj"), "general.architecture": Value(STRING, "clip")}, LOW_RANK, "mmproj"),
    ({"general.architecture": Value(STRING, "clip")}, LOW_RANK, "mmproj"),
    ({"general.architecture": Value(STRING, "controlvector")}, LOW_RANK, "a control vector"),
    (LLAMA | bytelevel_vocab(), [], "a vocabulary and no weights"), (LLAMA, [], "no tensors")])
def test_what_is_no_model_is_named(metadata: dict[str, Value], tensors: list[Stored], says: str,
                                   tmp_path: Path) -> None:
    path = tmp_path / "f.gguf"
    path.write_bytes(gguf_bytes(metadata, tensors))
    for read in (read_model_metadata, read_checkpoint, read_header):
        with pytest.raises(BarelmError, match=says) as error:
            read(path)
        assert "damaged" not in error.value.message and error.value.hint


def test_a_model_is_one_whether_it_says_so_or_not(tmp_path: Path) -> None:
    silent = write_small_gguf(tmp_path / "silent.gguf")
    saying = write_small_gguf(tmp_path / "saying.gguf", metadata={"general.type": Value(STRING, "model")})
    assert "model" not in KINDS
    silent_metadata, saying_metadata = read_model_metadata(silent), read_model_metadata(saying)
    assert silent_metadata.container.tensors.keys() == saying_metadata.container.tensors.keys()


@pytest.mark.parametrize("name", [
    "x.gguf.part1of2", "x.gguf.part2of2", "x-split-a.gguf", "x-split-b.gguf", "x.gguf-split-a", "x.gguf.001",
    "x.gguf.aa", "x.gguf.part01", "x.part_b", "x-part-2.gguf"])
def test_a_piece_of_a_cut_file_asks_for_the_others(name: str, tmp_path: Path) -> None:
    whole = SmallLlama().encode()
    first = not name.endswith(("2of2", "b.gguf", "b", "2.gguf"))
    (tmp_path / name).write_bytes(whole[:len(whole) // 2] if first else whole[len(whole) // 2:])
    for read in (read_checkpoint, read_header):
        with pytest.raises(BarelmError) as error:
            read(tmp_path / name)
        assert "join all pieces" in error.value.hint


def test_a_whole_file_may_have_any_name(tmp_path: Path) -> None:
    """And other damage than that of a piece is told as it was."""
    assert read_checkpoint(write_small_gguf(tmp_path / "x-split-a.gguf")).name == "small 1"
    (tmp_path / "apart.gguf").write_bytes(SmallLlama().encode()[:2000])
    with pytest.raises(BarelmError) as error:
        read_checkpoint(tmp_path / "apart.gguf")
    assert "join" not in error.value.hint
