"""y = W x in float32, for weights in float32, float16 or bfloat16: panels of 16 rows, one lane per row.

`column` loads column k of all columns of all panels, widened.

Every output is the plain sum over j = 0, 1, ... of W[i, j] x[j], whatever the number of tokens, rows or cores at
work: the blocks below change which sums are done side by side, never the order within one.
"""

from typing import Any

from barelm.dialect.memory import address_of, f32_array, memory, scratch
from barelm.dialect.quants import load_bf16x16, load_f16x16
from barelm.dialect.types import F32, F32_2D, LANES, U8, F32x16, Kernel, f32
from barelm.dialect.vectors import load_f32x16, splat_f32x16, store_f32x16

LANES_WORDS = LANES // 2


def f32_column(w: F32, k: int) -> F32x16:
    """Sixteen rows of a column of float32."""
    return load_f32x16(w, k * LANES)


def f16_column(w: U8, k: int) -> F32x16:
    """Sixteen rows of a column of float16."""
    return load_f16x16(w, k * 2 * LANES)


def bf16_column(w: U8, k: int) -> F32x16:
    """Sixteen rows of a column of bfloat16."""
    return load_bf16x16(w, k * 2 * LANES)


def matmul_floats(column: Kernel, w: Any, cols: int, job: Any) -> None:
    """y[t, i] = Σ_j W[i, j] x[t, j] for tokens t < n and the rows i of panels lo to hi, with which `w` begins."""
    y, x, n, lo, hi = job
    n_fours = n // 4 * 4
    for panel in range(lo, hi):
        for t in range(0, n_fours, 4):
            one_panel_four_tokens(column, y, w, (panel - lo) * cols, x, cols, panel, t)
    for t in range(n_fours, n):
        panel = lo
        while panel + 4 <= hi:
            four_panels_one_token(column, y[t], w, (panel - lo) * cols, x[t], cols, panel)
            panel += 4
        while panel < hi:
            one_panel_one_token(column, y[t], w, (panel - lo) * cols, x[t], cols, panel)
            panel += 1


def one_panel_one_token(column: Kernel, y: F32, w: Any, at: int, x: F32, cols: int, panel: int) -> None:
    """Sixteen rows of y = W x, whose weights begin with column `at` of all."""
    a = splat_f32x16(f32(0))
    for j in range(cols):
        a = a + column(w, at + j) * splat_f32x16(x[j])
    store_f32x16(y, panel * LANES, a)


def four_panels_one_token(column: Kernel, y: F32, w: Any, at: int, x: F32, cols: int, panel: int) -> None:
    """Sixty-four rows of y = W x: four sums side by side hide the latency of the addition."""
    a0 = splat_f32x16(f32(0))
    a1 = a0
    a2 = a0
    a3 = a0
    for j in range(cols):
        xj = splat_f32x16(x[j])
        k = at + j
        a0 = a0 + column(w, k) * xj
        a1 = a1 + column(w, k + cols) * xj
        a2 = a2 + column(w, k + 2 * cols) * xj
        a3 = a3 + column(w, k + 3 * cols) * xj
    i = panel * LANES
    store_f32x16(y, i, a0)
    store_f32x16(y, i + LANES, a1)
    store_f32x16(y, i + 2 * LANES, a2)
    store_f32x16(y, i + 3 * LANES, a3)


def one_panel_four_tokens(column: Kernel, y: F32_2D, w: Any, at: int, x: F32_2D, cols: int, panel: int,
                          t: int) -> None:
    """Sixteen rows of y = W x for four tokens: a weight is loaded once and used four times."""
    x0 = x[t]
    x1 = x[t + 1]
    x2 = x[t + 2]
    x3 = x[t + 3]
    a0 = splat_f32x16(f32(0))
    a1 = a0
    a2 = a0
    a3 = a0
    for j in range(cols):
        wj = column(w, at + j)
        a0 = a0 + wj * splat_f32x16(x0[j])
        a1 = a1 + wj * splat_f32x16(x1[j])
        a2 = a2 + wj * splat_f32x16(x2[j])
        a3 = a3 + wj * splat_f32x16(x3[j])
    i = panel * LANES
    store_f32x16(y[t], i, a0)
    store_f32x16(y[t + 1], i, a1)
    store_f32x16(y[t + 2], i, a2)
    store_f32x16(y[t + 3], i, a3)


def embed_floats(column: Kernel, w: Any, cols: int, job: Any) -> None:
    """x = W[row, :]: one row out of its panel."""
    x, row = job
    words = scratch(LANES_WORDS)
    lanes = f32_array(memory(address_of(words), 4 * LANES), 0, LANES)
    for j in range(cols):
        store_f32x16(lanes, 0, column(w, row // LANES * cols + j))
        x[j] = lanes[row % LANES]
