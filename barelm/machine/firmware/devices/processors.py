"""EFI_MP_SERVICES_PROTOCOL: other processors as threads, each on a small stack of its own (PI 1.8, volume 2, 13.4).

What runs on one runs without Python's lock.  A procedure that has not come back at its time limit cannot be stopped;
its processor stays busy for good.
"""

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from barelm.contract import uefi
from barelm.contract.uefi_protocols import MpServices
from barelm.errors import BarelmError
from barelm.machine.firmware.events import Events
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest, native
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service

_MOMENT_S = 0.5
AP_STACK = 0x8000  # as OVMF has it
_IS_BSP, _IS_ENABLED, _IS_HEALTHY = 1, 2, 4
_END_OF_CPU_LIST = 0xFFFFFFFF
_SERVICES_FOR_ALL = "EFI_MP_SERVICES_PROTOCOL."


@dataclass
class Processor:
    """One processor: `thread` is what runs on it, last ran, or is to run."""

    number: int
    stack: int = 0
    thread: threading.Thread = field(default_factory=threading.Thread)
    enabled: bool = True

    @property
    def busy(self) -> bool:
        """Whether something runs on it."""
        return self.thread.is_alive()


@dataclass(frozen=True)
class Slips:
    """What processors do wrong: all come `late_s` seconds after they were called; number `stops` (0: none) does what it
    was called for, and stays where it is for good when `stops_after_s` are over.
    """

    late_s: float = 0
    stops: int = 0
    stops_after_s: float = 0


class Processors:
    """The boot processor, whose thread makes this object, and `cores` - 1 others.

    `enter(function, argument, 0, stack)` runs a procedure of the program.
    """

    def __init__(self, cores: int, memory: Memory, events: Events, enter: Callable[[int, int, int, int], int],
                 slips: Slips) -> None:
        self._memory, self._slips = memory, slips
        self._events = events
        self._enter = enter
        self._here = threading.local()
        self._here.number = 0
        if slips.stops:
            native.stop_at(signal.SIGUSR1)  # while code can still be made
        self._all = [Processor(0), *(Processor(number, native.allocate_stack(AP_STACK)) for number in range(1, cores))]

    @property
    def n_busy(self) -> int:
        """How many run something, after a moment in which those that are about to end do."""
        deadline = time.monotonic() + _MOMENT_S
        while any(processor.busy for processor in self._all) and time.monotonic() < deadline:
            time.sleep(_MOMENT_S / 50)
        return sum(processor.busy for processor in self._all)

    def admit(self, name: str) -> None:
        """Refuse a call on any but the boot processor: firmware is not re-entrant, and on a PC this would end badly."""
        if self._number == 0:
            return
        if not name.startswith(_SERVICES_FOR_ALL):
            raise BarelmError(f"processor {self._number} called {name}, but services are the boot processor's alone",
                              "This is a bug in the program; please report it.")
        require(name == _SERVICES_FOR_ALL + "WhoAmI", uefi.EFI_DEVICE_ERROR)

    @service(MpServices)
    def get_number_of_processors(self, this: int, total: int, enabled: int) -> None:
        """13.4.2"""
        require(total and enabled)
        guest.put_word(total, len(self._all))
        guest.put_word(enabled, sum(processor.enabled for processor in self._all))

    @service(MpServices)
    def get_processor_info(self, this: int, number: int, info: int) -> None:
        """13.4.3; every processor is a core of one package, with one thread."""
        require(info)
        processor = self._processor(number)
        status = _IS_HEALTHY | _IS_ENABLED * processor.enabled | _IS_BSP * (number == 0)
        guest.put_words(info, number, status | 0 << 32, number)  # APIC id, StatusFlag and Package, Core and Thread

    @service(MpServices)
    def startup_all_aps(self, this: int, procedure: int, one_by_one: int, event: int, timeout_us: int, argument: int,
                        failed: int) -> None:
        """13.4.4"""
        require(procedure)
        chosen = [processor for processor in self._all[1:] if processor.enabled]
        require(chosen, uefi.EFI_NOT_STARTED)
        self._start(chosen, procedure, argument, bool(one_by_one), event, timeout_us, failed)

    @service(MpServices)
    def startup_this_ap(self, this: int, procedure: int, number: int, event: int, timeout_us: int, argument: int,
                        finished: int) -> None:
        """13.4.5"""
        require(procedure)
        processor = self._processor(number)
        require(number != 0 and processor.enabled)
        if finished:
            guest.put_bytes(finished, b"\0")
        self._start([processor], procedure, argument, False, event, timeout_us, 0, finished)

    @service(MpServices)
    def enable_disable_ap(self, this: int, number: int, enable: int, health: int) -> None:
        """13.4.7"""
        processor = self._processor(number)
        require(number != 0)
        require(not processor.busy, uefi.EFI_UNSUPPORTED)
        processor.enabled = enable != 0

    @service(MpServices)
    def who_am_i(self, this: int, number: int) -> None:
        """13.4.8"""
        guest.put_word(number, self._number)

    @property
    def _number(self) -> int:
        """The processor of this thread; the firmware's own threads count as the boot processor."""
        return int(getattr(self._here, "number", 0))

    def _processor(self, number: int) -> Processor:
        require(number < len(self._all), uefi.EFI_NOT_FOUND)
        return self._all[number]

    def _start(self, chosen: list[Processor], procedure: int, argument: int, one_by_one: bool, event: int,
               timeout_us: int, failed: int, finished: int = 0) -> None:
        """Run a procedure on processors: until all are done, or in the background where there is an event."""
        require(not any(processor.busy for processor in chosen), uefi.EFI_NOT_READY)
        require(event == 0 or self._events.knows(event), uefi.EFI_INVALID_PARAMETER)
        for processor in chosen:
            processor.thread = threading.Thread(target=self._run, args=(processor, procedure, argument), daemon=True)
        if not one_by_one:
            for processor in chosen:
                processor.thread.start()

        def see_through() -> list[Processor]:
            late = _wait(chosen, one_by_one, timeout_us)
            if finished:
                guest.put_bytes(finished, bytes([not late]))
            if failed:
                guest.put_word(failed, self._list(late) if late else 0)
            if event:
                self._events.signal(event)
            return late

        if event:
            threading.Thread(target=see_through, daemon=True).start()
        else:
            require(not see_through(), uefi.EFI_TIMEOUT)

    def _run(self, processor: Processor, procedure: int, argument: int) -> None:
        self._here.number = processor.number
        kept = native.prepare_thread()
        time.sleep(self._slips.late_s)
        if processor.number == self._slips.stops:
            stop = threading.Timer(self._slips.stops_after_s, signal.pthread_kill,
                                   (processor.thread.ident, signal.SIGUSR1))
            stop.daemon = True
            stop.start()
        self._enter(procedure, argument, 0, processor.stack)
        del kept

    def _list(self, late: list[Processor]) -> int:
        """FailedCpuList: the program frees it."""
        numbers = [*(processor.number for processor in late), _END_OF_CPU_LIST]
        address = self._memory.pool(8 * len(numbers))
        guest.put_words(address, *numbers)
        return address


def _wait(chosen: list[Processor], one_by_one: bool, timeout_us: int) -> list[Processor]:
    """Wait for processors, all together no longer than the limit (0: none); returns those that are not done."""
    deadline = time.monotonic() + timeout_us / 1e6
    for processor in chosen:
        left = max(deadline - time.monotonic(), 0) if timeout_us else None
        if one_by_one and (left is None or left > 0):
            processor.thread.start()
        if processor.thread.ident is not None:
            processor.thread.join(left)
    return [processor for processor in chosen if processor.thread.ident is None or processor.busy]
