"""QEMU as a machine, without booting one: its command line, discovery, and sessions with a stand-in for QEMU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from barelm.errors import BarelmError
from barelm.machine import accelerator, qemu, qemu_packages
from barelm.machine.machine import Forward, Machine, Spec
from barelm.machine.ovmf import Ovmf
from barelm.machine.qemu import BUSES, Host, Qemu, command, find_program
from barelm.machine.qemu_process import Wiring
from barelm.machine.qemu_session import QemuSession
from barelm.machine.qmp import Monitor
from tests.machine import fake_qemu

_HOST = Host("/bin/qemu", "tcg", Ovmf(Path("/f/code.fd"), Path("/f/vars.fd")))
_WIRING = Wiring(Path("/t/variables.fd"), 1001, 1002)
_SPEC = Spec(Path("/i/disk.img"), memory_mb=512, cores=2)


def _options(arguments: list[str], name: str) -> list[str]:
    return [value for option, value in zip(arguments, arguments[1:]) if option == name]


def test_the_command_line() -> None:
    arguments = command(_SPEC, Qemu(), _HOST, _WIRING)
    assert arguments[0] == "/bin/qemu"
    assert _options(arguments, "-smp") == ["2"]
    assert _options(arguments, "-m") == ["512"]
    assert _options(arguments, "-accel") == ["tcg,thread=multi"]
    assert _options(arguments, "-cpu") == ["max"]
    assert _options(arguments, "-display") == ["none"]
    assert _options(arguments, "-drive") == [
        "if=pflash,unit=0,format=raw,readonly=on,file=/f/code.fd",
        "if=pflash,unit=1,format=raw,file=/t/variables.fd",
        "if=none,id=disk,format=raw,snapshot=on,file=/i/disk.img",
    ]
    assert "socket,id=console,host=127.0.0.1,port=1001" in arguments
    assert "socket,id=monitor,host=127.0.0.1,port=1002" in arguments
    assert {"-nodefaults", "-no-reboot"} <= set(arguments)
    assert arguments == command(_SPEC, Qemu(), _HOST, _WIRING)


def test_a_way_in_is_a_network_of_its_own() -> None:
    assert "-netdev" not in command(_SPEC, Qemu(), _HOST, _WIRING)
    spec = Spec(Path("/i/disk.img"), forward=Forward(0, 8080))
    arguments = command(spec, Qemu(card="e1000"), _HOST, _WIRING)
    assert _options(arguments, "-netdev") == ["user,id=network,hostfwd=tcp:127.0.0.1:0-:8080"]
    assert "e1000,netdev=network,id=card" in _options(arguments, "-device")


@pytest.mark.parametrize("bus", BUSES)
def test_the_disk_is_on_the_bus_asked_for(bus: str) -> None:
    arguments = command(_SPEC, Qemu(bus=bus), _HOST, _WIRING)
    assert [device for device in _options(arguments, "-device") if "drive=disk" in device and "bootindex=0" in device]


def test_a_display_is_a_window_and_a_screen_is_not() -> None:
    window = command(_SPEC, Qemu(display=True), _HOST, _WIRING)
    screen = command(_SPEC, Qemu(screen=True), _HOST, _WIRING)
    assert "VGA" in window and "VGA" in screen
    assert "-display" not in window and "-display" in screen
    assert "VGA" not in command(_SPEC, Qemu(), _HOST, _WIRING)


def test_image_is_written_only_where_asked() -> None:
    disk = _options(command(Spec(Path("/i/disk.img"), writable=True), Qemu(), _HOST, _WIRING), "-drive")[2]
    assert "snapshot=off" in disk and disk.endswith("file=/i/disk.img")


def test_commas_in_paths_are_doubled() -> None:
    arguments = command(Spec(Path("/a,b/c.img")), Qemu(), _HOST, _WIRING)
    assert _options(arguments, "-drive")[2].endswith("file=/a,,b/c.img")


@pytest.mark.parametrize("name, same, expected", [
    ("tcg", True, ["-accel", "tcg,thread=multi", "-cpu", "max"]),
    ("tcg", False, ["-accel", "tcg", "-cpu", "max"]),
    ("kvm", True, ["-accel", "kvm", "-cpu", "host"]),
    ("hvf", True, ["-accel", "hvf", "-cpu", "host"]),
    ("whpx", True, ["-accel", "whpx", "-cpu", "max"]),
])
def test_accelerators(name: str, same: bool, expected: list[str]) -> None:
    assert accelerator.arguments(name, same) == expected


def test_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    assert accelerator.candidates("linux", True) == ["kvm"]
    assert accelerator.candidates("darwin", True) == ["hvf"]
    assert accelerator.candidates("win32", True) == ["whpx"]
    assert accelerator.candidates("freebsd14", True) == []
    assert accelerator.candidates("darwin", False) == []


def test_no_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BARELM_QEMU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(qemu_packages, "install_command", lambda: "apt install qemu-system-x86 ovmf")
    assert Qemu().why_not() == ("qemu-system-x86_64 is not installed: install QEMU and OVMF with "
                                "`apt install qemu-system-x86 ovmf`, or set BARELM_QEMU to its path.")
    image = tmp_path / "x.img"
    image.write_bytes(b"")
    with pytest.raises(BarelmError, match="qemu-system-x86_64 is not installed"):
        Qemu().start(Spec(image))


def test_the_install_command_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "pacman" else None)
    assert qemu_packages.install_command() == "pacman -S qemu-system-x86 edk2-ovmf"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert qemu_packages.install_hint("X") == "Install QEMU and OVMF, or set X."


def test_a_program_named_by_mistake() -> None:
    with pytest.raises(BarelmError, match="BARELM_QEMU names /nowhere/qemu"):
        find_program({"BARELM_QEMU": "/nowhere/qemu"})


@pytest.mark.parametrize("spec, message", [
    (Spec(Path("/nowhere.img")), "there is no image"),
    (Spec(Path(__file__), memory_mb=16), "16 MB of memory"),
    (Spec(Path(__file__), cores=0), "0 cores"),
    (Spec(Path(__file__), cores=256), "256 cores"),
])
def test_specs_that_cannot_be(spec: Spec, message: str) -> None:
    with pytest.raises(BarelmError, match=message):
        qemu.check(spec)


def test_an_unknown_bus() -> None:
    with pytest.raises(BarelmError) as caught:
        Qemu(bus="floppy")
    assert "virtio" in caught.value.hint


def test_it_is_a_machine() -> None:
    machine: Machine = Qemu()
    assert machine.name == "qemu"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which machines keep their temporary files; QEMU is the stand-in and its firmware two files."""
    program = tmp_path / "qemu"
    source = Path(fake_qemu.__file__).read_text()
    program.write_text(f"#!{sys.executable}\n{source}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for variable, name in (("BARELM_OVMF_CODE", "code.fd"), ("BARELM_OVMF_VARS", "vars.fd")):
        (tmp_path / name).write_bytes(name.encode())
        monkeypatch.setenv(variable, str(tmp_path / name))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("BARELM_QEMU", str(program))
    return folder


def _play(monkeypatch: pytest.MonkeyPatch, *script: list[object], machine: Qemu | None = None,
          terminal: bool = False) -> QemuSession:
    monkeypatch.setenv("FAKE_QEMU", json.dumps(script))
    return (machine or Qemu(accelerate="tcg")).start(Spec(Path(__file__), terminal=terminal))


def _read_all(session: QemuSession) -> bytes:
    out = b""
    while data := session.read(20):
        out += data
    return out


def test_a_session(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script: list[list[object]] = [["say", "\x1b[2Jhi\r\nBARELM DO"], ["say", "NE 1"], ["say", "4\r\n"], ["exit", 0]]
    with _play(monkeypatch, *script) as session:
        assert session.status is None
        assert _read_all(session) == b"hi\nBARELM DONE 14\n"
        assert session.status == 14
        assert session.read(0.1) == b""
        session.send("too late")
    assert list(stand_in.iterdir()) == []


def test_only_whole_lines_are_a_status(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["say", "say BARELM DONE 1\nBARELM DONE 2 x\nBARELM DONE 3"], ["exit", 0]) as session:
        _read_all(session)
        assert session.status is None


TAKEN = "\x1b[?2004h\x1b7\x1b[999;999H\x1b[6n\x1b8"
GIVEN_BACK = "\x1b7\x1b[24H\x1b[2K\x1b[r\x1b8\x1b[?2004l\x1b[?25h\x1b[0m"
PASTED = "> first line of a paste\x1b[K\r\n\r\x1b[2CBARELM DONE 7\x1b[K\r\n"


@pytest.mark.parametrize("cut", [0, 3, len(PASTED) + 4, len(PASTED) + 14, len(PASTED) + 18])
def test_on_a_terminal_the_end_is_not_what_somebody_says(stand_in: Path, monkeypatch: pytest.MonkeyPatch, cut: int
                                                        ) -> None:
    rest = PASTED + "BARELM DONE 4\r\n" + GIVEN_BACK
    script: list[list[object]] = [["say", TAKEN], ["say", "BARELM DONE 0\r\nand more\r\n" + rest[:cut]],
                                  ["sleep", 0.3], ["say", rest[cut:]], ["exit", 0]]
    seen = b""
    with _play(monkeypatch, *script, terminal=True) as session:
        while data := session.read(20):
            seen += data
            assert (session.status is not None) == (b"\x1b[?2004l" in seen)
        assert session.status == 4


def test_where_the_terminal_was_never_taken_a_line_is_the_end(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["say", "BARELM DONE 3\r\n"], ["exit", 0], terminal=True) as session:
        _read_all(session)
        assert session.status == 3


def test_a_crash_that_is_only_said_is_none(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor of a machine that goes on shows interrupts switched on."""
    on = "CPU#0\r\nRIP=1 RFL=00000246\r\nCPU#1\r\nEFL=00000002\r\n"
    told = iter(["CPU#0\r\nEFL=00000046\r\n", *[on] * 9])
    said = "!!!! X64 Exception Type - 06(#UD)  CPU Apic ID - 00000000 !!!!\r\n"
    with _play(monkeypatch, ["say", said], ["sleep", 3], ["say", "more"], ["sleep", 60], terminal=True) as session:
        monkeypatch.setattr(Monitor, "execute", lambda self, command, **arguments: next(told))
        assert session.read(20) and session.read(20) == b"more"


@pytest.mark.parametrize("registers", ["RFL=00000046", "nothing"])
def test_a_crash_is_one_where_the_processor_stands(stand_in: Path, monkeypatch: pytest.MonkeyPatch, registers: str
                                                   ) -> None:
    with _play(monkeypatch, ["say", "!!!! X64 Exception Type - 06\r\n"], ["sleep", 60], terminal=True) as session:
        monkeypatch.setattr(Monitor, "execute", lambda self, command, **arguments: registers)
        with pytest.raises(BarelmError, match="crashed the machine"):
            while True:
                session.read(20)


def test_typing(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["hear", 4], ["exit", 0]) as session:
        session.send("é\n!")
        assert _read_all(session) == "é!".encode()           # the Enter key came back as \r, which is dropped


def test_typing_while_another_thread_reads(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["hear", 2], ["sleep", 600]) as session:
        typist = threading.Timer(0.2, session.send, ["ab"])
        typist.start()
        assert session.read(20) == b"ab"
        typist.join()


def test_silence(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["say", "one\ntwo\n"], ["sleep", 60]) as session:
        assert session.read(20)
        with pytest.raises(BarelmError) as caught:
            while True:
                session.read(0.2)
        assert caught.value.message == "the machine said nothing for 0.2 seconds"
        assert caught.value.hint.endswith("one\ntwo")
    assert list(stand_in.iterdir()) == []


def test_a_crash_report_is_not_waited_out(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = "!!!! X64 Exception Type - 06(#UD - Invalid Opcode)  CPU Apic ID - 00000000 !!!!\nRIP  - 0\n"
    with _play(monkeypatch, ["say", report], ["sleep", 60]) as session:
        with pytest.raises(BarelmError, match="crashed the machine: X64 Exception Type - 06"):
            while True:
                session.read(30)


def test_qemu_that_fails_while_on(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["say", "hi\n"], ["exit", 3]) as session:
        with pytest.raises(BarelmError, match="QEMU failed: qemu: something broke"):
            _read_all(session)


@pytest.mark.parametrize("how", ["complain", "complain later"])
def test_qemu_that_does_not_start(stand_in: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    with pytest.raises(BarelmError, match="QEMU did not start: no such board"):
        _play(monkeypatch, [how, "no such board"])
    assert list(stand_in.iterdir()) == []


def test_whatever_happens_nothing_is_left(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        with _play(monkeypatch, ["say", "x"], ["sleep", 600]) as session:
            process = session._process._process
            assert os.name == "nt" or os.getpgid(process.pid) != os.getpgid(0)
            raise KeyboardInterrupt
    assert process.poll() == -signal.SIGKILL
    assert list(stand_in.iterdir()) == []


def test_a_session_that_is_dropped_ends_too(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = _play(monkeypatch, ["sleep", 600])
    process = session._process._process
    del session
    assert process.poll() is not None
    assert list(stand_in.iterdir()) == []


def test_variables_are_a_private_copy(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["BARELM_OVMF_VARS"]).chmod(0o444)
    with _play(monkeypatch, ["sleep", 600]):
        copy, = stand_in.glob("*/variables.fd")
        assert copy.read_bytes() == b"vars.fd"
        copy.write_bytes(b"changed")
    assert Path(os.environ["BARELM_OVMF_VARS"]).read_bytes() == b"vars.fd"


def test_pictures_need_a_screen(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _play(monkeypatch, ["sleep", 600]) as session:
        with pytest.raises(BarelmError, match="no screen"):
            session.screenshot(stand_in / "x.png")
    with _play(monkeypatch, ["sleep", 600], machine=Qemu(screen=True, accelerate="tcg")) as session:
        with pytest.raises(BarelmError, match="QEMU refused screendump: not today"):
            session.screenshot(stand_in / "x.png")


@pytest.mark.parametrize("words, runs", [("exit 85", True), ("exit 1", False), ("exit 0", False),
                                         ("echo KVM internal error. Suberror: 1 >&2; exec sleep 60", False),
                                         ("echo only a warning >&2; sleep 0.1; exit 85", True)])
def test_an_accelerator_that_stops_at_an_instruction_is_not_waited_for(tmp_path: Path, words: str, runs: bool,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_PROBE_S", 1e6)
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    assert accelerator.works(str(program), "kvm") == runs
    assert not accelerator.works(str(tmp_path / "nowhere"), "kvm")
