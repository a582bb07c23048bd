"""The process of a hosted machine: `python -m barelm.machine.firmware.process.child SETUP`.  Console: standard streams.

SETUP is JSON: the fields of `firmware.Setup`, faults and the screen as text, sockets as numbers of files; in
`system_calls` the numbers of those the program may have beside the usual (`confinement`); in `report_fd` where to
write, a line of JSON each, why there is no confinement, if there is none, and the program's status, its calls, its
writes, the bytes of memory it kept and what else it left behind.

Two processes: one runs the program, and may crash; the other watches, and says what happened on standard error: the
message in all lines but the last, which is what to do.  Exit code 0: the program returned EFI_SUCCESS.  1: another
status.  2: there was nothing to run.  3: it crashed or was stopped.  4: the power was cut, as asked for.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from barelm.errors import BarelmError
from barelm.machine.firmware.fault_report import LEFT, Report
from barelm.machine.firmware.faults import parse_fault
from barelm.machine.firmware.process import native
from barelm.machine.firmware.process.confinement import TGKILL, confine
from barelm.machine.screen import parse_screen

POWER_CUT = 4
_REPORT_BUG = "This is a bug; please report it with the image and this message."


class Process:
    """The switch of a machine that is a process (`firmware.Switch`)."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def off(self, status: int) -> None:
        """Note the program's status and end."""
        self._report.returned, self._report.has_returned = status, 1
        os._exit(0 if status == 0 else 1)

    def power_cut(self) -> None:
        """End at once and say nothing."""
        os._exit(POWER_CUT)

    def unplugged(self) -> None:
        """The other end of the keyboard's pipe is gone, so nobody waits for anything."""
        os._exit(3)

    def watchdog(self, seconds: int) -> None:
        """End with a message (7.5.1)."""
        stop(f"the watchdog reset the machine: the program was not done after {seconds} s",
             "A program has to disable it with SetWatchdogTimer before five minutes are over.")

    def broken(self, service: str, error: BaseException) -> None:
        """End with the message of a BarelmError, or with a traceback."""
        if isinstance(error, BarelmError):
            stop(error.message, error.hint)
        stop(f"{service} failed in the firmware: {_traced(error)}", _REPORT_BUG)


def main(text: str) -> int:
    """Run a machine to its end; returns the exit code."""
    setup = json.loads(text)
    report_fd = setup.pop("report_fd")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    report = Report.from_buffer(mmap.mmap(-1, ctypes.sizeof(Report)))
    child = os.fork()
    if child == 0:
        native.die_with_parent()
        _run(setup, report, report_fd)
    _, wait_status = os.waitpid(child, 0)
    os.write(report_fd, json.dumps({"status": report.status, "calls": report.calls, "writes": report.writes,
                                    "kept": report.kept,
                                    "left": {name: n for name, n in zip(LEFT, report.left) if n}}).encode())
    fault = report.fault()
    if fault is not None:
        _say(fault, "This is a bug in the program; please report it with the image and this message.")
    elif os.WIFSIGNALED(wait_status):
        _say(f"the machine was ended by {signal.Signals(os.WTERMSIG(wait_status)).name}",
             "Give it less memory if this one is short of it." if os.WTERMSIG(wait_status) == signal.SIGKILL else "")
    return os.WEXITSTATUS(wait_status) if os.WIFEXITED(wait_status) else 3


def stop(message: str, hint: str, code: int = 3) -> None:
    """Say what went wrong and end the process, from any thread."""
    _say(message, hint)
    os._exit(code)


def _run(setup: dict[str, Any], report: Report, report_fd: int) -> None:
    """The process that runs the program; ends with it.  What is loaded by now is all it will ever open."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        from barelm.machine.firmware.devices.host_sockets import OUTGOING_CALLS, SYSTEM_CALLS
        from barelm.machine.firmware.devices.network_plan import Card
        from barelm.machine.firmware.devices.processors import Slips
        from barelm.machine.firmware.firmware import HostedFirmware, Setup
        more = [*setup.pop("system_calls"), *([TGKILL] if setup["slips"][1] else []),
                *(SYSTEM_CALLS.values() if setup["card"] else ()),
                *(OUTGOING_CALLS.values() if setup["card"] and setup["card"]["outgoing"] else ())]
        setup |= {"image": Path(setup["image"]), "faults": tuple(map(parse_fault, setup["faults"])),
                  "slips": Slips(*setup["slips"]), "card": Card(**setup["card"]) if setup["card"] else None,
                  "ports": tuple((port, _listener(number)) for port, number in setup["ports"]),
                  "screen": parse_screen(setup["screen"]) if setup["screen"] else None}
        switch = Process(report)
        firmware = HostedFirmware(Setup(**setup), switch, report)
        kept = native.prepare_thread()
        native.note_faults(ctypes.addressof(report))
        native.limit_arenas()
        if reason := confine(more):
            os.write(report_fd, json.dumps({"unconfined": reason}).encode() + b"\n")
        os.close(report_fd)
        switch.off(firmware.run())
        del kept
    except BarelmError as error:
        stop(error.message, error.hint, 2)
    except BaseException as error:
        stop(f"the firmware failed: {_traced(error)}", _REPORT_BUG)


def _listener(number: int) -> socket.socket:
    """A socket that listens, and does not block."""
    listener = socket.socket(fileno=number)
    listener.setblocking(False)
    return listener


def _traced(error: BaseException) -> str:
    """An error and the lines that led to it, by number: their text is in files, which can no longer be opened."""
    places = [f"{Path(frame.f_code.co_filename).name}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return f"{type(error).__name__}: {error} ({', '.join(places)})"


def _say(message: str, hint: str) -> None:
    os.write(2, f"{message}\n{hint}\n".encode(errors="replace"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
