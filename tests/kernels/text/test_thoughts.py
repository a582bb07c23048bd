"""Thoughts told from answers, byte by byte as they come: against the same said of the whole text."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.conversation_state import ReplyWatch
from barelm.kernels.text import thoughts
from tests.worlds import World, both_worlds, interpreter, jit

PAIR = (("t", "<think>"), ("a", "</think>"))
CHANNELS = (("T", "<|c|>analysis<|m|>"), ("A", "<|c|>final<|m|>"), ("-", "<|e|>"), ("-", "<|s|>assistant"))


def marks_piece(marks: tuple[tuple[str, str], ...]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """As a packed model has them."""
    return np.frombuffer("".join(f"{effect}{text}\0" for effect, text in marks).encode() + b"\0", np.uint8)[:-1]


def told_apart(world: World, marks: tuple[tuple[str, str], ...], parts: list[str], state: int) -> tuple[str, str]:
    """The thought and the answer, of a reply that comes in parts."""
    w = ReplyWatch.over(np.zeros(ReplyWatch.BYTES, np.uint8))
    w.state, w.fresh = state, 1
    thought, answer = bytearray(), bytearray()

    def show(last: bool) -> None:
        length = 1
        while length:
            free, length, effect = world(thoughts.next_mark)(w, marks_piece(marks))
            free = int(w.n) if last and not length else free
            for k in range(free):
                if world(thoughts.show_watched)(w, k):
                    (thought if w.state == thoughts.THOUGHT else answer).append(w.text[k])
            world(thoughts.pass_over)(w, free + length, effect)

    for part in parts:
        for byte in part.encode():
            world(thoughts.put_watched)(w, byte, 0)
        show(False)
    show(True)
    return thought.decode(), answer.decode()


def expected_of_pair(text: str, state: int) -> tuple[str, str]:
    """The same of a whole text."""
    if state == thoughts.BEGINNING and not text.lstrip().startswith("<think>"):
        return "", text.lstrip()
    inside = text.lstrip().removeprefix("<think>") if state == thoughts.BEGINNING else text
    thought, _, answer = inside.partition("</think>")
    return thought.lstrip(), answer.lstrip()


PARTS = st.lists(st.sampled_from(["<think>", "</think>", "<thi", "nk>", "</", "think", ">", " ", "\n", "a", "\u00e9",
                                  "<", "so"]), max_size=9)


@given(PARTS, st.sampled_from([thoughts.BEGINNING, thoughts.THOUGHT]))
def test_a_pair_of_marks_wherever_the_parts_are_cut(parts: list[str], state: int) -> None:
    expected = expected_of_pair("".join(parts), state)
    assert told_apart(interpreter, PAIR, parts, state) == expected
    assert told_apart(interpreter, PAIR, ["".join(parts)], state) == expected


@both_worlds
@pytest.mark.parametrize(("said", "thought", "answer"), [
    ("<|c|>analysis<|m|>hm, so<|e|><|s|>assistant<|c|>final<|m|>Yes.", "hm, so", "Yes."),
    ("<|c|>final<|m|>Yes.", "", "Yes."), ("Yes.", "", "Yes."),
    ("<|c|>analysis<|m|>hm<|e|><|s|>assistant<|c|>analysis<|m|>so<|e|>", "hmso", "")])
def test_channels(world: World, said: str, thought: str, answer: str) -> None:
    assert told_apart(world, CHANNELS, re.findall(".{1,3}", said), thoughts.BEGINNING) == (thought, answer)


def test_nothing_is_held_back_of_an_answer() -> None:
    w = ReplyWatch.over(np.zeros(ReplyWatch.BYTES, np.uint8))
    w.state = thoughts.ANSWER
    for byte in b"a <think> b </think":
        jit(thoughts.put_watched)(w, byte, 0)
    assert jit(thoughts.next_mark)(w, marks_piece(PAIR)) == (w.n, 0, 0)
