"""`barelm boot`: an image's own console, both ways."""

import codecs
import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

from barelm.aot.build import was_built_here
from barelm.commands.progress import ProgressBar
from barelm.commands.run import machine_cores
from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.machine.choice import choose_machine
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Session, Spec
from barelm.machine.terminal import PlainText
from barelm.pack.parts import header_on
from barelm.pipeline import MODEL_PATH, PROGRAM_PATH, SILENCE_S, memory_mb

DEFAULT_MEMORY_MB = 1024
MOST_OF_A_PROGRAM = 1 << 26  # bytes: a longer one is none of ours
PROMPT = "\n> "  # as `metal.conversation.dialogue` shows it
ANY_KEY = "Press any key"  # and of its last screen
END_OF_INPUT = "\x04"  # Ctrl-D
INTERRUPT = "\x03"  # Ctrl-C
ENDLESS_ROWS = "\x1b[24;1000R"  # what a terminal says that has very long ones
PERSON_S = 1e6
"""How long it may be silent once a person can type: then it waits for that person."""
IMPATIENCE_S = 1.0
"""Ctrl-C three times within these seconds leaves, whatever the machine does."""

_ESCAPES = rb"(?:\x1b[78]|\x1b\[[0-9;]*[A-Za-z])*"
_DONE = re.compile(rb"BARELM DONE \d+\s*(?=" + _ESCAPES + rb"\x1b\[\?2004l)")  # as `machine.qemu_session` knows it
_MARK = b"BARELM DONE "
_DONE_PERHAPS = re.compile(_MARK + rb"\d*\s*" + _ESCAPES + rb"(?:\x1b(?:\[\??[0-9;]*)?)?\Z")
_LOADING = re.compile("Loading [█▉▊▋▌▍▎▏░]+[^\n]*? s left")
_RESET = "\x1b7\x1b[r\x1b8\x1b[?2004l\x1b[0m\x1b[?25h"


def boot_image(image: Path, machine: str | None, memory: int, cores: int, write: bool = False,
               display: bool = False) -> int:
    """Power an image on, show its console, pass keys on; the code is 1 where the program failed.

    What the program writes stays on the image only with `write`.
    """
    cores = machine_cores(memory, cores)
    with ProgressBar() as bar:
        chosen = choose_machine(machine, bar.note, display)
        if machine is None and chosen.name == Hosted.name:
            refuse_strangers(image)
        return converse(chosen, Spec(image, memory or needed_memory_mb(image), cores, write), bar)


def refuse_strangers(image: Path) -> None:
    """Raise BarelmError where the program of an image was not built here: where nobody asked for it, none of those runs
    natively, as a process of this person.
    """
    with open_volume(image) as volume:
        entry = volume.lookup(PROGRAM_PATH)
        if entry is not None and not was_built_here(volume.read(entry, 0, MOST_OF_A_PROGRAM)):
            raise BarelmError(f"the program on {image.name} was not built on this host, and here it would run natively",
                              "Install QEMU (`barelm doctor`), which shuts it in; or, where you trust whoever made the "
                              "image, add --machine hosted.")


def converse(machine: Machine, spec: Spec, bar: ProgressBar) -> int:
    """Power on, show the console, pass keys on until the machine is off or the program has ended."""
    bar.step(f"Booting on {machine.name}, {spec.cores} core{'s' * (spec.cores > 1)}")
    shows = sys.stdout.isatty()
    plain, seen, held = PlainText(), "", b""
    with machine.start(replace(spec, terminal=True)) as session, typing_to(session, shows) as listening:
        while console := session.read(PERSON_S if listening.is_set() else SILENCE_S):
            bar.clear()
            text = plain.feed(console)
            seen = (seen + text)[-256:]
            if PROMPT in seen or ANY_KEY in seen:
                listening.set()
            said = held + (console if shows else _LOADING.sub("", text).encode())
            said = _DONE.sub(b"", said)
            held = said[_certain(said):]
            sys.stdout.buffer.write(said[:len(said) - len(held)])
            sys.stdout.flush()
            if session.status is not None:
                break
        status = session.status
    if status:
        raise BarelmError(f"the program on {spec.image.name} ended with status {status & 0xFFFF}",
                          "The screen above says why.")
    return 0


def _certain(said: bytes) -> int:
    """How much of what was said cannot be the beginning of the program's last line."""
    if found := _DONE_PERHAPS.search(said):
        return found.start()
    return len(said) - max(n for n in range(len(_MARK)) if said.endswith(_MARK[:n]))


def needed_memory_mb(image: Path) -> int:
    """What the model on an image needs; the default if there is no sound model, which the program then reports."""
    with open_volume(image) as volume:
        entry = volume.lookup(MODEL_PATH)
        if entry is None:
            return DEFAULT_MEMORY_MB
        try:
            return memory_mb(int(header_on(volume, entry).memory_bytes))
        except BarelmError:
            return DEFAULT_MEMORY_MB


@contextlib.contextmanager
def typing_to(session: Session, shows: bool) -> Iterator[threading.Event]:
    """Pass on what comes from standard input while this lasts; a terminal is given back as it was.

    From a terminal keys go over as they are typed, Ctrl-C too once the event yielded is set: then the machine knows
    what it means.  So does the terminal's size when it changes.  A file or a pipe waits for that event, for firmware
    would take what comes too early as keys of its own; at its end Ctrl-D is typed.  Where what is said is not shown on
    a terminal (`shows`), rows of it do not end before the text does.
    """
    listening, over = threading.Event(), threading.Event()
    descriptor = sys.stdin.fileno()
    reader = threading.Thread(target=_pass_on, args=(descriptor, session, listening, over, shows), daemon=True)
    with contextlib.ExitStack() as given_back:
        if os.isatty(descriptor):
            given_back.enter_context(_by_key(descriptor))
            given_back.enter_context(_telling_size(session))
        reader.start()
        try:
            yield listening
        finally:
            over.set()
            listening.set()


@contextlib.contextmanager
def _by_key(descriptor: int) -> Iterator[None]:
    """A terminal that passes on every key and shows none: the machine shows them."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)
    raw = termios.tcgetattr(descriptor)
    raw[1] |= termios.OPOST  # what goes out is written as ever
    termios.tcsetattr(descriptor, termios.TCSADRAIN, raw)
    try:
        yield
    finally:
        if sys.stdout.isatty():
            sys.stdout.write(_RESET)
            sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _telling_size(session: Session) -> Iterator[None]:
    """Tell the machine when the terminal's window changes, in the words of a terminal that is asked."""
    def tell(number: int, frame: FrameType | None) -> None:
        size = shutil.get_terminal_size()
        with contextlib.suppress(BarelmError, OSError, ValueError):
            session.send(f"\x1b[{size.lines};{size.columns}R")

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _pass_on(descriptor: int, session: Session, listening: threading.Event, over: threading.Event,
             shows: bool) -> None:
    a_terminal = os.isatty(descriptor)
    if not a_terminal or not shows:
        listening.wait()
    if not shows:
        with contextlib.suppress(BarelmError, OSError, ValueError):
            session.send(ENDLESS_ROWS)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pressed: list[float] = []
    with contextlib.suppress(BarelmError, OSError, ValueError):
        while not over.is_set():
            typed = os.read(descriptor, 256)
            if over.is_set():
                return
            text = decoder.decode(typed) if typed else END_OF_INPUT
            if a_terminal and INTERRUPT in text:
                pressed = [*pressed[-2:], time.monotonic()]
                if not listening.is_set() or (len(pressed) == 3 and pressed[2] - pressed[0] < IMPATIENCE_S):
                    os.kill(os.getpid(), signal.SIGINT)
            session.send(text)
            if not typed:
                return
