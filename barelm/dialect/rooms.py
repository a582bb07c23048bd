"""Which functions are of the dialect.

Every function of `kernels/` and of `metal/` is, and no decorator says it again.  Elsewhere one does, and returns the
function unchanged: `@kernel` for mathematics, which touches only its arguments and runs in every world, `@metal` for
what talks to the machine and runs in the `.efi` (and in the interpreter, against real memory, for tests).
"""

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

ROOMS = ("barelm.kernels.", "barelm.metal.")

_marked: list[Callable[..., Any]] = []


def kernel(function: Function) -> Function:
    """Mark `function` as one of the dialect."""
    _marked.append(function)
    return function


metal = kernel  # to the compiler all are alike: which room it is of is for the reader


def functions_of_the_dialect() -> list[Callable[..., Any]]:
    """All that are imported so far; the compiler reads it, nothing else does."""
    found = list(_marked)
    for name, module in list(sys.modules.items()):
        if name.startswith(ROOMS):
            found += [value for value in vars(module).values()
                      if isinstance(value, FunctionType) and value.__module__ == name]
    return found


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
