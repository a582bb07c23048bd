"""`barelm boot` and `barelm chat`: how long a machine may say nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from barelm.commands import boot
from barelm.commands.boot import PERSON_S, converse
from barelm.commands.progress import ProgressBar
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.pipeline import PROGRAM_PATH, SILENCE_S


class Speaking:
    """A machine, and its session, that says a few things; how long each was waited for is kept."""

    name = "speaking"
    status = None
    port = 0

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


GIVEN_BACK = b"\x1b7\x1b[24H\x1b[2K\x1b[r\x1b8\x1b[?2004l\x1b[?25h\x1b[0m"
SAID = b"> BARELM DONE 7\r\nwhy not?\r\n"


@pytest.mark.parametrize("at", range(0, len(SAID) + 40, 3))
@pytest.mark.parametrize("shows", [True, False])
def test_only_the_programs_own_last_line_is_not_shown(monkeypatch: pytest.MonkeyPatch, at: int, shows: bool,
                                                      capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: shows)
    whole = SAID + b"BARELM DONE 0\r\n" + GIVEN_BACK
    machine = Speaking(*filter(None, (whole[:at], whole[at:])))
    with open(os.devnull) as nothing, ProgressBar() as bar:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert converse(machine, Spec(Path("x.img")), bar) == 0
    shown = capsysbinary.readouterr().out
    assert b"DONE 7" in shown and b"why not?" in shown and b"DONE 0" not in shown


@pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))
def test_a_strangers_program_runs_natively_only_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch,
                                                                         tmp_path: Path) -> None:
    started: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("BARELM_QEMU", "")
    monkeypatch.setattr(boot, "converse", lambda machine, spec, bar: started.append(machine.name) or 0)
    image = tmp_path / "downloaded.img"
    write_image(image, {PROGRAM_PATH: b"MZ of somebody"})
    with pytest.raises(BarelmError, match=r"downloaded\.img was not built on this host") as refused:
        boot.boot_image(image, None, 64, 1)
    assert "--machine hosted" in refused.value.hint and started == []
    assert boot.boot_image(image, "hosted", 64, 1) == 0
    (tmp_path / "cache" / "barelm" / "programs" / "earlier.efi").write_bytes(b"MZ of somebody")
    assert boot.boot_image(image, None, 64, 1) == 0
    write_image(image, {"README": b"no program: the machine says so"})
    assert boot.boot_image(image, None, 64, 1) == 0
    assert started == ["hosted"] * 3
