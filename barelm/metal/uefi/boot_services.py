"""Calls into the firmware: one short function per service, status checked or returned.

Only this file, `volume` and `devices` use `call_efi`.
"""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract import uefi
from barelm.dialect.memory import address_of, cells, load_i64, text
from barelm.dialect.processor import call_efi, worker_entry
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8, U16


class Firmware(NamedTuple):
    """What `efi_main` was given, and the tables found through it (addresses)."""

    image: int
    table: int
    boot: int
    runtime: int
    con_in: int
    con_out: int


@metal
def open_firmware(image: int, table: int) -> Firmware:
    """The services behind a system table."""
    return Firmware(image, table, load_i64(table + uefi.BOOT_SERVICES), load_i64(table + uefi.RUNTIME_SERVICES),
                    load_i64(table + uefi.CON_IN), load_i64(table + uefi.CON_OUT))


@metal
def disable_watchdog(fw: Firmware) -> int:
    """The firmware resets the machine after five minutes unless told not to (7.5)."""
    return call_efi(load_i64(fw.boot + uefi.SET_WATCHDOG_TIMER), (0, 0, 0, 0))


@metal
def output_string(fw: Firmware, units: U16, at: int) -> int:
    """Show UTF-16 text from unit `at` to its terminating zero."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(load_i64(fw.con_out + uefi.OUTPUT_STRING), (fw.con_out, address_of(units) + 2 * at))


@metal
def console_columns(fw: Firmware) -> int:
    """How many columns the firmware's console has."""
    size = cells(2)
    if fw.con_out == 0 or call_efi(load_i64(fw.con_out + uefi.QUERY_MODE), (
            fw.con_out, load_i64(load_i64(fw.con_out + uefi.MODE)) >> 32,
            address_of(size), address_of(size) + 8)) != 0:
        return 80
    return size[0]


@metal
def console_row(fw: Firmware) -> int:
    """In which row its cursor is."""
    if fw.con_out == 0:
        return 0
    return load_i64(load_i64(fw.con_out + uefi.MODE) + uefi.CURSOR_ROW) & 0xFFFF


@metal
def set_cursor_position(fw: Firmware, column: int, row: int) -> int:
    """Put its cursor somewhere."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(load_i64(fw.con_out + uefi.SET_CURSOR_POSITION), (fw.con_out, column, row))


@metal
def set_attribute(fw: Firmware, attribute: int) -> int:
    """The colour of what it shows next, by the numbers of UEFI 12.4.7."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(load_i64(fw.con_out + uefi.SET_ATTRIBUTE), (fw.con_out, attribute))


@metal
def clear_screen(fw: Firmware) -> int:
    """Blank it."""
    if fw.con_out == 0:
        return uefi.EFI_SUCCESS
    return call_efi(load_i64(fw.con_out + uefi.CLEAR_SCREEN), (fw.con_out,))


@metal
def allocate_pages(fw: Firmware, n_pages: int) -> int:
    """The address of n fresh pages of 4 KiB, or 0 where the firmware refuses."""
    place = cells(1)
    status = call_efi(load_i64(fw.boot + uefi.ALLOCATE_PAGES),
                      (uefi.ALLOCATE_ANY_PAGES, uefi.LOADER_DATA, n_pages, address_of(place)))
    if status != 0:
        return 0
    return place[0]


@metal
def allocate_low_pages(fw: Firmware, n_pages: int) -> int:
    """The same below 4 GiB, where every disk controller can write."""
    place = cells(1)
    place[0] = 0xFFFFFFFF
    status = call_efi(load_i64(fw.boot + uefi.ALLOCATE_PAGES),
                      (uefi.ALLOCATE_MAX_ADDRESS, uefi.LOADER_DATA, n_pages, address_of(place)))
    if status != 0:
        return 0
    return place[0]


@metal
def free_pages(fw: Firmware, address: int, n_pages: int) -> int:
    """Give pages back."""
    return call_efi(load_i64(fw.boot + uefi.FREE_PAGES), (address, n_pages))


@metal
def stall(fw: Firmware, microseconds: int) -> int:
    """Wait, the processor busy."""
    return call_efi(load_i64(fw.boot + uefi.STALL), (microseconds,))


@metal
def protocol_of(fw: Firmware, handle: int, guid: U8) -> int:
    """The interface of a protocol on a handle, or 0."""
    interface = cells(1)
    status = call_efi(load_i64(fw.boot + uefi.HANDLE_PROTOCOL), (handle, address_of(guid), address_of(interface)))
    if status != 0:
        return 0
    return interface[0]


@metal
def locate_protocol(fw: Firmware, guid: U8) -> int:
    """The first interface of a protocol anywhere, or 0."""
    interface = cells(1)
    status = call_efi(load_i64(fw.boot + uefi.LOCATE_PROTOCOL), (address_of(guid), 0, address_of(interface)))
    if status != 0:
        return 0
    return interface[0]


@metal
def publish_interface(fw: Firmware, guid: U8, interface: int) -> int:
    """Put an interface of our own on this program's handle, so that whatever else runs of it finds it."""
    handle = cells(1)
    handle[0] = fw.image
    return call_efi(load_i64(fw.boot + uefi.INSTALL_PROTOCOL_INTERFACE),
                    (address_of(handle), address_of(guid), 0, interface))


@metal
def withdraw_interface(fw: Firmware, guid: U8, interface: int) -> int:
    """Take it off again."""
    return call_efi(load_i64(fw.boot + uefi.UNINSTALL_PROTOCOL_INTERFACE), (fw.image, address_of(guid), interface))


@metal
def memory_map(fw: Firmware, target: U8) -> tuple[int, int]:
    """The memory map (7.2.3) into a buffer: its bytes (0: refused), and how many of them one descriptor has."""
    words = cells(4)
    words[0] = len(target)
    status = call_efi(load_i64(fw.boot + uefi.GET_MEMORY_MAP), (
        address_of(words), address_of(target), address_of(words) + 8, address_of(words) + 16, address_of(words) + 24))
    if status != 0 or words[2] <= 0:
        return 0, 1
    return words[0], words[2]


@metal
def get_time(fw: Firmware, now: I64) -> int:
    """EFI_TIME (8.3.1) into two words; returns the status."""
    return call_efi(load_i64(fw.runtime + uefi.GET_TIME), (address_of(now), 0))


@metal
def count_processors(mp: int) -> tuple[int, int]:
    """Processors, and those that are enabled; 1 where the service fails."""
    counts = cells(2)
    if call_efi(load_i64(mp + uefi.GET_NUMBER_OF_PROCESSORS), (mp, address_of(counts), address_of(counts) + 8)) != 0:
        return 1, 1
    return counts[0], counts[1]


@metal
def start_workers(fw: Firmware, mp: int, board: int) -> tuple[int, int]:
    """Start every other processor in `worker_entry`, without waiting for them; returns the status, and the event that
    is signalled when all are done.
    """
    event = cells(1)
    status = call_efi(load_i64(fw.boot + uefi.CREATE_EVENT), (0, 0, 0, 0, address_of(event)))
    if status != 0:
        return status, 0
    return call_efi(load_i64(mp + uefi.STARTUP_ALL_APS), (mp, worker_entry(), 0, event[0], 0, board, 0)), event[0]


@metal
def reset_system(fw: Firmware, kind: int, status: int) -> int:
    """Shut down or restart; returns only where the firmware cannot."""
    return call_efi(load_i64(fw.runtime + uefi.RESET_SYSTEM), (kind, status, 0, 0))


@metal
def say(fw: Firmware, units: U16) -> None:
    """Show a constant text."""
    output_string(fw, units, 0)


@metal
def new_line(fw: Firmware) -> None:
    """End the line."""
    say(fw, text("\r\n"))
