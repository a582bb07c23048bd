"""What the process that runs the program leaves for the one that watches it: how it ended, even when it crashed."""

import ctypes
import mmap
import signal

from barelm.machine.firmware.tables import SERVICES

_WORDS = 10
_SIGNAL, _CODE, _TOUCHED, _AT, _SERVICE, _BASE, _SIZE, _ENDED, _STATUS, _WRITES = range(_WORDS)
_SI_KERNEL = 0x80

_WHAT = {
    signal.SIGSEGV: "touched memory that is not its own, at {touched:#x}",
    signal.SIGBUS: "touched memory that is not there, at {touched:#x}",
    signal.SIGILL: "came to an instruction this processor does not have",
    signal.SIGFPE: "divided by zero or computed what has no result",
    signal.SIGTRAP: "came to a breakpoint, as LLVM puts where code must not run",
}


class Report:
    """Memory both processes see.  Words 0 to 3 are filled by `code.FAULT`: signal, si_code, address, instruction.

    After the words, how often each service was called.
    """

    def __init__(self) -> None:
        """Make it; to be shared it has to be made before the fork."""
        shared = mmap.mmap(-1, 8 * (_WORDS + len(SERVICES)))
        self._words = (ctypes.c_uint64 * _WORDS).from_buffer(shared)
        self._calls = (ctypes.c_uint64 * len(SERVICES)).from_buffer(shared, 8 * _WORDS)

    @property
    def address(self) -> int:
        """Where the words are."""
        return ctypes.addressof(self._words)

    @property
    def status(self) -> int | None:
        """The status the program gave the firmware; None where it never did."""
        return self._words[_STATUS] if self._words[_ENDED] else None

    @property
    def calls(self) -> dict[str, int]:
        """How often each service was called, of those that were."""
        return {name: n for name, n in zip(SERVICES, self._calls) if n}

    @property
    def writes(self) -> int:
        """How many sector writes there were; a run of sectors with a file's data is one."""
        return self._words[_WRITES]

    def wrote(self, n: int) -> None:
        """Note that there were so many sector writes."""
        self._words[_WRITES] = n

    def loaded(self, base: int, size: int) -> None:
        """Note where the program is."""
        self._words[_BASE], self._words[_SIZE] = base, size

    def serving(self, number: int) -> None:
        """Note the service at work, as its number from 1; 0 is none."""
        self._words[_SERVICE] = number
        if number:
            self._calls[number - 1] += 1

    def ended(self, status: int) -> None:
        """Note the program's last status."""
        self._words[_STATUS] = status
        self._words[_ENDED] = 1

    def fault(self) -> str | None:
        """What crashed and where, as a sentence without its end; None where nothing did."""
        number = self._words[_SIGNAL]
        if not number:
            return None
        what = _WHAT.get(signal.Signals(number), "failed").format(touched=self._words[_TOUCHED])
        if number == signal.SIGSEGV and self._words[_CODE] == _SI_KERNEL:
            what = "used a privileged instruction or an address no processor has"
        return f"{self._culprit()} {what} ({signal.Signals(number).name})"

    def _culprit(self) -> str:
        at, base, size = self._words[_AT], self._words[_BASE], self._words[_SIZE]
        if base <= at < base + size:
            return f"the program, at its byte {at - base:#x},"
        if at in (0, self._words[_TOUCHED]):
            return f"the program jumped out of itself to {at:#x} and"
        if self._words[_SERVICE]:
            name = list(SERVICES)[self._words[_SERVICE] - 1]
            return f"the program gave {name} a bad pointer, so the firmware"
        return "the firmware, not in any service,"
