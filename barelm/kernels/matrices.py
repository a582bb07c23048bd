"""y = W x for a weight in any encoding, by panels of sixteen rows."""

from __future__ import annotations

from barelm.contract import layout
from barelm.dialect.memory import f32_array
from barelm.dialect.rooms import kernel
from barelm.dialect.types import BLOCK, F32, F32_2D, LANES, padded
from barelm.kernels.encodings.f32 import Matrix, embed_f32, matmul_f32
from barelm.kernels.encodings.quantized import (
    Q4_0_BYTES,
    Q4_1_BYTES,
    Q8_0_BYTES,
    Activations,
    q4_four,
    q4_one,
    q4_row,
    q8_four,
    q8_one,
    q8_row,
)


@kernel
def panel_bytes(kind: int, cols: int) -> int:
    """Bytes of sixteen rows of `cols` columns."""
    if kind == layout.F32:
        return 4 * LANES * cols
    n_blocks = padded(cols, BLOCK) // BLOCK
    if kind == layout.Q8_0:
        return Q8_0_BYTES * n_blocks
    if kind == layout.Q4_0:
        return Q4_0_BYTES * n_blocks
    return Q4_1_BYTES * n_blocks


@kernel
def matmul(y: F32_2D, w: Matrix, l: int, x: Activations, n: int, lo: int, hi: int) -> None:
    """y[t, i] = Σ_j W_l[i, j] x[t, j] for tokens t < n and the rows i of panels lo to hi."""
    if w.kind == layout.F32:
        matmul_f32(y, f32_array(w.data, l * w.layer_bytes, w.rows * w.cols), w.cols, x.values, n, lo, hi)
        return
    size = panel_bytes(w.kind, w.cols)
    for panel in range(lo, hi):
        at = l * w.layer_bytes + panel * size
        t = 0
        while t + 4 <= n:
            if w.kind == layout.Q8_0:
                q8_four(y, w.data, at, x, t, panel)
            else:
                q4_four(y, w.data, at, x, t, panel, w.kind == layout.Q4_1)
            t += 4
        while t < n:
            if w.kind == layout.Q8_0:
                q8_one(y[t], w.data, at, x.quants[t], x.scales[t], panel)
            else:
                q4_one(y[t], w.data, at, x.quants[t], x.scales[t], x.sums[t], panel, w.kind == layout.Q4_1)
            t += 1


@kernel
def embed(x: F32, w: Matrix, row: int) -> None:
    """x = W[row, :]: the embedding of a token."""
    if w.kind == layout.F32:
        embed_f32(x, f32_array(w.data, 0, w.rows * w.cols), w.cols, row)
        return
    at = row // LANES * panel_bytes(w.kind, w.cols)
    n_blocks = padded(w.cols, BLOCK) // BLOCK
    if w.kind == layout.Q8_0:
        q8_row(x, w.data, at, row % LANES, n_blocks)
    else:
        q4_row(x, w.data, at, row % LANES, n_blocks, w.kind == layout.Q4_1)
