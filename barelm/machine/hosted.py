"""The hosted machine: the image's own program, natively in a child process on a firmware written in Python.

No emulation, so it is as fast as the metal.  The process may ask Linux for little (`firmware.process.confinement`) and
is given few variables; that is still less of a wall than an emulated machine, so nobody is led here unasked with a
program that was not built on this host (`commands.boot`).
"""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from barelm.child_python import bare_environment, child_command
from barelm.errors import BarelmError
from barelm.machine.firmware.devices.network_plan import Card
from barelm.machine.machine import Forward, Spec
from barelm.machine.screen import BGR, Screen, save_picture
from barelm.machine.terminal import PlainText

if TYPE_CHECKING:
    from barelm.machine.firmware.faults import Fault  # not at run time: it takes NumPy, which the child needs alone

CHILD = "barelm.machine.firmware.process.child"
_CHUNK = 1 << 16
_LAST_WORDS_S = 10
_ENDED_WELL = (0, 1, 4)  # exit codes of the child: the program returned a status, or the power was cut as asked for


@dataclass(frozen=True)
class Hosted:
    """`machine.Machine`: runs the program in a process of this Linux, with `faults` in its firmware.

    `screen` is the size of its screen in pixels, where it is to have one, and `pixels` one of `screen.KINDS`.
    With `guard_pages` so many stay free behind what the program allocates: an access there ends it at once.
    `slips` are those of its processors (`devices.processors.Slips`).
    What of its memory is `occupied`, from which MiB on and how many, is somebody else's: so the rest is in pieces.
    With a `power_cut` of n the power goes off right after the n-th sector write (0: never): then the session has no
    status, and `read` says nothing but that the machine is off.  `system_calls` are those, by number, that its process
    may have beside the usual, for a device that needs them.  It has a network `card` where one is given, or where the
    spec has a forward.
    """

    faults: tuple[Fault, ...] = ()
    name: str = "hosted"
    screen: tuple[int, int] | None = None
    pixels: str = BGR
    power_cut: int = 0
    occupied: tuple[tuple[int, int], ...] = ()
    slips: tuple[float, int, float] = (0, 0, 0)
    system_calls: tuple[int, ...] = ()
    guard_pages: int = 0
    tpm: bool = False
    card: Card | None = None

    def why_not(self) -> str | None:
        """Why this machine cannot be used here, in a sentence; None where it can."""
        if platform.system() == "Linux" and platform.machine() in ("x86_64", "AMD64"):
            return None
        here = f"{platform.system()} on {platform.machine()}"
        return f"the hosted machine needs Linux on x86-64, and this is {here}"

    def start(self, spec: Spec) -> HostedSession:
        """Start the child process.  What is wrong inside the image is raised by the first `read`."""
        reason = self.why_not()
        if reason is not None:
            raise BarelmError(reason, "Use the QEMU machine instead: it runs the same image anywhere.")
        if not spec.image.is_file():
            raise BarelmError(f"there is no image {spec.image}", "Check the path; `barelm image` writes one.")
        return HostedSession(spec, self)


def memory_left() -> int:
    """Bytes of memory this host can still give to processes; without an end where it does not say."""
    with suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    return 1 << 62


def listen(forward: Forward) -> socket.socket:
    """The host's end of a forward; raises BarelmError where it cannot be had."""
    try:
        return socket.create_server((forward.address, forward.port), backlog=128)
    except (OSError, OverflowError) as error:
        raise BarelmError(f"this host cannot listen at {forward.address}, port {forward.port}: {error}",
                          "Take another port; 0 is any that is free.") from error


@cache
def _say_unconfined(reason: str) -> None:
    """Once."""
    print(f"This system does not limit what the hosted machine's process may ask for: {reason}", file=sys.stderr)


class HostedSession:
    """A running child process: `machine.Session`.

    Of a machine that is off `status` is what the program returned, None where it returned nothing, `calls` how often
    each service was called, which is what there is to make fail, and `writes` how many sector writes there were, which
    is where the power can be cut: a run of neighbouring sectors that one service call fills with data counts as one.
    `kept` are the bytes of memory the program did not give back, and `left` what else (`fault_report.LEFT`).
    """

    def __init__(self, spec: Spec, machine: Hosted) -> None:
        """Start it, in a session of its own: what Ctrl-C means is decided here, not by the terminal."""
        self.status: int | None = None
        self.calls: dict[str, int] = {}
        self.writes = self.kept = 0
        self.left: dict[str, int] = {}
        self.port = 0
        self._terminal = spec.terminal
        self._text = PlainText()
        self._failure: BarelmError | None = None
        report_in, report_out = os.pipe()
        self._report = open(report_in, "rb")
        self._errors = tempfile.TemporaryFile()
        self._pixels = tempfile.TemporaryFile() if machine.screen else None
        shared = [self._pixels.fileno()] if self._pixels else []
        card = machine.card or (Card() if spec.forward else None)
        listener = listen(spec.forward) if spec.forward else None
        if spec.forward and listener:
            self.port = int(listener.getsockname()[1])
            shared.append(listener.fileno())
        setup = {"image": os.path.abspath(spec.image), "memory_mb": spec.memory_mb, "cores": spec.cores,
                 "writable": spec.writable, "faults": [*map(str, machine.faults)], "power_cut": machine.power_cut,
                 "occupied": machine.occupied, "slips": machine.slips, "system_calls": machine.system_calls,
                 "guard_pages": machine.guard_pages,
                 "tpm": machine.tpm, "card": asdict(card) if card else None,
                 "ports": [(spec.forward.to, listener.fileno())] if spec.forward and listener else [],
                 "screen": str(Screen(*machine.screen, machine.pixels)) if machine.screen else None,
                 "screen_fd": self._pixels.fileno() if self._pixels else None, "report_fd": report_out}
        command = child_command(CHILD, json.dumps(setup))
        try:
            environment = bare_environment(OPENBLAS_NUM_THREADS="1")  # NumPy comes along: no threads for it
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=self._errors, bufsize=0,
                                             pass_fds=[report_out, *shared], start_new_session=True)
        finally:
            os.close(report_out)
            if listener:
                listener.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._keyboard, self._screen = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        """The process that watches; the one that runs the program is its child."""
        return self._process.pid

    def __enter__(self) -> HostedSession:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            while os.read(self._screen.fileno(), _CHUNK):
                pass  # its end: then the machine's memory is free again
        for file in (self._keyboard, self._screen, self._errors, self._report, self._pixels):
            if file is not None:
                file.close()

    def read(self, timeout_s: float) -> bytes:
        """The next console bytes, empty when the machine is off; raises BarelmError as `machine.Session.read`."""
        if self._failure is not None:
            raise self._failure
        if self._screen.closed:
            return b""
        poll = select.poll()
        poll.register(self._screen, select.POLLIN)
        while True:
            if not poll.poll(timeout_s * 1000):
                raise BarelmError(f"the program said nothing for {timeout_s:g} s",
                                  "It hangs, or this machine is very busy; try again with more time.")
            content = os.read(self._screen.fileno(), _CHUNK)
            if not content:
                self._settle()
            if self._terminal or not content:
                return content
            if text := self._text.feed(content):
                return text.encode()

    def send(self, text: str) -> None:
        """Type; on a machine that is off it has no effect."""
        content = memoryview(text.encode())
        with suppress(BrokenPipeError):
            while content:
                content = content[os.write(self._keyboard.fileno(), content):]

    def screenshot(self, path: Path) -> None:
        """Write what the screen shows, on or off: a PNG where `path` ends in .png, else a PPM."""
        if self._pixels is None:
            raise BarelmError("this machine has no screen", "Start it as Hosted(screen=(1920, 1080)).")
        save_picture(self._pixels, path)

    def _settle(self) -> None:
        """The screen went dark: learn the program's status, or raise what went wrong."""
        if self._process.returncode is not None:
            return
        try:
            code = self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for line in self._report:
            report = json.loads(line)
            if "unconfined" in report:
                _say_unconfined(report["unconfined"])
            else:
                self.status, self.calls, self.writes = report["status"], report["calls"], report["writes"]
                self.kept, self.left = report["kept"], report["left"]
        if code not in _ENDED_WELL:
            self._errors.seek(0)
            message, _, hint = self._errors.read().decode(errors="replace").removesuffix("\n").rpartition("\n")
            self._failure = BarelmError(message or f"the hosted machine ended with {code}", hint)
            raise self._failure
