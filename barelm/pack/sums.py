"""The checksum of `kernels.checksum`, in NumPy: the host's way to sum gigabytes without a compiler."""

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 17


def checksum(sums: NDArray[np.uint64], data: NDArray[np.uint8]) -> None:
    """Continue sums = (a, b) over `data`, whole 64-bit words: the same figures as `extend_checksum`.

    Over m words, a grows by Σ wᵢ and b by m a + Σ (m - i) wᵢ.
    """
    words = data.view(np.uint64)
    with np.errstate(over="ignore"):
        for lo in range(0, len(words), _CHUNK):
            part = words[lo:lo + _CHUNK]
            m = len(part)
            sums[1] += np.uint64(m) * sums[0] + np.dot(part, np.arange(m, 0, -1, dtype=np.uint64))
            sums[0] += part.sum(dtype=np.uint64)
