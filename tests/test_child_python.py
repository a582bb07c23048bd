"""Pythons in processes of their own: none imports what lies in the current folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from barelm.child_python import child_command, child_environment
from barelm.host_files import PACKAGE

HOSTILE = ("json", "struct", "tempfile", "subprocess", "numpy", "rich", "cyclopts")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with modules that bear the names of others."""
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the wrong {name} was imported')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said_by(command: list[str], **environment: str) -> str:
    """What a command says that has to end well."""
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_child_imports_nothing_from_here(hostile: Path) -> None:
    assert subprocess.run(child_command("json.tool"), input="[1]", text=True, check=True, capture_output=True)
    imports = f"import {', '.join(HOSTILE)}; print(json.dumps(1))"
    (hostile / "elsewhere").mkdir()
    (hostile / "elsewhere" / "child.py").write_text(imports)
    said = said_by(child_command("child"), PYTHONPATH=f"{hostile / 'elsewhere'}")
    assert said == "1\n"


def test_a_child_finds_the_same_barelm(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert said_by(child_command("barelm", "--version"), **child_environment(PYTHONWARNINGS="error"))
    assert child_environment(MORE="1")["MORE"] == "1" and "" not in child_environment()["PYTHONPATH"].split(os.pathsep)


def test_python_m_barelm_imports_nothing_from_here(hostile: Path) -> None:
    command = [sys.executable, "-m", "barelm"]
    assert "python" in said_by([*command, "doctor"], PYTHONPATH=str(PACKAGE.parent))
    (hostile / "barelm").symlink_to(PACKAGE)  # as in a checkout that was not installed
    assert "python" in said_by([*command, "doctor", "--json"], PYTHONPATH="")


def test_nobody_else_starts_pythons() -> None:
    found = [(path.name, after) for path in sorted(PACKAGE.rglob("*.py"))
             for after in re.findall(r"sys\.executable(.{5})", path.read_text())]
    assert sorted(found) == [("child_python.py", ', "-P'), ("flashing.py", "} -P ")]


def test_a_child_does_not_outlive_its_parent() -> None:
    """What a killed build leaves behind would compile on, for nobody."""
    child = "from barelm.child_python import end_with_parent as end; end(); print(0, flush=True); input()"
    parent = ("import subprocess, sys; made = subprocess.Popen([sys.executable, '-c', sys.argv[1]], "
              "stdin=subprocess.PIPE, stdout=subprocess.PIPE); made.stdout.readline(); print(made.pid, flush=True); "
              "input()")
    with subprocess.Popen([sys.executable, "-c", parent, child], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=child_environment()) as started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        # The end of its input would end it too: a copy of the pipe is kept open here.
        held = os.open(f"/proc/{pid}/fd/0", os.O_WRONLY)
        os.kill(pid, 0)
        started.kill()
    try:
        while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
            time.sleep(0.1)
    finally:
        os.close(held)
