"""Memory is as much as the machine was given, and what is given back is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.firmware.pages import LOW_BASE, Memory
from barelm.machine.firmware.process import native
from barelm.machine.firmware.process.native import PAGE
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from tests.machine.firmware.program import EFI, Program, run

MIB_PAGES = (1 << 20) // PAGE
ANY_PAGES, MAX_ADDRESS, ADDRESS = uefi.ALLOCATE_ANY_PAGES, uefi.ALLOCATE_MAX_ADDRESS, uefi.ALLOCATE_ADDRESS


def test_there_is_no_more_than_the_machine_has(tmp_path: Path) -> None:
    program = Program()
    place = program.cells()
    allocate = ("AllocatePages", ANY_PAGES, uefi.LOADER_DATA)
    program.expect(program.boot(*allocate, 64 * MIB_PAGES, place), EFI.OUT_OF_RESOURCES)
    program.expect(program.boot(*allocate, 60 * MIB_PAGES, place), 0)
    first = program.load(place)
    program.store(first, 1)
    program.expect(program.boot(*allocate, 60 * MIB_PAGES, place), EFI.OUT_OF_RESOURCES)
    program.expect(program.boot("FreePages", first, 60 * MIB_PAGES), 0)
    program.expect(program.boot("FreePages", first, 60 * MIB_PAGES), EFI.NOT_FOUND)
    program.expect(program.boot(*allocate, 60 * MIB_PAGES, place), 0)
    assert run(tmp_path, program.build())[1] == 0


def test_pages_can_be_asked_for_by_address(tmp_path: Path) -> None:
    program = Program()
    place = program.cells()
    program.store(place, 0x10100FFF)
    program.expect(program.boot("AllocatePages", MAX_ADDRESS, uefi.LOADER_DATA, 1, place), 0)
    program.expect(program.load(place), 0x10100000)
    program.expect(program.boot("AllocatePages", ADDRESS, uefi.LOADER_DATA, 1, place), EFI.NOT_FOUND)
    program.store(place, 0x10000000)
    program.expect(program.boot("AllocatePages", ADDRESS, uefi.LOADER_DATA, 1, place), 0)
    program.store(place, 0x10000001)
    program.expect(program.boot("AllocatePages", ADDRESS, uefi.LOADER_DATA, 1, place), EFI.INVALID_PARAMETER)
    program.expect(program.boot("AllocatePages", ANY_PAGES, uefi.CONVENTIONAL_MEMORY, 1, place), EFI.INVALID_PARAMETER)
    program.expect(program.boot("AllocatePages", ANY_PAGES, uefi.LOADER_DATA, 1, 0), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build())[1] == 0


def test_memory_lies_below_and_above_4_gib(tmp_path: Path) -> None:
    program = Program()
    place = program.cells()
    program.expect(program.boot("AllocatePages", ANY_PAGES, uefi.LOADER_DATA, 1024 * MIB_PAGES, place), 0)
    program.expect(program.raw(f"lshr i64 {program.load(place)}, 32"), 1)
    program.expect(program.boot("AllocatePages", ANY_PAGES, uefi.LOADER_DATA, 2500 * MIB_PAGES, place), 0)
    program.expect(program.raw(f"lshr i64 {program.load(place)}, 32"), 0)
    assert run(tmp_path, program.build(), memory_mb=6000)[1] == 0


@pytest.mark.parametrize("n", [1, 100, 5000])
def test_pool_is_aligned_and_comes_back(tmp_path: Path, n: int) -> None:
    program = Program()
    place = program.cells()
    program.expect(program.boot("AllocatePool", uefi.LOADER_DATA, n, place), 0)
    first = program.load(place)
    program.expect(program.low(first, 4), 0)
    program.store(first, 7)
    program.expect(program.boot("FreePool", first), 0)
    program.expect(program.boot("FreePool", first), EFI.INVALID_PARAMETER)
    program.expect(program.boot("AllocatePool", uefi.LOADER_DATA, n, place), 0)
    program.expect(program.load(place), first)
    assert run(tmp_path, program.build())[1] == 0


def test_map_shows_what_is_free(tmp_path: Path) -> None:
    program = Program()
    size, content, key, each, version = (program.cells(n) for n in (1, 256, 1, 1, 1))
    arguments = (size, content, key, each, version)
    program.expect(program.boot("GetMemoryMap", *arguments), EFI.BUFFER_TOO_SMALL)
    program.expect(program.boot("GetMemoryMap", *arguments), 0)
    program.expect(program.load(content), uefi.CONVENTIONAL_MEMORY)
    program.expect(program.load(content, 8), 0x10000000)
    program.expect(program.low(program.load(version), 32), 1)
    assert run(tmp_path, program.build())[1] == 0


def test_what_is_occupied_is_nobodys(tmp_path: Path) -> None:
    """Of 64 MiB from 256 on, all but three pieces of 2, 4 and 1 MiB, and what the program itself takes at the end."""
    program = Program()
    place = program.cells()
    allocate = ("AllocatePages", ANY_PAGES, uefi.LOADER_DATA)
    program.expect(program.boot(*allocate, 5 * MIB_PAGES, place), EFI.OUT_OF_RESOURCES)
    for first, n in ((264, 4), (260, 2)):
        program.expect(program.boot(*allocate, n * MIB_PAGES, place), 0)
        program.expect(program.load(place), first << 20)
    program.expect(program.boot(*allocate, 2 * MIB_PAGES, place), EFI.OUT_OF_RESOURCES)
    assert run(tmp_path, program.build(), occupied=((0, 260), (262, 2), (268, 2), (271, 47)))[1] == 0


def test_what_a_program_keeps_is_told(tmp_path: Path) -> None:
    program = Program()
    place = program.cells()
    for n in (3, 4):
        program.expect(program.boot("AllocatePages", ANY_PAGES, uefi.LOADER_DATA, n, place), 0)
    program.expect(program.boot("FreePages", program.load(place), 4), 0)
    write_image(tmp_path / "machine.img", {PROGRAM: program.build()})
    with Hosted().start(Spec(tmp_path / "machine.img", 64)) as session:
        while session.read(60):
            pass
        assert (session.status, session.kept) == (0, 3 * PAGE)


def test_freed_memory_cannot_be_touched(tmp_path: Path) -> None:
    program = Program()
    place = program.cells()
    program.expect(program.boot("AllocatePages", ANY_PAGES, uefi.LOADER_DATA, 1, place), 0)
    program.expect(program.boot("FreePages", program.load(place), 1), 0)
    program.store(program.load(place), 1)
    with pytest.raises(BarelmError, match="touched memory that is not its own"):
        run(tmp_path, program.build())


def test_program_too_large_for_the_machine_is_refused(tmp_path: Path) -> None:
    program = Program("@large = global [4194304 x i64] zeroinitializer")
    program.store(program.address("@large"), 1)
    with pytest.raises(BarelmError, match="does not fit"):
        run(tmp_path, program.build(), memory_mb=16)


def test_memory_begins_where_the_process_has_room() -> None:
    """A Python that is no position-independent executable has its heap where a machine's memory would begin."""
    base = LOW_BASE + (256 << 20)
    assert native.reserve(PAGE, base)
    try:
        memory = Memory(32, base)
        assert memory.free_pieces()[0][0] > base
        memory.release()
    finally:
        native.release(base, PAGE)


@pytest.mark.parametrize("guard_pages", [0, 2])
def test_pages_behind_an_allocation_stay_free(guard_pages: int) -> None:
    memory = Memory(32, LOW_BASE + (256 << 20), guard_pages)
    try:
        first, second = (memory.allocate(3, uefi.LOADER_DATA) for _ in range(2))
        assert first - second == (3 + guard_pages) * PAGE
        free = [start for start, _ in memory.free_pieces()]
        assert (second + 3 * PAGE in free) == (guard_pages > 0)
    finally:
        memory.release()
