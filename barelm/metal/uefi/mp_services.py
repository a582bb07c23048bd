"""Calls into the firmware: the other processors (PI 1.8, volume 2, 13.4)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices, GiveWay, MpServices
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi, worker_entry
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import locate_protocol


def count_processors(mp: int) -> tuple[int, int]:
    """Processors, and those that are enabled; 1 where the service fails."""
    counts = cells(2)
    if call_efi(MpServices(mp).get_number_of_processors, (mp, address_of(counts), address_of(counts) + 8)) != 0:
        return 1, 1
    return counts[0], counts[1]


def start_workers(fw: Firmware, mp: int, board: int) -> tuple[int, int]:
    """Start every other processor in `worker_entry` and go on; returns the status, and the event that all are done."""
    event = cells(1)
    status = call_efi(BootServices(fw.boot).create_event, (0, 0, 0, 0, address_of(event)))
    if status != 0:
        return status, 0
    return call_efi(MpServices(mp).startup_all_aps, (mp, worker_entry(), 0, event[0], 0, board, 0)), event[0]


def find_give_way(fw: Firmware) -> tuple[int, int]:
    """The code to call while waiting so that others run, and how many run at once; 0 where each processor is one."""
    interface = locate_protocol(fw, uefi.GIVE_WAY_PROTOCOL)
    return (GiveWay(interface).code, GiveWay(interface).at_once) if interface != 0 else (0, 0)
