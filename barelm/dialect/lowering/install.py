"""Teach Numba the dialect: every primitive's lowering, and every @kernel and @metal function by its own source.

A function of the dialect stays an ordinary Python function; a call to it from compiled code is resolved to the
function compiled for the caller's target, the host's or the metal's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.typing.templates import builtin_registry
from numba.extending import overload

from barelm.dialect import rooms
from barelm.dialect.lowering import memory, processor, quants, vectors

PRIMITIVES = (memory, vectors, quants, processor)
"""Importing these registers every lowering."""

# NumPy's rules for division by zero; no bounds checks: kernels are checked in the interpreter, which has them.
JIT_OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True}

_installed: set[Callable[..., Any]] = set()


def install() -> None:
    """Register every function of the dialect imported so far.  May be called again after further imports."""
    for function in list(rooms.REGISTRY):
        if function not in _installed:
            overload(function, jit_options=JIT_OPTIONS, strict=False)(_by_its_source(function))
            # Numba would name it by its address, and with it every kernel it is an argument of.
            builtin_registry.globals[-1][1].name = f"{function.__module__}.{function.__qualname__}"
            _installed.add(function)


def _by_its_source(function: Callable[..., Any]) -> Callable[..., Any]:
    def typing(*arguments: Any) -> Callable[..., Any]:
        return function

    typing.__name__ = function.__name__
    return typing


def jit(function: Callable[..., Any]) -> Any:
    """`function` compiled for this host: the second world."""
    install()
    return njit(**JIT_OPTIONS)(function)
