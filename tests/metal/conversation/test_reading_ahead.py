"""Guesses in an answer: whatever is guessed, right or wrong, the answer is the one there would be without."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract import board
from barelm.metal.conversation import reading_ahead, reply
from barelm.metal.conversation.dialogue import make_answer
from barelm.metal.conversation.slash_commands import ANSWER, obey
from barelm.metal.conversation.turns import add_turn
from barelm.metal.processors import cores
from tests.metal.talks import ENDS_EVERY, Desk, Watching, array, digest

ESC = 0x17 << 16
LIMITS = st.sampled_from([b"", b"tokens = 1\n", b"tokens = 9\n", b"tokens = 30\n", b'stop = ["aba"]\n',
                          b'stop = ["ab", "zz"]\ntokens = 20\n'])
TYPED = st.lists(st.sampled_from([b"abab", b"abcabcabcabc", b"a", b"x" * 40, b"/undo", b"/retry"]),
                 min_size=1, max_size=4)


class Repeating(Watching):
    """An engine that says again what was said before, and now and then something else."""

    def chosen(self, ids: list[int]) -> int:
        """What came behind the last id the first time; every eleventh choice is any, or the end."""
        number = int.from_bytes(digest(np.array(ids, np.int64)), "little")
        if number % ENDS_EVERY > 0 and ids[-1] in ids[:-1]:
            return ids[ids.index(ids[-1]) + 1]
        return super().chosen([*ids, number % 2])


@dataclass
class Forced:
    """As many guesses as told, whether they pay or not."""

    counts: list[int]
    given: list[int] = field(default_factory=list)

    def __call__(self, guesses: object, most: int) -> int:
        count = self.counts[len(self.given) % len(self.counts)] if guesses.at > 0 else 0  # type: ignore[attr-defined]
        self.given.append(min(count, most))
        return self.given[-1]


def said(patch: pytest.MonkeyPatch, configured: bytes, typed: list[bytes], counts: list[int],
         keys: Sequence[int | None] = ()) -> list[object]:
    """All that can be seen of a conversation; without guesses where there are no counts."""
    forced = Forced(counts)
    patch.setattr(reading_ahead, "guesses_that_pay", forced)
    on = b"true" if counts else b"false"
    desk = Desk(patch, settings=b"temperature = 0.0\nseed = 3\nlookup = " + on + b"\n" + configured)
    desk.engine = Repeating(desk)
    patch.setattr(cores, "call_engine", desk.engine.run)
    desk.firmware.keys = list(keys)
    seen: list[object] = []
    for line in typed:
        if line.startswith(b"/") and obey(desk.t, array(line), len(line)) == ANSWER or (
                not line.startswith(b"/") and add_turn(desk.t, array(line))):
            seen.append(re.sub(r"[\d.]+ a second", "", desk.heard(lambda: make_answer(desk.t))))
        desk.check()
        f = desk.b.figures
        seen += [desk.ids, desk.cached, int(f.ended), int(f.last_read), int(f.last_made)]
    assert f.n_guessed == sum(forced.given) and 0 <= f.n_right <= f.n_guessed
    return seen


@settings(max_examples=12)
@given(LIMITS, TYPED, st.lists(st.integers(0, 7), min_size=1, max_size=9))
def test_nothing_but_the_time_changes(configured: bytes, typed: list[bytes], counts: list[int]) -> None:
    """What is shown, the ids, why it ended, what counts as cached, up to the end of the context."""
    with pytest.MonkeyPatch.context() as patch:
        assert said(patch, configured, typed, counts) == said(patch, configured, typed, [])


def test_guesses_come_true_and_spare_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, settings=b"temperature = 0.0\nseed = 3\ntokens = 60\n")
    desk.engine = Repeating(desk)
    monkeypatch.setattr(cores, "call_engine", desk.engine.run)
    monkeypatch.setattr(reading_ahead, "guesses_that_pay", Forced([7]))
    add_turn(desk.t, array(b"abcabcabcabc"))
    desk.heard(lambda: make_answer(desk.t))
    passes = [what for what, _, _ in desk.engine.commands].count(board.DECODE)
    f = desk.b.figures
    assert f.n_right > 0 and passes + f.n_right == f.last_made - (f.ended == board.ENDED_AT_LIMIT)


@pytest.mark.parametrize("key", [ESC, 3], ids=["Esc", "Ctrl-C"])
def test_a_key_stops_between_guesses(monkeypatch: pytest.MonkeyPatch, key: int) -> None:
    monkeypatch.setattr(reply, "SHOW_EVERY_MS", -1)
    keys: list[int | None] = [None] * 5 + [key]
    found = [said(monkeypatch, b"", [b"abcabcabcabc"], counts, keys) for counts in ([], [7])]
    assert found[0] == found[1] and found[0][3] == board.ENDED_BY_KEY


@pytest.mark.parametrize("limits", [b"temperature = 0.0\n", b"temperature = 0.0\nrepeat = 1.2\n",
                                    b"temperature = 0.5\nrepeat = 1.1\n"])
def test_a_real_engine_says_the_same(monkeypatch: pytest.MonkeyPatch, limits: bytes) -> None:
    ids = []
    for counts in ([], [7, 2]):
        monkeypatch.setattr(reading_ahead, "guesses_that_pay", Forced(counts))
        on = b"lookup = true\n" if counts else b"lookup = false\n"
        desk = Desk(monkeypatch, settings=limits + b"seed = 3\ntokens = 25\n" + on, watching=False)
        add_turn(desk.t, array(b"abab"))
        desk.heard(functools.partial(make_answer, desk.t))
        ids.append(desk.ids)
        assert (desk.b.figures.n_guessed > 0) == bool(counts)
    assert ids[0] == ids[1]
