"""A serial line taken from the firmware for this program alone, so that it carries UTF-8 and escapes both ways.

It is every port that carries the firmware's console, and no other: something else may be connected there.  Where the
firmware does not say which do, it is the first that can be had.  Speed and framing stay as the firmware has set them.
"""

from barelm.contract import uefi
from barelm.contract.console_state import MOST_PORTS, SerialState
from barelm.dialect.memory import address_of, cells
from barelm.dialect.sentences import MARK, Sentence, sentence
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import NOT_SAID, ON_IT, close_exclusive, console_on, handle_with, take_exclusively
from barelm.metal.uefi.serial_io import read_serial, serial_waits, set_serial_timeout, write_serial

TIMEOUT_US = 20000
"""How long the firmware waits for one byte to go or come."""
PATIENCE_US = 1000000
"""A line that accepts nothing for so long is given up: perhaps nobody is at its other end."""


def open_serial(fw: Firmware, s: SerialState) -> None:
    """Take the line from the firmware's console, where there is one, into a zeroed state; ask the terminal its size.

    The answer comes among what is typed (see `metal.keys.keyboard`), as it does later when the terminal's size changes.
    """
    s.columns = 80
    s.rows = 24
    says = take_ports(fw, s, ON_IT)
    if says == NOT_SAID:
        take_ports(fw, s, NOT_SAID)
    if s.on > 0:
        # Pasted text in brackets; then the size: the cursor's place, as far to the right and down as it goes.
        send(s, sentence("\x1b[?2004h\x1b7\x1b[999;999H\x1b[6n\x1b8", ()))
        flush_serial(s)


def take_ports(fw: Firmware, s: SerialState, wanted: int) -> int:
    """Take every port of which the firmware says so; where it says nothing, one.  Returns the most it says of any."""
    most = NOT_SAID
    k = 0
    handle = handle_with(fw, uefi.SERIAL_IO_PROTOCOL, 0)
    while handle != 0 and s.n_ports < (MOST_PORTS if wanted == ON_IT else 1):
        says = console_on(fw, handle, uefi.SERIAL_IO_PROTOCOL)
        most = max(most, says)
        protocol = take_exclusively(fw, handle, uefi.SERIAL_IO_PROTOCOL) if says == wanted else 0
        if protocol != 0:
            port = s.ports[s.n_ports]
            port.protocol = protocol
            port.handle = handle
            port.patience = PATIENCE_US // max(set_serial_timeout(protocol, TIMEOUT_US), TIMEOUT_US)
            s.n_ports += 1
            s.on += 1
        k += 1
        handle = handle_with(fw, uefi.SERIAL_IO_PROTOCOL, k)
    return most


def close_serial(fw: Firmware, s: SerialState) -> None:
    """Give the line back to the firmware's console."""
    flush_serial(s)
    for k in range(s.n_ports):
        close_exclusive(fw, s.ports[k].handle, uefi.SERIAL_IO_PROTOCOL)
    s.n_ports = 0
    s.on = 0


def send(s: SerialState, sequence: Sentence) -> None:
    """Gather what a terminal is told, in ASCII, with numbers below a thousand in it."""
    at = 0
    for i in range(len(sequence.units) - 1):
        unit = int(sequence.units[i]) & 0xFFFF
        if unit < MARK:
            put_byte(s, unit)
            continue
        number = sequence.words[at]
        at += 2
        if number >= 100:
            put_byte(s, 48 + number // 100 % 10)
        if number >= 10:
            put_byte(s, 48 + number // 10 % 10)
        put_byte(s, 48 + number % 10)


def put_byte(s: SerialState, byte: int) -> None:
    """Gather a byte, where there is a line to write it to."""
    if s.on == 0:
        return
    if s.filled == len(s.out):
        flush_serial(s)
    s.out[s.filled] = byte
    s.filled += 1


def flush_serial(s: SerialState) -> None:
    """Write what was gathered.  A port that takes nothing any more is given up, and what was for it forgotten."""
    for k in range(s.n_ports):
        port = s.ports[k]
        at = 0
        while at < s.filled and port.protocol != 0:
            n = s.filled - at
            moved = write_serial(port.protocol, address_of(s.out) + at, n)
            at += moved
            if moved == n:
                port.stalls = 0
            else:
                port.stalls += 1
                if port.stalls > port.patience:
                    port.protocol = 0
                    s.on -= 1
    s.filled = 0


def read_byte(s: SerialState) -> int:
    """The next byte that has come, or -1 where none waits."""
    byte = cells(1)
    for k in range(s.n_ports):
        protocol = s.ports[k].protocol
        if protocol != 0 and serial_waits(protocol) and read_serial(protocol, address_of(byte), 1) == 1:
            return byte[0] & 0xFF
    return -1
