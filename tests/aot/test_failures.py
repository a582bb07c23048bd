"""A `raise` on the metal: a screen with what, what to do and where, and a status."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numba import types

from barelm.aot import messages
from barelm.aot.target import lower
from barelm.dialect.lowering.install import install
from barelm.dialect.rooms import Failure, metal
from barelm.errors import BarelmError
from barelm.machine.hosted import Hosted
from tests.aot import small

EFI_ERROR = 1 << 63
HERE = "tests/aot/test_failures.py"

hosted = pytest.mark.skipif(Hosted().why_not() is not None, reason="the hosted machine does not run here")


@metal
def deep(level: int) -> int:
    """Raises three calls below the top."""
    if level == 0:
        raise Failure(9, "the tank is empty – völlig", "Fill it.")
    return deeper(level)


@metal
def deeper(level: int) -> int:
    """One call above."""
    if level > 100:
        raise ValueError("more than a hundred", 7)
    return level


@metal
def fails(image: int, table: int) -> int:
    """Raises a Failure from a function it calls."""
    return deep(image - image)


@metal
def has_a_bug(image: int, table: int) -> int:
    """Raises what is no Failure."""
    return deeper(image | 1000)


@metal
def fails_with_a_number(image: int, table: int) -> int:
    """The status is not a constant."""
    raise Failure(image, "it depends")


@metal
def bug_with_a_number(image: int, table: int) -> int:
    """Nor is this argument."""
    raise ValueError(image)


def line_of(text: str) -> int:
    """The line of this file that holds `text` first."""
    return next(n for n, line in enumerate(Path(__file__).read_text().splitlines(), 1) if text in line)


@hosted
def test_failure_shows_message_hint_place_and_returns_its_status(tmp_path: Path) -> None:
    ran = small.run(small.build(fails), tmp_path / "fails.img")
    *said, build, done = ran.screen.splitlines()[1:6]
    assert said == ["barelm stopped: the tank is empty – völlig", "Fill it.",
                    f"({HERE}:{line_of('raise Failure(9')}, status 9)"]
    assert build.startswith("(program ") and "UEFI" in build and done == "BARELM DONE 9"
    assert ran.status == EFI_ERROR | 9


@hosted
def test_any_other_exception_is_reported_as_a_bug(tmp_path: Path) -> None:
    ran = small.run(small.build(has_a_bug), tmp_path / "bug.img")
    assert ran.screen.splitlines()[1:4] == [
        "barelm stopped: ValueError: more than a hundred, 7", messages.BUG_HINT,
        f"({HERE}:{line_of('raise ValueError(')}, status {messages.EFI_ABORTED})"]
    assert ran.status == EFI_ERROR | messages.EFI_ABORTED


@pytest.mark.parametrize("function, text", [(fails_with_a_number, "raise Failure(image"),
                                            (bug_with_a_number, "raise ValueError(image")])
def test_arguments_that_are_not_constants_are_refused_with_their_line(function: Any, text: str) -> None:
    install()
    with pytest.raises(BarelmError, match=f"^{HERE}:{line_of(text)} raises an exception whose arguments are not"):
        lower(function, (types.int64, types.int64))


def test_describe() -> None:
    assert messages.describe(Failure, (14, "gone")) == (EFI_ERROR + 14 - (1 << 64), "gone", "")
    assert messages.describe(Failure, (14, "gone", "Look."))[2] == "Look."
    status, message, hint = messages.describe(None, ())
    assert (status + (1 << 64), hint) == (EFI_ERROR | messages.EFI_ABORTED, messages.BUG_HINT) and message


def test_place_never_names_a_folder_of_this_machine() -> None:
    class At:
        def __init__(self, filename: str) -> None:
            self.filename, self.line = filename, 3

    assert messages.place(At(__file__)) == f"{HERE}:3"
    assert messages.place(At("/somewhere/else/x.py")) == "x.py:3"
    assert messages.place(None) == "?"
