"""Calls into the firmware: events, and the wait for a key or a time (UEFI 7.1)."""

from barelm.contract import uefi
from barelm.contract.regions import EVENT
from barelm.contract.uefi_protocols import BootServices, SimpleTextInput
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.types import I64
from barelm.metal.uefi.boot_services import Firmware, stall
from barelm.metal.uefi.noting import note, strike

TICK_US, MOST_TICKS = 1000, 250


def create_timer(fw: Firmware) -> int:
    """A timer event; 0 where the firmware refuses, or nothing comes of setting it: a wait for it would have no end."""
    timer = event_of(fw, uefi.EVT_TIMER)
    if timer == 0 or goes_off(fw, timer):
        return timer
    close_event(fw, timer)
    return 0


def create_event(fw: Firmware) -> int:
    """An event that somebody else signals, or 0 where the firmware refuses."""
    return event_of(fw, 0)


def event_of(fw: Firmware, kind: int) -> int:
    """An event of a kind, or 0 where the firmware refuses."""
    event = cells(1)
    status = call_efi(BootServices(fw.boot).create_event, (kind, 0, 0, 0, address_of(event)))
    if status != 0 or event[0] == 0:
        return 0
    note(fw.ledger, EVENT, event[0], 0)
    return event[0]


def goes_off(fw: Firmware, timer: int) -> bool:
    """Whether a timer does, set to go off every millisecond."""
    call_efi(BootServices(fw.boot).set_timer, (timer, uefi.TIMER_PERIODIC, 10 * TICK_US))
    for _ in range(MOST_TICKS):
        if check_event(fw, timer) > 0:
            return True
        stall(fw, TICK_US)
    return False


def check_event(fw: Firmware, event: int) -> int:
    """Whether an event has been signaled since this was asked last: 1, not yet: 0; -1 where the firmware cannot say."""
    status = call_efi(BootServices(fw.boot).check_event, (event,))
    if status == 0:
        return 1
    return 0 if status & 0xFF == uefi.EFI_NOT_READY else -1


def close_event(fw: Firmware, event: int) -> int:
    """Give an event back, if it is one."""
    if event == 0:
        return uefi.EFI_SUCCESS
    strike(fw.ledger, EVENT, event)
    return call_efi(BootServices(fw.boot).close_event, (event,))


def sleep(fw: Firmware, timer: int, microseconds: int) -> None:
    """Until a key waits at the firmware's keyboard, or so long; the processor is busy only where events fail."""
    events = cells(2)
    events[0] = timer
    n = 1
    if fw.con_in != 0:
        events[1] = SimpleTextInput(fw.con_in).wait_for_key
        n = 2
    wait_for_any(fw, events, n, timer, microseconds)


def wait_for_any(fw: Firmware, events: I64, n: int, timer: int, microseconds: int) -> None:
    """Until one of the first n events is signaled, of which the timer is one, or so long.

    The timer is periodic: where setting it did nothing, it still goes as it did.
    """
    boot = BootServices(fw.boot)
    index = cells(1)
    if timer == 0 or call_efi(boot.set_timer, (timer, uefi.TIMER_PERIODIC, 10 * microseconds)) != 0:
        stall(fw, microseconds)
    elif call_efi(boot.wait_for_event, (n, address_of(events), address_of(index))) != 0:
        stall(fw, microseconds)
