"""The hosted firmware in this process, without its child: metal code in the interpreter calls its services."""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import itertools
import shutil
import sys
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from barelm.contract import uefi
from barelm.dialect.structs import Struct
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.fault_report import Report
from barelm.machine.firmware.faults import parse_fault
from barelm.machine.firmware.firmware import PROGRAM, HostedFirmware, Setup, Switch
from barelm.machine.firmware.pages import LOW_BASE, LOW_END
from barelm.machine.firmware.process.guest import EfiError
from barelm.machine.firmware.process.native import Bridge, Dispatch
from barelm.machine.firmware.services import Handler, Services, unsupported
from barelm.machine.firmware.tables import ERROR, SERVICES, service_name
from barelm.metal.uefi.boot_services import Firmware, open_firmware
from tests.machine.firmware.program import Program

MEMORY_MB = 64


class Direct(Bridge):
    """A bridge of callbacks: who calls has the calling convention of this process, and one stack is enough."""

    def __init__(self, n_services: int, dispatch: Dispatch) -> None:
        self.give_way = 0
        self._callbacks = [self._service(number, len(kinds), dispatch)
                           for number, kinds in enumerate(SERVICES.values())]
        self.enter = lambda function, first, second, stack: int(
            ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)(function)(first, second))

    def _service(self, number: int, n: int, dispatch: Dispatch) -> Any:
        def answer(*arguments: int) -> int:
            row = (ctypes.c_uint64 * n)(*arguments)
            return dispatch(number, ctypes.addressof(row))
        return ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * n)(answer)

    def thunk(self, number: int) -> int:
        """The address of a service's callback."""
        return ctypes.cast(self._callbacks[number], ctypes.c_void_p).value or 0


class Noted:
    """A machine that is never off: what would have ended it."""

    def __init__(self) -> None:
        self.ends: list[object] = []

    def off(self, status: int) -> None:
        """Off, with a status."""
        self.ends.append(status)

    def power_cut(self) -> None:
        """No power."""
        self.ends.append("power cut")

    def unplugged(self) -> None:
        """Nobody there."""
        self.ends.append("unplugged")

    def watchdog(self, seconds: int) -> None:
        """Too late."""
        self.ends.append(seconds)

    def broken(self, service: str, error: BaseException) -> None:
        """What a service raises; the test looks for it at its end."""
        self.ends.append(error)


@functools.cache
def program() -> bytes:
    """Any program: it is loaded, and never runs."""
    return Program().build()


@functools.cache
def without_files() -> Path:
    """An image that holds nothing but a program; as long as this process lives."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    write_image(Path(folder) / "machine.img", {PROGRAM: program()})
    return Path(folder) / "machine.img"


class Table:
    """A table of the firmware by the names of its fields and services, where it lies."""

    def __init__(self, services: Services, kind: type[Struct], address: int) -> None:
        self.services, self.kind, self.address = services, kind, address

    def put(self, **values: int) -> None:
        """Data."""
        for field, value in values.items():
            setattr(self.kind(self.address), field, value)

    def serve(self, service: str, handler: Handler) -> Handler:
        """Have a service answered by a handler; returns the one there was, which that may call."""
        name = service_name(self.kind, service)
        before = self.services.handlers.get(name, unsupported)
        self.services.install({name: failing(handler)})
        return before

    def note(self, service: str, argument: int) -> list[int]:
        """One argument of every call there will be of a service."""
        noted: list[int] = []

        def note(*arguments: int) -> int | None:
            noted.append(arguments[argument])
            return before(*arguments)

        before = self.serve(service, note)
        return noted

    def count(self, service: str) -> int:
        """How often a service was called."""
        return self.services.calls[service_name(self.kind, service)]


def failing(handler: Handler) -> Handler:
    """The same, but what it raises fails the test and is an error to the program, which might try for ever else."""
    def answer(*arguments: int) -> int | None:
        try:
            return handler(*arguments)
        except EfiError:
            raise
        except BaseException as error:
            sys.unraisablehook(SimpleNamespace(
                exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__,
                err_msg="in a service of the firmware", object=handler))
            return ERROR | uefi.EFI_ABORTED

    return answer


_low_bases = itertools.cycle(range(LOW_BASE, LOW_END - (MEMORY_MB << 20) + 1, MEMORY_MB << 20))


def power_on(setup: Setup, switch: Switch) -> HostedFirmware:
    """A machine where there is room for its memory; what no test holds any more makes some."""
    for attempt in range(2 * (LOW_END - LOW_BASE) // (MEMORY_MB << 20)):
        try:
            return HostedFirmware(replace(setup, low_base=next(_low_bases)), switch, Report(), Direct)
        except BarelmError as error:
            if not isinstance(error.__cause__, MemoryError):
                raise
            if attempt % 32 == 16:
                gc.collect()
    raise AssertionError("no room for one more machine")


class InProcess:
    """A machine with an image, `fw` as metal code sees it, and what it shows."""

    def __init__(self, image: Path, faults: tuple[str, ...] = (), **setup: Any) -> None:
        self.switch = Noted()
        self.machine = machine = power_on(
            Setup(image, faults=tuple(map(parse_fault, faults)), **{"memory_mb": MEMORY_MB, **setup}), self.switch)
        self.shown = bytearray()
        setattr(machine.wire, "write", self.shown.extend)  # noqa: B010 - a method, replaced
        weakref.finalize(self, machine.memory.release)

    def part(self, kind: type[Struct], address: int = 0) -> Table:
        """A table, where its place matters."""
        return Table(self.machine.services, kind, address)

    @property
    def fw(self) -> Firmware:
        """As metal code sees it."""
        return open_firmware(self.machine.image_handle, self.machine.table)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.machine.system.set_watchdog_timer(0, 0, 0, 0)
        self.machine.volume.close()
        assert not [end for end in self.switch.ends if isinstance(end, BaseException)]
