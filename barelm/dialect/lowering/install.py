"""Teach Numba the dialect: every primitive's lowering, and every function of it by its own source.

A function of the dialect stays an ordinary Python function; a call to it from compiled code is resolved to the
function compiled for the caller's target, the host's or the metal's.
"""

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.typing.templates import builtin_registry

from barelm.dialect.lowering import memory, processor, quants, sentences, vectors
from barelm.dialect.lowering.registering import JIT_OPTIONS, lowers_to
from barelm.dialect.lowering.structs import install_struct
from barelm.dialect.rooms import functions_of_the_dialect
from barelm.dialect.structs import STRUCTS

PRIMITIVES = (memory, vectors, quants, processor, sentences)
"""Importing these registers every lowering."""

_installed: set[Callable[..., Any]] = set()


def install() -> None:
    """Register every function of the dialect imported so far.  May be called again after further imports."""
    for function in functions_of_the_dialect():
        if function not in _installed:
            lowers_to(function, function)
            # Numba would name it by its address, and with it every kernel it is an argument of.
            builtin_registry.globals[-1][1].name = f"{function.__module__}.{function.__qualname__}"
            _installed.add(function)
    for layout in STRUCTS:
        if layout not in _installed:
            install_struct(layout)
            _installed.add(layout)


def jit(function: Callable[..., Any]) -> Any:
    """`function` compiled for this host: the second world."""
    install()
    return njit(**JIT_OPTIONS)(function)
