"""Every call into the firmware: one short function per service, status checked or returned; only it uses `call_efi`."""

from __future__ import annotations

from typing import NamedTuple

from barelm.dialect.memory import address_of, cells, load_i64, text
from barelm.dialect.processor import call_efi, worker_entry
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8, U16
from barelm.metal import tables


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
    return Firmware(image, table, load_i64(table + tables.BOOT_SERVICES), load_i64(table + tables.RUNTIME_SERVICES),
                    load_i64(table + tables.CON_IN), load_i64(table + tables.CON_OUT))


@metal
def disable_watchdog(fw: Firmware) -> int:
    """The firmware resets the machine after five minutes unless told not to (7.5)."""
    return call_efi(load_i64(fw.boot + tables.SET_WATCHDOG_TIMER), (0, 0, 0, 0))


@metal
def output_string(fw: Firmware, units: U16, at: int) -> int:
    """Show UTF-16 text from unit `at` to its terminating zero."""
    if fw.con_out == 0:
        return tables.EFI_SUCCESS
    return call_efi(load_i64(fw.con_out + tables.OUTPUT_STRING), (fw.con_out, address_of(units) + 2 * at))


@metal
def read_key(fw: Firmware) -> int:
    """The next key typed, as scan code << 16 | UTF-16 unit, or 0 where none waits."""
    if fw.con_in == 0:
        return 0
    key = cells(1)
    if call_efi(load_i64(fw.con_in + tables.READ_KEY_STROKE), (fw.con_in, address_of(key))) != 0:
        return 0
    return (key[0] & 0xFFFF) << 16 | (key[0] >> 16 & 0xFFFF)


@metal
def wait_for_key(fw: Firmware) -> int:
    """Sleep until a key is there to read; returns the status, an error where there is no keyboard."""
    if fw.con_in == 0:
        return -1
    event = cells(2)
    event[0] = load_i64(fw.con_in + tables.WAIT_FOR_KEY)
    return call_efi(load_i64(fw.boot + tables.WAIT_FOR_EVENT), (1, address_of(event), address_of(event) + 8))


@metal
def allocate_pages(fw: Firmware, n_pages: int) -> int:
    """The address of n fresh pages of 4 KiB, or 0 where the firmware refuses."""
    place = cells(1)
    status = call_efi(load_i64(fw.boot + tables.ALLOCATE_PAGES),
                      (tables.ALLOCATE_ANY_PAGES, tables.LOADER_DATA, n_pages, address_of(place)))
    if status != 0:
        return 0
    return place[0]


@metal
def allocate_low_pages(fw: Firmware, n_pages: int) -> int:
    """The same below 4 GiB, where every disk controller can write."""
    place = cells(1)
    place[0] = 0xFFFFFFFF
    status = call_efi(load_i64(fw.boot + tables.ALLOCATE_PAGES),
                      (tables.ALLOCATE_MAX_ADDRESS, tables.LOADER_DATA, n_pages, address_of(place)))
    if status != 0:
        return 0
    return place[0]


@metal
def free_pages(fw: Firmware, address: int, n_pages: int) -> int:
    """Give pages back."""
    return call_efi(load_i64(fw.boot + tables.FREE_PAGES), (address, n_pages))


@metal
def stall(fw: Firmware, microseconds: int) -> int:
    """Wait, the processor busy."""
    return call_efi(load_i64(fw.boot + tables.STALL), (microseconds,))


@metal
def protocol_of(fw: Firmware, handle: int, guid: U8) -> int:
    """The interface of a protocol on a handle, or 0."""
    interface = cells(1)
    status = call_efi(load_i64(fw.boot + tables.HANDLE_PROTOCOL), (handle, address_of(guid), address_of(interface)))
    if status != 0:
        return 0
    return interface[0]


@metal
def locate_protocol(fw: Firmware, guid: U8) -> int:
    """The first interface of a protocol anywhere, or 0."""
    interface = cells(1)
    status = call_efi(load_i64(fw.boot + tables.LOCATE_PROTOCOL), (address_of(guid), 0, address_of(interface)))
    if status != 0:
        return 0
    return interface[0]


@metal
def open_own_volume(fw: Firmware) -> int:
    """The root directory of the volume this program was started from, or 0."""
    loaded = protocol_of(fw, fw.image, tables.LOADED_IMAGE_PROTOCOL)
    if loaded == 0:
        return 0
    file_system = protocol_of(fw, load_i64(loaded + tables.DEVICE_HANDLE), tables.SIMPLE_FILE_SYSTEM_PROTOCOL)
    if file_system == 0:
        return 0
    root = cells(1)
    if call_efi(load_i64(file_system + tables.OPEN_VOLUME), (file_system, address_of(root))) != 0:
        return 0
    return root[0]


@metal
def open_file(root: int, name: U16) -> int:
    """A file of a volume, for reading, or 0."""
    file = cells(1)
    status = call_efi(load_i64(root + tables.OPEN),
                      (root, address_of(file), address_of(name), tables.FILE_MODE_READ, 0))
    if status != 0:
        return 0
    return file[0]


@metal
def close_file(file: int) -> int:
    """Close a file or a directory."""
    return call_efi(load_i64(file + tables.CLOSE), (file,))


@metal
def seek(file: int, position: int) -> int:
    """Set where the next read begins."""
    return call_efi(load_i64(file + tables.SET_POSITION), (file, position))


@metal
def file_size(file: int) -> int:
    """The size of a file in bytes, or -1."""
    position = cells(1)
    if seek(file, tables.END_OF_FILE) != 0:
        return -1
    if call_efi(load_i64(file + tables.GET_POSITION), (file, address_of(position))) != 0:
        return -1
    if seek(file, 0) != 0:
        return -1
    return position[0]


@metal
def read_file(file: int, target: int, n_bytes: int) -> int:
    """Read up to n bytes to an address; returns how many came, or -1 where the firmware reports an error."""
    n = cells(1)
    n[0] = n_bytes
    if call_efi(load_i64(file + tables.READ), (file, address_of(n), target)) != 0:
        return -1
    return n[0]


@metal
def count_processors(mp: int) -> int:
    """Processors that are enabled, or 1 where the service fails."""
    counts = cells(2)
    if call_efi(load_i64(mp + tables.GET_NUMBER_OF_PROCESSORS), (mp, address_of(counts), address_of(counts) + 8)) != 0:
        return 1
    return counts[1]


@metal
def start_workers(fw: Firmware, mp: int, board: int) -> int:
    """Start every other processor in `worker_entry`, without waiting for them; returns the status."""
    event = cells(1)
    status = call_efi(load_i64(fw.boot + tables.CREATE_EVENT), (0, 0, 0, 0, address_of(event)))
    if status != 0:
        return status
    return call_efi(load_i64(mp + tables.STARTUP_ALL_APS), (mp, worker_entry(), 0, event[0], 0, board, 0))


@metal
def reset_system(fw: Firmware, kind: int, status: int) -> int:
    """Shut down or restart; returns only where the firmware cannot."""
    return call_efi(load_i64(fw.runtime + tables.RESET_SYSTEM), (kind, status, 0, 0))


@metal
def say(fw: Firmware, units: U16) -> None:
    """Show a constant text."""
    output_string(fw, units, 0)


@metal
def new_line(fw: Firmware) -> None:
    """End the line."""
    say(fw, text("\r\n"))
