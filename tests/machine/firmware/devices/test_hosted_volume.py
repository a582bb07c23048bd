"""Files of the image as EFI_FILE_PROTOCOL shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileProtocol
from barelm.errors import BarelmError
from tests.machine.firmware.program import EFI, Program, run

CONTENT = bytes(range(256)) * 100
FILES = {"dir/Long name of a file.bin": CONTENT, "small.txt": b"12345678"}


def opened(program: Program, directory: str, name: str) -> str:
    """A file, open for reading."""
    handle = program.cells()
    arguments = handle, program.text(name), uefi.FILE_MODE_READ, 0
    program.expect(program.method(FileProtocol, "Open", directory, *arguments), 0)
    return program.load(handle)


def test_file_is_read_from_where_it_stands(tmp_path: Path) -> None:
    program = Program()
    file = opened(program, program.root(), "DIR\\long NAME of a file.bin")
    size, position, buffer = program.cells(), program.cells(), program.cells(2)
    program.store(size, 16)
    program.expect(program.method(FileProtocol, "SetPosition", file, 8), 0)
    program.expect(program.method(FileProtocol, "Read", file, size, buffer), 0)
    program.expect(program.load(size), 16)
    program.expect(program.load(buffer, 8), int.from_bytes(CONTENT[16:24], "little"))
    program.expect(program.method(FileProtocol, "GetPosition", file, position), 0)
    program.expect(program.load(position), 24)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_a_read_with_a_token_signals_its_event(tmp_path: Path) -> None:
    program = Program()
    file = opened(program, program.root(), "\\small.txt")
    event, token, buffer = program.cells(), program.cells(4), program.cells()
    program.expect(program.boot("CreateEvent", 0, 0, 0, 0, event), 0)
    program.store(token, program.load(event))
    for offset, value in ((8, 99), (16, 64), (24, buffer)):
        program.store(program.add(token, offset), value)
    program.expect(program.boot("CheckEvent", program.load(event)), EFI.NOT_READY)
    program.expect(program.method(FileProtocol, "ReadEx", file, token), 0)
    program.expect(program.boot("CheckEvent", program.load(event)), 0)
    program.expect(program.load(token, 8), 0)
    program.expect(program.load(token, 16), 8)
    program.expect(program.load(buffer), int.from_bytes(b"12345678", "little"))
    program.expect(program.method(FileProtocol, "SetPosition", file, 9), 0)
    program.expect(program.method(FileProtocol, "ReadEx", file, token), 0)
    program.expect(program.load(token, 8), EFI.DEVICE_ERROR)
    program.expect(program.method(FileProtocol, "OpenEx", file, 0, 0, 0, 0, 0), EFI.UNSUPPORTED)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_read_ends_with_the_file(tmp_path: Path) -> None:
    program = Program()
    file = opened(program, program.root(), "\\small.txt")
    size, position, buffer = program.cells(), program.cells(), program.cells(4)
    for start, n in ((3, 5), (8, 0)):
        program.store(size, 32)
        program.expect(program.method(FileProtocol, "SetPosition", file, start), 0)
        program.expect(program.method(FileProtocol, "Read", file, size, buffer), 0)
        program.expect(program.load(size), n)
    program.expect(program.method(FileProtocol, "SetPosition", file, -1), 0)
    program.expect(program.method(FileProtocol, "GetPosition", file, position), 0)
    program.expect(program.load(position), 8)
    program.expect(program.method(FileProtocol, "SetPosition", file, 9), 0)
    program.expect(program.method(FileProtocol, "Read", file, size, buffer), EFI.DEVICE_ERROR)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_paths_are_relative_to_the_directory(tmp_path: Path) -> None:
    program = Program()
    root, handle = program.root(), program.cells()
    directory = opened(program, root, "dir")
    for name in ("Long name of a file.bin", ".\\..\\small.txt", "..\\dir\\..\\.\\small.txt", "\\small.txt", "..", "\\"):
        opened(program, directory, name)
    for name in ("small.txt", "..\\..", "nothing", "\\small.txt\\x"):
        arguments = handle, program.text(name), uefi.FILE_MODE_READ, 0
        program.expect(program.method(FileProtocol, "Open", directory, *arguments), EFI.NOT_FOUND)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_nothing_can_be_written(tmp_path: Path) -> None:
    program = Program()
    root, handle, size = program.root(), program.cells(), program.cells()
    name = program.text("small.txt")
    writable, mad = uefi.FILE_MODE_CHANGE, uefi.FILE_MODE_CREATE & ~2
    program.expect(program.method(FileProtocol, "Open", root, handle, name, writable, 0), EFI.WRITE_PROTECTED)
    program.expect(program.method(FileProtocol, "Open", root, handle, name, mad, 0), EFI.INVALID_PARAMETER)
    file = opened(program, root, "small.txt")
    program.expect(program.method(FileProtocol, "Write", file, size, size), EFI.WRITE_PROTECTED)
    program.expect(program.method(FileProtocol, "Write", root, size, size), EFI.UNSUPPORTED)
    program.expect(program.method(FileProtocol, "Flush", file), 0)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_closed_file_is_gone(tmp_path: Path) -> None:
    program = Program()
    size = program.cells()
    closed = opened(program, program.root(), "small.txt")
    read = program.load(closed, FileProtocol.offset_of("read"))
    program.expect(program.method(FileProtocol, "Close", closed), 0)
    pointer = program.raw(f"inttoptr i64 {read} to ptr")
    program.expect(program.raw(f"call i64 {pointer}(i64 {closed}, i64 {size}, i64 {size})"), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_info_names_and_sizes_a_file(tmp_path: Path) -> None:
    program = Program()
    file = opened(program, program.root(), "SMALL.TXT")
    size, buffer = program.cells(), program.cells(32)
    kind = program.data(bytes(uefi.FILE_INFO))
    needed = 80 + 2 * len("small.txt") + 2
    program.expect(program.method(FileProtocol, "GetInfo", file, kind, size, buffer), EFI.BUFFER_TOO_SMALL)
    program.expect(program.load(size), needed)
    program.expect(program.method(FileProtocol, "GetInfo", file, kind, size, buffer), 0)
    program.expect(program.load(buffer), needed)
    program.expect(program.load(buffer, 8), 8)
    program.expect(program.load(buffer, 72), 0x20)
    program.expect(program.load(buffer, 80), int.from_bytes("smal".encode("utf-16-le"), "little"))
    program.store(size, 256)
    kind = program.data(bytes(uefi.FILE_SYSTEM_INFO))
    program.expect(program.method(FileProtocol, "GetInfo", file, kind, size, buffer), 0)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_directory_is_listed_entry_by_entry(tmp_path: Path) -> None:
    program = Program()
    directory = opened(program, program.root(), "dir")
    size, buffer = program.cells(), program.cells(32)
    for name in (".\0", "..\0"):
        program.store(size, 256)
        program.expect(program.method(FileProtocol, "Read", directory, size, buffer), 0)
        program.expect(program.low(program.load(buffer, 80), 16 * len(name)),
                       int.from_bytes(name.encode("utf-16-le"), "little"))
    program.store(size, 256)
    program.expect(program.method(FileProtocol, "Read", directory, size, buffer), 0)
    program.expect(program.load(buffer, 8), len(CONTENT))
    program.store(size, 256)
    program.expect(program.method(FileProtocol, "Read", directory, size, buffer), 0)
    program.expect(program.load(size), 0)
    assert run(tmp_path, program.build(), FILES)[1] == 0


def test_read_to_where_no_memory_is_stops_the_machine(tmp_path: Path) -> None:
    program = Program()
    file = opened(program, program.root(), "small.txt")
    size = program.cells()
    program.store(size, 8)
    program.method(FileProtocol, "Read", file, size, 0x5000)
    with pytest.raises(BarelmError, match="had 8 bytes read to 0x5000"):
        run(tmp_path, program.build(), FILES)
