"""Calls into the firmware: keys, timers, serial lines, the screen (UEFI 12.2, 7.1, 12.8, 12.9)."""

from __future__ import annotations

from barelm.contract import uefi
from barelm.dialect.memory import address_of, cells, load_i64, load_u32
from barelm.dialect.processor import call_efi
from barelm.dialect.rooms import metal
from barelm.dialect.types import U8
from barelm.metal.uefi.boot_services import Firmware, locate_protocol, protocol_of, stall


@metal
def read_stroke(fw: Firmware, extended: int) -> int:
    """The next key typed, as shift state << 32 | scan code << 16 | UTF-16 unit, or -1 where none waits.

    `extended` is the address of EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL, or 0.
    """
    data = cells(2)
    if extended != 0:
        status = call_efi(load_i64(extended + uefi.READ_KEY_STROKE_EX), (extended, address_of(data)))
        if status & 0xFF == uefi.EFI_NOT_READY:
            return -1
        if status == 0:
            shift = data[0] >> 32 & 0x3F if data[0] < 0 else 0  # the sign says that the state is known
            return shift << 32 | (data[0] & 0xFFFF) << 16 | (data[0] >> 16 & 0xFFFF)
    data[0] = 0
    if fw.con_in == 0 or call_efi(load_i64(fw.con_in + uefi.READ_KEY_STROKE), (fw.con_in, address_of(data))) != 0:
        return -1
    return (data[0] & 0xFFFF) << 16 | (data[0] >> 16 & 0xFFFF)


@metal
def create_timer(fw: Firmware) -> int:
    """A timer event, or 0 where the firmware refuses."""
    event = cells(1)
    if call_efi(load_i64(fw.boot + uefi.CREATE_EVENT), (uefi.EVT_TIMER, 0, 0, 0, address_of(event))) != 0:
        return 0
    return event[0]


@metal
def close_event(fw: Firmware, event: int) -> int:
    """Give an event back, if it is one."""
    if event == 0:
        return uefi.EFI_SUCCESS
    return call_efi(load_i64(fw.boot + uefi.CLOSE_EVENT), (event,))


@metal
def sleep(fw: Firmware, timer: int, microseconds: int) -> None:
    """Until a key waits at the firmware's keyboard, or so long; the processor is busy only where events fail."""
    events = cells(3)
    events[0] = timer
    n = 1
    if fw.con_in != 0:
        events[1] = load_i64(fw.con_in + uefi.WAIT_FOR_KEY)
        n = 2
    if timer == 0 or call_efi(load_i64(fw.boot + uefi.SET_TIMER),
                              (timer, uefi.TIMER_RELATIVE, 10 * microseconds)) != 0:
        stall(fw, microseconds)
    elif call_efi(load_i64(fw.boot + uefi.WAIT_FOR_EVENT), (n, address_of(events), address_of(events) + 16)) != 0:
        stall(fw, microseconds)


@metal
def open_exclusively(fw: Firmware, guid: U8) -> tuple[int, int]:
    """The first handle with a protocol this program can have for itself alone, and the interface; 0 where none is."""
    words = cells(3)
    if call_efi(load_i64(fw.boot + uefi.LOCATE_HANDLE_BUFFER), (
            uefi.BY_PROTOCOL, address_of(guid), 0, address_of(words), address_of(words) + 8)) != 0:
        return 0, 0
    found = 0
    for i in range(words[0]):
        handle = load_i64(words[1] + 8 * i)
        if found == 0 and call_efi(load_i64(fw.boot + uefi.OPEN_PROTOCOL), (
                handle, address_of(guid), address_of(words) + 16, fw.image, 0, uefi.OPEN_EXCLUSIVE)) == 0:
            found = handle
    call_efi(load_i64(fw.boot + uefi.FREE_POOL), (words[1],))
    return found, words[2] if found != 0 else 0


@metal
def close_exclusive(fw: Firmware, handle: int, guid: U8) -> int:
    """Let go of it, and have the firmware's drivers take it up again."""
    call_efi(load_i64(fw.boot + uefi.CLOSE_PROTOCOL), (handle, address_of(guid), fw.image, 0))
    return call_efi(load_i64(fw.boot + uefi.CONNECT_CONTROLLER), (handle, 0, 0, 1))


@metal
def set_serial_timeout(port: int, microseconds: int) -> int:
    """How long a serial port is to wait for a byte, all else as it is; returns how long it does (0: unknown)."""
    mode = load_i64(port + uefi.SERIAL_MODE)
    if mode == 0:
        return 0
    call_efi(load_i64(port + uefi.SERIAL_SET_ATTRIBUTES), (
        port, load_i64(mode + uefi.SERIAL_BAUD_RATE), load_u32(mode + uefi.SERIAL_RECEIVE_FIFO_DEPTH), microseconds,
        load_u32(mode + uefi.SERIAL_PARITY), load_u32(mode + uefi.SERIAL_DATA_BITS),
        load_u32(mode + uefi.SERIAL_STOP_BITS)))
    return load_u32(mode + uefi.SERIAL_TIMEOUT)


@metal
def serial_waits(port: int) -> bool:
    """Whether a serial port says that a byte waits to be read."""
    control = cells(1)
    status = call_efi(load_i64(port + uefi.SERIAL_GET_CONTROL), (port, address_of(control)))
    return status == 0 and control[0] & uefi.SERIAL_INPUT_BUFFER_EMPTY == 0


@metal
def move_serial(port: int, service: int, address: int, n_bytes: int) -> int:
    """Read or write (`service`) up to n bytes of a serial port; returns how many it did."""
    n = cells(1)
    n[0] = n_bytes
    status = call_efi(load_i64(port + service), (port, address_of(n), address))
    if status != 0 and status & 0xFF != uefi.EFI_TIMEOUT:
        return 0
    return min(max(n[0], 0), n_bytes)


@metal
def find_graphics(fw: Firmware) -> int:
    """The graphics output of the screen the firmware's console is on, or the first there is, or 0."""
    found = protocol_of(fw, load_i64(fw.table + uefi.CONSOLE_OUT_HANDLE), uefi.GRAPHICS_OUTPUT_PROTOCOL)
    if found != 0:
        return found
    return locate_protocol(fw, uefi.GRAPHICS_OUTPUT_PROTOCOL)


@metal
def graphics_mode_size(fw: Firmware, graphics: int, number: int) -> tuple[int, int]:
    """Width and height of a mode in pixels, (0, 0) where the firmware does not say."""
    result = cells(2)
    if call_efi(load_i64(graphics + uefi.GRAPHICS_QUERY_MODE),
                (graphics, number, address_of(result), address_of(result) + 8)) != 0 or result[1] == 0:
        return 0, 0
    size = (load_u32(result[1] + uefi.HORIZONTAL_RESOLUTION), load_u32(result[1] + uefi.VERTICAL_RESOLUTION))
    call_efi(load_i64(fw.boot + uefi.FREE_POOL), (result[1],))
    return size


@metal
def set_graphics_mode(graphics: int, number: int) -> int:
    """Switch to a mode; returns the status."""
    return call_efi(load_i64(graphics + uefi.GRAPHICS_SET_MODE), (graphics, number))


@metal
def blt(graphics: int, source: int, operation: int, place: tuple[int, int, int, int], row_bytes: int) -> int:
    """Pixels (blue, green, red, 0) from an address to (x, y, width, height) on the screen; returns the status."""
    x, y, width, height = place
    return call_efi(load_i64(graphics + uefi.GRAPHICS_BLT),
                    (graphics, source, operation, 0, 0, x, y, width, height, row_bytes))
