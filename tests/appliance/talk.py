"""Conversations by script, typed ahead and read as plain text: what takes a person minutes, a hundred times over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Spec
from tests.appliance.chatty import MEMORY_MB

PATIENCE_S = 120
ENDLESS_ROWS = "\x1b[1000;1000R"
"""What a terminal answers whose rows are never too short: then none is wrapped, and nothing is drawn twice."""

_STATS = re.compile(r"turns (\d+), (\d+) of \d+ tokens, (\d+) of them cached\nread (\d+) at [\d.-]+ a second, "
                    r"made (\d+) at [\d.-]+ a second; the last answer: read (\d+), made (\d+)")


@dataclass(frozen=True)
class Stats:
    """What `/stats` says."""

    turns: int
    tokens: int
    cached: int
    read: int
    made: int
    last_read: int
    last_made: int


@dataclass(frozen=True)
class Talk:
    """A conversation: what was shown, the status (None where the power was cut), how many sector writes there were."""

    shown: str
    status: int | None
    writes: int

    @property
    def stats(self) -> list[Stats]:
        """Every answer to `/stats`."""
        return [Stats(*map(int, found)) for found in _STATS.findall(self.shown)]

    def answer_to(self, line: str) -> str:
        """What is shown after a line was typed, up to the next prompt."""
        return self.shown.rpartition(f"> {line}\n")[2].partition("\n> ")[0]


def talk(image: Path, *lines: str, machine: Machine | None = None, writable: bool = True, memory_mb: int = MEMORY_MB,
         cores: int = 1) -> Talk:
    """Boot, wait for the prompt, type all lines and then `/off`, at once; read to the end."""
    shown = ""
    machine = machine or Hosted()
    typed = False
    with machine.start(Spec(image, memory_mb, cores, writable=writable)) as session:
        while content := session.read(PATIENCE_S):
            shown += content.decode()
            if not typed and shown.rstrip(" ").endswith("\n>"):
                typed = True
                session.send(ENDLESS_ROWS + "".join(f"{line}\n" for line in (*lines, "/off")))
        return Talk(shown, session.status, getattr(session, "writes", 0))
