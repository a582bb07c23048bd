"""Other processors run the program's procedures at the same time, and may not call services."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract.uefi_protocols import MpServices, SystemTable
from barelm.errors import BarelmError
from tests.machine.firmware.program import EFI, Program, run

# Adds 1 to the word it is given, then waits there until all of three have come: only possible side by side.
MEET = """
define internal void @meet(i64 %at) {
  %p = inttoptr i64 %at to ptr
  %old = atomicrmw add ptr %p, i64 1 seq_cst
  br label %wait
wait:
  %now = load atomic i64, ptr %p seq_cst, align 8
  %all = icmp uge i64 %now, 3
  br i1 %all, label %done, label %wait
done:
  ret void
}
"""

# Adds 1 to the word it is given.
TICK = """
define internal void @tick(i64 %at) {
  %p = inttoptr i64 %at to ptr
  %old = atomicrmw add ptr %p, i64 1 seq_cst
  ret void
}
"""

# Calls OutputString of the ConOut it is given.
SPEAK = """
define internal void @speak(i64 %out) {
  %at = add i64 %out, 8
  %f = call i64 @load(i64 %at)
  %p = inttoptr i64 %f to ptr
  %s = call i64 %p(i64 %out, i64 %out)
  ret void
}
"""


def test_blocking_call_runs_all_at_once(tmp_path: Path) -> None:
    program = Program(MEET)
    mp, counter, failed = program.protocol(MpServices), program.cells(), program.cells()
    program.store(failed, 5)
    start = (mp, program.address("@meet"), 0, 0, 0, counter, failed)
    program.expect(program.method(MpServices, "StartupAllAPs", *start), 0)
    program.expect(program.load(counter), 3)
    program.expect(program.load(failed), 0)
    assert run(tmp_path, program.build(), cores=4)[1] == 0


def test_event_tells_when_all_are_done(tmp_path: Path) -> None:
    program = Program(MEET)
    mp, counter, event, index = program.protocol(MpServices), program.cells(), program.cells(), program.cells()
    program.expect(program.boot("CreateEvent", 0, 0, 0, 0, event), 0)
    start = (mp, program.address("@meet"), 0, program.load(event), 0, counter, 0)
    program.expect(program.method(MpServices, "StartupAllAPs", *start), 0)
    program.expect(program.method(MpServices, "StartupAllAPs", *start), EFI.NOT_READY)
    program.raw(f"call i64 @join(i64 {counter})")  # the third to come is this processor
    program.expect(program.boot("WaitForEvent", 1, event, index), 0)
    join = "define internal i64 @join(i64 %at) {\n call void @meet(i64 %at)\n ret i64 0\n}\n"
    program.functions += join
    assert run(tmp_path, program.build(), cores=3)[1] == 0


def test_one_by_one_they_run_too(tmp_path: Path) -> None:
    program = Program(TICK)
    mp, counter = program.protocol(MpServices), program.cells()
    start = (mp, program.address("@tick"), 1, 0, 0, counter, 0)
    program.expect(program.method(MpServices, "StartupAllAPs", *start), 0)
    program.expect(program.load(counter), 2)
    assert run(tmp_path, program.build(), cores=3)[1] == 0


def test_one_processor_can_be_chosen(tmp_path: Path) -> None:
    program = Program(TICK)
    mp, counter, finished = program.protocol(MpServices), program.cells(), program.cells()
    tick = program.address("@tick")
    this = ("StartupThisAP", mp, tick)
    program.expect(program.method(MpServices, *this, 1, 0, 0, counter, finished), 0)
    program.expect(program.load(counter), 1)
    program.expect(program.load(finished), 1)
    program.expect(program.method(MpServices, *this, 0, 0, 0, counter, 0), EFI.INVALID_PARAMETER)
    program.expect(program.method(MpServices, *this, 2, 0, 0, counter, 0), EFI.NOT_FOUND)
    program.expect(program.method(MpServices, "EnableDisableAP", mp, 1, 0, 0), 0)
    program.expect(program.method(MpServices, *this, 1, 0, 0, counter, 0), EFI.INVALID_PARAMETER)
    all_of_them = (mp, tick, 0, 0, 0, counter, 0)
    program.expect(program.method(MpServices, "StartupAllAPs", *all_of_them), EFI.NOT_STARTED)
    assert run(tmp_path, program.build(), cores=2)[1] == 0


def test_processors_are_counted_and_described(tmp_path: Path) -> None:
    program = Program()
    mp, total, info = program.protocol(MpServices), program.cells(2), program.cells(4)
    program.expect(program.method(MpServices, "GetNumberOfProcessors", mp, total, program.add(total, 8)), 0)
    program.expect(program.load(total), 3)
    program.expect(program.load(total, 8), 3)
    program.expect(program.method(MpServices, "GetProcessorInfo", mp, 0, info), 0)
    program.expect(program.low(program.load(info, 8), 32), 7)
    program.expect(program.method(MpServices, "GetProcessorInfo", mp, 2, info), 0)
    program.expect(program.low(program.load(info, 8), 32), 6)
    program.expect(program.method(MpServices, "WhoAmI", mp, total), 0)
    program.expect(program.load(total), 0)
    assert run(tmp_path, program.build(), cores=3)[1] == 0


def test_late_processors_are_named(tmp_path: Path) -> None:
    program = Program(MEET)
    mp, counter, failed = program.protocol(MpServices), program.cells(), program.cells()
    start = (mp, program.address("@meet"), 0, 0, 1000, counter, failed)
    program.expect(program.method(MpServices, "StartupAllAPs", *start), EFI.TIMEOUT)
    program.expect(program.load(program.load(failed)), 1)
    program.expect(program.load(program.load(failed), 8), 0xFFFFFFFF)
    assert run(tmp_path, program.build(), cores=2)[1] == 0


def test_service_called_by_another_processor_stops_the_machine(tmp_path: Path) -> None:
    program = Program(SPEAK)
    mp = program.protocol(MpServices)
    out = program.load(program.table, SystemTable.offset_of("con_out"))
    program.method(MpServices, "StartupAllAPs", mp, program.address("@speak"), 0, 0, 0, out, 0)
    with pytest.raises(BarelmError, match=r"processor 1 called EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL\.OutputString"):
        run(tmp_path, program.build(), cores=2)
