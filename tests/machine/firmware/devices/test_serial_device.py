"""The standard streams as a serial line: shared with the console, then a program's alone, then the console's again."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.contract import uefi
from barelm.contract.uefi_protocols import SerialIo, SimpleTextInput
from barelm.disk import write_image
from barelm.machine.firmware.faults import parse_fault
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from tests.machine.firmware.program import EFI, Program, run

EMPTY = 0x100


class Port:
    """A program's serial port, found as programs find it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.guid = program.guid(SerialIo)
        count, buffer = program.cells(), program.cells()
        program.expect(program.boot("LocateHandleBuffer", uefi.BY_PROTOCOL, self.guid, 0, count, buffer), 0)
        program.expect(program.load(count), 1)
        self.handle = program.load(program.load(buffer))
        self.interface = program.protocol(SerialIo)

    def take(self, wanted: int = 0) -> None:
        """Open it exclusively."""
        found = self.program.cells()
        arguments = self.handle, self.guid, found, self.program.image, 0, uefi.OPEN_EXCLUSIVE
        opened = self.program.boot("OpenProtocol", *arguments)
        self.program.expect(opened, wanted)
        if wanted == 0:
            self.program.expect(self.program.load(found), self.interface)

    def give_back(self) -> None:
        """Close it, and connect the console."""
        program = self.program
        program.expect(program.boot("CloseProtocol", self.handle, self.guid, program.image, 0), 0)
        program.expect(program.boot("ConnectController", self.handle, 0, 0, 1), 0)

    def call(self, service: str, *arguments: int | str, wanted: int = 0) -> None:
        """Call a service of it."""
        self.program.expect(self.program.method(SerialIo, service, self.interface, *arguments), wanted)

    def write(self, content: bytes) -> None:
        """Write bytes."""
        size = self.program.cells()
        self.program.store(size, len(content))
        self.call("Write", size, self.program.data(content))

    def read(self, n: int, wanted: bytes, status: int = 0) -> None:
        """Read up to n bytes, up to eight."""
        size, buffer = self.program.cells(), self.program.cells()
        self.program.store(size, n)
        self.call("Read", size, buffer, wanted=status)
        self.program.expect(self.program.load(size), len(wanted))
        self.program.expect(self.program.load(buffer), int.from_bytes(wanted, "little"))

    def wait_for_input(self) -> None:
        """Read the first byte, however long it takes: the line's timeout is long enough."""
        self.call("SetAttributes", 0, 0, 30_000_000, 0, 0, 0)


def read_key(program: Program, wanted: int) -> None:
    """Look for a key."""
    program.expect(program.method(SimpleTextInput, "ReadKeyStroke", program.con_in(), program.cells()), wanted)


def test_mode_and_control(tmp_path: Path) -> None:
    program = Program()
    port = Port(program)
    mode = program.load(port.interface, SerialIo.offset_of("mode"))
    program.expect(program.load(mode), 1_000_000 << 32 | 0x7003)
    port.call("SetAttributes", 9600, 1, 2000, 2, 7, 3)
    program.expect(program.load(mode), 2000 << 32 | 0x7003)
    program.expect(program.load(mode, 8), 9600)
    program.expect(program.load(mode, 16), 7 << 32 | 1)
    program.expect(program.load(mode, 24), 3 << 32 | 2)
    for wrong in ((0, 17, 0, 0, 0, 0), (0, 0, 1 << 31, 0, 0, 0), (0, 0, 0, 6, 0, 0), (0, 0, 0, 0, 4, 0),
                  (0, 0, 0, 0, 0, 4)):
        port.call("SetAttributes", *wrong, wanted=EFI.INVALID_PARAMETER)
    control = program.cells()
    port.call("GetControl", control)
    program.expect(program.load(control), 0x3B3)
    port.call("SetControl", 1)
    port.call("SetControl", 0x100, wanted=EFI.UNSUPPORTED)
    port.call("GetControl", control)
    program.expect(program.load(control), 0x3B1)
    port.call("Reset")
    assert run(tmp_path, program.build())[1] == 0


def test_bytes_go_as_they_are_while_the_console_works(tmp_path: Path) -> None:
    program = Program()
    program.say("one\r\n")
    Port(program).write("\x1b[1mtwo é\r\n".encode())
    write_image(tmp_path / "machine.img", {PROGRAM: program.build()})
    shown = b""
    with Hosted().start(Spec(tmp_path / "machine.img", 64, 1, terminal=True)) as session:
        while content := session.read(60):
            shown += content
        assert (shown.decode(), session.status) == ("one\n\x1b[1mtwo é\r\n", 0)


def test_bytes_come_as_they_are(tmp_path: Path) -> None:
    program = Program()
    port = Port(program)
    port.take()
    port.wait_for_input()
    port.read(1, b"\x1b")
    port.read(5, "[A\né".encode())
    port.call("SetAttributes", 0, 0, 1000, 0, 0, 0)
    port.read(4, b"", EFI.TIMEOUT)
    port.read(0, b"")
    assert run(tmp_path, program.build(), typed="\x1b[A\né")[1] == 0


def test_taken_it_is_no_longer_the_consoles(tmp_path: Path) -> None:
    program = Program()
    port = Port(program)
    port.take()
    port.take(EFI.ACCESS_DENIED)
    program.expect(program.boot("ConnectController", port.handle, 0, 0, 1), EFI.NOT_FOUND)
    program.say("unheard")
    port.wait_for_input()
    port.read(1, b"x")
    read_key(program, EFI.NOT_READY)
    port.write(b"raw ")
    port.give_back()
    program.say("heard")
    read_key(program, 0)
    read_key(program, EFI.NOT_READY)
    port.take()
    assert run(tmp_path, program.build(), typed="xy") == ("raw heard", 0)


def test_what_was_typed_before_is_there(tmp_path: Path) -> None:
    program = Program()
    port = Port(program)
    event, index = program.cells(), program.cells()
    program.store(event, program.load(program.con_in(), SimpleTextInput.offset_of("wait_for_key")))
    program.expect(program.boot("WaitForEvent", 1, event, index), 0)  # the console takes one character, no more
    port.take()
    port.wait_for_input()
    port.read(2, "é".encode())
    read_key(program, 0)
    assert run(tmp_path, program.build(), typed="aé")[1] == 0


def test_a_driver_that_is_disconnected(tmp_path: Path) -> None:
    program = Program()
    port = Port(program)
    program.expect(program.boot("DisconnectController", port.handle, 0, 0), 0)
    program.say("unheard")
    program.expect(program.boot("ConnectController", port.handle, 0, 0, 1), 0)
    program.expect(program.boot("ConnectController", program.image, 0, 0, 1), EFI.NOT_FOUND)
    program.say("heard")
    assert run(tmp_path, program.build()) == ("heard", 0)


@pytest.mark.parametrize("service", ["EFI_SERIAL_IO_PROTOCOL.Write", "GetControl"])
def test_faults(tmp_path: Path, service: str) -> None:
    program = Program()
    port = Port(program)
    size = program.cells()
    port.call(service.rpartition(".")[2], size, size, wanted=EFI.DEVICE_ERROR)
    assert run(tmp_path, program.build(), faults=(parse_fault(f"{service}=EFI_DEVICE_ERROR@1"),))[1] == 0
