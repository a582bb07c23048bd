"""The command as a process: streams, signals, and nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.commands.conftest import Cli, hosted_only
from tests.gguf_files import write_small_gguf

pytestmark = hosted_only

PATIENCE_S = 120
MARK = "BARELM_TEST_MARK"
COMMAND = (sys.executable, "-m", "barelm")
REPOSITORY = str(Path(__file__).parents[2])


def environment(mark: str = "") -> dict[str, str]:
    """Of a child that is known by its mark, wherever it goes."""
    return {**os.environ, MARK: mark, "PYTHONPATH": REPOSITORY}


def marked(mark: str) -> list[int]:
    """The processes with a mark that are not over."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def finish(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run to the end with nothing on standard input."""
    return subprocess.run([*COMMAND, *arguments], input="", env=environment(), capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)


def test_boot_shows_the_console(cli: Cli, image: Path) -> None:
    done = finish("boot", str(image), "--machine", "hosted")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert done.stdout.startswith("barelm\n\n") and "\ntiny   " in done.stdout and "BARELM" not in done.stdout
    assert "\n5 tokens, " in done.stdout


def test_boot_of_an_image_whose_program_fails(cli: Cli) -> None:
    assert cli("image", "tiny.bin", "--prompt", "to " * 100, "--wait", "0").code == 0
    with subprocess.Popen([*COMMAND, "boot", "tiny.img", "--machine", "hosted"], env=environment(), text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        screen = ""
        while "any key" not in screen and (shown := process.stdout.read(1)):
            screen += shown
        process.stdin.write("x")
        process.stdin.close()
        error = process.stderr.read()
        assert process.wait(PATIENCE_S) == 1
    assert "barelm stopped: the prompt is longer than the context" in screen and "Traceback" not in error
    assert error.endswith("The screen above says why.\n") and "ended with status 2" in error


def test_a_reader_that_has_enough_is_no_error(cli: Cli) -> None:
    with subprocess.Popen([*COMMAND, "show", "tiny.bin"], env=environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_machine_too(cli: Cli, number: signal.Signals, code: int) -> None:
    """It waits for a question that nobody asks, so it is running when the signal comes, however fast it is."""
    write_small_gguf(cli.folder / "small.gguf", seed=3)
    mark = uuid.uuid4().hex
    process = subprocess.Popen([*COMMAND, "chat", "small.gguf", "--machine", "hosted"], env=environment(mark),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    with process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(1), process.stderr.read()
        assert len(marked(mark)) >= 2
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == code
        assert b"Traceback" not in process.stderr.read()
    deadline = time.monotonic() + PATIENCE_S
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []
    assert not list((cli.cache / "barelm" / "runs").iterdir())
