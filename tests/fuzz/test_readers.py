"""Every file of the corpus, every sound file, and simple damage to these: a reader ends, or raises BarelmError."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from barelm.errors import BarelmError
from tests.fuzz.readers import CORPUS, READERS

ROUNDS = 60
SOUND = ("gguf_header", "gguf", "llama2c", "tokenizer", "report", "transcript", "terminal", "configuration",
         "packed_model", "gpt", "volume", "edited_volume")

DAMAGE: tuple[Callable[[bytearray, random.Random], object], ...] = (
    lambda raw, dice: raw.__setitem__(dice.randrange(len(raw)), dice.randrange(256)),
    lambda raw, dice: raw.__delitem__(slice(dice.randrange(len(raw)), None)),
    lambda raw, dice: raw.__setitem__(slice(at := dice.randrange(len(raw)), at + 4), b"\xff\xff\xff\x7f"),
    lambda raw, dice: raw.__setitem__(slice(at := dice.randrange(len(raw)), at + 8), bytes(8)),
    lambda raw, dice: raw.__setitem__(slice(at := dice.randrange(len(raw)), at), raw[:dice.randrange(64)]))


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_is_read(name: str) -> None:
    """So that what follows looks at what lies behind the first check."""
    READERS[name].read(READERS[name].seeds()[-1 if name == "gguf_header" else 0])


@pytest.mark.parametrize("name", READERS)
def test_damage_is_a_sentence(name: str) -> None:
    reader, dice = READERS[name], random.Random(7)
    for seed in reader.seeds():
        for _ in range(ROUNDS):
            raw = bytearray(seed[:reader.longest])
            for _ in range(dice.randrange(1, 4)):
                if raw:
                    dice.choice(DAMAGE)(raw, dice)
            with suppress(BarelmError):
                reader.read(bytes(raw))


@pytest.mark.parametrize("name", READERS)
def test_the_corpus_is_read(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        with suppress(BarelmError):
            READERS[name].read(path.read_bytes())


def test_every_folder_of_the_corpus_has_its_reader() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(READERS)
