"""Every file of the corpus, every sound file, and simple damage to these: a reader ends, or raises BarelmError."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from barelm.errors import BarelmError
from tests.fuzz.readers import CORPUS, READERS, damaged

ROUNDS = 60
SOUND = ("gguf_header", "gguf", "llama2c", "tokenizer", "report", "transcript", "terminal", "configuration",
         "signed_program", "receipt", "manifest", "packed_model", "gpt", "volume", "edited_volume")


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_is_read(name: str) -> None:
    """So that what follows looks at what lies behind the first check."""
    READERS[name].read(READERS[name].seeds()[-1 if name == "gguf_header" else 0])


@pytest.mark.parametrize("name", READERS)
def test_damage_is_a_sentence(name: str) -> None:
    reader, dice = READERS[name], random.Random(7)
    for seed in reader.seeds():
        for _ in range(ROUNDS):
            with suppress(BarelmError):
                reader.read(damaged(seed[:reader.longest], dice))


@pytest.mark.parametrize("name", READERS)
def test_the_corpus_is_read(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        with suppress(BarelmError):
            READERS[name].read(path.read_bytes())


def test_every_folder_of_the_corpus_has_its_reader() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(READERS)
