"""The habits of the package, kept by programs: linters, budgets, docstrings, and a map that matches the disk."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "barelm"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((REPOSITORY / "tests").rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


def name_of(path: Path) -> str:
    """A path as a person reads it."""
    return path.relative_to(REPOSITORY).as_posix()


def run(*command: str) -> None:
    """Run a linter; its words are the failure."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_ruff() -> None:
    folders = [folder for folder in ("barelm", "tests", "bench", "examples") if (REPOSITORY / folder).is_dir()]
    run("ruff", "check", "--no-cache", *folders)


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_strict() -> None:
    run("mypy")


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a source, methods and inner ones too."""
    return [node for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    long = {node.name: length for node in functions(path)
            if (length := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION}
    assert long == {}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_and_public_names_say_what_they_are(path: Path) -> None:
    module = ast.parse(path.read_text())
    silent = [] if ast.get_docstring(module) or path.name == "__main__.py" else ["the module"]
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            silent += [] if ast.get_docstring(node) else [node.name]
    assert silent == []


@pytest.mark.parametrize("path", [path for path in TESTS if path.name != "__init__.py"], ids=name_of)
def test_tests_say_what_they_are_about(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_map_names_every_room() -> None:
    text = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text()
    folders = [path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    modules = [path for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    missing = [f"{path.name}/" for path in folders if f"{path.name}/" not in text]
    missing += [path.name for path in modules if path.name not in text]
    assert missing == []


def test_nothing_of_a_build_is_in_the_tree() -> None:
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run([git, "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    bad = [name for name in tracked.splitlines()
           if name.endswith((".pyc", ".efi", ".img", ".blm", ".obj", ".part")) or "__pycache__" in name]
    assert bad == []
