"""Stop texts against a few lines of Python, over texts that come in pieces cut anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.kernels.text.stops import watch_stops
from tests.worlds import World, both_worlds, interpreter, jit

STOPS = st.lists(st.text("ab", max_size=5).map(str.encode), max_size=4)


def expected(pending: bytes, stops: list[bytes]) -> tuple[int, bool]:
    """Where the first stop text begins; else what could still become one is kept back."""
    stops = [stop for stop in stops if stop]
    found = [pending.find(stop) for stop in stops if stop in pending]
    partly = [at for at in range(len(pending)) if any(stop.startswith(pending[at:]) for stop in stops)]
    if found:
        return min(found), True
    return min(partly, default=len(pending)), False


def watched(world: World, pending: bytes, stops: list[bytes]) -> tuple[int, bool]:
    """The kernel's answer."""
    buffer = np.frombuffer(pending + b"abab", np.uint8).copy()  # what is behind is not looked at
    texts = np.frombuffer(b"".join(stop + b"\0" for stop in stops), np.uint8).copy()
    free, stopped = world(watch_stops)(buffer, len(pending), texts)
    return int(free), bool(stopped)


@pytest.mark.parametrize("pending, stops, free, stopped", [
    (b"", [b"x"], 0, False), (b"abc", [], 3, False), (b"abc", [b""], 3, False), (b"abcx", [b"x"], 3, True),
    (b"END", [b"END"], 0, True), (b"the EN", [b"END"], 4, False), (b"ababab", [b"abac"], 4, False),
    (b"aab", [b"ab", b"aab"], 0, True), ("é".encode()[:1], ["é".encode()], 0, False)])
@both_worlds
def test_examples(world: World, pending: bytes, stops: list[bytes], free: int, stopped: bool) -> None:
    assert watched(world, pending, stops) == (free, stopped)


@given(st.text("abc", max_size=12).map(str.encode), STOPS)
def test_any_text(pending: bytes, stops: list[bytes]) -> None:
    assert watched(interpreter, pending, stops) == expected(pending, stops) == watched(jit, pending, stops)


@given(st.text("abc", max_size=30).map(str.encode), STOPS, st.lists(st.integers(0, 30), max_size=8))
def test_a_text_in_pieces_is_shown_up_to_the_first_stop(text: bytes, stops: list[bytes], cuts: list[int]) -> None:
    edges = sorted({0, len(text), *[min(cut, len(text)) for cut in cuts]})
    shown, pending, ended = b"", b"", False
    for lo, hi in zip(edges, edges[1:]):
        pending += text[lo:hi]
        free, ended = watched(interpreter, pending, stops)
        shown, pending = shown + pending[:free], pending[free:]
        if ended:
            break
    first = min([text.find(stop) for stop in stops if stop and stop in text], default=-1)
    if first < 0:
        assert not ended and shown + pending == text
    else:
        # A longer stop text that begins earlier may be complete only behind the end of a shorter one.
        assert ended and text.startswith(shown) and any(text[len(shown):].startswith(stop) for stop in stops if stop)
        assert all(stop not in shown for stop in stops if stop)
