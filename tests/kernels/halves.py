"""Activations as int8, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.kernels.encodings.activations import HALF_BYTES, Activations

HALF = np.dtype([("quants", np.int8, 16), ("scale", np.float32), ("quant_sum", np.int32), ("sum", np.float32),
                 ("unused", np.float32)])
assert HALF.itemsize == HALF_BYTES


def halves(a: Activations) -> NDArray[Any]:
    """The sixteens of every token; of two the first has the sum."""
    return a.halves.view(HALF)
