"""The two decorators of the dialect.  They return the function unchanged and record which room it belongs to.

`@kernel`: mathematics; touches only its arguments; runs in every world.
`@metal`: talks to the machine; runs in the `.efi` (and in the interpreter, against real memory, for tests).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

REGISTRY: dict[Callable[..., Any], str] = {}
"""Every function of the dialect and its room; the compiler reads it, nothing else does."""


def kernel(function: Function) -> Function:
    """Mark `function` as a kernel."""
    REGISTRY[function] = "kernel"
    return function


def metal(function: Function) -> Function:
    """Mark `function` as metal code."""
    REGISTRY[function] = "metal"
    return function


class Failure(Exception):
    """What metal code raises: an EFI status, what is wrong, and what to do about it.

    All three must be constants: on the metal the exception is a pointer to a message placed in the program when
    it was compiled, together with the file and the line of the `raise`.
    """

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
