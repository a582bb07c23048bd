"""`barelm boot` and `barelm chat`: how long a machine may say nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from barelm.commands.boot import PERSON_S, converse
from barelm.commands.progress import ProgressBar
from barelm.machine.machine import Spec
from barelm.pipeline import SILENCE_S


class Speaking:
    """A machine, and its session, that says a few things; how long each was waited for is kept."""

    name = "speaking"
    status = None

    def __init__(self, *says: bytes) -> None:
        self._says, self.waited = [*says, b""], list[float]()

    def __enter__(self) -> Speaking:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def why_not(self) -> str | None:
        """It can be used anywhere."""
        return None

    def start(self, spec: Spec) -> Speaking:
        """Itself."""
        return self

    def read(self, timeout_s: float) -> bytes:
        """The next thing it says."""
        self.waited.append(timeout_s)
        return self._says.pop(0)

    def send(self, text: str) -> None:
        """It does not listen."""


@pytest.mark.parametrize("invitation", [b"\n> ", b"Press any key"])
def test_a_person_may_take_their_time(monkeypatch: pytest.MonkeyPatch, invitation: bytes) -> None:
    reader, writer = os.pipe()
    machine = Speaking(b"Loading", invitation, b"x")
    with open(reader) as nothing, open(writer, "w"), ProgressBar() as bar:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert converse(machine, Spec(Path("x.img")), bar) == 0
    assert machine.waited == [SILENCE_S, SILENCE_S, PERSON_S, PERSON_S]
