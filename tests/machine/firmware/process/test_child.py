"""A program that breaks ends in a message that says what it did and where, and never in silence."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from barelm.contract.uefi_protocols import MpServices
from barelm.errors import BarelmError
from barelm.machine.firmware.process.native import FAULTS
from tests.machine.firmware.program import Program, run

# What a program may do wrong, by the IR of a function that does it.
WRONG = {
    "touched memory that is not its own, at 0x123458": "%p = inttoptr i64 1193048 to ptr\n store volatile i8 0, ptr %p",
    "touched memory that is not its own, at": "store volatile i8 0, ptr @wrong",
    "does not have": 'call void asm sideeffect "ud2", ""()',
    "privileged instruction": 'call void asm sideeffect "hlt", ""()',
    "divided by zero": 'call void asm sideeffect "xorl %ecx, %ecx; divl %ecx", "~{ax},~{cx},~{dx}"()',
    "breakpoint": 'call void asm sideeffect "int3", ""()',
    "jumped out of itself to 0x0 and": 'call void asm sideeffect "xorl %eax, %eax; jmp *%rax", "~{ax}"()',
    "jumped out of itself to 0x5000 and": 'call void asm sideeffect "movl $$0x5000, %eax; jmp *%rax", "~{ax}"()',
    "SIGSEGV": 'call void asm sideeffect "again: pushq %rax; jmp again", "~{memory}"()',
}


@pytest.mark.parametrize("message", WRONG)
def test_fault_is_explained(tmp_path: Path, message: str) -> None:
    program = Program("define internal i64 @wrong(i64 %x) noinline {\n " + WRONG[message] + "\n ret i64 0\n}\n")
    program.say("so far")
    program.raw("call i64 @wrong(i64 0)")
    with pytest.raises(BarelmError) as raised:
        run(tmp_path, program.build())
    assert message in raised.value.message
    assert raised.value.hint
    assert "jumped" in message or re.search(r"at its byte 0x1[0-9a-f]{3},", raised.value.message)


def test_fault_on_another_processor_is_explained(tmp_path: Path) -> None:
    program = Program('define internal void @wrong() {\n call void asm sideeffect "ud2", ""()\n ret void\n}\n')
    mp = program.protocol(MpServices)
    program.method(MpServices, "StartupAllAPs", mp, program.address("@wrong"), 0, 0, 0, 0, 0)
    with pytest.raises(BarelmError, match="at its byte .* does not have"):
        run(tmp_path, program.build(), cores=2)


def test_bad_pointer_names_the_service(tmp_path: Path) -> None:
    program = Program()
    program.boot("CopyMem", 0x5000, program.table, 8)
    with pytest.raises(BarelmError, match=r"gave EFI_BOOT_SERVICES\.CopyMem a bad pointer.* at 0x5000"):
        run(tmp_path, program.build())


def test_every_fault_has_its_words() -> None:
    from barelm.machine.firmware.fault_report import _WHAT
    assert {signal.Signals(number) for number in FAULTS} == set(_WHAT)
