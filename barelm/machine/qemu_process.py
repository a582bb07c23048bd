"""One running QEMU: its process, its folder of temporary files, and the two connections that it opens to us."""

import contextlib
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from barelm.errors import BarelmError
from barelm.machine.qmp import Monitor

LOCALHOST = "127.0.0.1"

_DIAL_S = 60.0
_POLL_S = 0.1
_DIE_S = 10.0
_TAIL_BYTES = 2000
_NEW_PROCESS_GROUP = 0x200              # of Windows' CreateProcess


@dataclass(frozen=True)
class Wiring:
    """What differs from one start to the next: the copy of the firmware's variables, the ports to dial."""

    variables: Path
    console_port: int
    monitor_port: int


class QemuProcess:
    """QEMU from its start to its end.  It is killed, and its folder removed, at the latest when Python ends."""

    def __init__(self, command: Callable[[Wiring], list[str]], variables: Path) -> None:
        """Start `command`, with a private copy of the firmware's `variables`, and wait until it has dialled."""
        with contextlib.ExitStack() as undo:
            try:
                self.folder = Path(tempfile.mkdtemp(prefix="barelm-qemu-"))
                undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
                self._log = self.folder / "qemu.log"
                copy = self.folder / "variables.fd"
                shutil.copyfile(variables, copy)            # not its mode: the template may be read-only
                listeners = [undo.enter_context(socket.create_server((LOCALHOST, 0))) for _ in range(2)]
            except OSError as error:
                raise BarelmError(f"cannot prepare a machine: {error}",
                                  "Free some space in the folder for temporary files, or name another in TMPDIR.",
                                  ) from error
            ports = [listener.getsockname()[1] for listener in listeners]
            self._process = _spawn(command(Wiring(copy, *ports)), self._log)
            undo.callback(_end, self._process)
            self.console, control = [undo.enter_context(self._accept(listener)) for listener in listeners]
            for listener in listeners:
                listener.close()
            self.monitor = self._greet(control)
            undo.callback(self.monitor.close)
            # Kills it if it still runs, and removes what it left; calling this again does nothing.
            self.close = weakref.finalize(self, undo.pop_all().close)

    def exit_fault(self) -> str | None:
        """Why QEMU, whose connections ended, ended in failure: its last words.  None where it ended well."""
        try:
            status = self._process.wait(_DIE_S)
        except subprocess.TimeoutExpired:
            return "it closed the console but still runs"
        return None if status == 0 else self._last_words(status)

    def _accept(self, listener: socket.socket) -> socket.socket:
        """The connection QEMU opens; BarelmError where it dies before, or takes far too long."""
        deadline = time.monotonic() + _DIAL_S
        while not select.select([listener], [], [], _POLL_S)[0]:
            status = self._process.poll()
            if status is not None:
                raise self._stillborn(self._last_words(status))
            if time.monotonic() > deadline:
                raise BarelmError(f"QEMU did not come up within {_DIAL_S:.0f} seconds",
                                  "Check that the host is not out of memory, then try again.")
        return listener.accept()[0]

    def _greet(self, control: socket.socket) -> Monitor:
        """QEMU's monitor; BarelmError where it dies before it answers, as over a disk it cannot open."""
        try:
            return Monitor(control)
        except BarelmError as silence:
            raise self._stillborn(self.exit_fault() or silence.message) from silence

    def _stillborn(self, words: str) -> BarelmError:
        return BarelmError(f"QEMU did not start: {words}", "Correct what it says, or see `barelm doctor`.")

    def _last_words(self, status: int) -> str:
        try:
            words = self._log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            words = ""
        return words or f"it ended with {status} and said nothing"


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start QEMU in a process group of its own, so that Ctrl-C reaches us alone."""
    windows = os.name == "nt"
    try:
        with open(log, "wb") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                    start_new_session=not windows, creationflags=_NEW_PROCESS_GROUP if windows else 0)
    except OSError as error:
        raise BarelmError(f"cannot run {command[0]}: {error.strerror}",
                          "Check that BARELM_QEMU, or `qemu-system-x86_64` on the PATH, is a working QEMU.") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and see it gone."""
    process.kill()
    process.wait()
