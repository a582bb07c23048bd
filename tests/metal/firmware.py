"""The hosted firmware in this process, without its child: metal code in the interpreter calls its services."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

from barelm.disk import write_image
from barelm.machine.firmware.fault_report import Report
from barelm.machine.firmware.faults import parse_fault
from barelm.machine.firmware.firmware import PROGRAM, HostedFirmware, Setup
from barelm.machine.firmware.process.native import Bridge, Dispatch
from barelm.machine.firmware.tables import SERVICES
from barelm.metal.uefi.boot_services import Firmware, open_firmware
from tests.machine.firmware.program import Program


class Direct(Bridge):
    """A bridge of callbacks: who calls has the calling convention of this process, and one stack is enough."""

    def __init__(self, n_services: int, dispatch: Dispatch) -> None:
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


class InProcess:
    """A machine, `fw` as metal code sees it, and what it shows.  One at a time: its RAM has fixed addresses."""

    def __init__(self, folder: Path, files: dict[str, bytes] | None = None, faults: tuple[str, ...] = (),
                 **setup: Any) -> None:
        image = folder / "machine.img"
        write_image(image, {PROGRAM: program(), **(files or {})})
        self.switch = Noted()
        self.machine = HostedFirmware(
            Setup(image, faults=tuple(map(parse_fault, faults)), **{"memory_mb": 64, "writable": True, **setup}),
            self.switch, Report(), Direct)
        self.shown = bytearray()
        setattr(self.machine.wire, "write", self.shown.extend)  # noqa: B010 - a method, replaced

    @property
    def fw(self) -> Firmware:
        """As metal code sees it."""
        return open_firmware(self.machine.image_handle, self.machine.table)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.machine.system.set_watchdog_timer(0, 0, 0, 0)
        self.machine.volume.close()
        self.machine.memory.release()
        assert not [end for end in self.switch.ends if isinstance(end, BaseException)]
