"""Weight matrices as the kernels want them: which encoding each section gets, and its rows arranged in panels.

An encoding of the checkpoint is kept where the kernels have it, turned into a wider one where that loses nothing,
and otherwise written out as float32.  Asked for, values are quantized here, as GGML does it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Tensor
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.dialect.quants import GROUP, WIDTH
from barelm.dialect.types import BLOCK, LANES, padded
from barelm.errors import BarelmError
from barelm.kernels import encodings
from barelm.kernels.encodings import TABLE

Bytes = NDArray[np.uint8]

QUANTS = ("keep", "q8", "q4", "f32")
"""What may be asked for at pack time."""

_ASKED = {"q8": encodings.Q8_0, "q4": encodings.Q4_1, "f32": encodings.F32}
_KEPT = {row.name: kind for kind, row in enumerate(TABLE)}

LEAST_SCALE = 1e-37  # the inverse of a smaller one is not finite; as float16 it is zero anyway
_CHUNK_ROWS = 4096  # a multiple of LANES


def kind_of(tensor: Tensor, quant: str) -> int:
    """The encoding a tensor gets."""
    return _KEPT.get(tensor.encoding, encodings.F32) if quant == "keep" else _ASKED[quant]


def matrix_parts(checkpoint: Checkpoint, section: int, quant: str) -> Iterator[Bytes]:
    """The bytes of a weight section, tensor after tensor, large ones a few thousand rows at a time."""
    for name in itertools.chain.from_iterable(checkpoint.sources(section)):
        tensor = checkpoint.tensors[name]
        kind = kind_of(tensor, quant)
        for lo in range(0, tensor.rows, _CHUNK_ROWS):
            hi = min(lo + _CHUNK_ROWS, tensor.rows)
            yield _panels(_rows_of(name, tensor, kind, lo, hi), kind).reshape(-1)


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix: float32 `values` (rows, cols), or integers in blocks (rows, blocks, columns) and their factors.

    These are of shape (rows, blocks, some), in the order of `kernels.encodings`: the scales of parts of a block, the
    scale, the minimum, as far as there are any.
    """

    values: NDArray[Any]
    factors: tuple[NDArray[Any], ...] = ()


def _rows_of(name: str, tensor: Tensor, kind: int, lo: int, hi: int) -> Rows:
    """Rows lo to hi in an encoding.  Raises BarelmError where a scale is not finite."""
    if kind == encodings.F32:
        return Rows(tensor.float32(lo, hi))
    wider = _WIDER.get((tensor.encoding, kind))
    if tensor.encoding == TABLE[kind].name or wider is not None:
        rows = Rows(*BY_NAME[tensor.encoding].parts(tensor.data[lo:hi]))
        rows = wider(rows) if wider else rows
    else:
        values = tensor.float32(lo, hi)
        values = np.pad(values, ((0, 0), (0, padded(tensor.cols, BLOCK) - tensor.cols)))
        rows = _QUANTIZE[kind](values.reshape(hi - lo, -1, BLOCK))
    if not all(np.isfinite(factor).all() for factor in rows.factors):
        raise BarelmError(f"the tensor {name} holds a scale that is not a finite number",
                          "The checkpoint is damaged: fetch it again.")
    return rows


def _q5_0_as_q8_0(rows: Rows) -> Rows:
    """(q - 16) d with five bits: the same value and scale as int8."""
    return replace(rows, values=rows.values.astype(np.int8) - np.int8(16))


def _q4_0_as_q4_1(rows: Rows) -> Rows:
    """(q - 8) d = q d + m with m = -8 d, exact unless it leaves float16, which is then not finite."""
    d, = rows.factors
    return replace(rows, factors=(d, (d * np.float16(-8)).astype(np.float16)))


_WIDER = {("Q5_0", encodings.Q8_0): _q5_0_as_q8_0, ("Q4_0", encodings.Q4_1): _q4_0_as_q4_1}


def quantize_q8_0(values: NDArray[np.float32]) -> Rows:
    """d = max|x| / 127, q = round(x / d), over the last axis of 32."""
    scales = np.abs(values).max(-1, keepdims=True) / np.float32(127)
    return Rows(np.rint(values * _inverse(scales)).astype(np.int8), (scales.astype(np.float16),))


def quantize_q4_1(values: NDArray[np.float32]) -> Rows:
    """d = (max - min) / 15, m = min, q = floor((x - m) / d + 1/2), over the last axis of 32."""
    minima = values.min(-1, keepdims=True)
    scales = (values.max(-1, keepdims=True) - minima) / np.float32(15)
    steps = (values - minima) * _inverse(scales) + np.float32(0.5)
    return Rows(np.minimum(steps, 15).astype(np.uint8), (scales.astype(np.float16), minima.astype(np.float16)))


def _inverse(scales: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales > LEAST_SCALE)


_QUANTIZE = {encodings.Q8_0: quantize_q8_0, encodings.Q4_1: quantize_q4_1}


def _panels(rows: Rows, kind: int) -> Bytes:
    """The panels of some rows as `kernels.encodings` describes them, (panels, bytes of one)."""
    values, *factors = (_by_panel(part) for part in (rows.values, *rows.factors))
    n_panels = len(values)
    if kind == encodings.F32:
        return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(n_panels, -1).view(np.uint8)
    n_blocks = values.shape[2]
    # (panel, row, block, 32 columns after another 32, group, column): rows go inwards, to the columns of a vector.
    groups = values.view(np.uint8).reshape(n_panels, LANES, n_blocks, -1, BLOCK // GROUP, GROUP)
    groups = groups.transpose(0, 2, 3, 4, 1, 5).reshape(n_panels, n_blocks, -1, BLOCK // GROUP, WIDTH)
    widths, parts = TABLE[kind].planes, []
    for plane, width in enumerate(widths):
        parts.append(_plane(groups >> np.uint8(sum(widths[:plane])), width))
    blocks = [np.concatenate(parts, axis=-1).reshape(n_panels, n_blocks, -1)]
    blocks += [np.ascontiguousarray(factor.transpose(0, 2, 3, 1)).reshape(n_panels, n_blocks, -1).view(np.uint8)
               for factor in factors]
    return np.concatenate(blocks, axis=-1).reshape(n_panels, -1)


def _by_panel(plane: NDArray[Any]) -> NDArray[Any]:
    """Rows, padded with zeros, in sixteens."""
    whole = np.pad(plane, ((0, -len(plane) % LANES), *((0, 0),) * (plane.ndim - 1)))
    return whole.reshape(-1, LANES, *plane.shape[1:])


def _plane(groups: Bytes, width: int) -> Bytes:
    """The lowest `width` bits of eight groups, as many one above another as a byte has room for."""
    if width == 1:
        groups = groups.reshape(*groups.shape[:-2], 2, -1, WIDTH).swapaxes(-3, -2).reshape(groups.shape)
    together = (groups & np.uint8((1 << width) - 1)).reshape(*groups.shape[:-2], width, 8 // width, WIDTH)
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    packed: Bytes = np.bitwise_or.reduce(together << shifts, axis=-2)
    return packed.reshape(*groups.shape[:-2], -1)
