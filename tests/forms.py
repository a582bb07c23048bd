"""The forms a primitive has: one for each CPU level of `dialect.lowering.levels` that this host can run."""

from __future__ import annotations

import functools
from types import FunctionType, ModuleType
from typing import Any

import pytest
from numba import njit

from barelm.dialect.lowering import levels
from barelm.dialect.lowering.install import install
from barelm.dialect.lowering.registering import JIT_OPTIONS
from barelm.dialect.rooms import functions_of_the_dialect
from tests.worlds import World, interpreter

LEVELS = levels.host_levels()
"""The forms this host has, the generic one first."""


@functools.cache
def form(level: str) -> World:
    """The world of one level: a function and every kernel it calls, compiled once more with the level's forms."""
    install()

    @functools.cache
    def world(function: Any) -> Any:
        compiled = again(function)

        def run(*arguments: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:  # it is compiled by the first call
                patch.setattr(levels, "host_level", lambda: level)
                return compiled(*arguments)

        return run

    @functools.cache
    def again(function: Any) -> Any:
        used = function.__code__.co_names
        names = {name: copy(value, used) for name, value in function.__globals__.items() if name in used}
        return njit(**JIT_OPTIONS)(FunctionType(function.__code__, names, function.__name__, function.__defaults__))

    def copy(value: Any, used: tuple[str, ...]) -> Any:
        """A kernel, or a module with the kernels of it that are in use, on this level; anything else as it is."""
        if isinstance(value, ModuleType):
            module = ModuleType(value.__name__)
            vars(module).update({name: again(one) if is_kernel(one) else one
                                 for name, one in vars(value).items() if name in used})
            return module
        return again(value) if is_kernel(value) else value

    def is_kernel(value: Any) -> bool:
        return isinstance(value, FunctionType) and value in functions_of_the_dialect()

    return world


WORLDS = {"interpreter": interpreter, **{level: form(level) for level in LEVELS}}
every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
every_form = pytest.mark.parametrize("world", [form(level) for level in LEVELS], ids=LEVELS)
