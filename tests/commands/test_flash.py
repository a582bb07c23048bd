"""`barelm flash`: what it asks, what it refuses, what it says; disks are made up, or plain files."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from barelm.commands import flash as command
from barelm.disk import flashing, open_volume, write_image
from barelm.disk.devices import Device
from tests.commands.conftest import Cli

ROOM = 64 << 20


class Typed(io.StringIO):
    """A person at the keyboard."""

    def isatty(self) -> bool:
        return True


class Plugged:
    """What is plugged in: disks by path, written to as plain files."""

    def __init__(self, *devices: Device) -> None:
        self.devices, self.released = list(devices), [""]

    def removable(self) -> list[Device]:
        return [device for device in self.devices if device.removable]

    def at(self, path: Path) -> Device | None:
        return next((device for device in self.devices if device.path == str(path)), None)

    def release(self, device: Device) -> None:
        self.released.append(device.path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line in a folder that holds an image, and a file to write to."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_image(folder / "a.img", {"model.blm": b"model" * 2_000_000})
    with open(folder / "stick", "wb") as file:
        file.truncate(ROOM)
    terminate = signal.getsignal(signal.SIGTERM)
    yield Cli(folder, capsys)
    signal.signal(signal.SIGTERM, terminate)


def plug(monkeypatch: pytest.MonkeyPatch, *devices: Device) -> Plugged:
    """Let the command see these disks."""
    plugged = Plugged(*devices)
    monkeypatch.setattr(command, "this_system", lambda: plugged)
    monkeypatch.setattr(command, "device_at", lambda disks, path: disks.at(path))
    return plugged


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Somebody sits at a terminal and types this."""
    monkeypatch.setattr("sys.stdin", Typed(text))
    monkeypatch.setattr(command, "_somebody_is_there", lambda: True)


def stick(path: str = "stick", **facts: object) -> Device:
    """A stick that is really a file."""
    return Device(**{"path": path, "bytes": ROOM, "model": "Ultra Fit", "bus": "usb",  # type: ignore[arg-type]
                     "removable": True, "is_file": True, **facts})


def untouched(here: Cli) -> bool:
    """Whether nothing was written."""
    return not any((here.folder / "stick").read_bytes())


def check(path: Path) -> None:
    """The image has arrived."""
    with open_volume(path) as volume:
        assert [entry.path for entry in volume.files()] == ["model.blm"]


def test_help_has_examples(here: Cli) -> None:
    result = here("flash", "--help")
    assert result.code == 0 and result.out.startswith("Usage: barelm flash")
    assert "\n    sudo barelm flash " in result.out


def test_with_yes_nothing_is_asked(here: Cli) -> None:
    result = here("flash", "a.img", "stick", "--yes")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("stick: ") and "bytes written and compared" in result.err
    check(here.folder / "stick")


def test_as_json(here: Cli) -> None:
    result = here("flash", "a.img", "stick", "--yes", "--json")
    facts = json.loads(result.out)
    assert result.code == 0 and result.err == "" and set(facts) == {"device", "bytes", "seconds", "verified"}
    assert facts["verified"] is True and facts["bytes"] == (here.folder / "a.img").stat().st_size


def test_without_a_terminal_it_does_not_guess(here: Cli) -> None:
    error = here.refuses("flash", "a.img", "stick")
    assert "there is no terminal to ask" in error and "Add --yes" in error and untouched(here)


@pytest.mark.parametrize("answer", ["stick\n", "yes\n", "  yes \n"])
def test_the_question_answered(here: Cli, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    plugged = plug(monkeypatch, stick())
    types(monkeypatch, answer)
    result = here("flash", "a.img", "stick")
    assert result.code == 0 and plugged.released[-1] == "stick"
    assert "All that is on stick (a plain file, 67.1 MB) will be lost." in result.err
    check(here.folder / "stick")


@pytest.mark.parametrize("answer", ["", "\n", "y\n", "no\n", "YES\n", "sdb\n"])
def test_anything_else_is_no(here: Cli, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    plugged = plug(monkeypatch, stick())
    types(monkeypatch, answer)
    result = here("flash", "a.img", "stick")
    assert result.code == 1 and "nothing was written" in result.err
    assert untouched(here) and plugged.released == [""]


def test_a_disk_swapped_during_the_question(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plugged = plug(monkeypatch, stick())
    types(monkeypatch, "yes\n")
    monkeypatch.setattr(command, "_ask", lambda question: plugged.devices.__setitem__(0, stick(model="Other")) or "yes")
    result = here("flash", "a.img", "stick")
    assert result.code == 1 and "is not what it was" in result.err and untouched(here)


def test_the_list(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, stick(), stick("/dev/sdc", model="Old\ufffd", bytes=1000, is_file=False),
         stick("/dev/sdd", uses=(("/dev/sdd1", "/media/\x1bx"),)), stick("/dev/sda", removable=False))
    result = here("flash", "a.img")
    assert result.code == 0 and "\x1b" not in result.out and "barelm flash IMAGE DEVICE" in result.err
    assert result.out.splitlines() == [
        "1  stick     67.1 MB  Ultra Fit  usb  not mounted",
        "2  /dev/sdc  1.0 kB   Old\ufffd       usb  not mounted",
        f"   /dev/sdc is too small: 1,000 bytes, and the image has {(here.folder / 'a.img').stat().st_size:,}",
        "3  /dev/sdd  67.1 MB  Ultra Fit  usb  /media/\ufffdx",
        "   /dev/sdd is in use: /dev/sdd1 is mounted on /media/\ufffdx"]
    listed = json.loads(here("flash", "a.img", "--json").out)
    assert [device["path"] for device in listed] == ["stick", "/dev/sdc", "/dev/sdd"]
    assert listed[0]["why_not"] is None and "too small" in listed[1]["why_not"] and untouched(here)


@pytest.mark.parametrize("choice", ["1", "stick"])
def test_chosen_from_the_list(here: Cli, monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    plug(monkeypatch, stick())
    types(monkeypatch, f"{choice}\nyes\n")
    result = here("flash", "a.img")
    assert result.code == 0 and "Write to which?" in result.err
    check(here.folder / "stick")


def test_none_chosen(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, stick())
    types(monkeypatch, "\n")
    result = here("flash", "a.img")
    assert result.code == 1 and "nothing was written" in result.err and untouched(here)


def test_nothing_plugged_in(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch)
    assert "there is no removable disk" in here.refuses("flash", "a.img")
    assert here("flash", "a.img", "--json").out == "[]\n"


@pytest.mark.parametrize("arguments, sentence", [
    (("nowhere.img", "stick"), "cannot read nowhere.img"), ((".", "stick"), "cannot read ."),
    (("noise", "stick"), "noise is not a sound disk image"), (("a.img", "a.img"), "both the image and the device"),
    (("a.img", "nowhere"), "there is no device nowhere"), (("a.img", "."), ". is no disk"),
    (("a.img", "small"), "small is too small"), (("a.img", os.devnull), "is no disk")])
def test_refusals(here: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    (here.folder / "noise").write_bytes(bytes(range(256)) * 99)
    (here.folder / "small").write_bytes(bytes(5000))
    assert sentence in here.refuses("flash", *arguments, "--yes") and untouched(here)


def test_no_permission_says_sudo(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, stick(is_file=False))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "sudo" in here.refuses("flash", "a.img", "stick", "--yes") and untouched(here)


def test_fixed_disks_and_the_system(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, stick(removable=False, is_file=False),
         stick("/dev/sda", removable=False, is_file=False, uses=(("/dev/sda2", "/"),)))
    assert "is a fixed disk" in here.refuses("flash", "a.img", "stick", "--yes")
    assert "holds the running system" in here.refuses("flash", "a.img", "/dev/sda", "--yes", "--fixed")
    assert untouched(here)
    assert here("flash", "a.img", "stick", "--yes", "--fixed").code == 0


def test_a_stick_that_lies(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda fd, data, at: pwrite(fd, data, at % (2 << 20)))
    result = here("flash", "a.img", "stick", "--yes")
    assert result.code == 1 and "stick is incomplete now" in result.err
    assert "does not hold what was written to it, from byte" in result.err and "another" in result.err


def test_interrupted(here: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flashing, "_sync", stop)
    result = here("flash", "a.img", "stick", "--yes")
    assert result.code == 130 and result.err == (
        "stick is incomplete now: write to it again before booting from it.\n")


def test_at_a_real_terminal(here: Cli) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "barelm", "flash", "a.img", "stick"], stdin=theirs, stderr=theirs,
                          stdout=theirs, env={**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2])}
                          ) as process:
        os.close(theirs)
        _read_until(ours, b"to go on: ")
        os.write(ours, b"stick\n")
        _read_until(ours, b"written and compared")
        assert process.wait(60) == 0
    os.close(ours)
    check(here.folder / "stick")


def _read_until(fd: int, wanted: bytes) -> None:
    seen, end = b"", time.monotonic() + 60
    while wanted not in seen and time.monotonic() < end:
        seen += os.read(fd, 4096)
    assert wanted in seen
