"""The rest of a machine: time, the watchdog, ending, and the small services on memory (UEFI 7.5, 8.2 to 8.5)."""

import ctypes
import threading
import time
import zlib
from collections.abc import Callable

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices, RuntimeServices, Time
from barelm.machine.firmware.devices.file_info import put_time
from barelm.machine.firmware.events import Events
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError, require
from barelm.machine.firmware.services import service

_SPIN_NS = 150_000


class System:
    """A machine that ends by `power_off(status)`, or by `expired(seconds)` when its watchdog is not fed."""

    def __init__(self, events: Events, power_off: Callable[[int], None], expired: Callable[[int], None]) -> None:
        self._events = events
        self._power_off = power_off
        self._expired = expired
        self._watchdog: threading.Timer | None = None
        self._count = 0

    @service(BootServices)
    def stall(self, microseconds: int) -> None:
        """7.5.2; never too short and hardly too long, for programs measure their clock by it."""
        end = time.perf_counter_ns() + microseconds * 1000
        while (left := end - time.perf_counter_ns()) > _SPIN_NS:
            time.sleep((left - _SPIN_NS) / 1e9)
        while time.perf_counter_ns() < end:
            pass
        self._events.deliver()

    @service(BootServices)
    def set_watchdog_timer(self, seconds: int, code: int, size: int, data: int) -> None:
        """7.5.1"""
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if seconds:
            self._watchdog = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._expired, [seconds])
            self._watchdog.daemon = True
            self._watchdog.start()

    @service(BootServices)
    def copy_mem(self, target: int, source: int, n: int) -> None:
        """7.5.3"""
        ctypes.memmove(target, source, n)

    @service(BootServices)
    def set_mem(self, target: int, n: int, value: int) -> None:
        """7.5.4"""
        ctypes.memset(target, value, n)

    @service(BootServices)
    def get_next_monotonic_count(self, count: int) -> None:
        """7.5.5"""
        self._count += 1
        guest.put_word(count, self._count)

    @service(BootServices)
    def calculate_crc32(self, data: int, n: int, crc: int) -> None:
        """7.5.7"""
        require(data and n and crc)
        guest.put_bytes(crc, zlib.crc32(guest.buffer(data, n)).to_bytes(4, "little"))

    @service(BootServices)
    def exit(self, image: int, status: int, size: int, data: int) -> None:
        """7.4.4"""
        self._power_off(status)

    @service(RuntimeServices)
    def get_time(self, now: int, capabilities: int) -> None:
        """8.3.1; UTC."""
        require(now)
        ns = time.time_ns()
        t = time.gmtime(ns // 10**9)
        put_time(Time(now), (t.tm_year, t.tm_mon, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec), ns % 10**9, 0)
        if capabilities:
            guest.put_bytes(capabilities, b"".join(value.to_bytes(4, "little") for value in (1, 1, 0)))

    @service(RuntimeServices)
    def get_variable(self, name: int, vendor: int, attributes: int, size: int, data: int) -> None:
        """8.2.1; there are none."""
        require(name and vendor and size)
        raise EfiError(uefi.EFI_NOT_FOUND)

    @service(RuntimeServices)
    def get_next_variable_name(self, size: int, name: int, vendor: int) -> None:
        """8.2.2; there are none."""
        raise EfiError(uefi.EFI_NOT_FOUND)

    @service(RuntimeServices)
    def set_variable(self, name: int, vendor: int, attributes: int, size: int, data: int) -> None:
        """8.2.3"""
        raise EfiError(uefi.EFI_WRITE_PROTECTED)

    @service(RuntimeServices)
    def reset_system(self, kind: int, status: int, size: int, data: int) -> None:
        """8.5.1; whatever kind, this machine stays off."""
        self._power_off(status)
