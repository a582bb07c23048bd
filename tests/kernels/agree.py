"""Run a kernel in both worlds on the same arguments."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tests.worlds import interpreter, jit, same_bits


def agree(function: Any, *arguments: Any) -> Any:
    """Call `function` in both worlds, each on its own copy of the arguments; the worlds must leave the same bits.

    Returns what the function returned; the arrays among `arguments` hold what it wrote.
    """
    theirs = copy.deepcopy(arguments)
    result, other = interpreter(function)(*arguments), jit(function)(*theirs)
    assert result == other or (result is None and other is None)
    for mine, yours in zip(arrays(arguments), arrays(theirs)):
        assert same_bits(mine, yours), f"{function.__name__}: the worlds differ"
    return result


def arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    """Every array in a (nested) tuple, in order."""
    if isinstance(value, tuple):
        return [array for part in value for array in arrays(part)]
    return [value] if isinstance(value, np.ndarray) else []


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Random float32."""
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)
