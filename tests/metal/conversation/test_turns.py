"""Turns over ids: whatever is said, taken back and dropped, the ids are those of a conversation encoded afresh."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract import layout
from barelm.kernels.text.chat_turn import GUARDS, TurnStyle, TurnTexts, encode_turn
from barelm.metal.conversation import slash_commands, turns
from barelm.metal.conversation.dialogue import make_answer
from barelm.metal.conversation.talk import vocabulary_of
from barelm.metal.conversation.turns import add_turn
from tests.metal.talks import Desk, array, chat_model
from tests.worlds import interpreter

TEXTS = st.one_of(st.text("ab \n<|im_end|>é世", max_size=25).map(str.encode), st.binary(max_size=20),
                  st.integers(60, 280).map(lambda n: b"x" * n))
STEPS = st.lists(st.one_of(
    st.tuples(st.just("say"), TEXTS), st.tuples(st.just("say"), TEXTS), st.tuples(st.just("reply"), st.just(b"")),
    st.tuples(st.just("reply"), st.just(b"")), st.tuples(st.just("undo"), st.just(b"")),
    st.tuples(st.just("retry"), st.just(b"")), st.tuples(st.just("system"), TEXTS),
    st.tuples(st.just("clear"), st.just(b""))), max_size=24)


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
        n = interpreter(encode_turn)(v, min(k, 1), TurnStyle(0, 0, 0),
                                     TurnTexts(array(self.system), array(typed), array(b"")),
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
    turn = desk.conversation.turns[desk.conversation.n_turns - 1]
    return [int(token) for token in desk.tokens[turn.reply:turn.end]]


def step(desk: Desk, model: Model, what: str, typed: bytes) -> None:
    """One step, in the program and in the model."""
    if what == "say":
        n_before = len(desk.typed)
        was_added = add_turn(desk.t, array(typed))
        too_long = len(model.turn_ids(0, typed)) > desk.seq_len
        assert was_added == (not too_long)
        if too_long:
            assert len(desk.typed) == n_before
        else:
            model.turns.append((typed, []))
            model.follow_dropping()
            assert desk.typed and len(desk.typed) + int(desk.conversation.dropped) == n_before + 1
            desk.conversation.dropped = 0
    elif what == "reply" and model.turns and not model.turns[-1][1]:
        desk.heard(lambda: make_answer(desk.t))
        model.turns[-1] = (model.turns[-1][0], last_reply(desk))
    elif what == "undo":
        desk.heard(lambda: slash_commands.obey(desk.t, array(b"/undo"), 5))
        del model.turns[-1:]
    elif what == "retry" and model.turns:
        assert slash_commands.obey(desk.t, array(b"/retry"), 6) == slash_commands.ANSWER
        desk.heard(lambda: make_answer(desk.t))
        model.turns[-1] = (model.turns[-1][0], last_reply(desk))
    elif what == "system" and typed.strip(b" "):
        said = desk.heard(lambda: slash_commands.obey(desk.t, array(b"/system " + typed), 8 + len(typed)))
        text = typed.lstrip(b" \t\r").rstrip(b" ")
        if "too long" not in said:
            model.system = b"" if text == b"-" else text
        model.follow_dropping()
        desk.conversation.dropped = 0
    elif what == "clear":
        desk.heard(lambda: slash_commands.obey(desk.t, array(b"/clear"), 6))
        model.turns = []


@settings(max_examples=60)
@given(STEPS)
def test_ids_are_those_of_a_conversation_encoded_afresh(steps: list[tuple[str, bytes]]) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        desk = Desk(patch, chat_model(256), b"tokens = 6\ntemperature = 0.0\n")
        model = Model(desk)
        for what, typed in steps:
            step(desk, model, what, typed)
            assert desk.typed == [typed for typed, _ in model.turns]
            assert desk.ids == model.ids()
            desk.check()


def test_the_oldest_are_forgotten_and_the_texts_move_up(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, chat_model(256), b"tokens = 6\ntemperature = 0.0\n")
    model = Model(desk, b"")
    most = 0
    for k in range(40):
        step(desk, model, "say", b"turn %d " % k + b"abc"[:k % 4])
        step(desk, model, "reply", b"")
        assert desk.typed == [typed for typed, _ in model.turns] and desk.ids == model.ids()
        desk.check()
        most = max(most, len(desk.typed))
    assert 3 < most < 20
    step(desk, model, "system", b"be brief " * 9)
    assert desk.typed == [typed for typed, _ in model.turns] and desk.ids == model.ids()
    desk.check()


def test_more_typed_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of blanks that the template does not strip cost few ids; their bytes run out first."""
    monkeypatch.setattr(turns, "TYPED_BYTES", 200)
    desk = Desk(monkeypatch, chat_model(256), b"tokens = 1\ntemperature = 0.0\n")
    for k in range(12):
        assert add_turn(desk.t, array(b"%d" % k + b" " * 60))
        assert sum(map(len, desk.typed)) <= 200 and desk.typed[-1].startswith(b"%d" % k)
        desk.check()


@pytest.mark.parametrize("n", [0, 1, layout.TEXT_BYTES, layout.TEXT_BYTES + 1])
def test_texts_of_any_length(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    desk = Desk(monkeypatch)
    assert add_turn(desk.t, np.full(n, 120, np.uint8)) == (n < 2)
    assert len(desk.typed) == int(n < 2)
