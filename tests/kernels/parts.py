"""Matrices made for a test: their parts, and the directory the kernels look them up in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barelm.contract.layout import TensorEntry
from barelm.dialect.types import LANES
from barelm.kernels.matrices import Matrix, panel_bytes

Bytes = NDArray[np.uint8]
KEPT: list[Bytes] = []
"""Directories, which a matrix knows by their address alone."""


def in_parts(kinds: list[int], panels: list[int], cols: int, data: Bytes, n_layers: int = 1) -> Matrix:
    """A matrix of parts of so many panels, one above another, layer after layer, out of their bytes."""
    directory, at = np.zeros((n_layers, len(kinds), TensorEntry.BYTES), np.uint8), 0
    for row in directory:
        for entry, kind, n in zip(map(TensorEntry.over, row), kinds, panels):
            entry.kind, entry.offset, entry.rows = kind, at, n * LANES
            at += n * panel_bytes(kind, cols)
    assert at == len(data)
    KEPT.append(directory)
    return Matrix(directory.ctypes.data, len(kinds), 1, sum(panels) * LANES, cols, data)
