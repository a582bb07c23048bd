"""The rest of a machine: time, the watchdog, ending, and the small services on memory (UEFI 7.5, 8.2 to 8.5)."""

from __future__ import annotations

import ctypes
import threading
import time
import zlib
from collections.abc import Callable

from barelm.machine.firmware.events import Events
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError, require
from barelm.machine.firmware.services import service
from barelm.machine.firmware.tables import EFI_NOT_FOUND, EFI_WRITE_PROTECTED

RESET_COLD, RESET_WARM, RESET_SHUTDOWN, RESET_PLATFORM = range(4)
_SPIN_NS = 150_000


class System:
    """A machine that ends by `power_off(status)`, or by `expired(seconds)` when its watchdog is not fed."""

    def __init__(self, events: Events, power_off: Callable[[int], None], expired: Callable[[int], None]) -> None:
        self._events = events
        self._power_off = power_off
        self._expired = expired
        self._watchdog: threading.Timer | None = None
        self._count = 0

    @service("EFI_BOOT_SERVICES.Stall")
    def stall(self, microseconds: int) -> None:
        """7.5.2; never too short and hardly too long, for programs measure their clock by it."""
        end = time.perf_counter_ns() + microseconds * 1000
        while (left := end - time.perf_counter_ns()) > _SPIN_NS:
            time.sleep((left - _SPIN_NS) / 1e9)
        while time.perf_counter_ns() < end:
            pass
        self._events.deliver()

    @service("EFI_BOOT_SERVICES.SetWatchdogTimer")
    def set_watchdog_timer(self, seconds: int, code: int, size: int, data: int) -> None:
        """7.5.1"""
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if seconds:
            self._watchdog = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._expired, [seconds])
            self._watchdog.daemon = True
            self._watchdog.start()

    @service("EFI_BOOT_SERVICES.CopyMem")
    def copy_mem(self, target: int, source: int, n: int) -> None:
        """7.5.3"""
        ctypes.memmove(target, source, n)

    @service("EFI_BOOT_SERVICES.SetMem")
    def set_mem(self, target: int, n: int, value: int) -> None:
        """7.5.4"""
        ctypes.memset(target, value, n)

    @service("EFI_BOOT_SERVICES.GetNextMonotonicCount")
    def get_next_monotonic_count(self, count: int) -> None:
        """7.5.5"""
        self._count += 1
        guest.put_word(count, self._count)

    @service("EFI_BOOT_SERVICES.CalculateCrc32")
    def calculate_crc32(self, data: int, n: int, crc: int) -> None:
        """7.5.7"""
        require(data and n and crc)
        guest.put_bytes(crc, zlib.crc32(guest.buffer(data, n)).to_bytes(4, "little"))

    @service("EFI_BOOT_SERVICES.Exit")
    def exit(self, image: int, status: int, size: int, data: int) -> None:
        """7.4.4"""
        self._power_off(status)

    @service("EFI_RUNTIME_SERVICES.GetTime")
    def get_time(self, now: int, capabilities: int) -> None:
        """8.3.1; UTC."""
        require(now)
        ns = time.time_ns()
        t = time.gmtime(ns // 10**9)
        fields = ((t.tm_year, 2), (t.tm_mon, 1), (t.tm_mday, 1), (t.tm_hour, 1), (t.tm_min, 1), (t.tm_sec, 1), (0, 1),
                  (ns % 10**9, 4), (0, 2), (0, 1), (0, 1))
        guest.put_bytes(now, b"".join(value.to_bytes(n, "little") for value, n in fields))
        if capabilities:
            guest.put_bytes(capabilities, b"".join(value.to_bytes(4, "little") for value in (1, 1, 0)))

    @service("EFI_RUNTIME_SERVICES.GetVariable")
    def get_variable(self, name: int, vendor: int, attributes: int, size: int, data: int) -> None:
        """8.2.1; there are none."""
        require(name and vendor and size)
        raise EfiError(EFI_NOT_FOUND)

    @service("EFI_RUNTIME_SERVICES.GetNextVariableName")
    def get_next_variable_name(self, size: int, name: int, vendor: int) -> None:
        """8.2.2; there are none."""
        raise EfiError(EFI_NOT_FOUND)

    @service("EFI_RUNTIME_SERVICES.SetVariable")
    def set_variable(self, name: int, vendor: int, attributes: int, size: int, data: int) -> None:
        """8.2.3"""
        raise EfiError(EFI_WRITE_PROTECTED)

    @service("EFI_RUNTIME_SERVICES.ResetSystem")
    def reset_system(self, kind: int, status: int, size: int, data: int) -> None:
        """8.5.1; whatever kind, this machine stays off."""
        self._power_off(status)
