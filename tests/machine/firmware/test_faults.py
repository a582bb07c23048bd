"""Faults as text, and as calls that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.errors import BarelmError
from barelm.machine.firmware.faults import Fault, parse_fault, qualified
from tests.machine.firmware.program import EFI, Program, run

ALLOCATE = "EFI_BOOT_SERVICES.AllocatePages"


@pytest.mark.parametrize(("text", "fault"), [
    ("AllocatePages=EFI_OUT_OF_RESOURCES@2", Fault(ALLOCATE, EFI.OUT_OF_RESOURCES, 2)),
    ("EFI_BOOT_SERVICES.AllocatePages=9", Fault(ALLOCATE, 9)),
    ("Open=0x800000000000000e", Fault("EFI_FILE_PROTOCOL.Open", 1 << 63 | 14)),
])
def test_fault_is_read_and_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize("text", ["AllocatePages", "Reset=1", "Nothing=1", "Open=EFI_NICE", "Open=1@x", ""])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(BarelmError, match="is no fault"):
        parse_fault(text)


def test_names_are_completed() -> None:
    assert qualified("Stall") == "EFI_BOOT_SERVICES.Stall"


def test_only_the_call_asked_for_fails(tmp_path: Path) -> None:
    program = Program()
    place = program.cells()
    for status in (0, EFI.OUT_OF_RESOURCES, 0):
        program.expect(program.boot("AllocatePages", 0, uefi.LOADER_DATA, 1, place), status)
    for _ in range(2):
        program.expect(program.boot("Stall", 1), EFI.OUT_OF_RESOURCES)
    faults = (Fault(ALLOCATE, EFI.OUT_OF_RESOURCES, 2), Fault("EFI_BOOT_SERVICES.Stall", EFI.OUT_OF_RESOURCES))
    assert run(tmp_path, program.build(), faults=faults)[1] == 0
