"""`barelm serve`: a machine of this host that serves a model at a port of this host, until it is told to end."""

import errno
import http.client
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from barelm import pipeline
from barelm.aot.build import build_begun
from barelm.commands.progress import ProgressBar
from barelm.commands.run import machine_cores
from barelm.errors import BarelmError
from barelm.host_files import working_folder
from barelm.machine.choice import quick_machine
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Forward, Machine, Session, Spec
from barelm.pipeline import Order

QUIET_S = 1e6
"""How long a node that serves may say nothing: nobody may be asking it."""
PAUSE_S, ANSWER_S = 0.2, 5.0
"""Between two questions whether it serves, and how long one may take."""
LEAVE_S = 30.0
"""What answers that are under way may take when it is told to end."""
INTERRUPT = "\x03"  # Ctrl-C
_NOT_FOR_PEOPLE = re.compile("[█▉▊▋▌▍▎▏░]|^BARELM DONE ")


@dataclass(frozen=True)
class HostPort:
    """Where on this host clients find a node."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """As clients write it."""
        return f"http://{self.host}:{self.port}"

    def taken(self) -> "HostPort":
        """The same as an IPv4 address and a port that is free now.  Raises BarelmError where there is none."""
        try:
            if not 0 <= self.port < 1 << 16:
                raise OverflowError("there is no such port")
            address = socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
            with socket.create_server((str(address[0]), int(address[1]))) as server:
                return HostPort(*server.getsockname())
        except (OSError, OverflowError) as error:
            hint = {errno.EADDRINUSE: "Something listens there already: give another --port.",
                    errno.EACCES: "Ports below 1024 are for root: give another --port."}
            number = getattr(error, "errno", None) or 0
            why = os.strerror(number) if number > 0 else str(error)
            raise BarelmError(f"cannot listen at {self.host}, port {self.port}: {why}",
                              hint.get(number, "Give an IPv4 address of this host with --host.")) from error

    def is_healthy(self) -> bool:
        """Whether a node answers there that it serves."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host
        asked = http.client.HTTPConnection(host, self.port, timeout=ANSWER_S)
        try:
            asked.request("GET", "/health")
            return asked.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()


def serve_model(order: Order, machine: str | None, place: HostPort) -> int:
    """Serve until Ctrl-C.  Raises BarelmError where the port is taken, or the node ends by itself with a failure."""
    order = replace(order, cores=machine_cores(order.memory_mb, order.cores))
    place = place.taken()
    with ProgressBar() as bar, build_begun():
        chosen = quick_machine(machine, bar.note)
        model = pipeline.packed_model(order.model, order.tokenizer, order.packing, bar, order.memory_mb)
        settings = order.settings.but(serve=True, at_end="shutdown", wait=0, cores=order.cores)
        pipeline.check_asked(model, settings, bar)
        served = pipeline.served_bytes(model, settings)
        if chosen.name == Hosted.name and not order.memory_mb and (reason := pipeline.hosted_refusal(served)):
            raise BarelmError(reason, "Give fewer --slots, or a shorter --context.")
        program = pipeline.built_program(bar)
        with working_folder() as folder:
            image = pipeline.bootable_image(folder / "node.img", program, model.path,
                                            settings.suited(model.chat is not None), bar)
            spec = Spec(image, order.memory_mb or pipeline.memory_mb(served), order.cores,
                        forward=Forward(place.port, settings.port, place.host))
            return attend(chosen, spec, place, model.name, bar)


def attend(machine: Machine, spec: Spec, place: HostPort, name: str, bar: ProgressBar) -> int:
    """Power a node on, pass on what it says, and end it in order when told to."""
    cores = f"{spec.cores} core{'s' * (spec.cores > 1)}"
    bar.step(f"Booting on {machine.name}, {cores}")
    with machine.start(spec) as session:
        log = Log(session, bar)
        try:
            with announced(place, f"Serving {name} at {place.url} ({machine.name}, {cores}).  Ctrl-C ends it.", log):
                log.read_on(QUIET_S)
        except (KeyboardInterrupt, SystemExit) as told:
            log.note("Ending, when the answers under way are made.  Ctrl-C again ends it at once.")
            session.send(INTERRUPT)
            with suppress(KeyboardInterrupt, SystemExit, BarelmError):
                log.read_on(LEAVE_S)
            if isinstance(told, SystemExit):
                raise
            return 0
        if session.status:
            raise BarelmError(f"the node ended with status {session.status & 0xFFFF}", "What it said says why.")
    return 0


class Log:
    """The lines of a node's console, shown as they come; lines of our own between them."""

    def __init__(self, session: Session, bar: ProgressBar) -> None:
        self._session, self._bar, self._line = session, bar, ""
        self._one_at_a_time = threading.Lock()

    def note(self, line: str) -> None:
        """Show a line; from any thread."""
        with self._one_at_a_time:
            self._bar.note(line)

    def read_on(self, time_s: float) -> None:
        """Read until the machine is off, for so long."""
        until = time.monotonic() + time_s
        while said := self._session.read(max(until - time.monotonic(), 0)):
            *lines, self._line = (self._line + said.decode(errors="replace")).split("\n")
            for line in lines:
                if line.strip() and not _NOT_FOR_PEOPLE.search(line):
                    self.note(line)


@contextmanager
def announced(place: HostPort, line: str, log: Log) -> Iterator[None]:
    """While this lasts, the node is asked whether it serves; the first time it does, a line says so."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(PAUSE_S):
            if place.is_healthy() and not over.is_set():
                log.note(line)
                return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield
    finally:
        over.set()
