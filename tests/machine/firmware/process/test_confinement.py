"""What runs on the hosted firmware gets from Linux what it needs and no more, on every processor."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from barelm.child_python import bare_environment
from barelm.contract.uefi_protocols import MpServices
from barelm.errors import BarelmError
from barelm.machine import hosted
from barelm.machine.firmware.fault_report import Report
from barelm.machine.firmware.process import confinement
from tests.machine.firmware.program import Program, run

SYSTEM_CALL = """define i64 @ask(i64 %n, i64 %a, i64 %b, i64 %c) {
 %r = call i64 asm sideeffect "syscall",
  "={rax},{rax},{rdi},{rsi},{rdx},~{rcx},~{r11},~{memory}"(i64 %n, i64 %a, i64 %b, i64 %c)
 ret i64 %r
}
"""
EXECUTABLE = mmap.PROT_READ | mmap.PROT_EXEC
SOCKET, WRITE_AND_CREATE = 41, 577
REFUSED = {
    "openat": (257, -100, "file", WRITE_AND_CREATE), "open": (2, "file", WRITE_AND_CREATE, 420),
    "execve": (59, "file", 0, 0), "socket": (SOCKET, 2, 1, 0), "fork": (57, 0, 0, 0), "clone": (56, 17, 0, 0),
    "ptrace": (101, 16, 1, 0), "kill": (62, 1, 0, 0), "mmap": (9, 0, 4096, EXECUTABLE),
    "mprotect": (10, 0, 4096, EXECUTABLE), "system call 425": (425, 8, 0, 0), "system call 165": (165, 0, 0, 0),
    "system call 1073741824": (0x40000000, 0, 0, 0)}


def asking(name: str, mark: Path) -> Program:
    """A program that asks for something, and returns if it was not ended."""
    program = Program(SYSTEM_CALL)
    program.say("so far\n")
    values = (program.data(f"{mark}\0".encode()) if value == "file" else value for value in REFUSED[name])
    program.raw(f"call i64 @ask({', '.join(f'i64 {value}' for value in values)})")
    return program


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_for_it_ends_the_machine_with_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(BarelmError, match=rf"the program, at its byte 0x\w+, asked Linux for {name},") as raised:
        run(tmp_path, asking(name, tmp_path / "mark").build())
    assert raised.value.hint
    assert not (tmp_path / "mark").exists()


def test_other_processors_are_confined_too(tmp_path: Path) -> None:
    there = f"define void @there(i64 %x) {{\n call i64 @ask(i64 {SOCKET}, i64 2, i64 1, i64 0)\n ret void\n}}\n"
    program = Program(SYSTEM_CALL + there)
    mp = program.protocol(MpServices)
    program.method(MpServices, "StartupAllAPs", mp, program.address("@there"), 0, 0, 0, 0, 0)
    with pytest.raises(BarelmError, match="asked Linux for socket"):
        run(tmp_path, program.build(), cores=3)


def test_what_a_device_needs_can_be_given(tmp_path: Path) -> None:
    assert run(tmp_path, asking("socket", tmp_path).build(), system_calls=(SOCKET,)) == ("so far\n", 0)


def test_the_filter_is_whole() -> None:
    """Jumps of classic BPF are a byte, and go forward within the filter."""
    rules = confinement.filter_of(range(500, 600))
    assert len(rules) % 8 == 0 and len(rules) // 8 < 4096
    for at in range(0, len(rules), 8):
        code, so, not_so = rules[at] | rules[at + 1] << 8, rules[at + 2], rules[at + 3]
        assert code & 7 != 5 or at // 8 + 1 + max(so, not_so) < len(rules) // 8


def test_a_system_without_filters_is_told_of_once(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that refuses is made of one that does not, by a filter that knows no `seccomp`."""
    program = Program()
    program.say("hello\n")
    (tmp_path / "program.efi").write_bytes(program.build())
    code = ("import sys; from pathlib import Path; from barelm.machine.firmware.process import confinement as c; "
            "from tests.machine.firmware.program import run; "
            "c._CLONE3, c.ALLOWED, real = c._SECCOMP, {}, c.filter_of; "
            "c.filter_of = lambda more: real(()).replace((0x30000).to_bytes(4, 'little'), b'\\0\\0\\xff\\x7f'); "
            "assert c.confine() == ''; p = Path(sys.argv[1]); "
            "print([run(p, (p / 'program.efi').read_bytes()) for _ in range(2)])")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "[('hello\\n', 0), ('hello\\n', 0)]\n", done.stderr
    assert done.stderr.count("does not limit") == 1
    assert "Function not implemented" in done.stderr


def test_keys_of_the_person_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    environment = bare_environment(OURS="1")
    assert "HF_TOKEN" not in environment
    assert (environment["PYTHONHASHSEED"], environment["OURS"]) == ("7", "1")
    assert "bare_environment(" in Path(hosted.__file__).read_text()


@pytest.mark.parametrize("number", [0xDEAD, signal.SIGSEGV])
def test_a_report_that_a_program_wrote_into_is_read_all_the_same(number: int) -> None:
    report = Report(signal=number, at=1, service=1 << 40)
    assert str(report.fault()).startswith(("the program wrote into", "the firmware, not in any service,"))


def test_no_dump_of_memory_is_left(tmp_path: Path) -> None:
    with pytest.raises(BarelmError):
        run(tmp_path, asking("socket", tmp_path).build())
    assert not [name for name in os.listdir(tmp_path) if name.startswith("core")]


def test_a_processor_that_is_to_stop_does_so(tmp_path: Path) -> None:
    """A fault of the firmware's own needs what a program may not have."""
    program = Program("define void @there(i64 %x) {\n br label %on\non:\n br label %on\n}\n")
    mp, event = program.protocol(MpServices), program.cells()
    program.expect(program.boot("CreateEvent", 0, 0, 0, 0, event), 0)
    program.expect(program.method(MpServices, "StartupAllAPs", mp, program.address("@there"), 0, program.load(event),
                                  0, 0, 0), 0)
    program.boot("Stall", 400_000)
    program.say("still here\n")
    assert run(tmp_path, program.build(), cores=2, slips=(0, 1, 0.1)) == ("still here\n", 0)
