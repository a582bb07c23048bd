"""Weight matrices as the kernels want them: which encoding each section gets, and its rows arranged in panels.

An encoding of the checkpoint is kept where the kernels have it, turned into a wider one where that loses nothing,
and otherwise written out as float32.  Asked for, values are quantized (`quantizers`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Tensor
from barelm.checkpoint.ggml_blocks import BY_NAME
from barelm.dialect.quants import GROUP, WIDTH
from barelm.dialect.types import BLOCK, LANES
from barelm.errors import BarelmError
from barelm.kernels import encodings
from barelm.kernels.encodings import TABLE
from barelm.kernels.encodings.look_up import MOST_E
from barelm.pack.quantizers import QUANTIZE, Rows, restored

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]

DAMAGED = "The checkpoint is damaged: fetch it again."

QUANTS = ("keep", "q8", "q6_k", "q4", "q4_k", "f32")
"""What may be asked for at pack time."""

_ASKED = {"q8": encodings.Q8_0, "q6_k": encodings.Q6_K, "q4": encodings.Q4_1, "q4_k": encodings.Q4_K,
          "f32": encodings.F32}
_UNLESS_WHOLE = {encodings.Q4_K: encodings.Q5_0, encodings.Q6_K: encodings.Q8_0}
"""What takes the place of an encoding where a row is no whole number of its blocks, as in llama.cpp."""
_KEPT = {row.name: kind for kind, row in enumerate(TABLE)}

_CHUNK_ROWS = 4096  # a multiple of LANES
_TOO_LARGE = 1e9  # for the float16 scales of any encoding; squares of less are finite
_VALUES_AT_ONCE = 1 << 16  # so that what a quantizer works on stays in the cache


def kind_of(tensor: Tensor, quant: str) -> int:
    """The encoding a tensor gets; asked for q4_k or q6_k, what takes no more room than that stays as it is."""
    kept = _KEPT.get(tensor.encoding, encodings.F32)
    kind = kept if quant == "keep" else _ASKED[quant]
    if kind not in _UNLESS_WHOLE or kept == kind:
        return kind
    if tensor.cols % TABLE[kind].columns:
        kind = _UNLESS_WHOLE[kind]
    return kept if _bits(kept) <= _bits(kind) else kind


def _bits(kind: int) -> float:
    """Bits of a weight."""
    return 8 * TABLE[kind].block_bytes / TABLE[kind].columns


def matrix_parts(checkpoint: Checkpoint, section: int, quant: str, loss: Floats | None = None) -> Iterator[Bytes]:
    """The bytes of a weight section, tensor after tensor, large ones a few thousand rows at a time.

    What quantizing costs is added to `loss`: the sum of the squares of all errors, and that of what was quantized.
    """
    for name in itertools.chain.from_iterable(checkpoint.sources(section)):
        tensor = checkpoint.tensors[name]
        kind = kind_of(tensor, quant)
        for lo in range(0, tensor.rows, _CHUNK_ROWS):
            hi = min(lo + _CHUNK_ROWS, tensor.rows)
            yield _panels(_rows_of(name, tensor, kind, lo, hi, loss), kind).reshape(-1)


def _joined(parts: list[Rows]) -> Rows:
    return Rows(np.concatenate([part.values for part in parts]),
                tuple(map(np.concatenate, zip(*(part.factors for part in parts)))))


def _rows_of(name: str, tensor: Tensor, kind: int, lo: int, hi: int, loss: Floats | None) -> Rows:
    """Rows lo to hi in an encoding.  Raises BarelmError where a weight or a scale is not finite."""
    if encodings.IS_FLOAT[kind]:
        values = finite_values(name, tensor, lo, hi)
        if kind != encodings.F32:
            values = np.ascontiguousarray(tensor.data[lo:hi]).view(np.uint16)
        return Rows(values)
    wider = _WIDER.get((tensor.encoding, kind))
    if tensor.encoding == TABLE[kind].name or wider is not None:
        rows = Rows(*BY_NAME[tensor.encoding].parts(tensor.data[lo:hi]))
        rows = wider(rows) if wider else rows
    else:
        return _quantized(name, finite_values(name, tensor, lo, hi), kind, loss)
    most = np.uint8(MOST_E) if kind == encodings.MXFP4 else np.finfo(np.float16).max
    if not all((np.abs(factor) <= most).all() for factor in rows.factors):
        raise BarelmError(f"the tensor {name} holds a scale that is not a finite number", DAMAGED)
    return rows


def finite_values(name: str, tensor: Tensor, lo: int = 0, hi: int | None = None) -> Floats:
    """Rows lo to hi as float32.  Raises BarelmError where one of them is not finite."""
    values = tensor.float32(lo, hi)
    if not np.isfinite(values).all():
        raise BarelmError(f"the tensor {name} holds a weight that is not a finite number", DAMAGED)
    return values


def _quantized(name: str, values: Floats, kind: int, loss: Floats | None) -> Rows:
    """Float32 rows, padded to whole blocks, in an encoding.  Raises BarelmError where a weight is too large for it."""
    width = TABLE[kind].columns
    blocks = np.pad(values, ((0, 0), (0, -values.shape[1] % width))).reshape(len(values), -1, width)
    step, parts = max(1, _VALUES_AT_ONCE // blocks[0].size), []
    for at in range(0, len(blocks), step):
        part = blocks[at:at + step]
        with np.errstate(all="ignore"):  # what leaves float16 is refused below
            rows = QUANTIZE[kind](part) if np.abs(part).max() < _TOO_LARGE else None
        if rows is None or not all(np.isfinite(factor).all() for factor in rows.factors):
            raise BarelmError(f"the tensor {name} holds a weight too large for {TABLE[kind].name}",
                              "Pack it with --quant keep or f32.")
        if loss is not None:
            loss += [np.square(restored(rows, kind) - part).sum(), np.square(part).sum()]
        parts.append(rows)
    return _joined(parts)


def _q5_0_as_q8_0(rows: Rows) -> Rows:
    """(q - 16) d with five bits: the same value and scale as int8."""
    return replace(rows, values=rows.values.astype(np.int8) - np.int8(16))


def _q4_0_as_q4_1(rows: Rows) -> Rows:
    """(q - 8) d = q d + m with m = -8 d, exact unless it leaves float16, which is then not finite."""
    d, = rows.factors
    return replace(rows, factors=(d, (d * np.float16(-8)).astype(np.float16)))


_WIDER = {("Q5_0", encodings.Q8_0): _q5_0_as_q8_0, ("Q4_0", encodings.Q4_1): _q4_0_as_q4_1}


def _panels(rows: Rows, kind: int) -> Bytes:
    """The panels of some rows as `kernels.encodings` describes them, (panels, bytes of one)."""
    factors = list(rows.factors)
    if TABLE[kind].six_bits:
        factors[0] = _six_bits(factors[0])
    values, *factors = (_by_panel(part) for part in (rows.values, *factors))
    n_panels = len(values)
    if encodings.IS_FLOAT[kind]:
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


def _six_bits(scales: Bytes) -> Bytes:
    """Scales of six bits in bytes: the low four of every two, then the high two of every four."""
    low, high = scales.reshape(*scales.shape[:-1], -1, 2) & 15, scales.reshape(*scales.shape[:-1], -1, 4) >> 4
    return np.concatenate([np.bitwise_or.reduce(low << np.array([0, 4], np.uint8), axis=-1),
                           np.bitwise_or.reduce(high << np.array([0, 2, 4, 6], np.uint8), axis=-1)], axis=-1)


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
