"""`barelm boot`: an image's own console, both ways."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from barelm.commands.run import check_machine
from barelm.commands.screen import Screen
from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.machine.choice import choose_machine
from barelm.machine.machine import Session, Spec
from barelm.pack import layout
from barelm.pack.reader import parse_header
from barelm.pipeline import FIRMWARE_MB, MODEL_PATH, SILENCE_S

DEFAULT_MEMORY_MB = 1024


def boot_image(image: Path, machine: str | None, memory: int, cores: int) -> int:
    """Power on, show the console, pass keys on; the code is 1 where the program failed."""
    check_machine(memory, cores)
    with Screen() as screen:
        chosen = choose_machine(machine, screen.note)
        spec = Spec(image, memory or needed_memory_mb(image), cores)
        screen.step(f"Booting on {chosen.name}")
        with chosen.start(spec) as session, typing_to(session):
            while console := session.read(SILENCE_S):
                screen.clear()
                sys.stdout.buffer.write(console)
                sys.stdout.flush()
            status = session.status
    if status:
        raise BarelmError(f"the program on {image} ended with status {status & 0xFFFF}", "The screen above says why.")
    return 0


def needed_memory_mb(image: Path) -> int:
    """What the model on an image needs, the default where it holds none or a damaged one: its own screen says so."""
    with open_volume(image) as volume:
        entry = volume.lookup(MODEL_PATH)
        if entry is None:
            return DEFAULT_MEMORY_MB
        try:
            header = parse_header(volume.read(entry, 0, layout.HEADER_BYTES), entry.size, MODEL_PATH)
        except BarelmError:
            return DEFAULT_MEMORY_MB
        return FIRMWARE_MB + (int(header[layout.MEMORY_BYTES]) + (1 << 20) - 1 >> 20)


@contextlib.contextmanager
def typing_to(session: Session) -> Iterator[None]:
    """Pass on what is typed here, key by key, while this lasts; a terminal is given back as it was."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    over = threading.Event()
    tty.setcbreak(descriptor)
    reader = threading.Thread(target=_pass_on, args=(descriptor, session, over), daemon=True)
    reader.start()
    try:
        yield
    finally:
        over.set()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pass_on(descriptor: int, session: Session, over: threading.Event) -> None:
    while not over.is_set() and (typed := os.read(descriptor, 64)):
        if over.is_set():
            return
        with contextlib.suppress(BarelmError, OSError):
            session.send(typed.decode(errors="ignore"))
