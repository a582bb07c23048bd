"""Time, ending, the watchdog, and the small services."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices, SystemTable
from barelm.errors import BarelmError
from tests.machine.firmware.program import EFI, Program, run


def test_status_is_what_the_program_returns(tmp_path: Path) -> None:
    assert run(tmp_path, Program().build())[1] == 0
    assert run(tmp_path, Program().build(EFI.ABORTED - (1 << 64)))[1] == EFI.ABORTED


def test_exit_ends_the_program(tmp_path: Path) -> None:
    program = Program()
    program.boot("Exit", program.image, EFI.ABORTED - (1 << 64), 0, 0)
    assert run(tmp_path, program.build())[1] == EFI.ABORTED


@pytest.mark.parametrize("kind", [uefi.RESET_COLD, uefi.RESET_WARM, uefi.RESET_SHUTDOWN])
def test_reset_switches_the_machine_off(tmp_path: Path, kind: int) -> None:
    program = Program()
    program.say("bye")
    program.runtime("ResetSystem", kind, 3, 0, 0)
    program.say("still here")
    assert run(tmp_path, program.build()) == ("bye", 3)


def test_watchdog_resets_a_program_that_does_not_end(tmp_path: Path) -> None:
    program = Program("define internal i64 @hang() {\n br label %on\non:\n br label %on\n}\n")
    program.expect(program.boot("SetWatchdogTimer", 1, 0, 0, 0), 0)
    program.raw("call i64 @hang()")
    with pytest.raises(BarelmError, match="watchdog"):
        run(tmp_path, program.build())


def test_disabled_watchdog_does_nothing(tmp_path: Path) -> None:
    program = Program()
    program.expect(program.boot("SetWatchdogTimer", 1, 0, 0, 0), 0)
    program.expect(program.boot("SetWatchdogTimer", 0, 0, 0, 0), 0)
    program.expect(program.boot("Stall", 1_100_000), 0)
    assert run(tmp_path, program.build())[1] == 0


def test_memory_is_copied_set_and_summed(tmp_path: Path) -> None:
    program = Program()
    content = b"12345678"
    source, target, crc = program.data(content), program.cells(), program.cells()
    program.boot("CopyMem", target, source, 8)
    program.expect(program.load(target), int.from_bytes(content, "little"))
    program.expect(program.boot("CalculateCrc32", target, 8, crc), 0)
    program.expect(program.load(crc), zlib.crc32(content))
    program.boot("SetMem", target, 7, 0x41)
    program.expect(program.load(target), int.from_bytes(b"AAAAAAA8", "little"))
    assert run(tmp_path, program.build())[1] == 0


def test_time_is_this_century_and_variables_are_none(tmp_path: Path) -> None:
    program = Program()
    now, size = program.cells(2), program.cells()
    program.expect(program.runtime("GetTime", now, 0), 0)
    century = program.raw(f"udiv i64 {program.low(program.load(now), 16)}, 100")
    program.expect(century, 20)
    program.expect(program.runtime("GetVariable", program.text("Boot0000"), now, 0, size, 0), EFI.NOT_FOUND)
    assert run(tmp_path, program.build())[1] == 0


def test_tables_have_their_signatures(tmp_path: Path) -> None:
    program = Program()
    program.expect(program.load(program.table), int.from_bytes(b"IBI SYST", "little"))
    boot = program.load(program.table, SystemTable.offset_of("boot_services"))
    program.expect(program.load(boot), int.from_bytes(b"BOOTSERV", "little"))
    copy, crc = program.cells(BootServices.BYTES // 8), program.cells()
    program.boot("CopyMem", copy, boot, BootServices.BYTES)
    program.store(program.add(copy, 16), 0)
    program.expect(program.boot("CalculateCrc32", copy, BootServices.BYTES, crc), 0)
    program.expect(program.load(crc), program.load(boot, 16))
    assert run(tmp_path, program.build())[1] == 0


def test_unknown_services_say_so(tmp_path: Path) -> None:
    program = Program()
    program.expect(program.boot("ExitBootServices", program.image, 0), EFI.UNSUPPORTED)
    assert run(tmp_path, program.build())[1] == 0
