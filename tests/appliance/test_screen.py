"""The screen of the hosted firmware: alphabets, the past, a picture of itself, what the machine says of itself."""

from __future__ import annotations

import functools
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from barelm import pipeline
from barelm.disk import open_volume
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.machine.screen import KINDS
from barelm.machine_report import read_reports
from barelm.pack.golden import Golden
from barelm.settings import Settings
from tests.appliance.chatty import MEMORY_MB, Chatty, volume_of
from tests.appliance.person import Person
from tests.appliance.reader import Seen, as_seen, read_pixels
from tests.appliance.talk import talk
from tests.built import program
from tests.quiet import Quiet

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

ALPHABETS = ("Καλημέρα κόσμε, доброе утро, мир", "┌──┬──┐ ╔══╗ ▁▂▃▄▅▆▇█ ░▒▓ ←↑→↓", "≤≥≠≈±∞√ €£¥§©° ßÆØñçŁő", "世界 🙂")


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where the model lies; gone with the process."""
    return tempfile.TemporaryDirectory(prefix="screen-")


@functools.cache
def model() -> Path:
    """A chat model with an example of what it computes."""
    path = Path(folder().name) / "model.blm"
    Chatty(6, name="Chatty").write(path, golden=True)
    return path


def sit(image: Path, size: tuple[int, int] = (800, 600), pixels: str = "bgr") -> Person:
    """Before the screen of an image that talks."""
    volume_of(image, Settings("", 0.0, tokens=5, chat=True, wait=0), {"model.blm": model()})
    machine = Hosted(screen=size, pixels=pixels)
    return Person(machine.start(Spec(image, MEMORY_MB, 1, writable=True, terminal=True)), looks_at="screen")


@pytest.mark.parametrize("size, small", [((800, 600), True), ((1920, 1080), False)])
def test_alphabets(tmp_path: Path, size: tuple[int, int], small: bool) -> None:
    with sit(tmp_path / "talk.img", size) as me:
        me.waits()
        me.type("\x1b\r".join(ALPHABETS))
        me.sees("\n  ".join(as_seen(line, small) for line in ALPHABETS))
        with me.lock:
            shown = "\n".join(row.rstrip() for row in me.terminal.display)
        assert all(line in shown for line in ALPHABETS[:3])


@pytest.mark.parametrize("pixels", KINDS)
def test_every_kind_of_pixels_shows_the_same(tmp_path: Path, pixels: str) -> None:
    with sit(tmp_path / "talk.img", pixels=pixels) as me:
        me.waits()
        me.says("/temp hot")
        me.waits()
        seen = me.screen()
    assert seen.colour_of("> /temp hot") == "person" and seen.colour_of("/temp takes a number from 0") == "alarm"
    assert seen.status.startswith("Chatty") and set(seen.colours[-1]) == {"status"}
    assert seen.rows[0].startswith(" barelm ") and {row[0] for row in seen.rows} == {" "}, "a margin at the left"


def test_looking_back(tmp_path: Path) -> None:
    with sit(tmp_path / "talk.img") as me:
        me.waits()
        first = me.look().splitlines()[:6]
        for _ in range(3):
            me.says("/help")
            me.waits()
        assert me.look().splitlines()[:6] != first
        for _ in range(6):
            me.press("page up")
        me.sees("\n".join(first))
        me.type("x")
        assert me.sees("> x").splitlines()[:6] != first


def test_the_marked_model_starts_when_the_time_is_over(tmp_path: Path) -> None:
    image = volume_of(tmp_path / "talk.img", Settings("", 0.0, tokens=5, chat=True, wait=0, countdown=1),
                      {"a.blm": model(), "b.blm": model(), "broken.blm": bytes(9000)})
    spoken = talk(image, "hello", "/model\n", "world")
    assert "▶ a.blm" in spoken.shown and "the marked one starts in 1 s." in spoken.shown
    assert spoken.shown.count("Type a message and press Enter.") == 2 and spoken.status == 0


def bitmap(content: bytes) -> np.ndarray:  # type: ignore[type-arg]
    """The pixels of a BMP of sixteen colours."""
    start, width, height = struct.unpack_from("<I", content, 10)[0], *struct.unpack_from("<ii", content, 18)
    palette = np.frombuffer(content, "<u4", 16, 54)
    lines = np.frombuffer(content, np.uint8, offset=start).reshape(height, -1)[::-1]
    return palette[np.stack([lines >> 4, lines & 15], -1).reshape(height, -1)[:, :width]].astype(np.uint32)


def test_a_shot_is_what_the_screen_shows(tmp_path: Path) -> None:
    image = tmp_path / "talk.img"
    with sit(image, (1920, 1080)) as me:
        me.waits()
        me.says("/help")
        me.waits()
        me.says("/shot here")
        assert "Written: here.bmp, " in me.waits()
        after: Seen = me.screen()
        me.says("/off")
        assert me.leaves() == 0
    with open_volume(image) as volume:
        entry = volume.lookup("here.bmp")
        assert entry is not None
        seen = read_pixels(bitmap(volume.read(entry, 0, entry.size)))
    shown = seen.text.splitlines()
    assert shown[-1] == "> /shot here" and shown == after.text.splitlines()[:len(shown)]
    assert seen.colours[:len(shown)] == after.colours[:len(shown)] and seen.status == after.status


def test_self_test_bench_and_report(tmp_path: Path) -> None:
    image = tmp_path / "talk.img"
    with sit(image) as me:
        me.waits()
        for line, shown in (("hello", "the"), ("/selftest", "Self-test passed: every bit as on the machine"),
                            ("/bench", "1 core:  reads "), ("/report", "Written: report.json, "),
                            ("/cpu", "processors: 1 present, 1 enabled, 1 answered, 1 compute")):
            me.says(line)
            assert shown in me.waits()
        assert me.screen().colour_of("Self-test passed") == "accent"
        me.says("/off")
        assert me.leaves() == 0
    (_, report), = read_reports(image)
    assert report.model.name == "Chatty" and report.selftest == "passed" and [at.cores for at in report.speed] == [1]
    assert report.screen is not None and (report.screen.width, report.screen.height) == (800, 600)
    assert report.memory.total_bytes == MEMORY_MB << 20


def test_a_machine_that_computes_something_else_is_told(tmp_path: Path) -> None:
    def wrong(path: Path) -> Golden:
        example = pipeline.example_of(path, program(), Quiet())
        assert example is not None
        return replace(example, sum=example.sum ^ 1)

    Chatty(6, name="Chatty").write(tmp_path / "wrong.blm", example=wrong)
    image = volume_of(tmp_path / "talk.img", Settings("", 0.0, tokens=5, chat=True, wait=0),
                      {"model.blm": tmp_path / "wrong.blm"})
    assert "Self-test FAILED: do not trust this machine" in talk(image, "/selftest").answer_to("/selftest")
