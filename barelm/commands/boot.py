"""`barelm boot`: an image's own console, both ways."""

from __future__ import annotations

import codecs
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
from barelm.machine.machine import Machine, Session, Spec
from barelm.pack import layout
from barelm.pack.reader import parse_header
from barelm.pipeline import FIRMWARE_MB, MODEL_PATH, SILENCE_S

DEFAULT_MEMORY_MB = 1024
PROMPT = b"\n> "  # as `metal.chat` shows it
ANY_KEY = b"Press any key"  # and of its last screen
END_OF_INPUT = "\x04"  # Ctrl-D


def boot_image(image: Path, machine: str | None, memory: int, cores: int) -> int:
    """Power an image on, show its console, pass keys on; the code is 1 where the program failed."""
    check_machine(memory, cores)
    with Screen() as screen:
        chosen = choose_machine(machine, screen.note)
        return converse(chosen, Spec(image, memory or needed_memory_mb(image), cores), screen)


def converse(machine: Machine, spec: Spec, screen: Screen) -> int:
    """Power on, show the console, pass keys on until the machine is off or the program has ended."""
    screen.step(f"Booting on {machine.name}")
    seen = b""
    with machine.start(spec) as session, typing_to(session) as listening:
        while console := session.read(SILENCE_S):
            screen.clear()
            seen = (seen + console)[-256:]
            if PROMPT in seen or ANY_KEY in seen:
                listening.set()
            sys.stdout.buffer.write(console)
            sys.stdout.flush()
            if session.status is not None:
                break
        status = session.status
    if status:
        raise BarelmError(f"the program on {spec.image.name} ended with status {status & 0xFFFF}",
                          "The screen above says why.")
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
def typing_to(session: Session) -> Iterator[threading.Event]:
    """Pass on what comes from standard input while this lasts; a terminal is given back as it was.

    From a terminal keys go over as they are typed.  A file or a pipe waits for the event yielded, for firmware would
    take what comes too early as keys of its own; at its end Ctrl-D is typed.
    """
    listening, over = threading.Event(), threading.Event()
    reader = threading.Thread(target=_pass_on, args=(sys.stdin.fileno(), session, listening, over), daemon=True)
    if os.isatty(sys.stdin.fileno()):
        listening.set()
    with _by_key(sys.stdin.fileno()):
        reader.start()
        try:
            yield listening
        finally:
            over.set()
            listening.set()


@contextlib.contextmanager
def _by_key(descriptor: int) -> Iterator[None]:
    """A terminal that hands over every key and shows none: the machine does."""
    if not os.isatty(descriptor):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pass_on(descriptor: int, session: Session, listening: threading.Event, over: threading.Event) -> None:
    listening.wait()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with contextlib.suppress(BarelmError, OSError, ValueError):
        while not over.is_set():
            typed = os.read(descriptor, 256)
            if over.is_set():
                return
            session.send(decoder.decode(typed) if typed else END_OF_INPUT)
            if not typed:
                return
