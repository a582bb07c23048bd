"""y = W x in float32: every output is the plain sum in the order of the columns, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.dialect.types import padded
from barelm.kernels.encodings.f32 import embed_f32, matmul_f32
from tests.kernels.agree import agree, normal


def panels(w: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sixteen rows side by side, column after column, rows padded with zeros (`contract.layout`)."""
    whole = np.pad(w, ((0, -len(w) % 16), (0, 0)))
    return np.concatenate([whole[lo:lo + 16].T.reshape(-1) for lo in range(0, len(whole), 16)])


def plain_sums(w: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x Wᵀ, each sum one column after another in float32."""
    y = np.zeros((len(x), len(w)), np.float32)
    for j in range(w.shape[1]):
        y += w[:, j] * x[:, j, None]
    return y


@pytest.mark.parametrize("rows, cols, n", [(16, 1, 1), (64, 8, 1), (80, 24, 1), (100, 33, 3), (72, 10, 4), (33, 17, 9)])
def test_matmul_is_the_plain_sum(rows: int, cols: int, n: int) -> None:
    w, x = normal(rows, rows, cols), normal(n, n, cols)
    y = np.zeros((n, padded(rows)), np.float32)
    agree(matmul_f32, y, panels(w), cols, x, n, 0, padded(rows) // 16)
    assert y[:, :rows].tobytes() == plain_sums(w, x).tobytes()
    assert not y[:, rows:].any()
    assert np.allclose(y[:, :rows], x.astype(float) @ w.astype(float).T, 1e-5, 1e-5)


def test_parts_of_the_rows_make_the_whole() -> None:
    w, x = normal(1, 160, 12), normal(2, 5, 12)
    whole, parts = (np.zeros((5, 160), np.float32) for _ in range(2))
    agree(matmul_f32, whole, panels(w), 12, x, 5, 0, 10)
    for lo, hi in ((0, 3), (3, 3), (3, 8), (8, 10)):
        agree(matmul_f32, parts, panels(w), 12, x, 5, lo, hi)
    assert whole.tobytes() == parts.tobytes()


@pytest.mark.parametrize("row", [0, 15, 16, 36])
def test_a_row_comes_back_out_of_its_panel(row: int) -> None:
    w, x = normal(1, 37, 9), np.zeros(9, np.float32)
    agree(embed_f32, x, panels(w), 9, row)
    assert np.array_equal(x, w[row])
