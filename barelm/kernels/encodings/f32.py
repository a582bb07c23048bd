"""y = W x in float32: weights in panels of 16 rows, one lane per row.

Every output is the plain sum over j = 0, 1, ... of W[i, j] x[j], whatever the number of tokens, rows or cores at
work: the blocks below change which sums are done side by side, never the order within one.
"""

from barelm.dialect.types import F32, F32_2D, LANES, f32
from barelm.dialect.vectors import load_f32x16, splat_f32x16, store_f32x16


def matmul_f32(y: F32_2D, w: F32, cols: int, x: F32_2D, n: int, lo: int, hi: int) -> None:
    """y[t, i] = Σ_j W[i, j] x[t, j] for tokens t < n and the rows i of panels lo to hi, with which `w` begins."""
    n_fours = n // 4 * 4
    size = cols * LANES
    for panel in range(lo, hi):
        for t in range(0, n_fours, 4):
            one_panel_four_tokens(y, w, (panel - lo) * size, x, cols, panel, t)
    for t in range(n_fours, n):
        panel = lo
        while panel + 4 <= hi:
            four_panels_one_token(y[t], w, (panel - lo) * size, x[t], cols, panel)
            panel += 4
        while panel < hi:
            one_panel_one_token(y[t], w, (panel - lo) * size, x[t], cols, panel)
            panel += 1


def one_panel_one_token(y: F32, w: F32, at: int, x: F32, cols: int, panel: int) -> None:
    """Sixteen rows of y = W x, whose weights begin at an element."""
    a = splat_f32x16(f32(0))
    for j in range(cols):
        a = a + load_f32x16(w, at + j * LANES) * splat_f32x16(x[j])
    store_f32x16(y, panel * LANES, a)


def four_panels_one_token(y: F32, w: F32, at: int, x: F32, cols: int, panel: int) -> None:
    """Sixty-four rows of y = W x: four sums side by side hide the latency of the addition."""
    a0 = splat_f32x16(f32(0))
    a1 = a0
    a2 = a0
    a3 = a0
    size = cols * LANES
    for j in range(cols):
        xj = splat_f32x16(x[j])
        k = at + j * LANES
        a0 = a0 + load_f32x16(w, k) * xj
        a1 = a1 + load_f32x16(w, k + size) * xj
        a2 = a2 + load_f32x16(w, k + 2 * size) * xj
        a3 = a3 + load_f32x16(w, k + 3 * size) * xj
    i = panel * LANES
    store_f32x16(y, i, a0)
    store_f32x16(y, i + LANES, a1)
    store_f32x16(y, i + 2 * LANES, a2)
    store_f32x16(y, i + 3 * LANES, a3)


def one_panel_four_tokens(y: F32_2D, w: F32, at: int, x: F32_2D, cols: int, panel: int, t: int) -> None:
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
        wj = load_f32x16(w, at + j * LANES)
        a0 = a0 + wj * splat_f32x16(x0[j])
        a1 = a1 + wj * splat_f32x16(x1[j])
        a2 = a2 + wj * splat_f32x16(x2[j])
        a3 = a3 + wj * splat_f32x16(x3[j])
    i = panel * LANES
    store_f32x16(y[t], i, a0)
    store_f32x16(y[t + 1], i, a1)
    store_f32x16(y[t + 2], i, a2)
    store_f32x16(y[t + 3], i, a3)


def embed_f32(x: F32, w: F32, cols: int, row: int) -> None:
    """x = W[row, :]: one row out of its panel."""
    at = row // LANES * cols * LANES + row % LANES
    for j in range(cols):
        x[j] = w[at + j * LANES]
