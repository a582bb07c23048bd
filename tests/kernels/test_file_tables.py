"""Tables that lie under right sums: both worlds find them, the host refuses them by name, and honest ones pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from barelm.contract import layout, sections
from barelm.contract.layout import SENSELESS_WORDS, Header, Senseless
from barelm.contract.sections import (
    BYTE_TOKENS,
    CATEGORIES,
    CHARS,
    CHAT,
    IN_HEADER,
    LAYERS,
    MERGES,
    PIECE_ENDS,
    RANKS,
    SECTIONS,
    SPECIALS,
    WORDS,
)
from barelm.errors import BarelmError
from barelm.kernels.bounds import senseless_field
from barelm.kernels.file_tables import senseless_table
from barelm.kernels.header import DAMAGED, SOUND, check_header
from barelm.pack.reader import read_packed
from barelm.pack.writer import write_packed
from tests.lying import LyingModel
from tests.metal.talks import chat_model
from tests.models import tiny_checkpoint
from tests.worlds import World, both_worlds, interpreter, jit

Change = Callable[[LyingModel], object]


def told(world: World, model: LyingModel) -> tuple[int, int, int, int, int] | None:
    """What is found in a model's tables."""
    finding = Senseless.over(np.zeros(SENSELESS_WORDS, np.int64))
    if not world(senseless_table)(model.header, model.addresses, finding):
        return None
    return int(finding.section), int(finding.place), int(finding.value), int(finding.least), int(finding.most)


def spm_model(folder: Path) -> bytes:
    """A SentencePiece model, with ranks and characters."""
    write_packed(tiny_checkpoint(5), folder / "tiny.blm")
    return (folder / "tiny.blm").read_bytes()


def put(number: int, at: int | slice, value: object, dtype: type = np.int32) -> Change:
    """A change of a table."""
    return lambda model: model.section(number, dtype).__setitem__(at, value)


LIES: dict[str, tuple[int, Change]] = {
    "a special token whose text is empty": (SPECIALS, lambda m: put(SPECIALS, 1, m.section(SPECIALS)[0])(m)),
    "texts of special tokens before the file": (SPECIALS, put(SPECIALS, slice(0, 4, 4), -474_192_383)),
    "a text of a special token in the directory": (SPECIALS, put(SPECIALS, 0, 0)),
    "a special token that ends before it begins": (SPECIALS, put(SPECIALS, 5, -298)),
    "a special token that ends behind the section": (SPECIALS, put(SPECIALS, 5, 1 << 20)),
    "a special token beyond the vocabulary": (SPECIALS, put(SPECIALS, 2, 2**31 - 1)),
    "a special token with a trait nobody knows": (SPECIALS, put(SPECIALS, 3, 4)),
    "merges beyond the vocabulary": (MERGES, put(MERGES, 1, 0xFFFFFFFF, np.int64)),
    "merges in no order": (MERGES, put(MERGES, 2, 1 << 62, np.int64)),
    "a merge with a negative rank": (MERGES, put(MERGES, 1, -1, np.int64)),
    "pieces behind the section": (PIECE_ENDS, put(PIECE_ENDS, slice(3, None), 1 << 20)),
    "pieces that go back": (PIECE_ENDS, put(PIECE_ENDS, 9, 0)),
    "a byte's token beyond the vocabulary": (BYTE_TOKENS, put(BYTE_TOKENS, 97, 10**8)),
    "a byte's token below none": (BYTE_TOKENS, put(BYTE_TOKENS, 97, -2)),
    "categories in no order": (CATEGORIES, put(CATEGORIES, slice(2, None, 3), 42)),
    "a category that is none": (CATEGORIES, lambda m: put(CATEGORIES, 1, m.section(CATEGORIES)[1] | 7)(m)),
    "a chat piece that ends before it begins": (CHAT, put(CHAT, 4, -298)),
    "a chat piece that begins in the directory": (CHAT, put(CHAT, 0, 4)),
    "a chat piece behind the section": (CHAT, put(CHAT, 7, 1 << 20)),
    "a window that is negative": (LAYERS, put(LAYERS, 0, -1)),
    "a layer turned by a table there is not": (LAYERS, put(LAYERS, 1, 1)),
}
OF_SENTENCEPIECE: dict[str, tuple[int, Change]] = {
    "a word beyond the vocabulary": (WORDS, put(WORDS, 3, 1 << 30)),
    "a negative rank": (RANKS, put(RANKS, 3, -4)),
    "a character beyond the vocabulary": (CHARS, put(CHARS, 1, 1 << 40, np.int64)),
    "characters in no order": (CHARS, put(CHARS, 0, 1 << 30, np.int64)),
}


@both_worlds
def test_honest_tables_pass(world: World, tmp_path: Path) -> None:
    for content in (chat_model()[1], spm_model(tmp_path)):
        model = LyingModel(content)
        assert told(world, model) is None and model.content() == content


@pytest.mark.parametrize("lie", [*LIES, *OF_SENTENCEPIECE])
def test_tables_that_lie_are_refused_by_name(tmp_path: Path, lie: str) -> None:
    model = LyingModel(chat_model()[1] if lie in LIES else spm_model(tmp_path))
    number, change = {**LIES, **OF_SENTENCEPIECE}[lie]
    change(model)
    found = told(interpreter, model)
    assert found is not None and found == told(jit, model) and found[0] == number
    (tmp_path / "lies.blm").write_bytes(model.content())
    with pytest.raises(BarelmError, match=f"section '{SECTIONS[number].name}' of .* holds what cannot be: num") as bad:
        read_packed(tmp_path / "lies.blm")
    assert "barelm pack" in bad.value.hint


def test_marks_without_an_end_are_found() -> None:
    model = LyingModel(chat_model(template="thinks")[1])
    assert told(interpreter, model) is None
    ends = model.section(CHAT)[:int(model.header.n_chat_pieces)]
    model.section(CHAT, np.uint8)[ends[layout.MARKS] - 1] = 65
    assert told(interpreter, model) == told(jit, model) == (CHAT, 0, len(ends), 0, -1)


WORDS_THAT_LIE: list[tuple[str, int]] = [
    ("bos_id", -10**9), ("bos_id", 1 << 20), ("add_bos", 2), ("add_space", -1), ("tokenizer_kind", 2),
    ("n_categories", 0), ("n_chat_pieces", 5), ("n_chat_pieces", 292), ("n_chat_pieces", 32), ("n_tool_pieces", 3),
    ("golden_n", 3), ("golden_n", 25), ("weights_bytes", 4096), ("memory_bytes", 4096), ("max_cores", 0),
    ("batch", 129), ("vocab_size", 0), ("n_layers", 1 << 25), ("stages", -1), ("eos_ids", 1 << 20), ("norm", 2),
    ("workspace_bytes", 0), ("max_piece_bytes", -1), ("rope_dim", 3)]


@both_worlds
@pytest.mark.parametrize("name, value", WORDS_THAT_LIE)
def test_headers_that_lie_are_refused(world: World, name: str, value: int) -> None:
    model = LyingModel(chat_model()[1])
    assert world(check_header)(model.header, len(model.raw)) == SOUND
    place = Header.offset_of(name) // 8
    model.raw.view(np.int64)[place] = value
    model.content()
    assert world(check_header)(model.header, len(model.raw)) == DAMAGED


@both_worlds
@pytest.mark.parametrize("name", ["norm_eps", "attention_scale", "embedding_scale", "logit_cap"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e30])
def test_floats_that_are_none(world: World, name: str, value: float) -> None:
    model = LyingModel(chat_model()[1])
    setattr(model.header, name, value)
    finding = Senseless.over(np.zeros(SENSELESS_WORDS, np.int64))
    assert world(senseless_field)(model.header, IN_HEADER, model.header.address, finding)
    assert finding.place == Header.offset_of(name)


@pytest.mark.parametrize("name, value, says", [("bos_id", 1 << 20, ": bos_id cannot be what it says"),
                                               ("n_chat_pieces", 5, ": its sizes do not fit together")])
def test_the_host_says_which_word_it_is(tmp_path: Path, name: str, value: int, says: str) -> None:
    model = LyingModel(chat_model()[1])
    setattr(model.header, name, value)
    (tmp_path / "lies.blm").write_bytes(model.content())
    with pytest.raises(BarelmError, match=f"the header of .* is damaged{says}$"):
        read_packed(tmp_path / "lies.blm")


def test_every_number_of_a_table_has_its_bounds() -> None:
    """A table that is added comes with them."""
    for row in SECTIONS:
        if row.form in (sections.INT32, sections.INT64):
            assert len(row.columns) == row.cols, row.name
