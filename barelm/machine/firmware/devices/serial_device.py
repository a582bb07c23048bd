"""The standard streams as a serial line: the firmware's console is on it until a program takes it for itself alone.

EFI_SERIAL_IO_PROTOCOL (UEFI 12.8): bytes as they are, both ways.
"""

import os
import stat
import threading
from collections.abc import Callable

from barelm.contract import uefi
from barelm.contract.uefi_protocols import SerialIo, SerialIoMode
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.services import service

DATA_TERMINAL_READY, REQUEST_TO_SEND, CLEAR_TO_SEND, DATA_SET_READY, CARRIER_DETECT = 0x1, 0x2, 0x10, 0x20, 0x80
OUTPUT_BUFFER_EMPTY = 0x200
_CAN_BE_SET = DATA_TERMINAL_READY | REQUEST_TO_SEND | 0x7000  # loopbacks and flow control, without effect
_BAUD_RATE, _FIFO_DEPTH, _TIMEOUT_US, _NO_PARITY, _DATA_BITS, _ONE_STOP_BIT = 115200, 16, 1_000_000, 1, 8, 1
_LONGEST_TIMEOUT_US = 100_000_000
_STDIN, _STDOUT = 0, 1


class Wire:
    """Standard input and output, what is `coming`, and who is at this end of them.

    Where standard input is a pipe, its end switches the machine off: `on_closed` is called, from another thread, as is
    `on_arrival` for whatever comes.
    """

    def __init__(self, on_arrival: Callable[[], None], on_closed: Callable[[], None]) -> None:
        self.has_console = True
        self._on_arrival, self._on_closed = on_arrival, on_closed
        self.coming = bytearray()
        self._changed = threading.Condition()
        self._is_pipe = _is_pipe(_STDIN)  # once a program runs, nobody may ask any more

    def listen(self) -> None:
        """Begin to read, in a thread."""
        threading.Thread(target=self._listen, daemon=True).start()

    def arrive(self, content: bytes) -> None:
        """Bytes have come."""
        with self._changed:
            self.coming += content
            self._changed.notify_all()
        self._on_arrival()

    def _listen(self) -> None:
        try:
            while content := os.read(_STDIN, 4096):
                self.arrive(content)
        except OSError:
            return  # started with its standard input closed: a machine without a keyboard
        if self._is_pipe:
            self._on_closed()

    def take(self, n: int, timeout_s: float = 0) -> bytes:
        """Up to n bytes of what has come; fewer once nothing more comes in time."""
        taken = bytearray()
        with self._changed:
            while len(taken) < n:
                if not self.coming and not self._changed.wait_for(lambda: bool(self.coming), timeout_s):
                    break
                part = self.coming[:n - len(taken)]
                taken += part
                del self.coming[:len(part)]
        return bytes(taken)

    @property
    def waits(self) -> bool:
        """Whether there is something to take."""
        return bool(self.coming)

    def clear(self) -> None:
        """Forget what has come."""
        with self._changed:
            self.coming.clear()

    def write(self, content: bytes) -> None:
        """Write all of it."""
        while content:
            content = content[os.write(_STDOUT, content):]


def _is_pipe(descriptor: int) -> bool:
    """Whether its end means that somebody has gone; not that of a file, or of nothing."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISCHR(mode)


class SerialPort:
    """EFI_SERIAL_IO_PROTOCOL over a wire; to the handle database, also the driver that puts the console on it."""

    def __init__(self, wire: Wire, memory: Memory) -> None:
        self.mode = SerialIoMode(memory.pool(SerialIoMode.BYTES))
        self.mode.control_mask = _CAN_BE_SET
        self._wire = wire
        self._control = DATA_TERMINAL_READY | REQUEST_TO_SEND
        self.set_attributes(0, 0, 0, 0, 0, 0, 0)

    def connect(self, on: bool) -> None:
        """The firmware's console is on the line, or is not."""
        self._wire.has_console = on

    @service(SerialIo)
    def reset(self, this: int) -> None:
        """12.8.3.1"""
        self._wire.clear()

    @service(SerialIo)
    def set_attributes(self, this: int, baud_rate: int, depth: int, timeout_us: int, parity: int, data_bits: int,
                       stop_bits: int) -> None:
        """12.8.3.2; only the timeout has an effect.  0 is the default of each."""
        require(depth <= _FIFO_DEPTH and timeout_us <= _LONGEST_TIMEOUT_US and parity <= 5 and stop_bits <= 3)
        require(data_bits == 0 or 5 <= data_bits <= 8)
        self.mode.timeout, self.mode.baud_rate = timeout_us or _TIMEOUT_US, baud_rate or _BAUD_RATE
        self.mode.receive_fifo_depth, self.mode.data_bits = depth or _FIFO_DEPTH, data_bits or _DATA_BITS
        self.mode.parity, self.mode.stop_bits = parity or _NO_PARITY, stop_bits or _ONE_STOP_BIT

    @service(SerialIo)
    def set_control(self, this: int, control: int) -> None:
        """12.8.3.3; remembered."""
        require(not control & ~_CAN_BE_SET, uefi.EFI_UNSUPPORTED)
        self._control = control

    @service(SerialIo)
    def get_control(self, this: int, control: int) -> None:
        """12.8.3.4"""
        state = self._control | CLEAR_TO_SEND | DATA_SET_READY | CARRIER_DETECT | OUTPUT_BUFFER_EMPTY
        state |= 0 if self._wire.waits else uefi.SERIAL_INPUT_BUFFER_EMPTY
        guest.put_bytes(control, state.to_bytes(4, "little"))

    @service(SerialIo)
    def write(self, this: int, size: int, buffer: int) -> None:
        """12.8.3.5"""
        n = guest.word(size)
        if n:
            require(buffer, uefi.EFI_DEVICE_ERROR)
            self._wire.write(guest.read_bytes(buffer, n))

    @service(SerialIo)
    def read(self, this: int, size: int, buffer: int) -> None:
        """12.8.3.6; waits for each byte as long as the timeout says."""
        n = guest.word(size)
        taken = self._wire.take(n, self.mode.timeout / 1e6)
        guest.put_word(size, len(taken))
        if taken:
            guest.put_bytes(buffer, taken)
        require(len(taken) == n, uefi.EFI_TIMEOUT)
