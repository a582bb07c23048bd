"""The interface of every machine: power on with an image, read the console, type, see it end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


def host_processors() -> int:
    """How many processors of this host this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Forward:
    """Who connects to a `port` of this host, at one of its addresses, is connected to the machine's port `to`.

    Port 0 is any that is free: the session says which.
    """

    port: int
    to: int
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class Spec:
    """What to power on: a disk image, how much memory (MiB), how many cores.

    Where it is `writable`, what the program writes stays on the image; where whoever reads the console is a
    `terminal`, escapes are passed on.  With a `forward` it has a network card.
    """

    image: Path
    memory_mb: int = 1024
    cores: int = 1
    writable: bool = False
    terminal: bool = False
    forward: Forward | None = None


class Session(Protocol):
    """A machine that is on.  A context manager: leaving it powers the machine off, whatever happened.

    `status` is what the program returned to the firmware, once the machine is off; None where that is unknown.  `port`
    is where this host listens for the machine; 0: nowhere.
    """

    def __enter__(self) -> Session: ...

    def __exit__(self, *exc: object) -> None: ...

    @property
    def status(self) -> int | None: ...

    @property
    def port(self) -> int: ...

    def read(self, timeout_s: float) -> bytes:
        """The next console bytes: UTF-8, terminal escapes and carriage returns removed, unless the spec says
        `terminal`.  Empty when it is off.

        Raises BarelmError when nothing came for `timeout_s` seconds while it is still on, or when it crashed.
        """

    def send(self, text: str) -> None:
        """Type on the keyboard; a newline is the Enter key."""


class Machine(Protocol):
    """Something that can boot an image; the command line knows it by its `name`."""

    @property
    def name(self) -> str: ...

    def why_not(self) -> str | None:
        """Why this machine cannot be used here, in a sentence; None where it can."""

    def start(self, spec: Spec) -> Session:
        """Power on.  Raises BarelmError, naming what to install or to change, when it cannot."""
