"""Calls into the firmware: the other processors (PI 1.8, volume 2, 13.4)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import GiveWay, MpServices
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi, worker_entry
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import locate_protocol
from barelm.metal.uefi.timers import close_event, create_event

MOST_PROCESSORS = 1 << 16


def count_processors(mp: int) -> tuple[int, int]:
    """Processors, and those that are enabled; 1 where the service fails, or says what cannot be."""
    counts = cells(2)
    if call_efi(MpServices(mp).get_number_of_processors, (mp, address_of(counts), address_of(counts) + 8)) != 0:
        return 1, 1
    if not 0 < counts[1] <= counts[0] <= MOST_PROCESSORS:
        return 1, 1
    return counts[0], counts[1]


def start_workers(fw: Firmware, mp: int, board: int) -> int:
    """Start every other processor in `worker_entry` and go on; returns the event that all are done, 0: it was refused.

    Without an event the firmware would wait until they are.
    """
    event = create_event(fw)
    if event != 0 and call_efi(MpServices(mp).startup_all_aps, (mp, worker_entry(), 0, event, 0, board, 0)) != 0:
        close_event(fw, event)
        return 0
    return event


def find_give_way(fw: Firmware) -> tuple[int, int]:
    """The code to call while waiting so that others run, and how many run at once; 0 where each processor is one."""
    interface = locate_protocol(fw, uefi.GIVE_WAY_PROTOCOL)
    return (GiveWay(interface).code, GiveWay(interface).at_once) if interface != 0 else (0, 0)
