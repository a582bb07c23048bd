"""A serial line: taken for ourselves, asked for its size, written in pieces, given up where it is stuck, given back."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.console_state import SerialState
from barelm.contract.uefi_protocols import OpenProtocolInformation, SerialIo, SerialIoMode, SystemTable
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.tables import guid_of
from barelm.metal.console import serial_line
from barelm.metal.console.serial_line import close_serial, flush_serial, open_serial, put_byte, read_byte
from barelm.metal.console.terminal_sink import keep_row
from tests.metal.fake import FakeFirmware, load, store
from tests.metal.volumes import Table
from tests.worlds import World, both_worlds

OPENING = b"\x1b[?2004h\x1b7\x1b[999;999H\x1b[6n\x1b8"


class Line:
    """A serial line on a fake firmware."""

    def __init__(self, is_there: bool = True) -> None:
        self.firmware = FakeFirmware(line=is_there)
        self.port = self.firmware.serial
        self.state = SerialState.over(np.zeros(SerialState.BYTES, np.uint8))

    def open(self) -> SerialState:
        """Take it."""
        open_serial(self.firmware.fw, self.state)
        return self.state

    def put(self, s: SerialState, content: bytes) -> None:
        """Gather bytes."""
        for byte in content:
            put_byte(s, byte)


def test_no_line() -> None:
    line = Line(is_there=False)
    s = line.open()
    assert s.on == 0 and (s.columns, s.rows) == (80, 24)
    line.put(s, b"nothing")
    flush_serial(s)
    assert read_byte(s) == -1
    close_serial(line.firmware.fw, s)


def test_a_line_that_is_not_given() -> None:
    line = Line()
    line.port.owner = 5
    assert line.open().on == 0 and line.port.written == b""


def test_taken_and_given_back() -> None:
    line = Line()
    s = line.open()
    assert line.port.owner == line.firmware.fw.image and line.port.written == OPENING
    assert SerialIoMode(line.port.mode.address).timeout == serial_line.TIMEOUT_US
    line.put(s, "é\r\n".encode())
    assert line.port.written == OPENING
    flush_serial(s)
    assert line.port.written == OPENING + "é\r\n".encode()
    line.put(SerialState(line.state.address), b"last")
    close_serial(line.firmware.fw, s)
    assert line.port.written.endswith(b"last")
    assert (line.port.owner, line.port.reconnected, int(s.on)) == (0, True, 0)
    line.put(s, b"too late")
    close_serial(line.firmware.fw, s)
    assert b"late" not in line.port.written


def test_bytes_come_one_by_one_and_nothing_blocks() -> None:
    line = Line()
    s = line.open()
    assert read_byte(s) == -1
    line.port.coming += b"\x00\xff"
    assert [read_byte(s) for _ in range(3)] == [0, 255, -1]


def test_much_goes_out_as_it_is_gathered() -> None:
    line = Line()
    s = line.open()
    content = bytes(range(256)) * 100
    line.put(s, content)
    flush_serial(s)
    assert line.port.written == OPENING + content


def test_a_line_that_takes_little_at_a_time_is_waited_for() -> None:
    line = Line()
    s = line.open()
    take = line.port.write

    def write(this: int, size: int, source: int) -> None:
        line.port.room = 300
        take(this, size, source)

    line.port.table.serve("write", write)
    line.put(s, b"x" * 2000)
    flush_serial(s)
    assert line.port.written == OPENING + b"x" * 2000 and s.on != 0


@pytest.mark.parametrize("room", [0, 10])
@pytest.mark.parametrize("mode", [True, False])
def test_a_line_that_takes_nothing_is_given_up_soon(room: int, mode: bool) -> None:
    line = Line()
    if not mode:
        line.port.table.put(mode=0)
    s = line.open()
    line.port.room = room
    before = line.port.n_writes
    line.put(s, b"y" * 20000)
    flush_serial(s)
    assert s.on == 0
    assert line.port.n_writes - before <= serial_line.PATIENCE_US // serial_line.TIMEOUT_US + 2
    assert read_byte(s) == -1
    close_serial(line.firmware.fw, s)
    assert line.port.reconnected


def test_a_slow_timeout_that_cannot_be_changed_is_not_waited_for_often() -> None:
    line = Line()
    line.port.table.serve("set_attributes", lambda *_: -(1 << 63) | 3)
    s = line.open()
    line.port.room = 0
    before = line.port.n_writes
    line.put(s, b"z")
    flush_serial(s)
    assert line.port.n_writes - before <= 2 and s.on == 0


@both_worlds
@pytest.mark.parametrize("rows", [8, 25, 100, 999])
def test_numbers_in_what_a_terminal_is_told(world: World, rows: int) -> None:
    line = Line()
    s = line.open()
    del line.port.written[:]
    world(keep_row)(s, rows)
    world(keep_row)(s, 0)
    flush_serial(s)
    kept = f"\n\x1b7\x1b[1;{rows - 1}r\x1b8\x1b[A"
    assert line.port.written.decode() == kept + f"\x1b7\x1b[{rows}H\x1b[2K\x1b[r\x1b8"


def test_a_device_that_fails() -> None:
    line = Line()
    s = line.open()
    line.port.coming += b"a"
    line.port.table.serve("read", lambda *_: -(1 << 63) | 7)
    line.port.table.serve("write", lambda *_: -(1 << 63) | 7)
    assert read_byte(s) == -1
    line.put(s, b"a")
    flush_serial(s)
    assert s.on == 0


class Ports:
    """A firmware with several serial ports, the one of the tests and others, and what it says of them."""

    def __init__(self, users: list[list[tuple[int, int]] | None]) -> None:
        """`users`: for each port before the line's own, and for that, who has it open: attributes and child."""
        self.line = Line()
        firmware = self.line.firmware
        protocols = firmware.machine.protocols
        self.written: list[bytearray] = []
        self.kind = guid_of(SerialIo)
        mine = next(handle for handle, kinds in protocols.handles.items()
                    if kinds.get(self.kind) == firmware.serial.table.address and handle not in
                    {handle for handle, _ in protocols.owners})
        own = protocols.handles.pop(mine)
        protocols.owners.clear()
        protocols.handles = {handle: kinds for handle, kinds in protocols.handles.items() if self.kind not in kinds}
        self.users = {}
        for who in users[:-1]:
            self.users[self.other(firmware)] = who
        protocols.handles[mine] = own
        self.users[mine] = users[-1]
        firmware.boot.serve("open_protocol_information", self.information)

    def other(self, firmware: FakeFirmware) -> int:
        """One more port; its handle."""
        table = Table(SerialIo)
        written = bytearray()
        self.written.append(written)

        def write(this: int, size: int, source: int) -> int:
            written.extend(ctypes.string_at(source, load(size)))
            return 0

        table.put(mode=int(firmware.serial.mode.address))
        table.serve("write", write)
        table.serve("set_attributes", lambda *_: 0)
        table.serve("get_control", lambda this, control: store(control, uefi.SERIAL_INPUT_BUFFER_EMPTY) or 0)
        self.kept = [*getattr(self, "kept", []), table]
        return firmware.machine.protocols.add(0, self.kind, table.address)

    def information(self, handle: int, protocol: int, buffer: int, count: int) -> None:
        who = self.users[handle]
        require(who is not None, uefi.EFI_UNSUPPORTED)
        address = self.line.firmware.machine.memory.pool(OpenProtocolInformation.BYTES * max(len(who or []), 1))
        for k, (attributes, child) in enumerate(who or []):
            entry = OpenProtocolInformation(address + k * OpenProtocolInformation.BYTES)
            entry.attributes, entry.controller_handle = attributes, child
        store(buffer, address)
        store(count, len(who or []))

    def mark(self) -> int:
        """A device of the firmware's console, as EDK II marks it."""
        return self.line.firmware.machine.protocols.add(0, bytes(uefi.CONSOLE_OUT_DEVICE), 0)

    def spoken_to(self) -> list[bool]:
        """Which ports hear what is said, the line's own last."""
        s = self.line.open()
        self.line.put(s, b"words")
        flush_serial(s)
        heard = [b"words" in written for written in (*self.written, self.line.port.written)]
        close_serial(self.line.firmware.fw, s)
        assert not self.line.firmware.machine.protocols.owners, "all are given back"
        return heard


DRIVER, CHILD = uefi.OPEN_BY_DRIVER, uefi.OPEN_BY_CHILD


@pytest.mark.parametrize("users, heard", [
    ([[], [(DRIVER, 0)]], [False, True]), ([[(DRIVER, 0)], [(DRIVER, 0)]], [True, True]),
    ([[(DRIVER, 0)], []], [True, False]), ([None, None], [True, False]), ([None, [(DRIVER, 0)]], [False, True]),
    ([[], []], [False, False])])
def test_only_ports_that_carry_the_console_are_spoken_to(users: list[list[tuple[int, int]] | None],
                                                        heard: list[bool]) -> None:
    assert Ports(users).spoken_to() == heard


def test_a_terminal_that_is_not_of_the_console_is_left_alone() -> None:
    """EDK II has a driver on every port, and marks the children its console consists of."""
    ports = Ports([[], []])
    marked = ports.mark()
    handles = list(ports.users)
    ports.users[handles[0]] = [(DRIVER, 0), (CHILD, 0x9999)]
    ports.users[handles[1]] = [(DRIVER, 0), (CHILD, marked)]
    assert ports.spoken_to() == [False, True]


def test_a_port_that_is_all_the_console_there_is_stays_with_the_firmware() -> None:
    ports = Ports([[]])
    firmware = ports.line.firmware
    console = int(SystemTable(firmware.machine.table).console_out_handle)
    ports.users[next(iter(ports.users))] = [(DRIVER, 0), (CHILD, console)]
    assert ports.spoken_to() == [False]
