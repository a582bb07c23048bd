"""Names for the values of the dialect: NumPy's types to mypy, a Numba signature to the compiler.

Arrays are one-dimensional and contiguous unless the name ends in 2D or 3D.  A plain `int` is an int64 (an
index, a count, an address); a `Real` is one float32.
"""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from barelm.dialect.rooms import kernel

U8 = Annotated[NDArray[np.uint8], "uint8[::1]"]
I8 = Annotated[NDArray[np.int8], "int8[::1]"]
U16 = Annotated[NDArray[np.uint16], "uint16[::1]"]
I32 = Annotated[NDArray[np.int32], "int32[::1]"]
I64 = Annotated[NDArray[np.int64], "int64[::1]"]
I64_2D = Annotated[NDArray[np.int64], "int64[:,::1]"]
U64 = Annotated[NDArray[np.uint64], "uint64[::1]"]
F32 = Annotated[NDArray[np.float32], "float32[::1]"]
F32_2D = Annotated[NDArray[np.float32], "float32[:,::1]"]
U8_2D = Annotated[NDArray[np.uint8], "uint8[:,::1]"]
Real = Annotated[np.float32, "float32"]

# Vectors have a fixed logical width whatever the processor's registers; in the interpreter they are small arrays.
F32x16 = Annotated[NDArray[np.float32], "vector of 16 float32"]
I32x16 = Annotated[NDArray[np.int32], "vector of 16 int32"]
I8x64 = Annotated[NDArray[np.int8], "vector of 64 int8"]

Kernel = Callable[..., Any]
"""A kernel that another one is given: the other is compiled anew for each."""

f32 = np.float32
i32 = np.int32
i64 = np.int64
u64 = np.uint64

LANES = 16
"""Lanes of a vector of float32 or int32: the width every buffer and weight panel is padded to."""

BLOCK = 32
"""Columns that share a scale in a quantized weight: every row of activations is padded to it."""


@kernel
def padded(n: int, lanes: int = LANES) -> int:
    """n rounded up to a multiple of `lanes`."""
    return (n + lanes - 1) // lanes * lanes
