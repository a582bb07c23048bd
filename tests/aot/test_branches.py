"""A branch compiled in a process of its own is a part of the program as if it were not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barelm.aot.branches import NODE
from barelm.aot.linking.link import link
from barelm.aot.object import compile_story, node_branch
from barelm.dialect.memory import cells
from barelm.dialect.rooms import Failure, metal
from barelm.errors import BarelmError
from barelm.machine.hosted import Hosted
from barelm.metal.main import report_failure
from tests.aot import small
from tests.aot.small import Large


@metal
def shared(x: int) -> int:
    """Compiled before the branch begins, and called from it."""
    return x * 3 + 1


@metal
def late(x: int) -> int:
    """Called from both, and compiled by both."""
    return x * 5 + 2


@metal
def branch(asked: Large) -> int:
    """What is compiled elsewhere."""
    return shared(asked.a) + late(asked.g) + int(asked.words[1])


@metal
def main(image: int, table: int) -> int:
    """Comes to it."""
    words = cells(2)
    words[1] = shared(1000)
    return branch(Large(1, 2, 3, 4, 5, 6, 7, 8, words)) + late(100)


@metal
def strict_branch(asked: Large) -> int:
    """It may raise, too."""
    if asked.g == 99:
        raise Failure(7, "ninety-nine is too much", "Ask for less.")
    return shared(asked.g)


@metal
def strict_main(image: int, table: int) -> int:
    """Comes to where it raises."""
    return strict_branch(Large(1, 2, 3, 4, 5, 6, 99, 8, cells(2))) + shared(2)


@metal
def bad_branch(asked: Large) -> int:
    """Refused: it allocates."""
    return len([asked.a, asked.b])


@metal
def mistyped_branch(asked: Large) -> int:
    """Numba refuses it."""
    return asked.nothing  # type: ignore[attr-defined, no-any-return]


@metal
def mistyped_main(image: int, table: int) -> int:
    """Comes to it."""
    return mistyped_branch(Large(1, 2, 3, 4, 5, 6, 7, 8, cells(2)))


@metal
def doomed_branch(asked: Large) -> int:
    """Its compiler will not live to see it."""
    return late(asked.a)


@metal
def doomed_main(image: int, table: int) -> int:
    """Comes to it."""
    return doomed_branch(Large(1, 2, 3, 4, 5, 6, 7, 8, cells(2)))


@metal
def bad_main(image: int, table: int) -> int:
    """Comes to it."""
    return bad_branch(Large(1, 2, 3, 4, 5, 6, 7, 8, cells(2)))


def built(main: Any, function: Any, folder: Path) -> bytes:
    """A program of two objects."""
    story = compile_story(main, report_failure, small.idle, node_branch(function, folder))
    return link({**story, "node": (folder / "node.obj").read_bytes()})


@pytest.mark.skipif(Hosted().why_not() is not None, reason="the hosted machine does not run here")
@pytest.mark.parametrize("main, branch, status, words", [
    (main, branch, main(0, 0), ""), (strict_main, strict_branch, 1 << 63 | 7, "ninety-nine is too")])
def test_a_branch_is_called_and_calls(main: Any, branch: Any, status: int, words: str, tmp_path: Path) -> None:
    ran = small.run(built(main, branch, tmp_path), tmp_path / "branch.img")
    assert ran.status == status and words in ran.screen


def dies(texts: list[str], name: str, tell: Callable[[list[str]], None]) -> None:
    """A compiler that is killed."""
    os._exit(9)


def test_what_goes_wrong_there_is_said_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BarelmError, match="allocates memory, which the metal does not do"):
        built(bad_main, bad_branch, tmp_path)
    with pytest.raises(BarelmError, match="the program does not come to bad_branch"):
        built(main, bad_branch, tmp_path)
    with pytest.raises(BarelmError, match=f"compiling {NODE} failed: ") as refused:
        built(mistyped_main, mistyped_branch, tmp_path)
    assert "nothing" in refused.value.hint
    killed = node_branch(doomed_branch, tmp_path)
    killed.emit = dies
    with pytest.raises(BarelmError, match=f"the compiler of {NODE} ended"):
        compile_story(doomed_main, report_failure, small.idle, killed)
