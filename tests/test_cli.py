"""The command line as such: usage, help, exit codes.  What the commands do is in tests/commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from barelm import __version__
from barelm.cli import main
from barelm.errors import BarelmError

COMMANDS = ("run", "pack", "build", "image", "boot", "show", "doctor")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What `main` does about signals ends with the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err and isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.mark.parametrize("arguments", [("--help",), (), *[(command, "--help") for command in COMMANDS]])
def test_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 0 and out.startswith("Usage: barelm") and err == ""
    if len(arguments) < 2:
        assert all(f"\n  {command}" in out or f"{command} " in out for command in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("arguments", [
    ("fly",), ("pack",), ("boot",), ("show",), ("show", "a", "b"), ("run", "x.bin", "--tokens", "many"),
    ("run", "x.bin", "--machine", "vax"), ("run", "x.bin", "--no-such-option"), ("run", "x.bin", "--seed"),
    ("image", "x.bin", "--at-end", "sleep"), ("run", "x.bin", "--temperature", "warm"), ("doctor", "now")])
def test_usage_errors_are_code_2_and_nothing_on_stdout(arguments: tuple[str, ...],
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and err.strip()


@pytest.mark.parametrize("error, code, said", [
    (BarelmError("it is broken", "Mend it."), 1, "barelm: it is broken.\nMend it.\n"),
    (BarelmError("it is broken"), 1, "barelm: it is broken.\n"),
    (KeyboardInterrupt(), 130, ""), (SystemExit(143), 143, "")])
def test_how_a_command_ends(error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch,
                            capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any) -> int:
        raise error

    monkeypatch.setattr("barelm.commands.doctor.examine", fail)
    assert run(capsys, "doctor") == (code, "", said)


def test_an_error_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any) -> int:
        raise BarelmError("it is broken", "Mend it.")

    monkeypatch.setattr("barelm.commands.doctor.examine", fail)
    code, out, err = run(capsys, "doctor", "--json")
    assert code == 1 and json.loads(out) == {"error": "it is broken", "hint": "Mend it.", "status": 1}
    assert err == "barelm: it is broken.\nMend it.\n"


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("barelm.commands.doctor.examine", fail)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_help_starts_fast_without_compiler_or_models() -> None:
    code = ("import sys\nfrom barelm.cli import app\n"
            "heavy = {'numba', 'llvmlite', 'huggingface_hub'} & set(sys.modules)\nprint(sorted(heavy))")
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True,
                          check=True)
    assert done.stdout == "[]\n"


def test_the_help_of_bench_has_its_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert "barelm bench --sizes 260K" in run(capsys, "bench", "--help")[1]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("models",), ("show", "no such file", "--json")])
def test_a_full_standard_output_is_a_sentence(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "barelm", *arguments], cwd=Path(__file__).parents[1], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert ("refuses a read or a write" if arguments == ("models",) else "no such file") in done.stderr


def test_a_closed_standard_output_is_no_error() -> None:
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m barelm models >&-"], cwd=Path(__file__).parents[1],
                          stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
