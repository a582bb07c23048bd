"""The chain as a whole: what decides whether a model has to be packed again."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.pipeline import Packing, pack_key


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file that would be packed."""
    path = tmp_path / "some.gguf"
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("room", ["aot", "checkpoint", "contract", "dialect", "kernels", "metal", "pack"])
def test_a_packed_model_is_named_after_all_that_made_it(sources: Path, checkpoint: Path, room: str) -> None:
    before = pack_key(checkpoint, None, Packing())
    assert pack_key(checkpoint, None, Packing()) == before
    with open(next((sources / room).rglob("*.py")), "a") as file:
        file.write("\n")
    assert pack_key(checkpoint, None, Packing()) != before


def test_and_after_what_is_asked_for(checkpoint: Path) -> None:
    asked = [Packing(), Packing(quant="q8"), Packing(kv="f16"), Packing(context=7)]
    keys = {pack_key(checkpoint, tokenizer, packing) for packing in asked for tokenizer in (None, checkpoint)}
    checkpoint.write_bytes(b"other weights")
    assert len(keys | {pack_key(checkpoint, None, Packing())}) == 9


def test_and_after_every_part_of_a_split_one(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"m-0000{number}-of-00003.gguf").write_bytes(b"part")
    before = pack_key(tmp_path / "m-00001-of-00003.gguf", None, Packing())
    (tmp_path / "m-00003-of-00003.gguf").write_bytes(b"fetched again")
    assert pack_key(tmp_path / "m-00001-of-00003.gguf", None, Packing()) != before
