"""The line being typed, against a model of plain Python strings; and `read_line` before a console that is watched."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.board import Figures
from barelm.contract.console_state import EditorState
from barelm.dialect.memory import memory
from barelm.dialect.structs import room as array_of
from barelm.dialect.types import U8
from barelm.metal.keys import line_editor
from barelm.metal.keys.keyboard import (
    DELETE,
    DOWN,
    END,
    F1,
    HOME,
    PAGE_DOWN,
    PAGE_UP,
    RESIZED,
    RIGHT,
    UP,
    WORD_LEFT,
    WORD_RIGHT,
)
from barelm.metal.keys.keyboard import LEFT as ARROW_LEFT
from barelm.metal.keys.line_editor import CHANGED, KEPT, LEFT, SUBMITTED, edit, set_line
from tests.worlds import World, both_worlds, interpreter

CHARACTERS = [ord(one) for one in "ab .\\é€\t\n"] + [0x1F600]
CONTROLS = [8, 11, 13, 14, 16, 21, 23, 1, 2, 3, 4, 5, 6, 27, UP, DOWN, ARROW_LEFT, RIGHT, HOME, END, DELETE, WORD_LEFT,
            WORD_RIGHT, F1]
KEYS = st.lists(st.one_of(st.sampled_from(CHARACTERS), st.sampled_from(CONTROLS)), max_size=60)


@functools.cache
def editor_of(room: int, n_history: int) -> type[EditorState]:
    """An editor of another size."""
    class Editor(EditorState):
        line: U8 = array_of(room)
        history: U8 = array_of(n_history)

    return Editor


class Typed:
    """An editor with a line and a history of some size."""

    def __init__(self, world: World = interpreter, *, room: int = 4096, history: int = 4096) -> None:
        self.world = world
        kind = editor_of(room, history)
        self.e = kind.over(np.zeros(kind.BYTES, np.uint8))

    def press(self, *keys: int | str) -> int:
        """Press keys; returns what the last one did."""
        result = KEPT
        for key in keys:
            for one in map(ord, key) if isinstance(key, str) else [key]:
                if self.e.done != 0:
                    self.start("")
                result = int(self.world(edit)(self.e, one))
        return result

    def start(self, text: str) -> None:
        """Start with a text."""
        self.world(set_line)(self.e, np.frombuffer(text.encode() + b"\0", np.uint8)[:-1])

    @property
    def text(self) -> str:
        """The line, a bar where the cursor is."""
        n, cursor = int(self.e.n), int(self.e.cursor)
        raw = self.e.line.tobytes()
        return raw[:cursor].decode() + "|" + raw[cursor:n].decode()


class Model:
    """The same with strings; a line or history that is full is not modelled."""

    def __init__(self) -> None:
        self.text, self.at, self.history = "", 0, list[str]()
        self.shown: int | None = None
        self.draft = ""

    def press(self, key: int) -> int:
        before = (self.text, self.at)
        result = self._press(key)
        if result == CHANGED and key not in (14, 16, UP, DOWN, 13):
            return CHANGED if (self.text, self.at) != before else KEPT
        return result

    def _press(self, key: int) -> int:
        text, at = self.text, self.at
        if key == 13:
            if text.endswith("\\") and at == len(text):
                self.text = text[:-1] + "\n"
                return CHANGED
            if text and self.history[-1:] != [text]:
                self.history.append(text)
            self.text, self.at, self.shown = "", 0, None
            return SUBMITTED
        if key == 3 or key == 4 and not text:
            self.text, self.at, self.shown = "", 0, None
            return CHANGED if text else LEFT
        if key in (16, 14):
            return self._recall(key == 16)
        if key in CHARACTERS:
            self.text, self.at = text[:at] + chr(key) + text[at:], at + 1
            return CHANGED
        if key in (UP, DOWN):
            return self._vertical(key == UP)
        home, end = text.rfind("\n", 0, at) + 1, (text + "\n").index("\n", at)
        left = re.search(r"[A-Za-z0-9\x80-\U0010ffff]*[^A-Za-z0-9\x80-\U0010ffff]*\Z", text[:at])
        right = re.match(r"[^A-Za-z0-9\x80-\U0010ffff]*[A-Za-z0-9\x80-\U0010ffff]*", text[at:])
        assert left is not None and right is not None
        places = {ARROW_LEFT: max(at - 1, 0), RIGHT: min(at + 1, len(text)), HOME: home, END: end,
                  WORD_LEFT: left.start(), WORD_RIGHT: at + right.end()}
        places |= {2: places[ARROW_LEFT], 6: places[RIGHT], 1: home, 5: end}
        if key in places:
            self.at = places[key]
            return CHANGED
        cuts = {8: places[ARROW_LEFT], 23: places[WORD_LEFT], 21: home, DELETE: places[RIGHT], 4: places[RIGHT],
                11: end if end > at else min(at + 1, len(text))}
        if key in cuts:
            lo, hi = sorted((at, cuts[key]))
            self.text, self.at = text[:lo] + text[hi:], lo
            return CHANGED
        return KEPT

    def _vertical(self, up: bool) -> int:
        lines = self.text.split("\n")
        row, column = self.text[:self.at].count("\n"), self.at - (self.text.rfind("\n", 0, self.at) + 1)
        to = row - 1 if up else row + 1
        if not 0 <= to < len(lines):
            return self._recall(up)
        self.at = sum(len(line) + 1 for line in lines[:to]) + min(column, len(lines[to]))
        return CHANGED

    def _recall(self, older: bool) -> int:
        if self.shown is None:
            if not older or not self.history:
                return KEPT
            self.shown, self.draft = len(self.history), self.text
        to = self.shown - 1 if older else self.shown + 1
        if to < 0:
            return KEPT
        self.text = self.draft if to == len(self.history) else self.history[to]
        self.at, self.shown = len(self.text), None if to == len(self.history) else to
        return CHANGED

    @property
    def shape(self) -> str:
        return self.text[:self.at] + "|" + self.text[self.at:]


@settings(max_examples=400, deadline=None)
@given(KEYS)
def test_any_keys_do_what_the_model_does(keys: list[int]) -> None:
    typed, model = Typed(), Model()
    for key in keys:
        assert typed.press(key) == model.press(key), key
        if typed.e.done == 0:
            assert typed.text == model.shape


@settings(max_examples=200, deadline=None)
@given(KEYS)
def test_compiled_it_is_the_same(keys: list[int]) -> None:
    from tests.worlds import jit
    typed, compiled = Typed(room=24, history=64), Typed(jit, room=24, history=64)
    for key in keys:
        assert typed.press(key) == compiled.press(key)
        a, b = (memory(one.e.address, one.e.BYTES) for one in (typed, compiled))
        assert np.array_equal(a, b)


@settings(max_examples=200, deadline=None)
@given(KEYS, st.integers(4, 24), st.integers(2, 40))
def test_nothing_overflows_and_the_text_stays_utf8(keys: list[int], room: int, history: int) -> None:
    typed = Typed(room=room, history=history)
    for key in keys:
        typed.press(key)
        assert "|" in typed.text
        used = int(typed.e.used)
        assert 0 <= used <= history and (used == 0 or typed.e.history[used - 1] == 0)
        typed.e.history[:used].tobytes().decode()


@both_worlds
def test_typing(world: World) -> None:
    typed = Typed(world)
    assert typed.press("hé", ARROW_LEFT, "\U0001f600", HOME, "x") == CHANGED and typed.text == "x|h\U0001f600é"
    assert typed.press(RIGHT, RIGHT, 8, DELETE) == CHANGED and typed.text == "xh|"
    assert typed.press(DELETE) == KEPT and typed.press(RIGHT) == KEPT and typed.press(27) == KEPT
    assert typed.press(13) == SUBMITTED and typed.text == "xh|"


def test_words_and_ends() -> None:
    typed = Typed()
    typed.start("one two-three  ")
    assert typed.press(23) == CHANGED and typed.text == "one two-|"
    assert typed.press(WORD_LEFT) == CHANGED and typed.text == "one |two-"
    assert typed.press(21) == CHANGED and typed.text == "|two-"
    assert typed.press(11) == CHANGED and typed.text == "|" and typed.press(11, 21, 8, 23) == KEPT


def test_several_lines() -> None:
    typed = Typed()
    assert typed.press("ab\\", 13) == CHANGED and typed.text == "ab\n|"
    typed.press("céf\nx", UP)
    assert typed.text == "ab\nc|éf\nx"
    assert typed.press(END, UP) == CHANGED and typed.text == "ab|\ncéf\nx"
    assert typed.press(11) == CHANGED and typed.text == "ab|céf\nx"
    assert typed.press(UP) == KEPT


def test_history_keeps_what_is_being_typed() -> None:
    typed = Typed()
    typed.press("one\rtwo\rtwo\rdraft", ARROW_LEFT, UP)
    assert typed.text == "two|"
    assert typed.press(UP) == CHANGED and typed.text == "one|" and typed.press(UP) == KEPT
    assert typed.press(DOWN, DOWN) == CHANGED and typed.text == "draft|" and typed.press(DOWN) == KEPT
    typed.press(16, 16, "!\r", UP)
    assert typed.text == "one!|"
    typed.press(3, UP, UP)
    assert typed.text == "two|"


def test_the_oldest_lines_make_room() -> None:
    typed = Typed(history=32)
    for number in range(10):
        typed.press(f"line {number}\r")
    typed.press(UP, UP, UP)
    assert typed.text == "line 7|"
    typed.press(3)
    typed.press("x" * 16 + "\r", UP)
    assert typed.text == "line 9|"


def test_leaving() -> None:
    typed = Typed()
    assert typed.press("a", 3) == CHANGED and typed.text == "|"
    assert typed.press(3) == LEFT and typed.press(4) == LEFT and typed.press(27) == KEPT


@pytest.mark.parametrize("room, kept", [(4, "abé"), (5, "abé"), (6, "abé€"[:3]), (7, "abé€")])
def test_a_start_that_is_too_long_is_cut_between_characters(room: int, kept: str) -> None:
    typed = Typed(room=room)
    typed.start("abé€")
    assert typed.text == kept + "|"


class Watched:
    """A console that is watched, and a keyboard with keys in groups: between them nothing waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, groups: list[list[int]]) -> None:
        self.shown: list[str] = []
        self.scrolled: list[int] = []
        self.groups = groups
        self.ready: list[int] = []
        self.e = Typed(room=64).e
        self.heard: list[str] = []  # what the team, and the terminal's size, are told
        for name in ("begin_input", "show_input", "end_input", "scroll", "next_key", "wait_for_key", "rest_team",
                     "wake_team", "fit_line"):
            monkeypatch.setattr(line_editor, name, getattr(self, name))

    def begin_input(self, con: Any) -> None:
        self.shown.append("begin")

    def show_input(self, con: Any, line: Any, n: int, cursor: int) -> None:
        self.shown.append(line[:cursor].tobytes().decode() + "|" + line[cursor:n].tobytes().decode())

    def end_input(self, con: Any, line: Any, n: int) -> None:
        self.shown.append(line[:n].tobytes().decode() + ".")

    def scroll(self, con: Any, n_rows: int) -> None:
        self.scrolled.append(n_rows)

    def next_key(self, k: Any) -> int:
        return self.ready.pop(0) if self.ready else 0

    def rest_team(self, job: Any, per_ms: int) -> None:
        self.heard.append("rest")

    def wake_team(self, fw: Any, job: Any, limit: int, per_ms: int) -> None:
        self.heard.append("wake")

    def fit_line(self, con: Any) -> None:
        self.heard.append("fit")

    def wait_for_key(self, k: Any, milliseconds: int) -> int:
        self.ready = self.groups.pop(0)
        if self.ready == [0]:
            assert milliseconds == line_editor.REST_MS, "for ever is for ever"
        return self.ready.pop(0) if self.ready else -1

    def read(self) -> int:
        """`read_line`."""
        keyboard: Any = SimpleNamespace(fw=None, figures=Figures.over(np.zeros(Figures.BYTES, np.uint8)))
        return int(line_editor.read_line(None, keyboard, self.e, None, 0))  # type: ignore[arg-type]


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The means to put stand-ins in place."""
    yield monkeypatch


def test_read_line_draws_once_for_what_comes_together(patch: pytest.MonkeyPatch) -> None:
    watched = Watched(patch, [[*map(ord, "paste")], [ARROW_LEFT], [27], [13], [*map(ord, "x\r")]])
    assert watched.read() == 5
    assert watched.shown == ["begin", "|", "paste|", "past|e", "paste."]
    watched.shown.clear()
    assert watched.read() == 1 and watched.shown == ["begin", "|", "x."]


def test_read_line_scrolls_and_redraws(patch: pytest.MonkeyPatch) -> None:
    watched = Watched(patch, [[97], [PAGE_UP], [PAGE_DOWN], [RESIZED], [12], [3], [4]])
    set_line(watched.e, np.frombuffer(b"to edit ", np.uint8))
    assert watched.read() == LEFT
    assert watched.scrolled == [-line_editor.PAGE_ROWS, line_editor.PAGE_ROWS]
    assert watched.shown == ["begin", "to edit |", *["to edit a|"] * 3, "|", "."]
    assert watched.heard == ["fit", "wake"]


def test_the_team_rests_while_nobody_types(patch: pytest.MonkeyPatch) -> None:
    watched = Watched(patch, [[97], [0], [98], [0], [13]])
    assert watched.read() == 2 and watched.heard == ["rest", "rest", "wake"]


def test_read_line_without_a_keyboard(patch: pytest.MonkeyPatch) -> None:
    assert Watched(patch, [[]]).read() == LEFT
