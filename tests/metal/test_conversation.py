"""Turns over ids: whatever is said, taken back and dropped, the ids are those of a conversation encoded afresh."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.kernels.chat import GUARDS, encode_turn
from barelm.metal import commands
from barelm.metal.chat import make_answer
from barelm.metal.conversation import ADDED, DROPPED, N_TURNS, REPLY, TOO_LONG, TURN_WORDS, TURNS, add_turn, turns_of
from barelm.metal.talk import vocabulary_of
from barelm.pack import layout
from tests.metal.talks import Desk, array
from tests.worlds import interpreter

TEXTS = st.one_of(st.text("ab \n<|im_end|>é世", max_size=25).map(str.encode), st.binary(max_size=20),
                  st.integers(60, 160).map(lambda n: b"x" * n))
STEPS = st.lists(st.one_of(
    st.tuples(st.just("say"), TEXTS), st.tuples(st.just("say"), TEXTS), st.tuples(st.just("reply"), st.just(b"")),
    st.tuples(st.just("reply"), st.just(b"")), st.tuples(st.just("undo"), st.just(b"")),
    st.tuples(st.just("retry"), st.just(b"")), st.tuples(st.just("system"), TEXTS),
    st.tuples(st.just("clear"), st.just(b""))), max_size=14)


@dataclass
class Model:
    """What is held to have been said: texts and the ids of replies, encoded from nothing every time."""

    desk: Desk
    system: bytes = b""
    turns: list[tuple[bytes, list[int]]] = field(default_factory=list)

    def turn_ids(self, k: int, typed: bytes) -> list[int]:
        """The ids of one text."""
        v = vocabulary_of(self.desk.t)
        most = layout.TEXT_BYTES
        ids, ranks = np.zeros(most + 2, np.int64), np.zeros(most + 2, np.int64)
        n = interpreter(encode_turn)(v, min(k, 1), array(self.system), len(self.system), array(typed), len(typed),
                                     np.zeros(most, np.uint8), np.zeros(GUARDS, np.int64), ids, ranks)
        return [int(token) for token in ids[:n]]

    def ids(self) -> list[int]:
        """Of the whole."""
        found = []
        for k, (typed, reply) in enumerate(self.turns):
            found += self.turn_ids(k, typed) + reply
        return found

    def follow_dropping(self) -> None:
        """Forget what the program forgot, which is always the oldest."""
        n = len(self.desk.typed)
        self.turns = self.turns[len(self.turns) - n:]


def last_reply(desk: Desk) -> list[int]:
    """The ids of the last turn's reply."""
    turn = TURNS + (int(turns_of(desk.t)[N_TURNS]) - 1) * TURN_WORDS
    lo, hi = int(turns_of(desk.t)[turn + REPLY]), int(turns_of(desk.t)[turn + REPLY + 1])
    return [int(token) for token in desk.tokens[lo:hi]]


def step(desk: Desk, model: Model, what: str, typed: bytes) -> None:
    """One step, in the program and in the model."""
    if what == "say":
        n_before = len(desk.typed)
        verdict = add_turn(desk.t, array(typed))
        too_long = len(model.turn_ids(0, typed)) > desk.seq_len
        assert verdict == (TOO_LONG if too_long else ADDED)
        if too_long:
            assert len(desk.typed) == n_before
        else:
            model.turns.append((typed, []))
            model.follow_dropping()
            assert desk.typed and len(desk.typed) + int(turns_of(desk.t)[DROPPED]) == n_before + 1
            turns_of(desk.t)[DROPPED] = 0
    elif what == "reply" and model.turns and not model.turns[-1][1]:
        desk.heard(lambda: make_answer(desk.t))
        model.turns[-1] = (model.turns[-1][0], last_reply(desk))
    elif what == "undo":
        desk.heard(lambda: commands.obey(desk.t, array(b"/undo"), 5))
        del model.turns[-1:]
    elif what == "retry" and model.turns:
        assert commands.obey(desk.t, array(b"/retry"), 6) == commands.ANSWER
        desk.heard(lambda: make_answer(desk.t))
        model.turns[-1] = (model.turns[-1][0], last_reply(desk))
    elif what == "system" and typed.strip(b" "):
        desk.heard(lambda: commands.obey(desk.t, array(b"/system " + typed), 8 + len(typed)))
        model.system = typed.lstrip(b" \t\r").rstrip(b" ")
        model.follow_dropping()
        turns_of(desk.t)[DROPPED] = 0
    elif what == "clear":
        desk.heard(lambda: commands.obey(desk.t, array(b"/clear"), 6))
        model.turns = []


@settings(max_examples=60)
@given(STEPS)
def test_ids_are_those_of_a_conversation_encoded_afresh(steps: list[tuple[str, bytes]]) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        desk = Desk(patch, settings=b"tokens = 6\ntemperature = 0.0\n")
        model = Model(desk)
        for what, typed in steps:
            step(desk, model, what, typed)
            assert desk.typed == [typed for typed, _ in model.turns]
            assert desk.ids == model.ids()
            desk.check()
