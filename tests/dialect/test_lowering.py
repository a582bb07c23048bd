"""Every primitive has its lowering: one, in the file of the same name, in the same order."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import barelm.dialect

FOLDER = Path(barelm.dialect.__file__).parent
NO_PRIMITIVES = {"__init__.py", "types.py", "rooms.py", "structs.py"}
ROOMS = sorted(path.stem for path in FOLDER.glob("*.py") if path.name not in NO_PRIMITIVES)


def primitives(source: str) -> list[str]:
    """The public functions of a file of primitives."""
    return [node.name for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


def lowerings(source: str, room: str) -> list[str]:
    """What is registered at the top of a file: `@lowers(room.name)`, `emits(room.name)(...)`, `_family(room.name)`."""
    calls: list[ast.expr] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            calls += node.decorator_list
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            calls.append(node.value.func if isinstance(node.value.func, ast.Call) else node.value)
    firsts = [call.args[0] for call in calls if isinstance(call, ast.Call) and call.args]
    return [first.attr for first in firsts
            if isinstance(first, ast.Attribute) and isinstance(first.value, ast.Name) and first.value.id == room]


def sources(room: str) -> tuple[str, str]:
    """A file of primitives and its mirror."""
    return (FOLDER / f"{room}.py").read_text(), (FOLDER / "lowering" / f"{room}.py").read_text()


@pytest.mark.parametrize("room", ROOMS)
def test_each_primitive_has_one_lowering_in_the_same_order(room: str) -> None:
    models, mirror = sources(room)
    assert primitives(models) == lowerings(mirror, room)


@pytest.mark.parametrize("room", ROOMS)
def test_a_primitive_without_a_lowering_is_noticed(room: str) -> None:
    models, mirror = sources(room)
    assert primitives(models + "\n\ndef new_one(x: int) -> int:\n    return x\n") != lowerings(mirror, room)


def test_the_mirror_has_no_file_of_its_own_names() -> None:
    for path in (FOLDER / "lowering").glob("*.py"):
        if path.stem not in ROOMS:
            assert not [name for room in ROOMS for name in lowerings(path.read_text(), room)], path.name
