"""What is asked of the metal: refused where the metal could not read it, written as TOML that others read too."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract import layout
from barelm.errors import BarelmError
from barelm.settings import AT_END, LARGEST_REAL, LARGEST_SEED, Settings

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(st.builds(Settings, TEXTS, st.floats(0, LARGEST_REAL), st.floats(0, 1), st.integers(0, LARGEST_SEED),
                 st.integers(0, 1 << 24), st.integers(0, 4096), st.sampled_from(AT_END), st.integers(0, 10**6),
                 report=st.booleans(), top_k=st.integers(0, 1 << 24), min_p=st.floats(0, 1),
                 repeat=st.floats(0, LARGEST_REAL), stop=st.lists(st.text(st.characters(
                     codec="utf-8", exclude_characters="\0"), max_size=20), max_size=8).map(tuple), model=TEXTS,
                 countdown=st.integers(0, 10**6), keyboard=st.sampled_from(layout.KEYBOARDS), selftest=st.booleans(),
                 screen=st.booleans()))
def test_it_is_toml(settings: Settings) -> None:
    read = tomllib.loads(settings.toml().decode())
    reals = ("temperature", "top_p", "min_p", "repeat")
    assert set(read) == set(Settings.__dataclass_fields__)
    for name in set(read) - {*reals, "stop"}:
        assert read[name] == getattr(settings, name)
    assert tuple(read["stop"]) == settings.stop
    for name in reals:
        assert abs(np.float32(read[name]) - np.float32(getattr(settings, name))) <= 1e-18


@pytest.mark.parametrize("changed, sentence", [
    ({"temperature": -0.1}, "temperature cannot be -0.1"), ({"temperature": 1e9}, "temperature cannot be 1e+09"),
    ({"temperature": float("nan")}, "temperature cannot be nan"), ({"temperature": float("inf")}, "cannot be inf"),
    ({"top_p": 1.01}, "top-p cannot be 1.01"), ({"top_p": -1}, "top-p cannot be -1"),
    ({"seed": -1}, "the seed cannot be -1"), ({"seed": LARGEST_SEED + 1}, "the seed cannot be"),
    ({"tokens": -1}, "the number of tokens cannot be -1"), ({"cores": 5000}, "the number of cores cannot be 5000"),
    ({"wait": -1}, "the wait cannot be -1"), ({"at_end": "sleep"}, "the machine cannot 'sleep' at the end"),
    ({"prompt": "a\0"}, "the prompt holds the character U+0000"), ({"prompt": "\udc80"}, "U+DC80, which is no text"),
    ({"top_k": -1}, "top-k cannot be -1"), ({"min_p": 1.5}, "min-p cannot be 1.5"),
    ({"repeat": -0.5}, "the repetition penalty cannot be -0.5"), ({"countdown": -1}, "the countdown cannot be -1"),
    ({"keyboard": "xx"}, "there is no keyboard 'xx'"), ({"stop": ("a",) * 9}, "9 stops are too many"),
    ({"stop": ("a", "b\0")}, "a stop holds the character U+0000"), ({"model": "\udc80"}, "the model's name holds"),
    ({"stop": ("é" * 128 + "x",)}, "is too long"), ({"system": "\0"}, "the system text holds the character"),
    ({"prompt": "x" * layout.TEXT_BYTES}, "configuration may have"),
    ({"prompt": "\x01" * (layout.TEXT_BYTES // 6)}, "configuration may have")])
def test_what_the_metal_cannot_do_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BarelmError) as refused:
        Settings(**changed)
    assert sentence in refused.value.message and refused.value.hint.endswith(".")


def test_the_longest_prompt_there_is_room_for() -> None:
    room = layout.TEXT_BYTES - len(Settings().toml())
    assert len(Settings("x" * room).toml()) == layout.TEXT_BYTES
    with pytest.raises(BarelmError):
        Settings("x" * (room + 1))
