"""The habits of the house, kept by programs: linters, budgets, names, docstrings, and a map that matches the disk."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "barelm"
FOLDERS = ("barelm", "tests", "bench", "tools", "examples")
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))

MOST_COLUMNS = 120
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 40
MOST_MODULES = 12
MOST_PRODUCT_LINES = 46_500


def name_of(path: Path) -> str:
    """A path as a person reads it."""
    return path.relative_to(REPOSITORY).as_posix()


def run(*command: str) -> None:
    """Run a linter; its words are the failure."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_ruff() -> None:
    run("ruff", "check", "--no-cache", *FOLDERS)


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_strict() -> None:
    run("mypy")


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a source, methods and inner ones too."""
    return [node for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    long = {f"{name_of(path)}:{node.name}": length for node in functions(path)
            if (length := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION}
    assert long == {}


def test_folders_are_small() -> None:
    sizes: dict[str, int] = defaultdict(int)
    for path in SOURCES:
        sizes[name_of(path.parent)] += path.name != "__init__.py"
    assert {name: size for name, size in sizes.items() if size > MOST_MODULES} == {}


def test_the_whole_is_within_its_budget() -> None:
    """Growth is a decision: whoever needs more lines says so here."""
    assert sum(len(path.read_text().splitlines()) for path in SOURCES) <= MOST_PRODUCT_LINES


def test_contributing_says_the_same_numbers() -> None:
    text = " ".join((REPOSITORY / "CONTRIBUTING.md").read_text().split())
    assert (f"Lines up to {MOST_COLUMNS} columns, functions up to {MOST_LINES_OF_A_FUNCTION} lines, files up to "
            f"{MOST_LINES}, folders up to {MOST_MODULES} modules.") in text
    assert f"line-length = {MOST_COLUMNS}\n" in (REPOSITORY / "pyproject.toml").read_text()


def namesakes(names: dict[Path, list[str]]) -> dict[str, list[Path]]:
    """The names that stand in more than one place, each with its places."""
    places = defaultdict(list)
    for path, here in names.items():
        for name in here:
            places[name].append(path)
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_modules_share_a_name() -> None:
    """But for mirrors: the other world's `dialect.memory` begins "`dialect.memory`, lowered"."""
    for name, paths in namesakes({path: [path.stem] for path in SOURCES if path.name != "__init__.py"}).items():
        first, *others = sorted(paths, key=lambda path: len(path.parts))
        original = ".".join(first.relative_to(PACKAGE).with_suffix("").parts)
        assert [path for path in others if f"`{original}`" not in summary(path)] == [], name


def test_no_two_public_classes_share_a_name() -> None:
    classes = {path: [node.name for node in ast.parse(path.read_text()).body
                      if isinstance(node, ast.ClassDef) and not node.name.startswith("_")] for path in SOURCES}
    assert namesakes(classes) == {}


def summary(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_and_public_names_say_what_they_are(path: Path) -> None:
    module = ast.parse(path.read_text())
    silent = [] if ast.get_docstring(module) or path.name == "__main__.py" else ["the module"]
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            silent += [] if ast.get_docstring(node) else [node.name]
    assert silent == []


@pytest.mark.parametrize("path", [path for path in EVERYTHING if not path.name.startswith("__")], ids=name_of)
def test_every_module_says_what_it_is_about(path: Path) -> None:
    assert summary(path)


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
