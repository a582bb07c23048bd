"""The real program on a hosted machine: it tells its story, on any number of cores, and fails as it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.aot.build import build_program
from barelm.disk import write_image
from barelm.machine.firmware.faults import Fault
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from tests.machine.firmware.program import EFI, PATIENCE_S
from tests.models import tiny_checkpoint

SETTINGS = Settings(prompt="the sun", tokens=24, seed=7, at_end="shutdown", report=True)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a tiny model."""
    folder = tmp_path_factory.mktemp("story")
    write_packed(tiny_checkpoint(), folder / "tiny.blm")
    image = folder / "story.img"
    write_image(image, {PROGRAM: build_program(), "barelm.toml": SETTINGS.toml(), "model.blm": folder / "tiny.blm"})
    return image


def told(spec: Spec, *faults: Fault) -> tuple[str, int | None]:
    """All a machine says, a key pressed in advance where it would wait for one; and its status."""
    shown = bytearray()
    with Hosted(faults).start(spec) as session:
        session.send("\n")
        while content := session.read(PATIENCE_S):
            shown += content
        return shown.decode(), session.status


def ids(shown: str) -> list[str]:
    """The token numbers in a transcript, in order."""
    return [number for line in shown.splitlines() if line.startswith("BARELM IDS ") for number in line.split()[2:]]


@pytest.mark.parametrize("cores", [2, 12])
def test_story_is_told_on_any_number_of_cores(story: Path, cores: int) -> None:
    """More than eight are more than a C library has heaps for without looking at the host."""
    alone, status = told(Spec(story))
    assert (status, "BARELM DONE 0" in alone) == (0, True)
    together, status = told(Spec(story, cores=cores))
    assert (status, "BARELM DONE 0" in together) == (0, True)
    assert ids(alone) == ids(together) != []


def test_machine_without_memory_for_the_model_says_so(story: Path) -> None:
    shown, status = told(Spec(story, memory_mb=2))
    assert "barelm stopped:" in shown
    assert status == EFI.OUT_OF_RESOURCES


def test_disk_that_fails_is_reported(story: Path) -> None:
    shown, status = told(Spec(story), Fault("EFI_FILE_PROTOCOL.Read", EFI.DEVICE_ERROR))
    assert "barelm stopped:" in shown and "\n(last failed call: FileProtocol.read, status 7)\n" in shown
    assert status not in (0, None)
