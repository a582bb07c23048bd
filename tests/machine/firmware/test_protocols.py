"""The handle database, and the program's own handle."""

from __future__ import annotations

from pathlib import Path

from barelm.contract import uefi
from barelm.contract.uefi_protocols import LoadedImage, MpServices, SimpleFileSystem
from tests.machine.firmware.program import EFI, Program, run

OWN = b"a protocol of us"
OTHER = b"another protocol"


def test_program_finds_itself_and_its_volume(tmp_path: Path) -> None:
    program = Program()
    found = program.cells()
    program.expect(program.boot("HandleProtocol", program.image, program.guid(LoadedImage), found), 0)
    loaded = program.load(found)
    program.expect(program.load(loaded, LoadedImage.offset_of("system_table")), program.table)
    base = program.load(loaded, LoadedImage.offset_of("image_base"))
    program.expect(program.low(program.load(base), 16), int.from_bytes(b"MZ", "little"))
    kinds = program.load(loaded, LoadedImage.offset_of("image_code_type"))
    program.expect(kinds, uefi.LOADER_CODE | uefi.LOADER_DATA << 32)
    device = program.load(loaded, LoadedImage.offset_of("device_handle"))
    program.expect(program.boot("HandleProtocol", device, program.guid(SimpleFileSystem), found), 0)
    program.expect(program.load(found), program.protocol(SimpleFileSystem))
    program.expect(program.boot("HandleProtocol", device, program.guid(MpServices), found), EFI.UNSUPPORTED)
    program.expect(program.load(found), 0)
    program.expect(program.boot("HandleProtocol", 0x1234, program.guid(MpServices), found), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build())[1] == 0


def test_protocol_of_the_program_is_found_until_it_is_removed(tmp_path: Path) -> None:
    program = Program()
    guid, handle, found = program.data(OWN), program.cells(), program.cells()
    program.expect(program.boot("LocateProtocol", guid, 0, found), EFI.NOT_FOUND)
    program.expect(program.boot("InstallProtocolInterface", handle, guid, 0, 77), 0)
    program.expect(program.boot("InstallProtocolInterface", handle, guid, 0, 77), EFI.INVALID_PARAMETER)
    program.expect(program.boot("LocateProtocol", guid, 0, found), 0)
    program.expect(program.load(found), 77)
    mine = program.load(handle)
    program.expect(program.boot("ReinstallProtocolInterface", mine, guid, 77, 78), 0)
    opening = ("OpenProtocol", mine, guid, found, program.image, 0)
    program.expect(program.boot(*opening, 2), 0)
    program.expect(program.load(found), 78)
    program.expect(program.boot("OpenProtocol", mine, guid, 0, program.image, 0, uefi.OPEN_TEST_PROTOCOL), 0)
    program.expect(program.boot("CloseProtocol", mine, guid, program.image, 0), 0)
    program.expect(program.boot("UninstallProtocolInterface", mine, guid, 77), EFI.NOT_FOUND)
    program.expect(program.boot("UninstallProtocolInterface", mine, guid, 78), 0)
    program.expect(program.boot(*opening, 2), EFI.INVALID_PARAMETER)
    assert run(tmp_path, program.build())[1] == 0


def test_several_protocols_go_on_a_handle_together(tmp_path: Path) -> None:
    program = Program()
    own, other, handle, found = program.data(OWN), program.data(OTHER), program.cells(), program.cells()
    pairs = (own, 1, other, 2, 0)
    program.expect(program.boot("InstallMultipleProtocolInterfaces", handle, *pairs), 0)
    mine = program.load(handle)
    program.expect(program.boot("HandleProtocol", mine, other, found), 0)
    program.expect(program.load(found), 2)
    count, buffer = program.cells(), program.cells()
    program.expect(program.boot("ProtocolsPerHandle", mine, buffer, count), 0)
    program.expect(program.load(count), 2)
    second = program.load(program.load(buffer), 8)
    program.expect(program.load(second), int.from_bytes(OTHER[:8], "little"))
    program.expect(program.boot("FreePool", program.load(buffer)), 0)
    wrong = (own, 1, other, 3, 0)
    program.expect(program.boot("UninstallMultipleProtocolInterfaces", mine, *wrong), EFI.INVALID_PARAMETER)
    program.expect(program.boot("UninstallMultipleProtocolInterfaces", mine, *pairs), 0)
    program.expect(program.boot("LocateProtocol", own, 0, found), EFI.NOT_FOUND)
    assert run(tmp_path, program.build())[1] == 0


def test_handles_are_searched_for(tmp_path: Path) -> None:
    program = Program()
    guid, size, handles = program.guid(LoadedImage), program.cells(), program.cells(16)
    search = ("LocateHandle", uefi.BY_PROTOCOL, guid, 0, size, handles)
    program.expect(program.boot(*search), EFI.BUFFER_TOO_SMALL)
    program.expect(program.load(size), 8)
    program.expect(program.boot(*search), 0)
    program.expect(program.load(handles), program.image)
    count, buffer = program.cells(), program.cells()
    program.expect(program.boot("LocateHandleBuffer", uefi.ALL_HANDLES, 0, 0, count, buffer), 0)
    program.expect(program.load(count), 6)
    nobody = ("LocateHandleBuffer", uefi.BY_PROTOCOL, program.data(OWN), 0, count, buffer)
    program.expect(program.boot(*nobody), EFI.NOT_FOUND)
    assert run(tmp_path, program.build())[1] == 0
