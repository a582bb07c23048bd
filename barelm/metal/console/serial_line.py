"""A serial line taken from the firmware for this program alone, so that it carries UTF-8 and escapes both ways.

Where there are several, the first that can be had.  Its speed and framing stay as the firmware has set them.
"""

from __future__ import annotations

from typing import NamedTuple

from barelm.contract import uefi
from barelm.dialect.memory import address_of, cells, i64_array, memory, text, u8_array
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8, U16
from barelm.metal import arena
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import close_exclusive, open_exclusively
from barelm.metal.uefi.serial_io import read_serial, serial_waits, set_serial_timeout, write_serial

PROTOCOL = 0  # words of Serial.state: address of EFI_SERIAL_IO_PROTOCOL; 0: there is no line, or it was given up
HANDLE = 1  # the handle to give back
SERIAL_COLUMNS = 2  # of the terminal, as it said last
SERIAL_ROWS = 3
FILLED = 4  # bytes gathered in Serial.out
STALLS = 5  # writes in a row that did not go through in time
PATIENCE = 6  # how many of them are borne
SIZED = 7  # 1: the terminal has said how large it is
STATE_WORDS = 16

RESET_TERMINAL = "\x1b[?2004l\x1b[?25h\x1b[0m"

TIMEOUT_US = 20000
"""How long the firmware waits for one byte to go or come."""
PATIENCE_US = 1000000
"""A line that takes nothing for so long is given up: nothing says that anyone is there."""


class Serial(NamedTuple):
    """A serial line, with what was put gathered before it is written."""

    state: I64
    out: U8


@metal
def bind_serial(address: int) -> Serial:
    """The line whose state is at an address: `arena.SERIAL_BYTES`, zeroed at first."""
    block = memory(address, arena.SERIAL_BYTES)
    return Serial(i64_array(block, 0, STATE_WORDS),
                  u8_array(block, 8 * STATE_WORDS, arena.SERIAL_BYTES - 8 * STATE_WORDS))


@metal
def open_serial(fw: Firmware, address: int) -> Serial:
    """Take a line from the firmware's console, where there is one, and ask the terminal for its size.

    The answer comes among what is typed (see `metal.keys.keyboard`), as it does later when the terminal's size changes.
    """
    s = bind_serial(address)
    s.state[SERIAL_COLUMNS] = 80
    s.state[SERIAL_ROWS] = 24
    handle, protocol = open_exclusively(fw, uefi.SERIAL_IO_PROTOCOL)
    s.state[HANDLE] = handle
    s.state[PROTOCOL] = protocol
    if protocol != 0:
        s.state[PATIENCE] = PATIENCE_US // max(set_serial_timeout(protocol, TIMEOUT_US), TIMEOUT_US)
        # Pasted text in brackets; then the size: the cursor's place, as far to the right and down as it goes.
        put_escapes(fw, s, text("\x1b[?2004h\x1b7\x1b[999;999H\x1b[6n\x1b8"))
        flush_serial(fw, s)
    return s


@metal
def close_serial(fw: Firmware, s: Serial) -> None:
    """Give the line back to the firmware's console."""
    flush_serial(fw, s)
    if s.state[HANDLE] != 0:
        close_exclusive(fw, s.state[HANDLE], uefi.SERIAL_IO_PROTOCOL)
    s.state[HANDLE] = 0
    s.state[PROTOCOL] = 0


@metal
def put_escapes(fw: Firmware, s: Serial, units: U16) -> None:
    """Gather a constant text of ASCII."""
    for i in range(len(units) - 1):
        put_byte(fw, s, int(units[i]))


@metal
def put_byte(fw: Firmware, s: Serial, byte: int) -> None:
    """Gather a byte, where there is a line to write it to."""
    if s.state[PROTOCOL] == 0:
        return
    if s.state[FILLED] == len(s.out):
        flush_serial(fw, s)
    s.out[s.state[FILLED]] = byte
    s.state[FILLED] += 1


@metal
def flush_serial(fw: Firmware, s: Serial) -> None:
    """Write what was gathered.  A line that takes nothing any more is given up, and what was for it forgotten."""
    at = 0
    while at < s.state[FILLED] and s.state[PROTOCOL] != 0:
        n = s.state[FILLED] - at
        moved = write_serial(s.state[PROTOCOL], address_of(s.out) + at, n)
        at += moved
        if moved == n:
            s.state[STALLS] = 0
        else:
            s.state[STALLS] += 1
            if s.state[STALLS] > s.state[PATIENCE]:
                s.state[PROTOCOL] = 0
    s.state[FILLED] = 0


@metal
def read_byte(fw: Firmware, s: Serial) -> int:
    """The next byte that has come, or -1 where none waits."""
    if s.state[PROTOCOL] == 0 or not serial_waits(s.state[PROTOCOL]):
        return -1
    byte = cells(1)
    if read_serial(s.state[PROTOCOL], address_of(byte), 1) != 1:
        return -1
    return byte[0] & 0xFF
