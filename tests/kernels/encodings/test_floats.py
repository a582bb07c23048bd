"""y = W x on floats of any width: every output is the plain sum in the order of the columns, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.dialect.types import padded
from barelm.kernels.encodings import BF16, F16, F32
from barelm.kernels.encodings.activations import Activations
from barelm.kernels.matrices import Matrix, embed, matmul, panel_bytes
from tests.kernels.agree import agree, normal
from tests.kernels.parts import in_parts

every_width = pytest.mark.parametrize("width", ["F32", "F16", "BF16"])


def stored(width: str, w: NDArray[np.float32]) -> tuple[NDArray[np.float32], Matrix]:
    """A matrix rounded to a width, and as the kernels have it."""
    if width == "F16":
        w[:, ::3] *= np.float32(1e-6)  # denormal as float16
        halves = w.astype(np.float16)
        return halves.astype(np.float32), matrix(F16, w, panels(halves))
    if width == "BF16":
        upper = w.view(np.uint32) >> np.uint32(16)
        return (upper << np.uint32(16)).view(np.float32), matrix(BF16, w, panels(upper.astype(np.uint16)))
    return w, matrix(F32, w, panels(w))


def matrix(kind: int, w: NDArray[np.float32], data: NDArray[Any]) -> Matrix:
    """Panels, one layer after another that is not asked for."""
    size = padded(len(w)) // 16 * panel_bytes(kind, w.shape[1])
    two_layers = np.concatenate([np.zeros(size, np.uint8), data.view(np.uint8)])
    return in_parts([kind], [padded(len(w)) // 16], w.shape[1], two_layers, n_layers=2)


def tokens(x: NDArray[np.float32]) -> Activations:
    """What floats need of activations."""
    return Activations(x, np.zeros((len(x), 64), np.uint8))


def panels(w: NDArray[Any]) -> NDArray[Any]:
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
@every_width
def test_matmul_is_the_plain_sum(width: str, rows: int, cols: int, n: int) -> None:
    (w, raw), x = stored(width, normal(rows, rows, cols)), normal(n, n, cols)
    y = np.zeros((n, padded(rows)), np.float32)
    agree(matmul, y, raw, 1, tokens(x), n, 0, padded(rows) // 16)
    assert y[:, :rows].tobytes() == plain_sums(w, x).tobytes()
    assert not y[:, rows:].any()
    assert np.allclose(y[:, :rows], x.astype(float) @ w.astype(float).T, 1e-5, 1e-5)


@every_width
def test_parts_of_the_rows_make_the_whole(width: str) -> None:
    (_, raw), x = stored(width, normal(1, 160, 12)), normal(2, 5, 12)
    whole, parts = (np.zeros((5, 160), np.float32) for _ in range(2))
    agree(matmul, whole, raw, 1, tokens(x), 5, 0, 10)
    for lo, hi in ((0, 3), (3, 3), (3, 8), (8, 10)):
        agree(matmul, parts, raw, 1, tokens(x), 5, lo, hi)
    assert whole.tobytes() == parts.tobytes()


@pytest.mark.parametrize("row", [0, 15, 16, 36])
@every_width
def test_a_row_comes_back_out_of_its_panel(width: str, row: int) -> None:
    (w, raw), x = stored(width, normal(1, 37, 9)), np.zeros(9, np.float32)
    agree(embed, x, raw._replace(data=raw.data[len(raw.data) // 2:]), row)
    assert np.array_equal(x, w[row])
