"""A firmware of callbacks in this process: metal code in the interpreter runs against it, service by service."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from barelm.contract import uefi
from barelm.contract.uefi_protocols import (
    BootServices,
    KeyData,
    LoadedImage,
    MemoryDescriptor,
    RuntimeServices,
    SerialIo,
    SerialIoMode,
    SimpleFileSystem,
    SimpleTextInput,
    SimpleTextInputEx,
    SimpleTextOutput,
    SimpleTextOutputMode,
    SystemTable,
    Time,
)
from barelm.machine.firmware.devices.file_info import put_time
from barelm.machine.firmware.pages import DESCRIPTOR_BYTES
from barelm.metal.uefi.boot_services import Firmware, open_firmware
from tests.metal.volumes import ERROR as ERROR
from tests.metal.volumes import Changes, FakeFile, text_at
from tests.metal.volumes import Table as Table
from tests.metal.volumes import load as load
from tests.metal.volumes import store as store

PAGE = 4096
VENDOR = "Fake \"firm\\ware"
NOW: tuple[int, ...] = (2026, 11, 24, 19, 31, 2)
IMAGE_HANDLE, VOLUME_HANDLE, CONSOLE_HANDLE, SERIAL_HANDLE, TIMER, KEY_EVENT = range(0x1111, 0x7777, 0x1111)
SWITCHED_OFF = "the machine is off"


class FakeSerial:
    """A serial port; what is to come from it, what was written, and how much it takes before it stalls."""

    def __init__(self) -> None:
        self.coming, self.written, self.room = bytearray(), bytearray(), 1 << 40
        self.n_writes, self.owner = 0, 0
        self.reconnected = False
        self.mode, self.table = Table(SerialIoMode), Table(SerialIo)
        self.mode.put(timeout=1000000, baud_rate=115200, receive_fifo_depth=16, data_bits=8, parity=1, stop_bits=1)
        self.table.put(mode=self.mode.address)
        self.table.serve("set_attributes", self.set_attributes)
        self.table.serve("get_control", self.get_control)
        self.table.serve("write", self.write)
        self.table.serve("read", self.read)

    def set_attributes(self, this: int, baud: int, depth: int, timeout: int, parity: int, bits: int, stop: int) -> int:
        assert (baud, depth, bits, parity, stop) == (115200, 16, 8, 1, 1), "all but the timeout stays as it is"
        self.mode.put(timeout=timeout)
        return 0

    def get_control(self, this: int, control: int) -> int:
        ctypes.c_uint32.from_address(control).value = 0 if self.coming else uefi.SERIAL_INPUT_BUFFER_EMPTY
        return 0

    def write(self, this: int, size: int, source: int) -> int:
        self.n_writes += 1
        n = min(load(size), self.room)
        timed_out = n < load(size)
        self.written += ctypes.string_at(source, n)
        self.room -= n
        store(size, n)
        return ERROR | uefi.EFI_TIMEOUT if timed_out else 0

    def read(self, this: int, size: int, target: int) -> int:
        assert load(size) <= len(self.coming), "this would block"
        ctypes.memmove(target, bytes(self.coming[:load(size)]), load(size))
        del self.coming[:load(size)]
        return 0


class FakeFirmware:
    """Tables, memory with limits, a volume, a screen, a keyboard; everything asked of it is remembered."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files
        self.made_folders: list[str] = []
        self.changes = Changes()
        self.is_read_only, self.lists_folders = False, True
        self.room = 1 << 40  # bytes that still go on the volume
        self.screen = ""
        self.columns = 80  # of the console
        self.attributes: list[int] = []  # colours it was asked for
        self.n_cleared = 0
        self.shown: Callable[[str], None] = lambda text: None
        self.cursor_set: Callable[[int, int], None] = lambda column, row: None
        self.now: tuple[int, ...] | None = NOW
        self.memory_map: list[tuple[int, int]] | None = []  # kind, pages; None: it is refused
        self.installed: dict[bytes, int] = {}
        self.keys: list[int | None] = []  # scan code << 16 | unit; None: nothing for one look
        self.is_extended = False  # whether there is the extended input protocol, and shift << 32 in `keys`
        self.serial: FakeSerial | None = None
        self.is_serial_free = True
        self.timers = 0  # events open
        self.later: list[Callable[[], object]] = []  # what happens, one in each wait
        self.refuses_events = False
        self.largest_pages = 1 << 40  # of one allocation
        self.n_pages_left = 1 << 40
        self.has_low_memory = True
        self.refuses_read: Callable[[int, int], bool] = lambda n_bytes, target: False
        self.pages: dict[int, int] = {}
        self.asked: list[int] = []  # pages, of every allocation asked for
        self.reads: list[tuple[int, int, int]] = []
        self.stalls: list[int] = []
        self.resets: list[int] = []
        self.watchdog: list[int] = []
        self.n_open = 0
        self._memory: list[Any] = []
        self._make_tables()

    def _make_tables(self) -> None:
        self.table, self.boot, self.runtime = Table(SystemTable), Table(BootServices), Table(RuntimeServices)
        self.con_in, self.con_in_ex = Table(SimpleTextInput), Table(SimpleTextInputEx)
        self.con_out, self.con_mode = Table(SimpleTextOutput), Table(SimpleTextOutputMode)
        self.loaded, self.volume = Table(LoadedImage), Table(SimpleFileSystem)
        self.vendor = np.frombuffer((VENDOR + "\0").encode("utf-16-le"), np.uint16).copy()
        self.table.put(revision=2 << 16 | 100, firmware_vendor=int(self.vendor.ctypes.data), firmware_revision=0x10203,
                       console_in_handle=CONSOLE_HANDLE, con_in=self.con_in.address, con_out=self.con_out.address,
                       boot_services=self.boot.address, runtime_services=self.runtime.address)
        self.boot.serve("allocate_pages", self.allocate)
        self.boot.serve("free_pages", self.free)
        self.boot.serve("handle_protocol", self.handle_protocol)
        self.boot.serve("locate_protocol", lambda *_: ERROR | uefi.EFI_NOT_FOUND)
        self.boot.serve("stall", self.stall)
        self.boot.serve("set_watchdog_timer", lambda seconds, *_: self.watchdog.append(seconds) or 0)
        self.runtime.serve("reset_system", lambda kind, *_: self.resets.append(kind) or 0)
        self.runtime.serve("get_time", self.get_time)
        self.boot.serve("get_memory_map", self.get_memory_map)
        self.boot.serve("install_protocol_interface", self.install)
        self.boot.serve("uninstall_protocol_interface", self.uninstall)
        self.con_out.put(mode=self.con_mode.address)
        self.con_out.serve("output_string", self.output)
        self.con_out.serve("query_mode", self.query_console)
        self.con_out.serve("set_cursor_position", self.set_cursor)
        self.con_out.serve("set_attribute", lambda this, colour: self.attributes.append(colour) or 0)
        self.con_out.serve("clear_screen", self.clear)
        self.con_in.serve("read_key_stroke", self.read_key)
        self.con_in_ex.serve("read_key_stroke_ex", self.read_key)
        self.con_in.put(wait_for_key=KEY_EVENT)
        self.boot.serve("create_event", self.create_event)
        self.boot.serve("set_timer", self.set_timer)
        self.boot.serve("wait_for_event", self.wait_for_event)
        self.boot.serve("close_event", self.close_event)
        self.boot.serve("locate_handle_buffer", self.locate_handle_buffer)
        self.boot.serve("free_pool", lambda address: 0)
        self.boot.serve("open_protocol", self.open_protocol)
        self.boot.serve("close_protocol", self.close_protocol)
        self.boot.serve("connect_controller", self.connect_controller)
        self.loaded.put(device_handle=VOLUME_HANDLE)
        self.volume.serve("open_volume", self.open_volume)

    @property
    def fw(self) -> Firmware:
        """As metal code sees it."""
        return open_firmware(IMAGE_HANDLE, self.table.address)

    def allocate(self, kind: int, memory_type: int, n_pages: int, place: int) -> int:
        self.asked.append(n_pages)
        low = kind == uefi.ALLOCATE_MAX_ADDRESS
        if n_pages > min(self.largest_pages, self.n_pages_left) or (low and not self.has_low_memory):
            return ERROR | uefi.EFI_OUT_OF_RESOURCES
        block = np.full((n_pages + 1) * PAGE, 0xAF, np.uint8)
        self._memory.append(block)
        address = (int(block.ctypes.data) + PAGE - 1) // PAGE * PAGE
        self.pages[address] = n_pages
        self.n_pages_left -= n_pages
        store(place, address)
        return 0

    def free(self, address: int, n_pages: int) -> int:
        assert self.pages.pop(address) == n_pages, "pages go back as they were taken"
        self.n_pages_left += n_pages
        return 0

    def handle_protocol(self, handle: int, guid: int, interface: int) -> int:
        wanted = ctypes.string_at(guid, 16)
        if handle == IMAGE_HANDLE and wanted in self.installed:
            store(interface, self.installed[wanted])
        elif (handle, wanted) == (IMAGE_HANDLE, uefi.LOADED_IMAGE_PROTOCOL.tobytes()):
            store(interface, self.loaded.address)
        elif ((handle, wanted) == (VOLUME_HANDLE, uefi.SIMPLE_FILE_SYSTEM_PROTOCOL.tobytes())
              and self.files is not None):
            store(interface, self.volume.address)
        elif self.is_extended and (handle, wanted) == (CONSOLE_HANDLE, uefi.SIMPLE_TEXT_INPUT_EX_PROTOCOL.tobytes()):
            store(interface, self.con_in_ex.address)
        else:
            return ERROR | uefi.EFI_UNSUPPORTED
        return 0

    def open_volume(self, this: int, root: int) -> int:
        self.opened(None, root)
        return 0

    def folders(self) -> list[str]:
        """Every folder of the volume."""
        return [*self.made_folders, *{path.rpartition("\\")[0] for path in self.files or {} if "\\" in path}
                - set(self.made_folders)]

    def opened(self, content: bytes | None, place: int, path: str = "") -> None:
        """Put an open file (a folder: None) where metal code wants it."""
        file = FakeFile(self, content, path)
        self._memory.append(file)
        self.last_file = file
        self.n_open += 1
        store(place, file.table.address)

    def file(self, content: bytes) -> int:
        """An open file, as metal code holds it."""
        place = np.zeros(1, np.int64)
        self.opened(content, int(place.ctypes.data))
        return int(place[0])

    def root(self) -> int:
        """The root of the volume, open."""
        place = np.zeros(1, np.int64)
        self.opened(None, int(place.ctypes.data))
        return int(place[0])

    def get_time(self, now: int, capabilities: int) -> int:
        if self.now is None:
            return ERROR | uefi.EFI_UNSUPPORTED
        put_time(Time(now), self.now)
        return 0

    def get_memory_map(self, size: int, target: int, key: int, step: int, version: int) -> int:
        if self.memory_map is None:
            return ERROR | uefi.EFI_UNSUPPORTED
        assert len(self.memory_map) * DESCRIPTOR_BYTES <= load(size)
        for i, (kind, n_pages) in enumerate(self.memory_map):
            descriptor = MemoryDescriptor(target + i * DESCRIPTOR_BYTES)
            descriptor.type, descriptor.physical_start, descriptor.number_of_pages = kind, 0, n_pages
        store(size, len(self.memory_map) * DESCRIPTOR_BYTES)
        store(step, DESCRIPTOR_BYTES)
        return 0

    def install(self, handle: int, guid: int, kind: int, interface: int) -> int:
        assert load(handle) == IMAGE_HANDLE and kind == 0
        self.installed[ctypes.string_at(guid, 16)] = interface
        return 0

    def uninstall(self, handle: int, guid: int, interface: int) -> int:
        assert handle == IMAGE_HANDLE and self.installed.pop(ctypes.string_at(guid, 16)) == interface
        return 0

    def query_console(self, this: int, number: int, columns: int, rows: int) -> int:
        assert number == 0
        store(columns, self.columns)
        store(rows, 25)
        return 0

    def set_cursor(self, this: int, column: int, row: int) -> int:
        self.cursor_set(column, row)
        return 0

    def clear(self, this: int) -> int:
        self.n_cleared += 1
        return 0

    def stall(self, microseconds: int) -> int:
        self.stalls.append(microseconds)
        if self.later:
            self.later.pop(0)()
        return 0

    def create_event(self, kind: int, tpl: int, function: int, context: int, event: int) -> int:
        assert kind & 0xFFFFFFFF == uefi.EVT_TIMER
        self.timers += 1
        store(event, TIMER)
        return 0

    def set_timer(self, event: int, how: int, ticks: int) -> int:
        assert (event, how) == (TIMER, uefi.TIMER_RELATIVE) and ticks > 0
        return 0

    def wait_for_event(self, n: int, events: int, index: int) -> int:
        if self.refuses_events:
            return ERROR | uefi.EFI_UNSUPPORTED
        assert [load(events + 8 * i) for i in range(n)] == [TIMER, KEY_EVENT][:n]
        if self.later:
            self.later.pop(0)()
        return 0

    def close_event(self, event: int) -> int:
        assert event == TIMER
        self.timers -= 1
        return 0

    def locate_handle_buffer(self, how: int, guid: int, key: int, count: int, buffer: int) -> int:
        if self.serial is None or ctypes.string_at(guid, 16) != uefi.SERIAL_IO_PROTOCOL.tobytes():
            return ERROR | uefi.EFI_NOT_FOUND
        handles = np.array([0x8888, SERIAL_HANDLE], np.int64)  # the first cannot be had
        self._memory.append(handles)
        store(count, len(handles))
        store(buffer, int(handles.ctypes.data))
        return 0

    def open_protocol(self, handle: int, guid: int, interface: int, agent: int, controller: int, how: int) -> int:
        assert (agent, how) == (IMAGE_HANDLE, uefi.OPEN_EXCLUSIVE)
        if self.serial is None or handle != SERIAL_HANDLE or not self.is_serial_free:
            return ERROR | uefi.EFI_UNSUPPORTED
        self.serial.owner = agent
        store(interface, self.serial.table.address)
        return 0

    def close_protocol(self, handle: int, guid: int, agent: int, controller: int) -> int:
        assert self.serial is not None and (handle, agent) == (SERIAL_HANDLE, self.serial.owner)
        self.serial.owner = 0
        return 0

    def connect_controller(self, handle: int, drivers: int, path: int, recursive: int) -> int:
        assert self.serial is not None and handle == SERIAL_HANDLE and self.serial.owner == 0
        self.serial.reconnected = bool(recursive & 0xFF)
        return 0

    def output(self, this: int, units: int) -> int:
        self.screen += text_at(units)
        self.shown(text_at(units))
        return 0

    def read_key(self, this: int, key: int) -> int:
        typed = self.keys.pop(0) if self.keys else None
        if typed is None:
            return ERROR | uefi.EFI_NOT_READY
        shift, scan, unit = typed >> 32, typed >> 16 & 0xFFFF, typed & 0xFFFF
        if self.is_extended:
            KeyData(key).shift_state = shift | uefi.SHIFT_STATE_VALID
        KeyData(key).scan_code, KeyData(key).unicode_char = scan, unit
        return 0
