"""U-Boot, an independent implementation of UEFI: it leaves SSE switched off and cannot rename, and all works."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from barelm.disk import open_volume, write_image
from barelm.machine.firmware.firmware import PROGRAM
from barelm.settings import Settings
from tests.built import program
from tests.metal.talks import chat_model

FIRMWARE = Path("/usr/lib/u-boot/qemu-x86_64/u-boot.rom")
QEMU = shutil.which("qemu-system-x86_64")
PATIENCE_S = 180

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(QEMU is None or not FIRMWARE.is_file(),
                       reason="QEMU or U-Boot (Debian's package u-boot-qemu) is not installed here"),
]


class Board:
    """A machine with U-Boot, its console on the serial line."""

    def __init__(self, image: Path, cores: int) -> None:
        self.shown = ""
        self.process = subprocess.Popen(
            [str(QEMU), "-machine", "q35", "-m", "1024", "-cpu", "max", "-smp", str(cores), "-nographic",
             "-monitor", "none", "-net", "none", "-bios", str(FIRMWARE),
             "-drive", f"if=none,id=d,format=raw,file={image}", "-device", "ide-hd,drive=d,bus=ide.0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def until(self, wanted: str) -> str:
        """What it says up to some words, from the last ones on."""
        assert self.process.stdout is not None
        end = time.monotonic() + PATIENCE_S
        while wanted not in self.shown:
            assert time.monotonic() < end and self.process.poll() is None, self.shown[-2000:]
            self.shown += (self.process.stdout.read() or b"").decode(errors="replace")
            time.sleep(0.05)
        before, _, self.shown = self.shown.partition(wanted)
        return before

    def type(self, text: str) -> None:
        """Type, no faster than a line without flow control takes it."""
        assert self.process.stdin is not None
        for letter in text:
            self.process.stdin.write(letter.encode())
            self.process.stdin.flush()
            time.sleep(0.02)


@pytest.mark.parametrize("cores", [1])
def test_a_conversation_is_held_and_saved_under_u_boot(tmp_path: Path, cores: int) -> None:
    image = tmp_path / "story.img"
    (tmp_path / "model.blm").write_bytes(chat_model()[1])
    write_image(image, {PROGRAM: program(), "model.blm": tmp_path / "model.blm",
                        "barelm.toml": Settings(chat=True, temperature=0.0, tokens=5, seed=7, wait=0).toml()},
                free_bytes=4 << 20)
    board = Board(image, cores)
    try:
        board.until("Type a message")
        for line, answer in (("hello\r", "> "), ("/save a\r", "Saved."), ("more\r", "> "), ("/save a\r", "Saved."),
                             ("/load a\r", "more")):
            board.type(line)
            board.until(answer)
    finally:
        board.process.kill()
        board.process.wait()
    with open_volume(image) as volume:
        names = {entry.path for entry in volume.files()}
    assert {"sessions/a.session", "sessions/a.md"} <= names and not [name for name in names if "~" in name]
