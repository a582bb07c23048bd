"""Files that a program writes, and what of them is on the image when the machine is off, or its power was cut."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileProtocol
from barelm.disk import open_editor, open_volume, write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from tests.disk.oracles import check_disk
from tests.machine.firmware.program import EFI, PATIENCE_S, Program

FILES = {"dir/Long name of a file.bin": bytes(range(256)) * 20, "small.txt": b"12345678"}
WRITE, CREATE = uefi.FILE_MODE_CHANGE, uefi.FILE_MODE_CREATE


def open_file(program: Program, start: str, name: str, mode: int = WRITE, attributes: int = 0, status: int = 0) -> str:
    """Open or make a file; its handle."""
    handle = program.cells()
    program.expect(program.method(FileProtocol, "Open", start, handle, program.text(name), mode, attributes), status)
    return program.load(handle)


def write(program: Program, file: str, content: bytes, status: int = 0) -> None:
    """Write bytes where the file stands."""
    size = program.cells()
    program.store(size, len(content))
    program.expect(program.method(FileProtocol, "Write", file, size, program.data(content)), status)
    if not status:
        program.expect(program.load(size), len(content))


def file_info(name: str, size: int, attributes: int = 0x20) -> bytes:
    """EFI_FILE_INFO as a program gives it, its times zeros."""
    encoded = name.encode("utf-16-le") + bytes(2)
    return struct.pack("<QQQ48xQ", 80 + len(encoded), size, 0, attributes) + encoded


def set_info(program: Program, file: str, info: bytes, status: int = 0) -> None:
    """Set EFI_FILE_INFO."""
    kind = program.data(bytes(uefi.FILE_INFO))
    program.expect(program.method(FileProtocol, "SetInfo", file, kind, len(info), program.data(info)), status)


def image_of(folder: Path, program: Program) -> Path:
    """An image with a program and the usual files."""
    image = folder / "machine.img"
    write_image(image, {PROGRAM: program.build(), **FILES})
    return image


def ran(image: Path, *, writable: bool = True, power_cut: int = 0) -> tuple[int | None, int]:
    """Boot an image; the program's status and how many sector writes there were."""
    with Hosted(power_cut=power_cut).start(Spec(image, 64, writable=writable)) as session:
        while session.read(PATIENCE_S):
            pass
        return session.status, session.writes


def contents(image: Path) -> dict[str, bytes]:
    """The files of an image but for the program."""
    with open_volume(image) as volume:
        return {entry.path: volume.read(entry, 0, entry.size) for entry in volume.files() if entry.path != PROGRAM}


def test_what_is_written_stays_on_the_image(tmp_path: Path) -> None:
    program = Program()
    root = program.root()
    directory = open_file(program, root, "new folder", CREATE, uefi.DIRECTORY)
    made = open_file(program, directory, "A report of today.json", CREATE)
    write(program, made, b"0123456789")
    program.expect(program.method(FileProtocol, "SetPosition", made, 4), 0)
    write(program, made, b"abc")
    program.expect(program.method(FileProtocol, "SetPosition", made, 1000), 0)
    write(program, made, b"end")
    program.expect(program.method(FileProtocol, "Flush", made), 0)
    small = open_file(program, directory, "\\small.txt")
    program.expect(program.method(FileProtocol, "SetPosition", small, -1), 0)
    write(program, small, b"more")
    program.expect(program.method(FileProtocol, "Flush", small), 0)
    back, size = program.cells(2), program.cells()
    program.store(size, 16)
    program.expect(program.method(FileProtocol, "SetPosition", small, 4), 0)
    program.expect(program.method(FileProtocol, "Read", small, size, back), 0)
    program.expect(program.load(size), 8)
    program.expect(program.load(back), int.from_bytes(b"5678more", "little"))
    again = open_file(program, root, "NEW FOLDER\\a report of today.json", CREATE)
    program.expect(program.method(FileProtocol, "Close", again), 0)
    image = image_of(tmp_path, program)
    status, writes = ran(image)
    assert status == 0 and writes > 10
    assert contents(image) == {**FILES, "small.txt": b"12345678more",
                               "new folder/A report of today.json": b"0123abc789".ljust(1000, b"\0") + b"end"}
    check_disk(image, 1 << 20)


def test_delete_and_its_warnings(tmp_path: Path) -> None:
    program = Program()
    root, size = program.root(), program.cells()
    read_only = open_file(program, root, "small.txt", uefi.FILE_MODE_READ)
    program.expect(program.method(FileProtocol, "Delete", read_only), EFI.WARN_DELETE_FAILURE)
    program.expect(program.method(FileProtocol, "Delete", open_file(program, root, "dir")), EFI.WARN_DELETE_FAILURE)
    other = open_file(program, root, "small.txt")
    program.expect(program.method(FileProtocol, "Delete", open_file(program, root, "small.txt")), 0)
    for service in ("Read", "Write"):
        program.store(size, 1)
        program.expect(program.method(FileProtocol, service, other, size, size), EFI.DEVICE_ERROR)
    open_file(program, root, "small.txt", WRITE, status=EFI.NOT_FOUND)
    program.expect(program.method(FileProtocol, "Delete", open_file(program, root, "dir\\Long name of a file.bin")), 0)
    program.expect(program.method(FileProtocol, "Delete", open_file(program, root, "dir")), 0)
    program.expect(program.method(FileProtocol, "Delete", root), EFI.WARN_DELETE_FAILURE)
    image = image_of(tmp_path, program)
    assert ran(image)[0] == 0
    assert contents(image) == {}
    check_disk(image, 1 << 20)


def test_rename_and_resize(tmp_path: Path) -> None:
    program = Program()
    root = program.root()
    small = open_file(program, root, "small.txt")
    set_info(program, small, file_info("Another name.text", 8))
    set_info(program, small, file_info("another NAME.text", 3))
    open_file(program, root, "small.txt", uefi.FILE_MODE_READ, status=EFI.NOT_FOUND)
    set_info(program, small, file_info("\\dir\\LONG name of a file.bin", 3), EFI.ACCESS_DENIED)
    set_info(program, small, file_info("\\nowhere\\x", 3), EFI.NOT_FOUND)
    set_info(program, small, file_info("a:b", 3), EFI.INVALID_PARAMETER)
    set_info(program, small, file_info("another NAME.text", 3, uefi.DIRECTORY), EFI.ACCESS_DENIED)
    set_info(program, small, file_info("another NAME.text", 3, 0x40), EFI.INVALID_PARAMETER)
    set_info(program, small, file_info("", 3)[:-2], EFI.BAD_BUFFER_SIZE)
    set_info(program, small, file_info("dir\\moved", 6))
    again = open_file(program, root, "dir\\moved", uefi.FILE_MODE_READ)
    set_info(program, again, file_info("x", 6), EFI.ACCESS_DENIED)
    set_info(program, root, file_info("root", 0, uefi.DIRECTORY), EFI.ACCESS_DENIED)
    set_info(program, open_file(program, root, "dir"), file_info("folder", 0, uefi.DIRECTORY), EFI.ACCESS_DENIED)
    set_info(program, open_file(program, root, "dir"), file_info("folder", 512, uefi.DIRECTORY), EFI.ACCESS_DENIED)
    for handle in (small, again):
        program.expect(program.method(FileProtocol, "Close", handle), 0)
    set_info(program, open_file(program, root, "dir"), file_info("folder", 512, uefi.DIRECTORY))
    image = image_of(tmp_path, program)
    assert ran(image)[0] == 0
    assert contents(image) == {"folder/Long name of a file.bin": FILES["dir/Long name of a file.bin"],
                               "folder/moved": b"123\0\0\0"}
    check_disk(image, 1 << 20)


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    program = Program()
    root = program.root()
    read_only = open_file(program, root, "small.txt", uefi.FILE_MODE_READ)
    write(program, read_only, b"x", EFI.ACCESS_DENIED)
    program.expect(program.method(FileProtocol, "Flush", read_only), EFI.ACCESS_DENIED)
    write(program, root, b"x", EFI.UNSUPPORTED)
    open_file(program, root, "nowhere\\x", CREATE, status=EFI.NOT_FOUND)
    open_file(program, root, "a*b", CREATE, status=EFI.INVALID_PARAMETER)
    open_file(program, root, "x", CREATE, 0x01, EFI.INVALID_PARAMETER)
    open_file(program, root, "small.txt", CREATE, uefi.DIRECTORY)      # what there is, is what it is
    open_file(program, root, "dir", CREATE)
    small = open_file(program, root, "small.txt")
    set_info(program, small, file_info("small.txt", 1 << 31), EFI.VOLUME_FULL)
    program.expect(program.method(FileProtocol, "SetPosition", small, 1 << 40), 0)
    write(program, small, b"x", EFI.UNSUPPORTED)
    image = image_of(tmp_path, program)
    assert ran(image) == (0, 0)
    assert contents(image) == FILES


def test_a_protected_volume(tmp_path: Path) -> None:
    program = Program()
    root = program.root()
    open_file(program, root, "new", CREATE, status=EFI.WRITE_PROTECTED)
    open_file(program, root, "small.txt", WRITE, status=EFI.WRITE_PROTECTED)
    small = open_file(program, root, "small.txt", uefi.FILE_MODE_READ)
    set_info(program, small, file_info("x", 8), EFI.WRITE_PROTECTED)
    program.expect(program.method(FileProtocol, "Delete", small), EFI.WARN_DELETE_FAILURE)
    image = image_of(tmp_path, program)
    before = image.read_bytes()
    image.chmod(0o444)
    assert ran(image, writable=False) == (0, 0)
    assert image.read_bytes() == before


@pytest.mark.parametrize("writable", [True, False])
def test_the_volume_says_what_is_free(tmp_path: Path, writable: bool) -> None:
    program = Program()
    root, size, info = program.root(), program.cells(), program.cells(32)
    image = image_of(tmp_path, Program())
    with open_editor(image, writable=False) as volume:
        total = volume.total_bytes
    program.store(size, 256)
    kind = program.data(bytes(uefi.FILE_SYSTEM_INFO))
    program.expect(program.method(FileProtocol, "GetInfo", root, kind, size, info), 0)
    program.expect(program.load(info), 36 + 2 * len("BARELM") + 2)
    program.expect(program.low(program.load(info, 8), 8), 0 if writable else 1)
    program.expect(program.load(info, 16), total)
    free = program.load(info, 24)
    if writable:
        write(program, open_file(program, root, "new", CREATE), bytes(1024))
        program.store(size, 256)
        program.expect(program.method(FileProtocol, "GetInfo", root, kind, size, info), 0)
        program.expect(program.add(program.load(info, 24), 1024), free)
    image = image_of(tmp_path, program)
    assert ran(image, writable=writable)[0] == 0


def test_a_directory_is_read_as_it_changes(tmp_path: Path) -> None:
    program = Program()
    root, size, info = program.root(), program.cells(), program.cells(64)
    directory = open_file(program, root, "dir")
    open_file(program, directory, "sub", CREATE, uefi.DIRECTORY)
    for is_folder, name in ((0x10, ".\0"), (0x10, "..\0"), (0, "Long"), (0x10, "sub\0")):
        program.store(size, 512)
        program.expect(program.method(FileProtocol, "Read", directory, size, info), 0)
        program.expect(program.raw(f"and i64 {program.load(info, 72)}, {uefi.DIRECTORY}"), is_folder)
        program.expect(program.low(program.load(info, 80), 16 * len(name)),
                       int.from_bytes(name.encode("utf-16-le"), "little"))
        if name == "Long":                          # what was read is deleted, and nothing is passed over
            long = open_file(program, directory, "Long name of a file.bin")
            program.expect(program.method(FileProtocol, "Delete", long), 0)
    write(program, open_file(program, directory, "zzz", CREATE), b"123")
    image = image_of(tmp_path, program)
    assert ran(image)[0] == 0


def test_times_are_those_of_the_machine(tmp_path: Path) -> None:
    program = Program()
    root, size, info = program.root(), program.cells(), program.cells(32)
    made = open_file(program, root, "made", CREATE)
    now = program.cells(2)
    program.expect(program.runtime("GetTime", now, 0), 0)
    program.store(size, 256)
    program.expect(program.method(FileProtocol, "GetInfo", made, program.data(bytes(uefi.FILE_INFO)), size, info), 0)
    for at in (24, 40, 56):                         # created, accessed, modified: the same year, month and day
        program.expect(program.low(program.load(info, at), 32), program.low(program.load(now), 32))
    assert ran(image_of(tmp_path, program))[0] == 0


def test_write_from_where_no_memory_is_stops_the_machine(tmp_path: Path) -> None:
    program = Program()
    small, size = open_file(program, program.root(), "small.txt"), program.cells()
    program.store(size, 4096)
    program.method(FileProtocol, "Write", small, size, 0x5000)
    image = image_of(tmp_path, program)
    with pytest.raises(BarelmError, match="had 4096 bytes written from 0x5000"):
        ran(image)
    assert contents(image) == FILES


def test_power_cut_after_any_write(tmp_path: Path) -> None:
    program = Program()
    root = program.root()
    report = open_file(program, root, "report of a run.new", CREATE)
    write(program, report, b"new" * 400)
    program.expect(program.method(FileProtocol, "Delete", open_file(program, root, "small.txt")), 0)
    set_info(program, report, file_info("small.txt", 1200))
    image = image_of(tmp_path, program)
    fresh = tmp_path / "fresh.img"
    shutil.copyfile(image, fresh)
    status, writes = ran(image)
    assert status == 0 and contents(image) == {**FILES, "small.txt": b"new" * 400}
    for n in range(1, writes + 1):
        shutil.copyfile(fresh, image)
        assert ran(image, power_cut=n) == (None, n)
        found = contents(image)
        assert found.pop("dir/Long name of a file.bin") == FILES["dir/Long name of a file.bin"]
        new = found.pop("report of a run.new", None)
        assert found.get("small.txt") in (FILES["small.txt"], b"new" * 400, None)
        assert "small.txt" in found or new == b"new" * 400
    shutil.copyfile(fresh, image)
    assert ran(image, power_cut=writes + 1) == (0, writes)
