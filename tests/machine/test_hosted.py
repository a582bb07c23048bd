"""A hosted machine as its user sees it: it starts, speaks, listens, ends, and never stays behind."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Spec
from tests.machine.firmware.program import PATIENCE_S, Program

HANG = "define internal i64 @hang() {\n br label %on\non:\n br label %on\n}\n"


@pytest.fixture
def hanging(tmp_path: Path) -> Path:
    """An image with a program that says one word and then computes for ever."""
    program = Program(HANG)
    program.say("up\n")
    program.raw("call i64 @hang()")
    image = tmp_path / "hanging.img"
    write_image(image, {PROGRAM: program.build()})
    return image


def test_it_is_a_machine(hanging: Path) -> None:
    machine: Machine = Hosted()
    assert machine.name == "hosted"
    with machine.start(Spec(hanging)) as session:
        assert session.status is None


def test_silence_is_an_error_and_leaving_ends_the_child(hanging: Path) -> None:
    with Hosted().start(Spec(hanging)) as session:
        assert session.read(PATIENCE_S) == b"up\n"
        with pytest.raises(BarelmError, match="said nothing for 0.1 s"):
            session.read(0.1)
        child = session._process.pid
        assert len(running(child)) == 2
    assert gone(child)


def test_interrupt_from_the_terminal_is_the_parents_to_handle(hanging: Path) -> None:
    with Hosted().start(Spec(hanging)) as session:
        session.read(PATIENCE_S)
        child = session._process.pid
        assert os.getsid(child) != os.getsid(0)


def test_child_does_not_outlive_its_parent(hanging: Path) -> None:
    parent = f"""if True:
        import os, signal
        from pathlib import Path
        from barelm.machine.hosted import Hosted
        from barelm.machine.machine import Spec
        session = Hosted().start(Spec(Path({str(hanging)!r})))
        session.read({PATIENCE_S})
        print(session._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, timeout=2 * PATIENCE_S)
    assert done.returncode == -signal.SIGKILL
    assert gone(int(done.stdout))


def gone(session: int) -> bool:
    """Whether all processes of a session end."""
    deadline = time.monotonic() + PATIENCE_S
    while running(session) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not running(session)


def running(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_image_without_a_program_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "empty.img"
    write_image(image, {"readme.txt": b"nothing to run"})
    with Hosted().start(Spec(image)) as session, pytest.raises(BarelmError, match="there is no EFI/BOOT") as raised:
        session.read(PATIENCE_S)
    assert "barelm image" in raised.value.hint


@pytest.mark.parametrize("content", [b"", b"MZ", b"#!/bin/sh\n", bytes(4096)])
def test_what_is_no_program_is_refused(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "wrong.img"
    write_image(image, {PROGRAM: content})
    with Hosted().start(Spec(image)) as session, pytest.raises(BarelmError, match="cannot be started"):
        session.read(PATIENCE_S)


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match=r"none\.img"):
        Hosted().start(Spec(tmp_path / "none.img"))


def test_damaged_image_is_refused_again_and_again(tmp_path: Path) -> None:
    image = tmp_path / "zeros.img"
    image.write_bytes(bytes(1 << 20))
    with Hosted().start(Spec(image)) as session:
        for _ in range(2):
            with pytest.raises(BarelmError, match=r"zeros\.img is not a sound disk image") as raised:
                session.read(PATIENCE_S)
            assert raised.value.hint


def test_off_machine_stays_off(tmp_path: Path) -> None:
    program = Program()
    program.say("x")
    image = tmp_path / "short.img"
    write_image(image, {PROGRAM: program.build(7)})
    with Hosted().start(Spec(image)) as session:
        assert [session.read(PATIENCE_S) for _ in range(3)] == [b"x", b"", b""]
        assert session.status == 7
        assert session.calls == {"EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.OutputString": 1}
        session.send("anyone?")


def test_elsewhere_it_says_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Hosted().why_not() is None
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert "Linux" in (Hosted().why_not() or "")
    with pytest.raises(BarelmError, match="Darwin") as raised:
        Hosted().start(Spec(tmp_path / "any.img"))
    assert "QEMU" in raised.value.hint


def test_parent_needs_neither_ctypes_nor_numpy() -> None:
    code = "import sys, barelm.machine.hosted; sys.exit(len({'ctypes', 'numpy', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
