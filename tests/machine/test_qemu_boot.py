"""Real boots of tiny programs under QEMU and OVMF."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import pytest

from barelm.errors import BarelmError
from barelm.machine import accelerator
from barelm.machine.machine import Spec
from barelm.machine.qemu import BUSES, Qemu, find_program
from barelm.machine.qemu_session import QemuSession
from tests.machine.programs import image_of, program

PATIENCE_S = 120


@functools.cache
def _reason() -> str | None:
    return Qemu().why_not()


pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif("_reason() is not None", reason="QEMU or OVMF is not installed here"),
]


def _until(session: QemuSession, wanted: str) -> str:
    shown = ""
    while wanted not in shown:
        data = session.read(PATIENCE_S)
        assert data, f"it went off after {shown!r}"
        shown += data.decode()
    return shown


@pytest.mark.parametrize("bus, sector", [*((bus, 512) for bus in BUSES), ("virtio", 4096), ("nvme", 4096),
                                         ("usb", 4096)])
def test_a_program_boots_speaks_and_shuts_down(tmp_path: Path, bus: str, sector: int) -> None:
    """From every kind of disk; one has the sectors that the image is for."""
    image = image_of(program("BARELM DONE 5\r\n", "shut_down"), tmp_path / "a, b.img", sector)
    before = hashlib.sha256(image.read_bytes()).digest()
    with Qemu(bus=bus).start(Spec(image, memory_mb=256, cores=2)) as session:
        _until(session, "BARELM DONE 5\n")
        assert session.status == 5
        while session.read(PATIENCE_S):
            pass
    assert hashlib.sha256(image.read_bytes()).digest() == before


def test_typing_pictures_and_silence(tmp_path: Path) -> None:
    image = image_of(program("ready\r\n", "echo", "shut_down", after="\r\nBARELM DONE 0\r\n"), tmp_path / "echo.img")
    with Qemu(screen=True).start(Spec(image, memory_mb=256)) as session:
        _until(session, "ready\n")
        session.send("hello there")
        _until(session, "hello there")
        session.press("x")
        _until(session, "x")
        session.screenshot(tmp_path / "screen.ppm")
        assert (tmp_path / "screen.ppm").read_bytes().startswith(b"P6")
        with pytest.raises(BarelmError) as caught:
            session.read(0.3)
        assert "hello therex" in caught.value.hint
        session.send("\n")
        _until(session, "BARELM DONE 0\n")
        assert session.read(PATIENCE_S) == b""
        assert session.status == 0


def test_a_crash_is_told(tmp_path: Path) -> None:
    image = image_of(program("going\r\n", "crash"), tmp_path / "crash.img")
    with Qemu().start(Spec(image, memory_mb=256)) as session:
        _until(session, "going\n")
        with pytest.raises(BarelmError, match="crashed the machine: X64 Exception Type - 06"):
            _until(session, "never said")


def test_qemus_own_words_when_it_does_not_start(tmp_path: Path) -> None:
    image = image_of(program("x", "shut_down"), tmp_path / "x.img")
    with pytest.raises(BarelmError, match="QEMU did not start: .*nonsense"):
        Qemu(accelerate="nonsense").start(Spec(image))


def test_the_probe_tells_what_works_from_what_does_not() -> None:
    assert accelerator.works(find_program(), "tcg")
    assert not accelerator.works(find_program(), "nonsense")
