"""How fast one core multiplies a matrix by a token, and by many, in every encoding, under the host's JIT.

    python bench/products.py [--mb 64] [ENCODING ...]

The bytes of the weights are random: speed does not depend on them.  All encodings take turns within one run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from barelm.contract.layout import TensorEntry
from barelm.dialect.lowering.install import jit
from barelm.dialect.types import BLOCK, LANES
from barelm.kernels.encodings import TABLE
from barelm.kernels.encodings.activations import Activations, quantize
from barelm.kernels.matrices import Matrix, matmul, panel_bytes

_COLS, _TOKENS, _MANY_ROWS = 2048, 32, 1024
_DIRECTORY = np.zeros((len(TABLE), TensorEntry.BYTES), np.uint8)


def random_matrix(kind: int, n_bytes: int) -> Matrix:
    """A matrix of about so many bytes, no float16 among them that is not finite."""
    size = panel_bytes(kind, _COLS)
    rows = max(1, n_bytes // size) * LANES
    data = np.random.default_rng(1).integers(0, 256, rows // LANES * size, np.uint8) & np.uint8(0x3B)
    return _matrix(kind, rows, data)


def _matrix(kind: int, rows: int, data: NDArray[np.uint8]) -> Matrix:
    """The first rows of such a matrix."""
    entry = TensorEntry.over(_DIRECTORY[kind])
    entry.kind, entry.offset, entry.rows = kind, 0, rows
    return Matrix(entry.address, 1, 1, rows, _COLS, data)


def random_tokens(n: int) -> Activations:
    """Activations of n tokens."""
    rng = np.random.default_rng(2)
    a = Activations(rng.standard_normal((n, _COLS), np.float32), np.zeros((n, 2 * _COLS), np.uint8))
    for t in range(n):
        quantize(a, t, 0, _COLS // BLOCK)
    return a


def fastest(run: Callable[[], object], rounds: int) -> float:
    """Seconds of the processor that the fastest of some runs took."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    """Print a line of JSON for each encoding."""
    parser = argparse.ArgumentParser(description="Measure the products of every encoding on one core.")
    parser.add_argument("encodings", nargs="*", choices=[[], *(row.name for row in TABLE)])
    parser.add_argument("--mb", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    for kind, row in enumerate(TABLE):
        if not chosen.encodings or row.name in chosen.encodings:
            print(json.dumps({"encoding": row.name, **measured(kind, chosen.mb << 20, chosen.rounds)}), flush=True)


def measured(kind: int, n_bytes: int, rounds: int) -> dict[str, float]:
    """A matrix of so many bytes times one token, and some rows of it, in the cache, times many."""
    w = random_matrix(kind, n_bytes)
    found = []
    for rows, x in ((w.rows, random_tokens(1)), (_MANY_ROWS, random_tokens(_TOKENS))):
        matrix, n = _matrix(kind, rows, w.data), len(x.values)
        arguments = np.zeros((n, matrix.rows), np.float32), matrix, 0, x, n, 0, matrix.rows // LANES
        found.append(fastest(partial(jit(matmul), *arguments), rounds))
    return {"one_token_gb_per_s": round(len(w.data) / found[0] / 1e9, 2),
            "one_token_gmac_per_s": round(w.rows * _COLS / found[0] / 1e9, 2),
            "many_tokens_gmac_per_s": round(_MANY_ROWS * _COLS * _TOKENS / found[1] / 1e9, 2)}


if __name__ == "__main__":
    main()
