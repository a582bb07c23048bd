"""Calls into the firmware: the bytes of a serial line (UEFI 12.8)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import SerialIo, SerialIoMode
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi


def set_serial_timeout(port: int, microseconds: int) -> int:
    """How long a serial port is to wait for a byte, all else as it is; returns how long it does (0: unknown)."""
    mode = SerialIoMode(SerialIo(port).mode)
    if mode.address == 0:
        return 0
    call_efi(SerialIo(port).set_attributes, (port, mode.baud_rate, mode.receive_fifo_depth, microseconds, mode.parity,
                                             mode.data_bits, mode.stop_bits))
    return mode.timeout


def serial_waits(port: int) -> bool:
    """Whether a serial port says that a byte waits to be read."""
    control = cells(1)
    status = call_efi(SerialIo(port).get_control, (port, address_of(control)))
    return status == 0 and control[0] & uefi.SERIAL_INPUT_BUFFER_EMPTY == 0


def read_serial(port: int, address: int, n_bytes: int) -> int:
    """Read up to n bytes of a serial port; returns how many came."""
    return move_serial(SerialIo(port).read, port, address, n_bytes)


def write_serial(port: int, address: int, n_bytes: int) -> int:
    """Write up to n bytes to a serial port; returns how many it took."""
    return move_serial(SerialIo(port).write, port, address, n_bytes)


def move_serial(service: int, port: int, address: int, n_bytes: int) -> int:
    """Read or write (`service`); returns how many bytes it did."""
    n = cells(1)
    n[0] = n_bytes
    status = call_efi(service, (port, address_of(n), address))
    if status != 0 and status & 0xFF != uefi.EFI_TIMEOUT:
        return 0
    return min(max(n[0], 0), n_bytes)
