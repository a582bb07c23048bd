"""A person before a machine: types, on its keyboard or on a terminal, and reads, the screen or that terminal."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import pyte

from barelm.errors import BarelmError
from barelm.machine.machine import Session
from barelm.machine.qemu_session import QemuSession
from tests.appliance.reader import Seen, read_picture

SILENCE_S = 300.0
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.05
KEY_S = 0.12  # between two keys of QEMU's, which holds each for a tenth of a second

KEYS = {"enter": ("\r", "ret"), "esc": ("\x1b", "esc"), "up": ("\x1b[A", "up"), "down": ("\x1b[B", "down"),
        "page up": ("\x1b[5~", "pgup"), "ctrl-c": ("\x03", "")}
"""What a terminal sends for a key, and what QEMU calls it."""
CODES = {" ": "spc", "/": "slash", "?": "shift slash", ".": "dot", ",": "comma", "-": "minus", "'": "apostrophe"}


class Pictured(Protocol):
    """A session of which pictures can be taken."""

    def screenshot(self, path: Path) -> None:
        """Write one."""


class Terminal(pyte.Screen):  # type: ignore[misc]
    """A terminal of many rows, which answers what it is asked."""

    def __init__(self, columns: int, rows: int, session: Session) -> None:
        super().__init__(columns, rows)
        self.session = session

    def write_process_input(self, data: str) -> None:
        """An answer."""
        self.session.send(data)


class Person:
    """Whoever sits there.  A context manager: leaving it powers the machine off."""

    def __init__(self, session: Session, *, looks_at: str = "terminal", keyboard: bool = False, columns: int = 80,
                 rows: int = 120) -> None:
        """Look at the "screen" or the "terminal"; type on the machine's own `keyboard` (QEMU), or on the terminal."""
        self.session, self.looks_at, self.keyboard = session, looks_at, keyboard
        self.terminal = Terminal(columns, rows, session)
        self.stream = pyte.ByteStream(self.terminal)
        self.lock = threading.Lock()
        self.heard = b""
        self.said = ""
        self.trouble: BarelmError | None = None
        self.listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Person:
        self.session.__enter__()
        self.listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.session.__exit__(kind, error, trace)
        self.listener.join(PATIENCE_S)

    def _listen(self) -> None:
        try:
            while content := self.session.read(SILENCE_S):
                self.heard += content
                with self.lock:
                    self.stream.feed(content)
        except BarelmError as trouble:
            self.trouble = trouble
        except (OSError, ValueError):
            pass  # powered off meanwhile

    def type(self, text: str) -> None:
        """Type letters."""
        if not self.keyboard:
            self.session.send(text)
            return
        for letter in text:
            self._press(*CODES.get(letter, f"shift {letter.lower()}" if letter.isupper() else letter).split())

    def press(self, key: str) -> None:
        """Press one of KEYS."""
        if self.keyboard:
            self._press(KEYS[key][1])
        else:
            self.session.send(KEYS[key][0])

    def _press(self, *keys: str) -> None:
        assert isinstance(self.session, QemuSession)
        self.session.press(*keys)
        time.sleep(KEY_S)

    def says(self, line: str) -> None:
        """Type a line and press Enter."""
        self.said = line
        self.type(line)
        self.press("enter")

    def look(self) -> str:
        """What can be read now, but for the status; nothing while the screen is another's."""
        if self.looks_at == "screen":
            try:
                return self.screen().text
            except (BarelmError, ValueError):
                return ""
        with self.lock:
            return "\n".join(row.rstrip() for row in self.terminal.display[:-1]).rstrip("\n")

    def screen(self) -> Seen:
        """The screen as it is now."""
        session: Any = self.session
        with tempfile.TemporaryDirectory() as folder:
            session.screenshot(Path(folder) / "screen.ppm")
            return read_picture(Path(folder) / "screen.ppm")

    def sees(self, *words: str, after: str = "", patience_s: float = PATIENCE_S) -> str:
        """Wait until all words are to be read behind the last place where `after` stands; returns what is there."""
        began = time.monotonic()
        shown = ""
        while time.monotonic() - began < patience_s:
            shown = self.look()
            _, found, behind = shown.rpartition(after) if after else ("", " ", shown)
            if found and all(word in behind for word in words):
                return shown
            if not self.listener.is_alive() and self.looks_at == "terminal":
                break
            time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"never seen: {words} after {after!r}; {self.trouble or ''}\n{shown}")

    def waits(self) -> str:
        """Wait for the prompt with nothing behind it, after what was said last; returns what is between the two."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE_S:
            shown = self.look()
            _, found, behind = shown.rpartition(f"> {self.said}\n") if self.said else ("", " ", shown)
            if found and behind.endswith("\n>"):
                return behind.removesuffix(">").rstrip("\n")
            time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"no prompt; {self.trouble or ''}\n{shown}")

    def leaves(self) -> int | None:
        """Wait until the machine is off; returns the status of the program."""
        self.listener.join(PATIENCE_S)
        assert not self.listener.is_alive(), f"it is still on:\n{self.look()}"
        if self.trouble:
            raise self.trouble
        return self.session.status
