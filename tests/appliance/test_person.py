"""A person who starts the machine, chooses, asks, interrupts, saves, switches off, comes back and goes on.

The same script on four ways to sit before a machine: each reads what is shown as a person would, from a picture of the
screen by the font's glyphs or on a terminal, and each has the same ids.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.machine.qemu import Qemu
from barelm.machine.qemu_session import QemuSession
from barelm.settings import Settings
from tests.appliance.chatty import MEMORY_MB, Chatty, volume_of
from tests.appliance.kept import Kept, check_last_reply, kept_in
from tests.appliance.person import Person

hosted = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

HINT = "Enter starts"
ASKED = ("hello there, what is the world", "and what of the first")
LIMIT = "[as many tokens as /tokens allows]"
SAVED = "Saved.  /load planets goes on with it."


@dataclass(frozen=True)
class Way:
    """How a person sits before a machine."""

    machine: Hosted | Qemu
    looks_at: str = "terminal"
    keyboard: bool = False

    def sit(self, image: Path) -> Person:
        """Switch it on."""
        session = self.machine.start(Spec(image, MEMORY_MB, 1, writable=True, terminal=True))
        return Person(session, looks_at=self.looks_at, keyboard=self.keyboard)


ON_HOSTED_SCREEN = Way(Hosted(screen=(1920, 1080)), "screen")
ON_HOSTED_TERMINAL = Way(Hosted())
ON_QEMU_SCREEN = Way(Qemu(screen=True), "screen", keyboard=True)
ON_QEMU_TERMINAL = Way(Qemu())


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where the models lie; gone with the process."""
    return tempfile.TemporaryDirectory(prefix="person-")


@functools.cache
def models() -> dict[str, Path | bytes]:
    """Four models by their file names: one damaged, one larger than the memory, two that can be started."""
    place = Path(folder().name)
    Chatty(1, 1024, name="The small one").write(place / "small.blm")
    Chatty(2, 8192, name="The second one").write(place / "second.blm")
    large = Chatty(3, 1 << 18, name="The large one").write(place / "large.blm", kv="f32")
    assert large.memory_bytes > MEMORY_MB << 20
    damaged = bytearray((place / "small.blm").read_bytes())
    damaged[128] ^= 1
    return {"damaged.blm": bytes(damaged), "large.blm": place / "large.blm", "small.blm": place / "small.blm",
            "second.blm": place / "second.blm"}


def choose(me: Person) -> None:
    """Read the menu, try what cannot be started, and start the second model."""
    shown = me.sees("Which model?", "▶ small.blm", "The second one, context 8192", HINT)
    line = {name: next(row for row in shown.splitlines() if name in row) for name in models()}
    assert "damaged, or no model" in line["damaged.blm"]
    assert "The large one, takes " in line["large.blm"] and "more than is free" in line["large.blm"]
    me.press("up")
    me.sees("▶ large.blm", f"{HINT}.")
    me.press("enter")
    me.press("down")
    me.sees("▶ small.blm")
    me.press("down")
    me.sees("▶ second.blm")
    me.press("enter")
    me.sees("The second one   ", "Type a message")
    me.waits()


def interrupt(me: Person) -> None:
    """Ask for something endless, and stop it."""
    me.says("/tokens 0")
    me.waits()
    if isinstance(me.session, QemuSession):
        me.says("go on and on")
        me.sees("the", after="> go on and on\n")
        me.press("esc")
    else:
        me.type("go on and on\r\x1b")
    # How much is said until then depends on the machine: the question may have left the screen.
    me.sees("[stopped]\n\n>")
    me.says("/undo")
    assert "Taken back.  Turns left: 1." in me.waits()
    me.says("/tokens 12")
    assert "12" in me.waits()


def first_visit(me: Person) -> list[str]:
    """Choose, ask, interrupt, ask again, save, switch off; returns the answers."""
    choose(me)
    me.says(ASKED[0])
    answers = [me.waits()]
    assert LIMIT in answers[0]
    interrupt(me)
    me.says(ASKED[1])
    answers.append(me.waits())
    me.says("/save planets")
    assert SAVED in me.waits()
    if me.looks_at == "screen":
        seen = me.screen()
        assert seen.colour_of("> /save planets") == "person" and seen.colour_of(SAVED) == "accent"
        assert seen.colour_of(LIMIT) == "dim" and seen.cursor is not None
        assert seen.status.startswith("The second one") and "of 8192 tokens" in seen.status
    me.says("/off")
    assert me.leaves() == 0
    return answers


def second_visit(me: Person, answers: list[str]) -> None:
    """Come back, load, and go on."""
    me.sees("▶ small.blm")
    me.press("down")
    me.sees("▶ second.blm")
    me.press("enter")
    me.sees("Type a message")
    me.waits()
    me.says("/list")
    assert "planets" in me.waits()
    me.says("/load planets")
    shown = me.sees(f"> {ASKED[1]}", after="> /load planets\n")
    shown = shown.rpartition("> /load planets\n")[2]
    assert f"> {ASKED[0]}\n" in shown
    for answer in answers:
        assert answer.partition(LIMIT)[0].strip() in shown
    me.said = ASKED[1]
    me.waits()
    me.says("now go on")
    assert LIMIT in me.waits()
    me.says("/save planets")
    assert SAVED in me.waits()
    me.says("/off")
    assert me.leaves() == 0


def visit(image: Path, way: Way) -> tuple[Kept, Kept]:
    """Both visits; returns what was saved in each."""
    settings = Settings("", 0.0, tokens=12, chat=True, countdown=200, wait=0)
    volume_of(image, settings, models())
    with way.sit(image) as me:
        answers = first_visit(me)
    before = kept_in(image, "planets")
    with way.sit(image) as me:
        second_visit(me, answers)
    return before, kept_in(image, "planets")


@functools.cache
def reference() -> tuple[Kept, Kept]:
    """What is saved on the hosted firmware, by way of its terminal."""
    with tempfile.TemporaryDirectory() as place:
        return visit(Path(place) / "person.img", ON_HOSTED_TERMINAL)


def check(image: Path, way: Way) -> None:
    """The same conversation, id by id, as on the hosted firmware; and as in a fresh one."""
    before, after = visit(image, way)
    assert before.same_text(reference()[0]) and after.same_text(reference()[1])
    assert [turn.typed for turn in after.turns] == [*ASKED, "now go on"]
    assert after.ids[:len(before.ids)] == before.ids and after.cached == len(after.ids) - 1


@hosted
def test_on_a_terminal() -> None:
    from barelm.pack.reader import read_packed

    before, after = reference()
    models()
    packed = read_packed(Path(folder().name) / "second.blm")
    check_last_reply(packed, before)
    check_last_reply(packed, after)


@hosted
def test_on_a_screen(tmp_path: Path) -> None:
    check(tmp_path / "person.img", ON_HOSTED_SCREEN)


@hosted
@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason=str(Qemu().why_not()))
def test_on_the_screen_and_keyboard_of_a_pc(tmp_path: Path) -> None:
    check(tmp_path / "person.img", ON_QEMU_SCREEN)


@hosted
@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason=str(Qemu().why_not()))
def test_on_the_serial_line_of_a_pc(tmp_path: Path) -> None:
    check(tmp_path / "person.img", ON_QEMU_TERMINAL)
