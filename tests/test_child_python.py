"""Pythons in processes of their own: none imports what lies in the current folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
