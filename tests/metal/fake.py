"""The firmware of the tests: the hosted one in this process, with memory, time and devices as a test wants them.

Two devices are still fakes of their own, in place of the hosted ones: the volume (`volumes`), the screen (`screens`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from barelm.contract import uefi
from barelm.contract.uefi_protocols import (
    BootServices,
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
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.tables import guid_of
from tests.metal.firmware import InProcess, without_files
from tests.metal.volumes import ERROR as ERROR
from tests.metal.volumes import Changes, FakeFile, ReadsAhead
from tests.metal.volumes import load as load
from tests.metal.volumes import store as store

PAGE = 4096
VENDOR = np.frombuffer("Fake \"firm\\ware\0".encode("utf-16-le"), np.uint16)
NOW: tuple[int, ...] = (2026, 11, 24, 19, 31, 2)


class FakeSerial:
    """A machine's serial line: what is to come from it, what was written, and how much it takes before it stalls."""

    def __init__(self, firmware: FakeFirmware, is_there: bool) -> None:
        self._protocols, self._wire, kind = firmware.machine.protocols, firmware.machine.wire, guid_of(SerialIo)
        self.written, self.room = bytearray(), 1 << 40
        self.coming = self._wire.coming
        handles = self._protocols.handles
        handle = next(handle for handle, interfaces in handles.items() if kind in interfaces)
        self._opened = handle, kind
        self.mode = firmware.part(SerialIoMode, firmware.machine.serial_port.mode.address)
        self.table = firmware.part(SerialIo, handles[handle][kind])
        self._set_attributes = self.table.serve("set_attributes", self.set_attributes)
        self._read = self.table.serve("read", self.read)
        self.table.serve("write", self.write)
        self._connected = firmware.boot.note("connect_controller", 3)
        if is_there:
            other = self._protocols.add(0, kind, self.table.address)  # one that cannot be had comes first
            self._protocols.owners[other, kind] = other
            handles[handle] = handles.pop(handle)
        else:
            del handles[handle][kind]

    @property
    def owner(self) -> int:
        """Who has it for itself alone."""
        return self._protocols.owners.get(self._opened, 0)

    @owner.setter
    def owner(self, owner: int) -> None:
        self._protocols.owners[self._opened] = owner

    @property
    def reconnected(self) -> bool:
        """Whether the firmware has it back, with all that is on it."""
        return self._wire.has_console and self._connected == [1]

    @property
    def n_writes(self) -> int:
        """How often it was written to."""
        return self.table.count("write")

    def set_attributes(self, this: int, baud: int, depth: int, timeout: int, parity: int, bits: int,
                       stop: int) -> int | None:
        assert (baud, depth, bits, parity, stop) == (115200, 16, 8, 1, 1), "all but the timeout stays as it is"
        return self._set_attributes(this, baud, depth, timeout, parity, bits, stop)

    def write(self, this: int, size: int, source: int) -> None:
        wanted, n = load(size), min(load(size), self.room)
        self.written += ctypes.string_at(source, n)
        self.room -= n
        store(size, n)
        require(n == wanted, uefi.EFI_TIMEOUT)

    def read(self, this: int, size: int, target: int) -> int | None:
        assert load(size) <= len(self.coming), "this would block"
        return self._read(this, size, target)


class FakeFirmware(InProcess):
    """A machine whose memory has limits and whose time does not pass; everything asked of it is remembered."""

    def __init__(self, files: dict[str, bytes] | None = None, *, line: bool = False, extended: bool = True) -> None:
        super().__init__(without_files())
        machine = self.machine
        self.table, self.boot = self.part(SystemTable, machine.table), self.part(BootServices)
        self.con_in, self.con_in_ex = self.part(SimpleTextInput), self.part(SimpleTextInputEx)
        self.con_out = self.part(SimpleTextOutput)
        self.con_mode = self.part(SimpleTextOutputMode, machine.text_output.mode.address)
        self.table.put(firmware_vendor=int(VENDOR.ctypes.data))
        if not extended:
            del machine.protocols.handles[SystemTable(machine.table).console_in_handle][guid_of(SimpleTextInputEx)]
        self._limit_memory()
        self._stop_time()
        self._watch_console()
        self._lend_files(files)
        self.serial = FakeSerial(self, line)

    def _limit_memory(self) -> None:
        self.largest_pages = self.n_pages_left = 1 << 40  # of one allocation, and of all
        self.has_low_memory = True
        self.pages: dict[int, int] = {}
        self._allocate = self.boot.serve("allocate_pages", self.allocate)
        self._free = self.boot.serve("free_pages", self.free)
        self.asked = self.boot.note("allocate_pages", 2)

    def _stop_time(self) -> None:
        self.later: list[Callable[[], object]] = []  # what happens, one in each wait
        self.refuses_events = False
        self.now: tuple[int, ...] | None = NOW
        self.boot.serve("stall", self.wait)
        self._set_timer = self.boot.serve("set_timer", self.set_timer)
        self._check_event = self.boot.serve("check_event", self.check_event)
        self.boot.serve("wait_for_event", self.wait_for_event)
        self.part(RuntimeServices).serve("get_time", self.get_time)
        self.stalls = self.boot.note("stall", 0)
        self.watchdog = self.boot.note("set_watchdog_timer", 0)
        self.resets = self.part(RuntimeServices).note("reset_system", 0)

    def _watch_console(self) -> None:
        self.screen = ""
        self.shown_to: Callable[[str], None] = lambda text: None
        self.cursor_set: Callable[[int, int], None] = lambda column, row: None
        self.keys: list[int | None] = []  # shift << 32 | scan code << 16 | unit; None: nothing for one look
        self.attributes = self.con_out.note("set_attribute", 1)
        self._output = self.con_out.serve("output_string", self.output)
        self._set_cursor = self.con_out.serve("set_cursor_position", self.set_cursor)
        strike, strike_ex = (self.con_in.serve("read_key_stroke", lambda *key: self.strike() or strike(*key)),
                             self.con_in_ex.serve("read_key_stroke_ex", lambda *key: self.strike() or strike_ex(*key)))

    def _lend_files(self, files: dict[str, bytes] | None) -> None:
        self.files = files
        self.made_folders: list[str] = []
        self.changes = Changes()
        self.is_read_only, self.lists_folders = False, True
        self.room = 1 << 40  # bytes that still go on the volume
        self.refuses_read: Callable[[int, int], bool] = lambda n_bytes, target: False
        self.reads: list[tuple[int, int, int]] = []
        self.reads_ahead: ReadsAhead | None = None  # of files opened from then on
        self.n_open = 0
        self._memory: list[Any] = []
        self._handle_protocol = self.boot.serve("handle_protocol", self.handle_protocol)
        self.part(SimpleFileSystem).serve("open_volume", self.open_volume)

    @property
    def columns(self) -> int:
        """Of the console."""
        return self.machine.text_output.columns

    @columns.setter
    def columns(self, columns: int) -> None:
        self.machine.text_output.columns = columns

    @property
    def n_cleared(self) -> int:
        """How often the console was."""
        return self.con_out.count("clear_screen")

    @property
    def installed(self) -> list[int]:
        """What the program put on its own handle."""
        interfaces = self.machine.protocols.handles[self.machine.image_handle].items()
        return [interface for kind, interface in interfaces if kind != guid_of(LoadedImage)]

    @property
    def timers(self) -> int:
        """How many are open."""
        return sum(bool(event.kind & uefi.EVT_TIMER) for event in self.machine.events.events.values())

    def allocate(self, how: int, kind: int, n_pages: int, place: int) -> int | None:
        is_high = how != uefi.ALLOCATE_MAX_ADDRESS
        require(n_pages <= min(self.largest_pages, self.n_pages_left) and (is_high or self.has_low_memory),
                uefi.EFI_OUT_OF_RESOURCES)
        status = self._allocate(how, kind, n_pages, place)
        ctypes.memset(load(place), 0xAF, n_pages * PAGE)
        self.pages[load(place)] = n_pages
        self.n_pages_left -= n_pages
        return status

    def free(self, address: int, n_pages: int) -> int | None:
        assert self.pages.pop(address) == n_pages, "pages go back as they were taken"
        self.n_pages_left += n_pages
        return self._free(address, n_pages)

    def show_map(self, regions: list[tuple[int, int]] | None) -> None:
        """Have a memory map of these kinds and pages; None: it is refused."""
        def get_memory_map(size: int, target: int, key: int, step: int, version: int) -> None:
            require(regions is not None, uefi.EFI_UNSUPPORTED)
            assert regions is not None and len(regions) * DESCRIPTOR_BYTES <= load(size)
            for i, (kind, n_pages) in enumerate(regions):
                descriptor = MemoryDescriptor(target + i * DESCRIPTOR_BYTES)
                descriptor.type, descriptor.physical_start, descriptor.number_of_pages = kind, 0, n_pages
            store(size, len(regions) * DESCRIPTOR_BYTES)
            store(step, DESCRIPTOR_BYTES)

        self.boot.serve("get_memory_map", get_memory_map)

    def wait(self, microseconds: int = 0) -> None:
        if self.later:
            self.later.pop(0)()

    def set_timer(self, event: int, how: int, ticks: int) -> int | None:
        assert how == uefi.TIMER_PERIODIC and ticks > 0
        return self._set_timer(event, how, ticks)

    def check_event(self, event: int) -> int | None:
        """A timer that was set has gone off by the time somebody looks: nothing takes time here."""
        known = self.machine.events.events.get(event)
        return None if known is not None and known.due_ns is not None else self._check_event(event)

    def wait_for_event(self, n: int, events: int, index: int) -> None:
        require(not self.refuses_events, uefi.EFI_UNSUPPORTED)
        known = self.machine.events.events
        assert [known[event].due_ns is None for event in guest.words(events, n)] == [False, True][:n]
        self.wait()

    def get_time(self, now: int, capabilities: int) -> None:
        require(self.now, uefi.EFI_UNSUPPORTED)
        put_time(Time(now), self.now or NOW)

    def output(self, this: int, units: int) -> int | None:
        status = self._output(this, units)
        self.screen += guest.string(units)
        self.shown_to(guest.string(units))
        return status

    def set_cursor(self, this: int, column: int, row: int) -> int | None:
        self.cursor_set(column, row)
        return self._set_cursor(this, column, row)

    def strike(self) -> None:
        """Strike the next key."""
        stroke = self.keys.pop(0) if self.keys else None
        if stroke is not None:
            self.machine.text_input.press(stroke >> 16 & 0xFFFF, chr(stroke & 0xFFFF),
                                          stroke >> 32 | uefi.SHIFT_STATE_VALID)

    def handle_protocol(self, handle: int, kind: int, interface: int) -> int | None:
        require(self.files is not None or guest.guid(kind) != guid_of(SimpleFileSystem), uefi.EFI_UNSUPPORTED)
        return self._handle_protocol(handle, kind, interface)

    def open_volume(self, this: int, root: int) -> None:
        self.opened(None, root)

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

    def file(self, content: bytes | None) -> int:
        """An open file, as metal code holds it."""
        place = np.zeros(1, np.int64)
        self.opened(content, int(place.ctypes.data))
        return int(place[0])

    def root(self) -> int:
        """The root of the volume, open."""
        return self.file(None)
