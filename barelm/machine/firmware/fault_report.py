"""What the process that runs the program leaves for the one that watches it: how it ended, even when it crashed."""

import ctypes
import signal

from barelm.machine.firmware.process.confinement import NAMES
from barelm.machine.firmware.tables import SERVICES

_SI_KERNEL = 0x80
_U64 = ctypes.c_uint64

_WHAT = {
    signal.SIGSEGV: "touched memory that is not its own, at {touched:#x}",
    signal.SIGBUS: "touched memory that is not there, at {touched:#x}",
    signal.SIGILL: "came to an instruction this processor does not have",
    signal.SIGFPE: "divided by zero or computed what has no result",
    signal.SIGTRAP: "came to a breakpoint, as LLVM puts where code must not run",
    signal.SIGSYS: "asked Linux for {asked}, which what runs here may not have",
}


LEFT = ("files", "events", "pools", "interfaces", "exclusive", "processors", "console")
"""What a program can leave behind beside memory: what it opened or installed, who still works for it, and a serial line
without the firmware's console on it.
"""


class Report(ctypes.Structure):
    """Notes in memory both processes see, where it is made over such.  `code.FAULT` fills the first five."""

    _fields_ = [
        ("signal", _U64),
        ("code", _U64),                 # si_code
        ("touched", _U64),              # the address
        ("at", _U64),                   # the instruction
        ("asked", _U64),                # the system call, where one was refused
        ("service", _U64),              # the one at work, its number from 1; 0: none
        ("base", _U64),                 # where the program is
        ("size", _U64),
        ("has_returned", _U64),         # whether there is a status
        ("returned", _U64),             # the status the program gave the firmware
        ("writes", _U64),               # how many sector writes; a run of sectors with a file's data is one
        ("kept", _U64),                 # bytes of memory the program did not give back
        ("left", _U64 * len(LEFT)),     # what else
        ("counts", _U64 * len(SERVICES)),
    ]

    @property
    def status(self) -> int | None:
        """The status the program gave the firmware; None where it never did."""
        return self.returned if self.has_returned else None

    @property
    def calls(self) -> dict[str, int]:
        """How often each service was called, of those that were."""
        return {name: n for name, n in zip(SERVICES, self.counts) if n}

    def note_left(self, before: dict[str, int], now: dict[str, int]) -> None:
        """Note what there is more of than there was."""
        for k, name in enumerate(LEFT):
            self.left[k] = max(now[name] - before[name], 0)

    def serving(self, number: int) -> None:
        """Note the service at work, as its number from 1; 0 is none."""
        self.service = number
        if number:
            self.counts[number - 1] += 1

    def fault(self) -> str | None:
        """What crashed and where, as a sentence without its end; None where nothing did."""
        if not self.signal:
            return None
        try:
            number = signal.Signals(self.signal)
        except ValueError:
            return "the program wrote into what the firmware keeps of it"
        asked = NAMES.get(self.asked, f"system call {self.asked}")
        what = _WHAT.get(number, "failed").format(touched=self.touched, asked=asked)
        if number == signal.SIGSEGV and self.code == _SI_KERNEL:
            what = "used a privileged instruction or an address no processor has"
        return f"{self._culprit()} {what} ({number.name})"

    def _culprit(self) -> str:
        if self.base <= self.at < self.base + self.size:
            return f"the program, at its byte {self.at - self.base:#x},"
        refused = self.signal == signal.SIGSYS
        if self.at in (0, self.touched) and not refused:
            return f"the program jumped out of itself to {self.at:#x} and"
        if 0 < self.service <= len(SERVICES):
            name = list(SERVICES)[self.service - 1]
            return name if refused else f"the program gave {name} a bad pointer, so the firmware"
        return "the firmware, not in any service,"
