"""The forms a primitive has: one for each CPU level of `dialect.lowering.levels` that this host can run."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from barelm.dialect.lowering import levels
from barelm.dialect.lowering.install import jit
from tests.worlds import World, interpreter

_ORDER = list(levels.FORMS)
LEVELS = _ORDER[:_ORDER.index(levels.host_level()) + 1]
"""The forms this host has, the generic one first."""


@functools.cache
def form(level: str) -> World:
    """The world of one level.  A function that calls other kernels would get theirs in whichever form came first."""
    @functools.cache
    def world(function: Any) -> Any:
        compiled = jit(function)

        def run(*arguments: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:  # it is compiled by the first call
                patch.setattr(levels, "host_level", lambda: level)
                return compiled(*arguments)

        return run

    return world


WORLDS = {"interpreter": interpreter, **{level: form(level) for level in LEVELS}}
every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
every_form = pytest.mark.parametrize("world", [form(level) for level in LEVELS], ids=LEVELS)
