"""Passes over tokens of sequences, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.contract.board import Batch


def batch_of(*runs: tuple[NDArray[Any], NDArray[Any], int, int, int, int]) -> Batch:
    """Runs, each of ids, a cache, for how many positions it is, the first position, and how many tokens and logits."""
    batch = Batch.over(np.zeros(Batch.BYTES, np.uint8))
    batch.n_runs = len(runs)
    for k, (tokens, cache, positions, first, n, n_logits) in enumerate(runs):
        run = batch.runs[k]
        run.tokens, run.cache, run.positions = tokens.ctypes.data, cache.ctypes.data, positions
        run.first, run.n, run.n_logits = first, n, n_logits
    return batch
