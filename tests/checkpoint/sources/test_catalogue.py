"""The models known by name: every row is one that could be fetched, kept and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.checkpoint.architectures import FAMILIES
from barelm.checkpoint.sources.catalogue import CATALOGUE, ROWS, KnownModel
from barelm.checkpoint.sources.repository_names import encoding_of, is_safe, parse_repository_name, parts_of


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_sound(row: KnownModel) -> None:
    assert parse_repository_name(f"hf:{row.repository}:{row.file}").repository == row.repository
    assert parts_of(row.file) == [row.file] and is_safe(row.name) and row.licence
    assert bool(row.tokenizer) == row.file.endswith(".bin") and is_safe(row.tokenizer or "none")
    assert bool(encoding_of(row.file)) == (not row.tokenizer) or row.name == "smollm2"
    assert not row.ollama or row.ollama.count(":") == 1


def test_names_differ_also_in_small_letters() -> None:
    assert len({row.name.lower() for row in ROWS}) == len({(row.repository, row.file) for row in ROWS}) == len(ROWS)


def test_the_readme_lists_every_name() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text()
    assert [name for name in CATALOGUE if f"`{name}`" not in text] == []


def test_only_what_is_read_here_is_listed() -> None:
    assert {row.architecture for row in CATALOGUE.values()} <= FAMILIES.keys()
    assert [row.name for row in ROWS if row.architecture == "llama"] == [
        name for name, row in CATALOGUE.items() if row.architecture == "llama"]


def test_memory_is_about_what_the_program_takes() -> None:
    """SmolLM2 took 151.9 MB (README) with its 2048 tokens."""
    assert CATALOGUE["smollm2"].memory_bytes(2048) / 1e6 == pytest.approx(151.9, rel=0.05)
