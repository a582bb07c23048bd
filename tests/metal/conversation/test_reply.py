"""An answer while it is made: where it ends, what is shown of it, what is read for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract import board
from barelm.metal.conversation import reply
from barelm.metal.conversation.dialogue import make_answer
from barelm.metal.conversation.turns import add_turn
from tests.metal.talks import Desk, array

ESC = 0x17 << 16


def answered(patch: pytest.MonkeyPatch, configured: str = "", typed: bytes = b"hello") -> tuple[Desk, str, str]:
    """The desk after an answer; what was shown of it, and all it would have been."""
    desk = Desk(patch, settings=f"temperature = 0.0\nseed = 3\n{configured}".encode())
    add_turn(desk.t, array(typed))
    whole = would_be(desk, int(desk.b.settings.tokens))
    said = desk.heard(lambda: make_answer(desk.t))
    return desk, said.split("\n")[0], whole


def would_be(desk: Desk, most: int) -> str:
    """What the watching engine goes on with; letters, one for each id."""
    ids, text = desk.ids, ""
    while len(ids) <= desk.seq_len and (most == 0 or len(text) < most):
        token = desk.engine.chosen(ids)
        if token not in desk.letters:
            break
        ids.append(token)
        text += chr(97 + desk.letters.index(token)) if desk.letters == sorted(desk.letters) else "?"
    return text


@pytest.mark.parametrize("typed", [b"hello", b"more", b"a", b"what is this?"])
def test_an_answer_ends_by_itself(monkeypatch: pytest.MonkeyPatch, typed: bytes) -> None:
    desk, shown, whole = answered(monkeypatch, typed=typed)
    assert shown == whole
    expected = board.ENDED_AT_LIMIT if desk.end > desk.seq_len else board.ENDED_ITSELF
    assert desk.b.figures.ended == expected and desk.b.figures.last_made == len(whole)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_an_answer_ends_at_the_limit_and_the_last_token_is_not_read(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    desk, shown, whole = answered(monkeypatch, f"tokens = {most}\n", b"more")
    assert shown == whole and len(whole) == most and desk.b.figures.ended == board.ENDED_AT_LIMIT
    assert desk.cached == desk.end - 1
    desk.check()


@settings(max_examples=60)
@given(st.data())
def test_an_answer_ends_before_the_first_stop(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = answered(patch, "tokens = 20\n", b"more")[2]
        lo = data.draw(st.integers(0, len(whole) - 1))
        true = whole[lo:data.draw(st.integers(lo + 1, min(lo + 4, len(whole))))]
        stops = [true, *data.draw(st.lists(st.text("abcdefgh", min_size=1, max_size=3), max_size=3))]
        listed = ", ".join(f'"{stop}"' for stop in stops)
        desk, shown, _ = answered(patch, f"tokens = 20\nstop = [{listed}]\n", b"more")
        assert shown == whole[:min(whole.find(stop) for stop in stops if stop in whole)]
        assert desk.b.figures.ended == board.ENDED_AT_STOP
        assert desk.end - int(desk.conversation.turns[0].reply) >= len(shown)
        desk.check()


def test_what_could_have_become_a_stop_is_shown_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answered(monkeypatch, "tokens = 5\n", b"more")[2]
    desk, shown, _ = answered(monkeypatch, f'tokens = 5\nstop = ["{whole[-2:]}!"]\n', b"more")
    assert shown == whole and desk.b.figures.ended == board.ENDED_AT_LIMIT


@pytest.mark.parametrize("key", [ESC, 3], ids=["Esc", "Ctrl-C"])
def test_a_key_stops_it_and_other_keys_are_kept(monkeypatch: pytest.MonkeyPatch, key: int) -> None:
    monkeypatch.setattr(reply, "SHOW_EVERY_MS", -1)
    desk = Desk(monkeypatch, settings=b"temperature = 0.0\nseed = 3\ntokens = 9\n")
    add_turn(desk.t, array(b"more"))
    desk.firmware.keys = [ord("x"), None, key]
    said = desk.heard(lambda: make_answer(desk.t))
    assert "[stopped]" in said and desk.b.figures.ended == board.ENDED_BY_KEY and desk.b.figures.last_made == 2
    assert desk.workspace.keyboard.ahead.put == 1 and desk.workspace.keyboard.ahead.keys[0] == ord("x")
    desk.check()


def test_a_second_answer_reads_what_is_new_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, _, _ = answered(monkeypatch, "tokens = 4\n")
    before = desk.cached
    add_turn(desk.t, array(b"and"))
    n = desk.end
    desk.heard(lambda: make_answer(desk.t))
    assert desk.b.figures.last_read == n - before
    assert desk.b.figures.n_prompt == n - 3, "three of the four made were read when they were"


@pytest.mark.parametrize("stops", [True, False])
def test_reading_a_long_text_can_be_stopped(monkeypatch: pytest.MonkeyPatch, stops: bool) -> None:
    monkeypatch.setattr(reply, "READ_AT_ONCE", 8)
    desk = Desk(monkeypatch, settings=b"temperature = 0.0\ntokens = 3\n")
    add_turn(desk.t, array(b"a text that takes a while to be read"))
    if stops:
        desk.firmware.keys = [ESC]
    n = desk.end
    said = desk.heard(lambda: make_answer(desk.t))
    assert ("[stopped]" in said) == stops and (desk.end == n) == stops and (desk.cached < n - 1) == stops
    desk.check()
    add_turn(desk.t, array(b"and on"))
    desk.heard(lambda: make_answer(desk.t))
    desk.check()
    assert desk.end > n and len([what for what, _, _ in desk.engine.commands if what == board.PREFILL]) > 3
