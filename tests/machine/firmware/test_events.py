"""Events, timers and the functions they call."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.machine.firmware.events import TPL_APPLICATION, TPL_CALLBACK, TPL_NOTIFY
from tests.machine.firmware.program import EFI, Program, run

# Adds 1 to the word it is given.
COUNT = """
define internal i64 @count(i64 %event, i64 %context) {
  %old = call i64 @load(i64 %context)
  %new = add i64 %old, 1
  call void @store(i64 %context, i64 %new)
  ret i64 0
}
"""
MS = 10_000  # in ticks of a timer


def created(program: Program, kind: int, function: str = "", context: str = "0") -> str:
    """The handle of a new event."""
    event = program.cells()
    address = program.address(function) if function else 0
    program.expect(program.boot("CreateEvent", kind, TPL_CALLBACK, address, context, event), 0)
    return program.load(event)


def waited(program: Program, *events: str) -> str:
    """Which of some events WaitForEvent names."""
    handles, index = program.cells(len(events)), program.cells()
    for i, event in enumerate(events):
        program.store(program.add(handles, 8 * i), event)
    program.expect(program.boot("WaitForEvent", len(events), handles, index), 0)
    return program.load(index)


def test_signal_lasts_until_it_is_checked(tmp_path: Path) -> None:
    program = Program()
    event = created(program, 0)
    program.expect(program.boot("CheckEvent", event), EFI.NOT_READY)
    program.expect(program.boot("SignalEvent", event), 0)
    program.expect(program.boot("CheckEvent", event), 0)
    program.expect(program.boot("CheckEvent", event), EFI.NOT_READY)
    program.expect(program.boot("CloseEvent", event), 0)
    program.expect(program.boot("CheckEvent", event), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build())[1] == 0


def test_first_signaled_event_ends_the_wait(tmp_path: Path) -> None:
    program = Program()
    first, second = created(program, 0), created(program, 0)
    program.expect(program.boot("SignalEvent", second), 0)
    program.expect(waited(program, first, second), 1)
    assert run(tmp_path, program.build())[1] == 0


@pytest.mark.parametrize("how", [uefi.TIMER_RELATIVE, uefi.TIMER_PERIODIC])
def test_timer_signals_its_event(tmp_path: Path, how: int) -> None:
    program = Program()
    never, timer = created(program, uefi.EVT_TIMER), created(program, uefi.EVT_TIMER)
    program.expect(program.boot("SetTimer", never, uefi.TIMER_RELATIVE, 3_600_000 * MS), 0)
    program.expect(program.boot("SetTimer", timer, how, 2 * MS), 0)
    program.expect(waited(program, never, timer), 1)
    if how == uefi.TIMER_PERIODIC:
        program.expect(waited(program, never, timer), 1)
        program.expect(program.boot("SetTimer", timer, uefi.TIMER_CANCEL, 0), 0)
    program.expect(program.boot("SetTimer", created(program, 0), how, MS), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build())[1] == 0


def test_signal_calls_the_program_unless_its_priority_is_raised(tmp_path: Path) -> None:
    program = Program(COUNT)
    counter = program.cells()
    event = created(program, uefi.EVT_NOTIFY_SIGNAL, "@count", counter)
    program.expect(program.boot("SignalEvent", event), 0)
    program.expect(program.load(counter), 1)
    program.expect(program.boot("RaiseTPL", TPL_NOTIFY), TPL_APPLICATION)
    program.expect(program.boot("SignalEvent", event), 0)
    program.expect(program.boot("SignalEvent", event), 0)
    program.expect(program.load(counter), 1)
    program.boot("RestoreTPL", TPL_APPLICATION)
    program.expect(program.load(counter), 2)
    program.expect(program.boot("CheckEvent", event), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build())[1] == 0


def test_periodic_timer_calls_the_program_while_it_waits(tmp_path: Path) -> None:
    program = Program(COUNT)
    counter = program.cells()
    ticking = created(program, uefi.EVT_TIMER | uefi.EVT_NOTIFY_SIGNAL, "@count", counter)
    program.expect(program.boot("SetTimer", ticking, uefi.TIMER_PERIODIC, MS), 0)
    program.expect(program.boot("Stall", 5000), 0)
    program.expect(program.raw(f"zext i1 {program.raw(f'icmp sgt i64 {program.load(counter)}, 0')} to i64"), 1)
    assert run(tmp_path, program.build())[1] == 0


def test_unsignaled_event_asks_its_function(tmp_path: Path) -> None:
    program = Program(COUNT)
    counter = program.cells()
    event = created(program, uefi.EVT_NOTIFY_WAIT, "@count", counter)
    program.expect(program.boot("CheckEvent", event), EFI.NOT_READY)
    program.expect(program.load(counter), 1)
    assert run(tmp_path, program.build())[1] == 0


def test_impossible_events_are_refused(tmp_path: Path) -> None:
    program = Program()
    event = program.cells()
    create = ("CreateEvent", uefi.EVT_NOTIFY_SIGNAL)
    program.expect(program.boot(*create, TPL_CALLBACK, 0, 0, event), EFI.INVALID_PARAMETER)
    program.expect(program.boot(*create, TPL_APPLICATION, event, 0, event), EFI.INVALID_PARAMETER)
    program.expect(program.boot("CreateEvent", 0x300, TPL_CALLBACK, event, 0, event), EFI.INVALID_PARAMETER)
    program.boot("RaiseTPL", TPL_CALLBACK)
    program.expect(program.boot("WaitForEvent", 1, event, event), EFI.UNSUPPORTED)
    assert run(tmp_path, program.build())[1] == 0
