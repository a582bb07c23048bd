"""A QEMU that is on: read its console, type, take pictures of its screen."""

from __future__ import annotations

import re
import select
import time
from pathlib import Path

from barelm.errors import BarelmError
from barelm.machine.qemu_process import QemuProcess
from barelm.machine.terminal import PlainText

_CHUNK = 1 << 16
_SEND_S = 30.0
_CRASH_S = 2.0                          # how long a crash report may pause before it counts as whole
_RECENT = 8000                          # characters kept, to show what was last on the screen
_SHOWN_LINES = 12
_DONE = re.compile(r"^BARELM DONE (\d+) *$")
_TAKEN = b"\x1b[?2004h"                  # what the program tells a terminal first (`metal.console.serial_line`)
_GIVEN_BACK = re.compile(rb"BARELM DONE (\d+)(?:\s|\x1b[78]|\x1b\[[0-9;]*[A-Za-z])*\x1b\[\?2004l")
_LONGEST_END = 400                      # bytes
_CRASH = "!!!! X64 Exception Type"      # how the exception handler of OVMF begins its report
_CRASHED_ON = re.compile("CPU Apic ID - ([0-9A-Fa-f]{1,8})")
_INTERRUPTS_ON = 0x200                  # of the flags
_FORWARDED = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)")
_LOOKS, _LOOK_S = 5, 0.1


class QemuSession:
    """A Session of QEMU; `status` is the n of the last line `BARELM DONE <n>` that was read, None before one.

    On a terminal people and models say lines too.  So where the program has taken the terminal, the line counts with
    the sequence by which it is given back behind it, for of what is said no control reaches a terminal.
    """

    def __init__(self, process: QemuProcess, *, has_screen: bool = False, terminal: bool = False,
                 has_forward: bool = False) -> None:
        """Takes over `process`, which has a graphics card where `has_screen`, a way into its network where
        `has_forward`; `terminal` as in `Spec`.
        """
        self.status: int | None = None
        self._process = process
        self._has_screen = has_screen
        self._terminal = terminal
        self._text = PlainText()
        self._recent = ""
        self._line = ""
        self._raw = b""                             # the end of it
        self._taken = False
        self._off = False
        self.port = self._forwarded() if has_forward else 0
        process.console.settimeout(_SEND_S)         # read() waits by select: another thread may send meanwhile

    def __enter__(self) -> QemuSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self._off = True
        self._process.close()

    def read(self, timeout_s: float) -> bytes:
        """The next console bytes, as Session.read says."""
        began = time.monotonic()
        while not self._off:
            crash = self._crash()
            data = self._receive(min(timeout_s, _CRASH_S) if crash else timeout_s - (time.monotonic() - began))
            if data is None and crash and not self._stands_still(crash):
                self._recent = ""                   # it was only said
                continue
            if data is None:
                raise self._failed(f"the program crashed the machine: {crash}" if crash
                                   else f"the machine said nothing for {timeout_s:g} seconds")
            text = self._text.feed(data, final=not data)
            self._remember(text)
            self._find_end(data, text)
            if not data:
                self._ended()
            if data and self._terminal:
                return data
            if text and not self._terminal:
                return text.encode()
        return b""

    def send(self, text: str) -> None:
        """Type on the serial line; a newline is the Enter key.  Any thread may, while another reads."""
        if self._off:
            return
        try:
            self._process.console.sendall(text.replace("\n", "\r").encode())
        except TimeoutError as error:
            raise BarelmError("the machine does not take what is typed", "Read its console meanwhile.") from error
        except OSError:
            pass                                    # it went off meanwhile; read() tells

    def press(self, *keys: str) -> None:
        """Press keys together on the machine's own keyboard, by QEMU's names for them ("ret", "esc", "f2", "a")."""
        self._process.monitor.execute("send-key", keys=[{"type": "qcode", "data": key} for key in keys])

    def screenshot(self, path: Path) -> None:
        """Write what the screen shows: a PNG where `path` ends in .png (QEMU 7.1 or newer), else a PPM."""
        if not self._has_screen:
            raise BarelmError("this machine has no screen", "Start it as Qemu(screen=True).")
        kind = {"format": "png"} if path.suffix.lower() == ".png" else {}
        self._process.monitor.execute("screendump", filename=str(path.absolute()), **kind)

    def plug(self, is_in: bool) -> None:
        """Plug the network cable in, or pull it out."""
        self._process.monitor.execute("set_link", name="card", up=is_in)

    def _forwarded(self) -> int:
        """The host's port of the way in, which QEMU may have chosen."""
        told = self._process.monitor.execute("human-monitor-command", **{"command-line": "info usernet"})
        found = _FORWARDED.search(str(told))
        return int(found[1]) if found else 0

    def _receive(self, timeout_s: float) -> bytes | None:
        """What the console has next; empty when QEMU is gone, None when nothing came in time."""
        console = self._process.console
        if not select.select([console], [], [], max(timeout_s, 0))[0]:
            return None
        try:
            return console.recv(_CHUNK)
        except ConnectionError:
            return b""

    def _remember(self, text: str) -> None:
        """Keep the end of what was shown."""
        self._recent = (self._recent + text)[-_RECENT:]

    def _find_end(self, data: bytes, text: str) -> None:
        """Find the guest's status in how it gives the terminal back, or in lines where it never took it."""
        self._raw = (self._raw + data)[-_LONGEST_END - len(data):]
        self._taken = self._taken or self._terminal and _TAKEN in self._raw
        if self._taken:
            if end := _GIVEN_BACK.search(self._raw):
                self.status = int(end[1])
            return
        *lines, self._line = (self._line + text).split("\n")
        self._line = self._line[-_RECENT:]
        for line in lines:
            if match := _DONE.match(line):
                self.status = int(match[1])

    def _ended(self) -> None:
        """Note that the machine is off; BarelmError where that was QEMU's failure, not the guest's will."""
        self._off = True
        fault = self._process.exit_fault()
        if fault is not None:
            raise self._failed(f"QEMU failed: {fault}")

    def _stands_still(self, crash: str) -> bool:
        """Whether the processor that is said to have crashed has its interrupts off whenever one looks."""
        named = _CRASHED_ON.search(crash)
        number = int(named[1], 16) if named else 0
        try:
            for _ in range(_LOOKS):
                told = self._process.monitor.execute("human-monitor-command", **{"command-line": "info registers -a"})
                flags = re.findall("[ER]FL=([0-9a-f]+)", str(told))
                if number < len(flags) and int(flags[number], 16) & _INTERRUPTS_ON:
                    return False
                time.sleep(_LOOK_S)
        except BarelmError:
            pass  # this QEMU does not tell
        return True

    def _crash(self) -> str:
        """What the firmware says of an exception; empty where it says nothing of one."""
        _, crash, report = self._recent.partition(_CRASH)
        return (crash + report).split("\n", 1)[0].strip("! ")

    def _failed(self, what: str) -> BarelmError:
        """The error of a machine, with the last lines on its screen."""
        lines = [line.rstrip() for line in self._recent.split("\n") if line.strip()][-_SHOWN_LINES:]
        if not lines:
            return BarelmError(what, "Nothing was on its screen; check that the image holds EFI/BOOT/BOOTX64.EFI.")
        return BarelmError(what, "\n".join(["Its screen ended in:", *lines]))
