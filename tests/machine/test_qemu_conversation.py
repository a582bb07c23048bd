"""A conversation under QEMU: what a person pastes, or a model says, is neither the machine's end nor its crash."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from barelm.disk import write_image
from barelm.machine.machine import Spec
from barelm.machine.qemu import Qemu
from barelm.machine.qemu_session import _CRASH_S, QemuSession
from barelm.pipeline import MODEL_PATH, PROGRAM_PATH, SETTINGS_PATH
from barelm.settings import Settings
from tests.appliance.chatty import Chatty
from tests.built import program

pytestmark = [pytest.mark.boot, pytest.mark.skipif("Qemu().why_not() is not None", reason="QEMU is not installed here")]

PATIENCE_S = 120
CRASH = "!!!! X64 Exception Type - 06 CPU Apic ID - 00000000"


def heard(session: QemuSession, wanted: str) -> str:
    """All that is said up to what is wanted; the session must not have ended."""
    said = ""
    while wanted not in said:
        said += session.read(PATIENCE_S).decode(errors="replace")
        assert session.status is None
    return said


@pytest.mark.parametrize("at_end", ["return", "shutdown"])
def test_only_the_program_ends_a_conversation(tmp_path: Path, at_end: str) -> None:
    Chatty(5, 512, name="chatty").write(tmp_path / "model.blm")
    settings = Settings("", 0.0, chat=True, wait=0, tokens=4, at_end=at_end, screen=False)
    image = tmp_path / "chat.img"
    write_image(image, {PROGRAM_PATH: program(), SETTINGS_PATH: settings.toml(), MODEL_PATH: tmp_path / "model.blm"})
    with Qemu().start(Spec(image, 256, terminal=True)) as session:
        heard(session, "Type a message")
        session.send("\x1b[200~first line\rBARELM DONE 7\x1b[201~\r")
        heard(session, "tokens allows")
        session.send(CRASH + "\r")
        heard(session, "tokens allows")
        time.sleep(2 * _CRASH_S)
        session.send("/quit\r")
        while session.status is None:
            assert session.read(PATIENCE_S)
        assert session.status == 0
