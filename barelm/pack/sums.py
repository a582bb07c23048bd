"""The checksum of `dialect.memory`, by a library: the host's way to sum gigabytes without a compiler."""

from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

_CHUNK = 4 << 20  # the library takes what nobody can write to, and that is a copy


def checksum(data: NDArray[Any], crc: int = 0) -> int:
    """CRC-32C of an array's bytes behind what `crc` is that of: the same figure as `crc32c`."""
    raw = data.view(np.uint8)
    for lo in range(0, len(raw), _CHUNK):
        crc = google_crc32c.extend(crc, raw[lo:lo + _CHUNK].tobytes())
    return crc


def own_sum(struct: Any) -> int:
    """The sum of a struct that holds it, computed with itself zero."""
    held, struct.sum = struct.sum, 0
    crc = checksum(struct.base)
    struct.sum = held
    return crc
