"""Every call into the firmware, against the hosted one in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.uefi_protocols import GraphicsOutput, GraphicsOutputMode, MemoryDescriptor, SystemTable, Time
from barelm.dialect.memory import address_of, load_u32, text
from barelm.disk import write_image
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.screen import Screen
from barelm.metal.uefi.answers import failure_of, handle_of
from barelm.metal.uefi.boot_services import allocate_low_pages, allocate_pages, disable_watchdog, free_pages, memory_map
from barelm.metal.uefi.file_protocol import (
    close_file,
    delete_file,
    file_info,
    file_size,
    flush_file,
    open_file,
    open_for_writing,
    open_volume,
    own_device,
    read_file,
    seek,
    set_file_info,
    write_file,
)
from barelm.metal.uefi.graphics_output import blt, find_graphics, graphics_mode_size, set_graphics_mode
from barelm.metal.uefi.handles import (
    NOT_ON_IT,
    ON_IT,
    close_exclusive,
    console_on,
    handle_with,
    locate_protocol,
    protocol_of,
    publish_interface,
    take_exclusively,
    withdraw_interface,
)
from barelm.metal.uefi.mp_services import count_processors
from barelm.metal.uefi.runtime_services import get_time, reset_system
from barelm.metal.uefi.serial_io import read_serial, serial_waits, set_serial_timeout, write_serial
from barelm.metal.uefi.text_input import read_stroke
from barelm.metal.uefi.text_output import (
    clear_screen,
    console_columns,
    console_row,
    output_string,
    set_attribute,
    set_cursor_position,
)
from barelm.metal.uefi.timers import close_event, create_timer, sleep
from tests.metal.firmware import InProcess, program

ERROR = -(1 << 63)
Start = Callable[..., InProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a machine that ends with the test."""
    machines: list[InProcess] = []

    def starts(files: dict[str, bytes] | None = None, **setup: object) -> InProcess:
        image = tmp_path / "machine.img"
        write_image(image, {PROGRAM: program(), **(files or {})})
        machines.append(InProcess(image, **{"writable": True, **setup}))  # type: ignore[arg-type]
        return machines[-1]

    with np.errstate(over="ignore"):
        yield starts
    for machine in machines:
        with machine:
            pass


def test_pages_are_given_and_taken_back(start: Start) -> None:
    fw = start(memory_mb=16).fw
    pages = allocate_pages(fw, 3)
    assert pages and pages % 4096 == 0 and 0 < allocate_low_pages(fw, 1) < 1 << 32
    room = np.zeros(1 << 14, np.uint8)
    n_bytes, step = memory_map(fw, room)
    regions = [MemoryDescriptor(address_of(room) + at) for at in range(0, n_bytes, step)]
    assert sum(int(region.number_of_pages) for region in regions) == 16 << 8
    assert uefi.CONVENTIONAL_MEMORY in [region.type for region in regions]
    assert free_pages(fw, pages, 3) == 0
    assert allocate_pages(fw, 1 << 20) == 0 and memory_map(fw, room[:8]) == (0, 1)


def test_text_is_shown_where_the_console_is(start: Start) -> None:
    machine = start()
    fw = machine.fw
    output_string(fw, text("héllo"))
    output_string(fw, text("\r\n"))
    assert machine.shown.decode() == "héllo\n" and (console_columns(fw), console_row(fw)) == (80, 1)
    assert set_attribute(fw, 3) == set_cursor_position(fw, 5, 7) == 0 and console_row(fw) == 7
    assert set_cursor_position(fw, 500, 0) == ERROR | uefi.EFI_UNSUPPORTED
    assert clear_screen(fw) == 0 and console_row(fw) == 0
    mute = fw._replace(con_out=0)
    output_string(mute, text("nothing"))
    assert (console_columns(mute), console_row(mute), clear_screen(mute)) == (80, 0, 0)
    assert b"nothing" not in machine.shown


def test_text_that_a_console_refuses_once_is_shown_all_the_same(start: Start) -> None:
    machine = start(faults=("OutputString=EFI_DEVICE_ERROR@1", "OutputString=EFI_DEVICE_ERROR@4+"))
    assert output_string(machine.fw, text("one")) == 0 and output_string(machine.fw, text(" two")) == 0
    assert output_string(machine.fw, text(" three")) == ERROR | uefi.EFI_DEVICE_ERROR
    assert machine.shown.decode() == "one two"


def test_keys_come_one_by_one(start: Start) -> None:
    machine = start()
    fw = machine.fw
    extended = protocol_of(fw, SystemTable(fw.table).console_in_handle, uefi.SIMPLE_TEXT_INPUT_EX_PROTOCOL)
    machine.machine.wire.arrive("a\x1bé".encode())
    assert extended and [read_stroke(fw, extended) for _ in range(4)] == [97, uefi.SCAN_ESC << 16, ord("é"), -1]
    machine.machine.wire.arrive(b"b")
    assert [read_stroke(fw, 0) for _ in range(2)] == [98, -1] and read_stroke(fw._replace(con_in=0), 0) == -1


def test_a_wait_ends_with_a_key_or_the_time(start: Start) -> None:
    machine = start(faults=("WaitForEvent=EFI_UNSUPPORTED@3",))
    fw = machine.fw
    timer = create_timer(fw)
    calls = machine.machine.services.calls
    calls["EFI_BOOT_SERVICES.Stall"] = 0  # until the timer was seen to go off
    sleep(fw, timer, 1000)
    machine.machine.wire.arrive(b"a")
    sleep(fw, timer, 10**9)
    assert calls["EFI_BOOT_SERVICES.WaitForEvent"] == 2 and calls["EFI_BOOT_SERVICES.Stall"] == 0
    sleep(fw, timer, 1)
    sleep(fw, 0, 1)
    assert calls["EFI_BOOT_SERVICES.Stall"] == 2 and close_event(fw, timer) == close_event(fw, 0) == 0
    assert create_timer(failing(machine, "CreateEvent=EFI_OUT_OF_RESOURCES").fw) == 0


def test_a_timer_that_never_goes_off_is_none(start: Start) -> None:
    machine = start(faults=("SetTimer=nothing@1+",))
    assert create_timer(machine.fw) == 0
    calls = machine.machine.services.calls
    assert calls["EFI_BOOT_SERVICES.CloseEvent"] == calls["EFI_BOOT_SERVICES.CreateEvent"] == 1


def failing(machine: InProcess, fault: str) -> InProcess:
    """A machine one of whose services fails from now on."""
    service, _, status = fault.partition("=")
    machine.machine.services.install({service: lambda *_: 1 << 63 | int(getattr(uefi, status))})
    return machine


def test_interfaces_are_published_and_found(start: Start) -> None:
    fw = start(cores=3).fw
    assert protocol_of(fw, fw.image, uefi.BARELM_WORKSPACE) == 0 == locate_protocol(fw, uefi.BARELM_WORKSPACE)
    assert publish_interface(fw, uefi.BARELM_WORKSPACE, 0x1234) == 0
    assert protocol_of(fw, fw.image, uefi.BARELM_WORKSPACE) == 0x1234 == locate_protocol(fw, uefi.BARELM_WORKSPACE)
    assert withdraw_interface(fw, uefi.BARELM_WORKSPACE, 0x1234) == 0
    assert count_processors(locate_protocol(fw, uefi.MP_SERVICES_PROTOCOL)) == (3, 3)


def test_a_serial_line_is_taken_and_given_back(start: Start) -> None:
    machine = start()
    fw, wire = machine.fw, machine.machine.wire
    handle = handle_with(fw, uefi.SERIAL_IO_PROTOCOL, 0)
    assert handle_with(fw, uefi.SERIAL_IO_PROTOCOL, 1) == 0
    assert console_on(fw, handle, uefi.SERIAL_IO_PROTOCOL) == ON_IT
    port = take_exclusively(fw, handle, uefi.SERIAL_IO_PROTOCOL)
    assert port and not wire.has_console and take_exclusively(fw, handle, uefi.SERIAL_IO_PROTOCOL) == 0
    assert console_on(fw, handle, uefi.SERIAL_IO_PROTOCOL) == NOT_ON_IT
    assert set_serial_timeout(port, 2000) == 2000 and not serial_waits(port)
    room = np.frombuffer(b"out", np.uint8).copy()
    assert write_serial(port, address_of(room), 3) == 3 and machine.shown == b"out"
    wire.arrive(b"in")
    assert serial_waits(port) and read_serial(port, address_of(room), 3) == 2 and room.tobytes() == b"int"
    assert close_exclusive(fw, handle, uefi.SERIAL_IO_PROTOCOL) == 0 and wire.has_console


def test_pixels_and_modes(start: Start) -> None:
    fw = start(screen=Screen(1024, 768)).fw
    graphics = find_graphics(fw)
    mode = GraphicsOutputMode(GraphicsOutput(graphics).mode)
    sizes = [graphics_mode_size(fw, graphics, number) for number in range(mode.max_mode + 1)]
    assert sizes == [(1024, 768), (640, 480), (800, 600), (0, 0)]
    assert set_graphics_mode(graphics, 1) == 0 and mode.mode == 1 and set_graphics_mode(graphics, 9) != 0
    pixel = np.array([0x00FF8040], np.uint32)
    assert blt(graphics, address_of(pixel), uefi.BLT_VIDEO_FILL, (639, 479, 1, 1), 0) == 0
    last = mode.frame_buffer_base + 4 * (640 * 480 - 1)
    assert load_u32(last) == 0x00FF8040
    assert blt(graphics, address_of(pixel), uefi.BLT_VIDEO_FILL, (640, 0, 1, 1), 0) != 0


def test_files_are_read_written_renamed_deleted(start: Start) -> None:
    root = own_volume(start({"dir/a.txt": b"12345678"}))
    assert root and open_file(root, text("none")) == 0
    file = open_for_writing(root, text("dir\\a.txt"), uefi.FILE_MODE_CHANGE, 0)
    room = np.zeros(1024, np.uint8)
    assert file_size(file) == 8 and seek(file, 6) == 0 and read_file(file, address_of(room), 99) == 2
    assert room[:3].tobytes() == b"78\0"
    assert write_file(file, address_of(room), 2) == flush_file(file) == 0 and file_size(file) == 10
    assert file_info(file, room) == 0 and (room[8], room[uefi.INFO_NAME]) == (10, ord("a"))
    room[uefi.INFO_NAME] = ord("b")
    assert set_file_info(file, room, int(room[0])) == close_file(file) == 0
    assert open_file(root, text("dir\\a.txt")) == 0
    assert delete_file(open_for_writing(root, text("dir\\b.txt"), uefi.FILE_MODE_CHANGE, 0)) == 0
    made = open_for_writing(root, text("made"), uefi.FILE_MODE_CREATE, uefi.DIRECTORY)
    assert made > 0 and file_size(made) < 0 and file_size(open_file(made, text("."))) < 0


def own_volume(machine: InProcess) -> int:
    """The root of the volume the program is on."""
    return open_volume(machine.fw, own_device(machine.fw))


@pytest.mark.parametrize("status, handle, answer", [
    (0, 0x1000, 0x1000), (0, 0, ERROR | uefi.EFI_DEVICE_ERROR), (3, 0x1000, ERROR | 3), (3, 0, ERROR | 3),
    (ERROR | uefi.EFI_NOT_FOUND, 0x1000, 0), (ERROR | uefi.EFI_DEVICE_ERROR, 0x1000, ERROR | uefi.EFI_DEVICE_ERROR)])
def test_a_call_gives_a_handle_or_nothing_or_a_failure(status: int, handle: int, answer: int) -> None:
    assert handle_of(status, handle) == answer
    assert failure_of(status) == (0 if status == 0 else status if status < 0 else ERROR | status)


def test_a_volume_that_is_full_or_read_only_says_so(start: Start) -> None:
    machine = start({"a": b"x"}, writable=False)
    root = own_volume(machine)
    assert open_for_writing(root, text("a"), uefi.FILE_MODE_CHANGE, 0) == ERROR | uefi.EFI_WRITE_PROTECTED
    assert open_for_writing(root, text("b"), uefi.FILE_MODE_CREATE, 0) == ERROR | uefi.EFI_WRITE_PROTECTED
    file, room = open_file(root, text("a")), np.zeros(8, np.uint8)
    failing(machine, "EFI_FILE_PROTOCOL.Read=EFI_DEVICE_ERROR")
    assert read_file(file, address_of(room), 1) == ERROR | uefi.EFI_DEVICE_ERROR
    failing(machine, "EFI_FILE_PROTOCOL.Write=EFI_VOLUME_FULL")
    assert write_file(file, address_of(room), 1) == ERROR | uefi.EFI_VOLUME_FULL
    assert own_volume(failing(machine, "OpenVolume=EFI_DEVICE_ERROR")) == ERROR | uefi.EFI_DEVICE_ERROR


def test_time_and_the_end(start: Start) -> None:
    machine = start()
    now = np.zeros(2, np.int64)
    assert get_time(machine.fw, now) == 0 and Time(address_of(now)).year >= 2024
    assert disable_watchdog(machine.fw) == 0
    reset_system(machine.fw, uefi.RESET_SHUTDOWN, 5)
    assert machine.switch.ends == [5]
