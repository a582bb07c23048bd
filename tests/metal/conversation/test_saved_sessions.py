"""Conversations on the volume: what was saved goes on bit for bit; what is damaged is refused, or does no harm."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.contract import uefi
from barelm.contract.conversation_state import Turn
from barelm.contract.layout import PAGE
from barelm.contract.session_file import CACHE_PARTS, PREFIX_PATH, SessionHeader
from barelm.dialect.memory import memory
from barelm.kernels.decoder.model import layers_of
from barelm.kernels.decoder.state import cache_part
from barelm.metal.conversation import saved_sessions, slash_commands, turns
from barelm.metal.conversation.dialogue import make_answer
from barelm.metal.conversation.saved_sessions import (
    DAMAGED,
    LOADED,
    OTHER_MODEL,
    load_session,
    make_prefix,
    take_up_prefix,
)
from barelm.metal.conversation.talk import transcript_of
from barelm.metal.conversation.turns import add_turn, forget
from barelm.pack.sums import checksum, own_sum
from tests.lying import session_of
from tests.metal.talks import Desk, array, chat_model

SETTINGS = b"tokens = 5\ntemperature = 0.0\nseed = 7\nsystem = \"Be brief.\"\n"
SESSION = "sessions\\talk.session"


def desk_at(patch: pytest.MonkeyPatch, files: dict[str, bytes], **more: object) -> Desk:
    """A program that has just started on a volume."""
    desk = Desk(patch, settings=SETTINGS, files=files, **more)  # type: ignore[arg-type]
    forget(desk.conversation)
    return desk


def talked(patch: pytest.MonkeyPatch, kv: str = "f16") -> Desk:
    """A conversation of two turns, its cache full of numbers."""
    desk = desk_at(patch, {}, model=chat_model(kv=kv))
    state = memory(int(desk.b.model.state), int(desk.header.state_bytes))
    for part in cache_views(desk, desk.seq_len):
        part[:] = np.random.default_rng(3).integers(0, 256, len(part))
    assert len(state) == desk.header.state_bytes
    for typed in ("hello é 世", "again\n"):
        add_turn(desk.t, array(typed.encode()))
        desk.heard(lambda: make_answer(desk.t))
    return desk


def cache_views(desk: Desk, n: int) -> list[NDArray[np.uint8]]:
    """The bytes of the cache for n positions."""
    views = []
    layers = layers_of(desk.header, desk.b.model.sections)
    for part in range(CACHE_PARTS):
        for head in range(int(desk.header.n_layers * desk.header.n_kv_heads)):
            first, n_bytes = cache_part(desk.header, layers, part, head, n)
            if n_bytes:
                views.append(memory(int(desk.b.model.state) + int(first), int(n_bytes)))
    return views


def ask(desk: Desk, line: bytes) -> str:
    """A command, and what it says."""
    return desk.heard(lambda: slash_commands.obey(desk.t, array(line), len(line)))


def saved(patch: pytest.MonkeyPatch, kv: str = "f16") -> tuple[Desk, dict[str, bytes]]:
    """A conversation, and the volume it is saved on."""
    desk = talked(patch, kv)
    assert ask(desk, b"/save talk") == "Saved.  /load talk goes on with it.\n"
    assert desk.firmware.files is not None
    assert desk.firmware.n_open == 1, "the root alone is open"
    return desk, dict(desk.firmware.files)


@pytest.mark.parametrize("kv", ["f32", "f16", "q8"])
def test_what_was_saved_goes_on(monkeypatch: pytest.MonkeyPatch, kv: str) -> None:
    before, files = saved(monkeypatch, kv)
    assert set(files) == {SESSION, "sessions\\talk.md"}
    cache = [view.tobytes() for view in cache_views(before, before.cached)]
    after = desk_at(monkeypatch, files, model=chat_model(kv=kv))
    after.engine.known = dict(before.engine.known)
    said = ask(after, b"/load talk")
    assert said.lstrip("\n").startswith("> hello é 世\n") and "> again\n" in said and "read again" not in said
    assert (after.ids, after.typed, after.cached) == (before.ids, before.typed, before.cached) and after.cached > 20
    assert [view.tobytes() for view in cache_views(after, after.cached)] == cache
    assert transcript_of(after.t).rng[0] == transcript_of(before.t).rng[0]
    after.check()
    lines = []
    for desk in (before, after):
        monkeypatch.setattr("barelm.metal.processors.cores.call_engine", desk.engine.run)
        add_turn(desk.t, array(b"and on"))
        lines.append(desk.heard(lambda desk=desk: make_answer(desk.t)))  # type: ignore[misc]
        assert desk.b.figures.last_read < desk.end // 2, "only what is new is read"
    assert lines[0].split("[")[0] == lines[1].split("[")[0] and after.ids == before.ids


def test_the_text_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = saved(monkeypatch)
    text = files["sessions\\talk.md"].decode()
    assert text.startswith("# talk\n\nsmall 8, 2026-11-24 19:31:02\n\nSystem: Be brief.\n\n## You\n\nhello é 世\n")
    assert text.count("## You") == 2 and text.count("## small 8") == 2


def test_a_text_that_is_not_utf8_is_saved_as_some(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = talked(monkeypatch)
    add_turn(desk.t, array(b"\xff\xed\xa0\x80\xf4\x90\x80\x80"))
    ask(desk, b"/save x")
    assert desk.firmware.files is not None
    desk.firmware.files["sessions\\x.md"].decode()


def header_of(content: bytes) -> SessionHeader:
    """The header of a session."""
    return SessionHeader.over(np.frombuffer(content[:PAGE], np.uint8).copy())


def summed(head: SessionHeader) -> bytes:
    """A header with its own sum set right."""
    head.sum = own_sum(head)
    return memory(head.address, PAGE).tobytes()


def text_end(content: bytes) -> int:
    """Where the cache of a session begins."""
    return PAGE + int(saved_sessions.text_bytes(header_of(content)))


class Loading:
    """One program that is given damaged files, again and again."""

    def __init__(self, patch: pytest.MonkeyPatch, n_turns: int = 1) -> None:
        self.desk = desk_at(patch, {})
        add_turn(self.desk.t, array(b"what was said here"))
        self.before = self.everything()

    def everything(self) -> tuple[object, ...]:
        """What a refused session leaves as it is."""
        d = self.desk
        return d.ids, d.typed, bytes(turns.system_of(d.t))

    def load(self, content: bytes) -> int:
        """The verdict on a file."""
        with np.errstate(all="ignore"):
            return int(load_session(self.desk.t, self.desk.firmware.file(content)))

    def refuses(self, content: bytes, verdict: int = DAMAGED) -> bool:
        """Whether it does, and all stays."""
        return self.load(content) == verdict and self.everything() == self.before


def test_every_byte_of_header_and_text_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(monkeypatch)[1][SESSION]
    loading = Loading(monkeypatch)
    places = [*range(0, 140), *range(140, PAGE, 97), *range(PAGE, text_end(content), 3)]
    for at in places:
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        assert loading.refuses(bytes(damaged)), at


def test_a_file_that_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(monkeypatch)[1][SESSION]
    loading, end = Loading(monkeypatch), text_end(content)
    for n in (0, 1, PAGE - 1, PAGE, PAGE + 1, end - 1):
        assert loading.refuses(content[:n]), n
    for n in (end, end + 1, (end + len(content)) // 2, len(content) - 1):
        loading.desk.b.job.cached = 9
        assert loading.load(content[:n]) == LOADED and loading.desk.cached == 0, n
        assert loading.desk.typed == ["hello é 世".encode(), b"again\n"]


def test_a_damaged_cache_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = saved(monkeypatch)
    content = bytearray(files[SESSION])
    content[text_end(bytes(content)) + 77] ^= 4
    after = desk_at(monkeypatch, {SESSION: bytes(content)})
    assert "read again" in ask(after, b"/load talk") and after.ids == before.ids and after.cached == 0
    add_turn(after.t, array(b"go on"))
    after.heard(lambda: make_answer(after.t))
    after.check()


def test_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(monkeypatch)[1][SESSION]
    other = desk_at(monkeypatch, {SESSION: content}, model=chat_model(seed=9))
    assert load_session(other.t, other.firmware.file(content)) == OTHER_MODEL and other.ids == []
    assert "another model" in ask(other, b"/load talk")


@pytest.mark.parametrize("count, values", [
    ("n_tokens", [-1, 130, 1 << 40, -1 << 63]), ("n_cached", [-1, 129, 1 << 62]),
    ("n_turns", [-1, 1000, 1 << 60]), ("system_bytes", [-8, 1 << 20, -1 << 63]),
    ("typed_bytes", [-8, 1 << 20, 1 << 62])])
def test_counts_that_lie_under_a_right_sum(monkeypatch: pytest.MonkeyPatch, count: str, values: list[int]) -> None:
    content = saved(monkeypatch)[1][SESSION]
    loading = Loading(monkeypatch)
    for value in values:
        head = header_of(content)
        setattr(head, count, value)
        assert loading.refuses(summed(head) + content[PAGE:]), value


def test_ids_and_turns_that_lie_under_right_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(monkeypatch)[1][SESSION]
    loading, end = Loading(monkeypatch), text_end(content)
    n = int(header_of(content).n_tokens)
    lies: list[tuple[int, str, int]] = [
        (0, "typed_at", 1), (0, "typed_bytes", -1), (0, "typed_bytes", 10**4), (0, "reply", -1), (0, "end", 0),
        (0, "end", 999), (1, "typed_bytes", 1 << 62), (1, "reply", 0), (1, "end", 1 << 62), (1, "end", 129)]
    for where, name, value in [(0, "", -1), (n - 1, "", 10**6), *lies]:
        body = np.frombuffer(content[PAGE:end], np.int64).copy()
        if name:
            setattr(Turn.over(body[n + where * Turn.BYTES // 8:]), name, value)
        else:
            body[where] = value
        head = header_of(content)
        head.text_sum = checksum(body)
        assert loading.refuses(summed(head) + body.tobytes() + content[end:]), (where, name, value)


N = 128
"""The context of the small model."""


@pytest.mark.parametrize("ids, turns", [
    ([], [[0, 1, 0, 0, 0]]), ([5] * 3, [[0, 1, 0, 3, 0]]), ([5] * (N + 1), [[0, 1, N + 1, N + 1, 0]]),
    ([5] * (N + 1), [[0, 1, N + 1, N + 1, 0]]), ([5] * 9, [[0, 1, 4, 6, 0], [1, 0, 6, 9, 0]]),
    ([5] * 9, [[0, 1, 4, 3, 0]]), ([5] * 9, [[0, 1, 4, 10, 0]]), ([5] * 9, [[0, 1, 4, 9, 2]]),
    ([5] * 9, [[0, 1, -4, 9, 0]]), ([5, -1], [[0, 1, 1, 2, 0]]), ([5, 1 << 40], [[0, 1, 1, 2, 0]])])
def test_replies_outside_of_the_context(monkeypatch: pytest.MonkeyPatch, ids: list[int], turns: list[list[int]]
                                        ) -> None:
    loading = Loading(monkeypatch)
    assert loading.desk.t.header.seq_len == N
    assert loading.refuses(session_of(loading.desk.t.header, ids, turns, b"x"))


def test_replies_at_the_ends_of_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading(monkeypatch)
    for n, said in ((N + 1, [[0, 1, N, N + 1, 0]]), (2, [[0, 1, 1, 2, 0]]), (3, [[0, 1, 3, 3, 1]])):
        assert loading.load(session_of(loading.desk.t.header, [5] * n, said, b"x")) == LOADED


@pytest.mark.parametrize("status, said", [(uefi.EFI_VOLUME_FULL, "the volume is full"),
                                          (uefi.EFI_WRITE_PROTECTED, "read-only"),
                                          (uefi.EFI_DEVICE_ERROR, "error 7")])
def test_a_save_that_fails_anywhere_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch, status: int,
                                                          said: str) -> None:
    desk, files = saved(monkeypatch)
    first = len(desk.firmware.changes.done)
    ask(desk, b"/save talk")
    steps = desk.firmware.changes.done[first:]
    for k, what in enumerate(steps):
        if what in ("delete", "rename") or (what == "flush" and steps[k - 1] == "rename"):
            continue  # see test_files
        assert desk.firmware.files is not None
        desk.firmware.files.clear()
        desk.firmware.files.update(files)
        base = len(desk.firmware.changes.done)
        desk.firmware.changes.fault = lambda n, change, k=k, base=base: (  # type: ignore[misc]
            status if n - base >= k and change in ("create", "write", "flush") else 0)
        answer = ask(desk, b"/save talk")
        assert answer.count("\n") == 1 + ("That was the text to read" in answer) and said in answer, (k, what)
        assert desk.firmware.files[SESSION] == files[SESSION], (k, what)
        assert set(desk.firmware.files) == set(files), "nothing is left behind"
        assert desk.firmware.n_open == 1


def test_a_prefix_is_taken_up_and_only_what_follows_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = desk_at(monkeypatch, {})
    n = int(make_prefix(maker.t))
    assert maker.firmware.files is not None and set(maker.firmware.files) == {PREFIX_PATH}
    assert n == maker.cached > 10
    desk = desk_at(monkeypatch, dict(maker.firmware.files))
    desk.engine.known = dict(maker.engine.known)
    take_up_prefix(desk.t)
    assert desk.cached == n and desk.typed == []
    add_turn(desk.t, array(b"hello"))
    desk.check()
    assert desk.cached == n, "every first turn begins so"
    other = desk_at(monkeypatch, {PREFIX_PATH: maker.firmware.files[PREFIX_PATH][:5000]})
    take_up_prefix(other.t)
    assert other.typed == [] and other.cached == 0


def test_a_prefix_of_another_system_text_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = desk_at(monkeypatch, {})
    make_prefix(maker.t)
    assert maker.firmware.files is not None
    desk = Desk(monkeypatch, settings=SETTINGS.replace(b"brief", b"kind and long"), files=maker.firmware.files)
    desk.engine.known = dict(maker.engine.known)
    take_up_prefix(desk.t)
    add_turn(desk.t, array(b"hello"))
    assert bytes(turns.system_of(desk.t)) == b"Be kind and long."
    desk.check()
    desk.heard(lambda: make_answer(desk.t))
    desk.check()
