"""Calls into the firmware: what `efi_main` was given, memory, time that passes (UEFI 4.3, 7.2, 7.5)."""

from typing import NamedTuple

from barelm.contract import uefi
from barelm.contract.regions import PAGES
from barelm.contract.uefi_protocols import BootServices, SystemTable
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8
from barelm.metal.uefi.noting import note, strike


class Firmware(NamedTuple):
    """What `efi_main` was given, and the tables found through it (addresses)."""

    image: int
    table: int
    boot: int
    runtime: int
    con_in: int
    con_out: int
    ledger: int  # where what is taken is noted; 0: nowhere


def open_firmware(image: int, table: int) -> Firmware:
    """The services behind a system table; what is taken is noted nowhere."""
    system = SystemTable(table)
    return Firmware(image, table, system.boot_services, system.runtime_services, system.con_in, system.con_out, 0)


def keep_account(fw: Firmware, ledger: int) -> Firmware:
    """The same services, what is taken noted in the ledger at an address."""
    return Firmware(fw.image, fw.table, fw.boot, fw.runtime, fw.con_in, fw.con_out, ledger)


def disable_watchdog(fw: Firmware) -> int:
    """The firmware resets the machine after five minutes unless told not to (7.5)."""
    return call_efi(BootServices(fw.boot).set_watchdog_timer, (0, 0, 0, 0))


def stall(fw: Firmware, microseconds: int) -> int:
    """Wait, the processor busy."""
    return call_efi(BootServices(fw.boot).stall, (microseconds,))


def allocate_pages(fw: Firmware, n_pages: int) -> int:
    """The address of n fresh pages of 4 KiB, or 0 where the firmware refuses."""
    return pages_by(fw, uefi.ALLOCATE_ANY_PAGES, 0, n_pages)


def allocate_low_pages(fw: Firmware, n_pages: int) -> int:
    """The same below 4 GiB, where every disk controller can write."""
    return pages_by(fw, uefi.ALLOCATE_MAX_ADDRESS, 0xFFFFFFFF, n_pages)


def allocate_pages_at(fw: Firmware, address: int, n_pages: int) -> int:
    """The same at an address, or 0."""
    return pages_by(fw, uefi.ALLOCATE_ADDRESS, address, n_pages)


def pages_by(fw: Firmware, how: int, where: int, n_pages: int) -> int:
    """Pages by an EFI_ALLOCATE_TYPE (7.2.1), or 0."""
    place = cells(1)
    place[0] = where
    status = call_efi(BootServices(fw.boot).allocate_pages, (how, uefi.LOADER_DATA, n_pages, address_of(place)))
    if status != 0 or place[0] == 0:
        return 0
    note(fw.ledger, PAGES, place[0], n_pages)
    return place[0]


def free_pages(fw: Firmware, address: int, n_pages: int) -> int:
    """Give pages back."""
    strike(fw.ledger, PAGES, address)
    return call_efi(BootServices(fw.boot).free_pages, (address, n_pages))


def memory_map(fw: Firmware, target: U8) -> tuple[int, int]:
    """The memory map (7.2.3) into a buffer: its bytes (0: refused), and how many of them one descriptor has."""
    words = cells(4)
    words[0] = len(target)
    status = call_efi(BootServices(fw.boot).get_memory_map, (
        address_of(words), address_of(target), address_of(words) + 8, address_of(words) + 16, address_of(words) + 24))
    if status != 0 or words[2] <= 0:
        return 0, 1
    return words[0], words[2]
