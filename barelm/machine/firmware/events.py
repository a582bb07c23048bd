"""Events, timers and task priorities (UEFI 7.1).

Nothing interrupts the program: a notification that is due is delivered when it next calls one of these services, or
Stall.  Events may be signaled from any thread; all else is the boot processor's.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service

TPL_APPLICATION, TPL_CALLBACK, TPL_NOTIFY, TPL_HIGH_LEVEL = 4, 8, 16, 31  # EFI_TPL (7.1)
_NOTIFIES = uefi.EVT_NOTIFY_WAIT | uefi.EVT_NOTIFY_SIGNAL
_KINDS = (*(kind | notifies for kind in (0, uefi.EVT_TIMER, uefi.EVT_RUNTIME)
            for notifies in (0, uefi.EVT_NOTIFY_WAIT, uefi.EVT_NOTIFY_SIGNAL)), 0x201, 0x60000202)

_FIRST_HANDLE, _HANDLE_STEP = 0x1000, 0x10  # handles lie where no memory is: to look into one is a fault
_TICK_NS = 100
_SHORTEST_PERIOD_NS = 100_000


@dataclass
class Event:
    """One EFI_EVENT.  `ready` belongs to the firmware's own: it is signaled whenever that is true."""

    kind: int = 0
    notify_tpl: int = TPL_CALLBACK
    function: int = 0
    context: int = 0
    ready: Callable[[], bool] | None = None
    signaled: bool = False
    due_ns: int | None = None
    period_ns: int = 0


class Events:
    """All `events` there are, by handle; `call(function, event, context)` calls a function of the program."""

    def __init__(self, call: Callable[[int, int, int], int]) -> None:
        self.tpl = TPL_APPLICATION
        self._call = call
        self._changed = threading.Condition()
        self.events: dict[int, Event] = {}
        self._next = _FIRST_HANDLE
        self._queue: list[int] = []

    def add(self, event: Event) -> int:
        """The handle of a new event."""
        self._next += _HANDLE_STEP
        self.events[self._next] = event
        return self._next

    def knows(self, handle: int) -> bool:
        """Whether there is such an event."""
        return handle in self.events

    def signal(self, handle: int) -> None:
        """Signal an event, where it still exists; from any thread."""
        with self._changed:
            event = self.events.get(handle)
            if event is not None:
                self._signal(handle, event)

    def wake(self) -> None:
        """Let whoever waits look again at the firmware's own events; from any thread."""
        with self._changed:
            self._changed.notify_all()

    def deliver(self) -> None:
        """Call the notification functions that are due at this task priority, the most urgent first."""
        with self._changed:
            self._expire_timers()
        while True:
            due = [handle for handle in self._queue if self.events[handle].notify_tpl > self.tpl]
            if not due:
                return
            handle = max(due, key=lambda one: self.events[one].notify_tpl)
            self._queue.remove(handle)
            self.events[handle].signaled = False
            self._notify(handle, self.events[handle])

    @service(BootServices)
    def create_event(self, kind: int, notify_tpl: int, function: int, context: int, event: int) -> None:
        """7.1.1"""
        require(event and kind in _KINDS)
        if kind & _NOTIFIES:
            require(function and TPL_APPLICATION < notify_tpl <= TPL_HIGH_LEVEL)
        guest.put_word(event, self.add(Event(kind, notify_tpl, function, context)))

    @service(BootServices)
    def create_event_ex(self, kind: int, notify_tpl: int, function: int, context: int, group: int, event: int) -> None:
        """7.1.2; a group is accepted, but nothing ever signals one."""
        self.create_event(kind, notify_tpl, function, context, event)

    @service(BootServices)
    def close_event(self, handle: int) -> None:
        """7.1.3"""
        with self._changed:
            self._known(handle)
            del self.events[handle]
            if handle in self._queue:
                self._queue.remove(handle)

    @service(BootServices)
    def signal_event(self, handle: int) -> None:
        """7.1.4"""
        with self._changed:
            self._signal(handle, self._known(handle))
        self.deliver()

    @service(BootServices)
    def wait_for_event(self, n: int, handles: int, index: int) -> None:
        """7.1.5"""
        require(n and index)
        require(self.tpl == TPL_APPLICATION, uefi.EFI_UNSUPPORTED)
        waited = guest.words(handles, n)
        while True:
            for i, handle in enumerate(waited):
                status = self._check(handle)
                if status != uefi.EFI_NOT_READY:
                    guest.put_word(index, i)
                    require(status == 0, status)
                    return
            self._sleep(waited)

    @service(BootServices)
    def check_event(self, handle: int) -> None:
        """7.1.6"""
        status = self._check(handle)
        require(status == 0, status)

    @service(BootServices)
    def set_timer(self, handle: int, how: int, ticks: int) -> None:
        """7.1.7; ticks are 100 ns."""
        with self._changed:
            event = self._known(handle)
            require(event.kind & uefi.EVT_TIMER and how <= uefi.TIMER_RELATIVE)
            wait_ns = ticks * _TICK_NS
            event.due_ns = None if how == uefi.TIMER_CANCEL else time.monotonic_ns() + wait_ns
            event.period_ns = max(wait_ns, _SHORTEST_PERIOD_NS) if how == uefi.TIMER_PERIODIC else 0

    @service(BootServices)
    def raise_tpl(self, tpl: int) -> int:
        """7.1.8; returns the task priority there was."""
        before, self.tpl = self.tpl, tpl
        return before

    @service(BootServices)
    def restore_tpl(self, tpl: int) -> None:
        """7.1.9"""
        self.tpl = tpl
        self.deliver()

    def _known(self, handle: int) -> Event:
        require(handle in self.events)
        return self.events[handle]

    def _signal(self, handle: int, event: Event) -> None:
        """Signal an event, the condition held."""
        if event.kind & uefi.EVT_NOTIFY_SIGNAL and not event.signaled:
            self._queue.append(handle)
        event.signaled = True
        self._changed.notify_all()

    def _notify(self, handle: int, event: Event) -> None:
        """Call the notification function of an event, at its task priority."""
        before, self.tpl = self.tpl, event.notify_tpl
        self._call(event.function, handle, event.context)
        self.tpl = before

    def _check(self, handle: int) -> int:
        """Whether an event is signaled, which ends with that: 0, EFI_NOT_READY or what is wrong with it."""
        self.deliver()
        event = self.events.get(handle)
        if event is None or event.kind & uefi.EVT_NOTIFY_SIGNAL:
            return uefi.EFI_INVALID_PARAMETER
        if event.ready is not None:
            return 0 if event.ready() else uefi.EFI_NOT_READY
        if not event.signaled and event.kind & uefi.EVT_NOTIFY_WAIT and event.notify_tpl > self.tpl:
            self._notify(handle, event)
        with self._changed:
            found, event.signaled = event.signaled, False
        return 0 if found else uefi.EFI_NOT_READY

    def _expire_timers(self) -> None:
        """Signal what is due, the condition held."""
        now = time.monotonic_ns()
        for handle, event in self.events.items():
            if event.due_ns is not None and event.due_ns <= now:
                missed = (now - event.due_ns) // event.period_ns + 1 if event.period_ns else 0
                event.due_ns = event.due_ns + missed * event.period_ns if event.period_ns else None
                self._signal(handle, event)

    def _sleep(self, handles: list[int]) -> None:
        """Wait until something may have changed; a program that asks to be polled is, 50 times a second."""
        with self._changed:
            waited = [self.events[handle] for handle in handles if handle in self.events]
            if any(event.signaled or event.ready is not None and event.ready() for event in waited) or self._queue:
                return
            due = [event.due_ns for event in self.events.values() if event.due_ns is not None]
            timeout_s = max(min(due) - time.monotonic_ns(), 0) / 1e9 if due else None
            if any(event.kind & uefi.EVT_NOTIFY_WAIT for event in waited):
                timeout_s = min(timeout_s, 0.02) if timeout_s is not None else 0.02
            self._changed.wait(timeout_s)
