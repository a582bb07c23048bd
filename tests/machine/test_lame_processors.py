"""Processors that come late, stop half-way or are not given: the same words, and what they may touch is not freed."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.disk import write_image
from barelm.machine.firmware.faults import parse_fault
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted, HostedSession
from barelm.machine.machine import Spec
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from tests.appliance.chatty import Chatty
from tests.built import program
from tests.models import tiny_checkpoint

PATIENCE_S = 120

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))


def image_of(folder: Path, model: Path, settings: Settings) -> Path:
    """An image with a model."""
    write_image(folder / "test.img", {PROGRAM: program(), "barelm.toml": settings.toml(), "model.blm": model})
    return folder / "test.img"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A story told at once."""
    folder = tmp_path_factory.mktemp("short")
    write_packed(tiny_checkpoint(), folder / "tiny.blm")
    return image_of(folder, folder / "tiny.blm", Settings("the sun", tokens=8, seed=7, report=True))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A story that takes a while."""
    folder = tmp_path_factory.mktemp("long")
    Chatty(5, 8192).write(folder / "long.blm")
    return image_of(folder, folder / "long.blm", Settings("hello", 0.0, tokens=6000, wait=1))


def told(image: Path, cores: int, machine: Hosted) -> tuple[str, HostedSession]:
    """All that is said, and the machine, off."""
    shown = b""
    with machine.start(Spec(image, cores=cores)) as session:
        session.send("\n")
        while content := session.read(PATIENCE_S):
            shown += content
    return shown.decode(), session


@pytest.mark.parametrize("cores, slips, faults", [
    (2, (0.8, 0, 0), ()),
    (4, (0.3, 0, 0), ()),
    (2, (0, 0, 0), ("CreateEvent=nothing",)),
    (2, (0, 0, 0), ("CreateEvent=EFI_OUT_OF_RESOURCES",)),
    (4, (0, 0, 0), ("Stall=EFI_UNSUPPORTED",)),
    (2, (0, 0, 0), ("StartupAllAPs=EFI_NOT_READY",)),
    (2, (0, 0, 0), ("GetNumberOfProcessors=far",)),
])
def test_a_story_is_the_same_and_all_is_given_back(short: Path, cores: int, slips: tuple[float, int, float],
                                                  faults: tuple[str, ...]) -> None:
    alone, _ = told(short, 1, Hosted())
    shown, session = told(short, cores, Hosted(tuple(map(parse_fault, faults)), slips=slips))
    assert [line for line in shown.splitlines() if "IDS" in line] == [
        line for line in alone.splitlines() if "IDS" in line]
    assert (session.status, session.kept, session.left) == (0, 0, {})


def test_where_a_firmware_starts_nobody_it_is_not_left(short: Path) -> None:
    """It said that it did: they may come at any time, so their memory and this program stay."""
    shown, session = told(short, 2, Hosted((parse_fault("StartupAllAPs=nothing"),)))
    assert "A processor does not come back" in shown and session.status == 0
    assert session.calls["EFI_RUNTIME_SERVICES.ResetSystem"] == 1 and session.kept > 0


def test_a_processor_that_stops_for_good_is_done_without(long: Path) -> None:
    whole, session = told(long, 2, Hosted())
    assert (session.status, session.kept, session.left) == (0, 0, {})
    shown, session = told(long, 2, Hosted(slips=(0, 1, 0.05)))
    story = whole[:whole.rindex("6000 tokens")].rstrip()
    assert shown.startswith(story), "the words are those of the whole team"
    assert "Processor 1 does not answer any more; this one goes on alone." in shown[len(story):]
    assert "A processor does not come back" in shown and session.left["processors"] == 1


def test_without_memory_for_another_state_it_is_said(long: Path) -> None:
    """Of three allocations the first are workspace, weights and state; the one after these is refused."""
    machine = Hosted((parse_fault("AllocatePages=EFI_OUT_OF_RESOURCES@4+"),), slips=(0, 1, 0.05))
    shown, session = told(long, 2, machine)
    assert "a processor does not answer any more, and there is no memory to go on without it" in " ".join(shown.split())
    assert session.status not in (0, None)

