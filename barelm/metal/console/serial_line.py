"""A serial line taken from the firmware for this program alone, so that it carries UTF-8 and escapes both ways.

Where there are several, the first that can be had.  Its speed and framing stay as the firmware has set them.
"""

from barelm.contract import uefi
from barelm.contract.console_state import SerialState
from barelm.dialect.memory import address_of, cells
from barelm.dialect.sentences import MARK, Sentence, sentence
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import close_exclusive, open_exclusively
from barelm.metal.uefi.serial_io import read_serial, serial_waits, set_serial_timeout, write_serial

TIMEOUT_US = 20000
"""How long the firmware waits for one byte to go or come."""
PATIENCE_US = 1000000
"""A line that accepts nothing for so long is given up: perhaps nobody is at its other end."""


def open_serial(fw: Firmware, s: SerialState) -> None:
    """Take a line from the firmware's console, where there is one, into a zeroed state; ask the terminal for its size.

    The answer comes among what is typed (see `metal.keys.keyboard`), as it does later when the terminal's size changes.
    """
    s.columns = 80
    s.rows = 24
    s.handle, s.protocol = open_exclusively(fw, uefi.SERIAL_IO_PROTOCOL)
    if s.protocol != 0:
        s.patience = PATIENCE_US // max(set_serial_timeout(s.protocol, TIMEOUT_US), TIMEOUT_US)
        # Pasted text in brackets; then the size: the cursor's place, as far to the right and down as it goes.
        send(s, sentence("\x1b[?2004h\x1b7\x1b[999;999H\x1b[6n\x1b8", ()))
        flush_serial(s)


def close_serial(fw: Firmware, s: SerialState) -> None:
    """Give the line back to the firmware's console."""
    flush_serial(s)
    if s.handle != 0:
        close_exclusive(fw, s.handle, uefi.SERIAL_IO_PROTOCOL)
    s.handle = 0
    s.protocol = 0


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
    if s.protocol == 0:
        return
    if s.filled == len(s.out):
        flush_serial(s)
    s.out[s.filled] = byte
    s.filled += 1


def flush_serial(s: SerialState) -> None:
    """Write what was gathered.  A line that takes nothing any more is given up, and what was for it forgotten."""
    at = 0
    while at < s.filled and s.protocol != 0:
        n = s.filled - at
        moved = write_serial(s.protocol, address_of(s.out) + at, n)
        at += moved
        if moved == n:
            s.stalls = 0
        else:
            s.stalls += 1
            if s.stalls > s.patience:
                s.protocol = 0
    s.filled = 0


def read_byte(s: SerialState) -> int:
    """The next byte that has come, or -1 where none waits."""
    if s.protocol == 0 or not serial_waits(s.protocol):
        return -1
    byte = cells(1)
    return byte[0] & 0xFF if read_serial(s.protocol, address_of(byte), 1) == 1 else -1
