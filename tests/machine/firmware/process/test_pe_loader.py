"""Programs that are no sound UEFI application for this machine are refused, whatever is wrong with them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from barelm.errors import BarelmError
from tests.machine.firmware.program import Program, run

# Offsets from the PE signature (Microsoft's PE format).
MACHINE, ENTRY, SECTION_ALIGNMENT, SIZE_OF_IMAGE, SUBSYSTEM, FIRST_SECTION = 4, 40, 56, 80, 92, 264
WRONG = {
    "another processor": (MACHINE, "H", 0xAA64),
    "not a UEFI application": (SUBSYSTEM, "H", 3),
    "impossible sizes": (ENTRY, "I", 0x7FFFFFFF),
    "impossible": (SIZE_OF_IMAGE, "I", 0x7FFFFFFF),
    "not aligned": (SECTION_ALIGNMENT, "I", 512),
    "both writable and executable": (FIRST_SECTION + 36, "I", 0xE0000020),
    "a section lies outside it": (FIRST_SECTION + 12, "I", 0x10000000),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_program_is_refused(tmp_path: Path, message: str) -> None:
    content = bytearray(Program().build())
    offset, kind, value = WRONG[message]
    (pe,) = struct.unpack_from("<I", content, 0x3C)
    struct.pack_into(f"<{kind}", content, pe + offset, value)
    with pytest.raises(BarelmError, match=message):
        run(tmp_path, bytes(content))


@pytest.mark.parametrize("n", [100, 300, 513])
def test_cut_program_is_refused(tmp_path: Path, n: int) -> None:
    with pytest.raises(BarelmError):
        run(tmp_path, Program().build()[:n])


def test_addresses_are_relocated(tmp_path: Path) -> None:
    program = Program("@target = internal global i64 77\n@pointer = internal global ptr @target")
    program.expect(program.load(program.load(program.address("@pointer"))), 77)
    assert run(tmp_path, program.build())[1] == 0
