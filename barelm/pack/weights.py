"""Weight matrices as the kernels want them: which encoding each section gets, and its rows arranged in panels.

An encoding of the checkpoint is kept where the kernels have it, turned into a wider one where that loses nothing,
and otherwise written out as float32.  Asked for, values are quantized here, as GGML does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Tensor
from barelm.contract import layout
from barelm.contract.sections import SECTIONS
from barelm.dialect.types import BLOCK, LANES, padded
from barelm.errors import BarelmError

Bytes = NDArray[np.uint8]

QUANTS = ("keep", "q8", "q4", "f32")
"""What may be asked for at pack time."""

_ASKED = {"q8": layout.Q8_0, "q4": layout.Q4_1, "f32": layout.F32}
# The first kind that holds all the encodings of a section without loss.
_KEPT = ((frozenset({"Q4_0"}), layout.Q4_0), (frozenset({"Q4_0", "Q4_1"}), layout.Q4_1),
         (frozenset({"Q8_0", "Q5_0"}), layout.Q8_0))

LEAST_SCALE = 1e-37  # the inverse of a smaller one is not finite; as float16 it is zero anyway
_CHUNK_ROWS = 4096  # a multiple of LANES


def kind_of(checkpoint: Checkpoint, section: int, quant: str) -> int:
    """The encoding a section gets."""
    if quant != "keep":
        return _ASKED[quant]
    found = {checkpoint.tensors[name].encoding for names in checkpoint.sources(section) for name in names}
    return next((kind for encodings, kind in _KEPT if found and found <= encodings), layout.F32)


def matrix_parts(checkpoint: Checkpoint, section: int, kind: int) -> Iterator[Bytes]:
    """The bytes of a weight section, layer after layer, large matrices a few thousand rows at a time."""
    for names in checkpoint.sources(section):
        tensors = [checkpoint.tensors[name] for name in names]
        if SECTIONS[section].in_turn:
            w1, w3 = (_panels(_rows_of(name, tensor, kind, 0, tensor.rows), kind)
                      for name, tensor in zip(names, tensors))
            yield np.stack([w1, w3], axis=1).reshape(-1)
        elif len(tensors) == 1:
            for lo in range(0, tensors[0].rows, _CHUNK_ROWS):
                hi = min(lo + _CHUNK_ROWS, tensors[0].rows)
                yield _panels(_rows_of(names[0], tensors[0], kind, lo, hi), kind).reshape(-1)
        else:
            rows = [_rows_of(name, tensor, kind, 0, tensor.rows) for name, tensor in zip(names, tensors)]
            yield _panels(_joined(rows), kind).reshape(-1)


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix: float32 in `values` (rows, cols), or as blocks of 32.

    values  int8 for Q8_0, 0 to 15 for Q4 (rows, blocks, 32)
    scales  float16 (rows, blocks)
    minima  float16 (rows, blocks), for Q4_1
    """

    values: NDArray[np.generic]
    scales: NDArray[np.float16] | None = None
    minima: NDArray[np.float16] | None = None

    def planes(self) -> tuple[NDArray[np.generic], ...]:
        """All that is not absent."""
        return tuple(plane for plane in (self.values, self.scales, self.minima) if plane is not None)


def _joined(rows: list[Rows]) -> Rows:
    return Rows(*(np.concatenate(planes) for planes in zip(*(part.planes() for part in rows))))


def _rows_of(name: str, tensor: Tensor, kind: int, lo: int, hi: int) -> Rows:
    """Rows lo to hi in an encoding.  Raises BarelmError where a scale is not finite."""
    if kind == layout.F32:
        return Rows(tensor.float32(lo, hi))
    reader = _AS_STORED.get((tensor.encoding, kind))
    if reader is not None:
        rows = reader(tensor.data[lo:hi].reshape(hi - lo, tensor.cols // BLOCK, -1))
    else:
        values = tensor.float32(lo, hi)
        values = np.pad(values, ((0, 0), (0, padded(tensor.cols, BLOCK) - tensor.cols)))
        rows = _QUANTIZE[kind](values.reshape(hi - lo, -1, BLOCK))
    if not all(np.isfinite(plane).all() for plane in rows.planes()[1:]):
        raise BarelmError(f"the tensor {name} holds a scale that is not a finite number",
                          "The checkpoint is damaged: fetch it again.")
    return rows


def _f16(block: Bytes, at: int) -> NDArray[np.float16]:
    return np.ascontiguousarray(block[..., at:at + 2]).view(np.float16)[..., 0]


def _nibbles(packed: Bytes) -> Bytes:
    """GGML keeps columns 0 to 15 in the low nibbles and 16 to 31 in the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _q8_0(block: Bytes) -> Rows:
    return Rows(block[..., 2:].view(np.int8), _f16(block, 0))


def _q5_0_as_q8_0(block: Bytes) -> Rows:
    """(q - 16) d with five bits: the same value and scale as int8."""
    high = np.unpackbits(block[..., 2:6], axis=-1, bitorder="little")
    return Rows((_nibbles(block[..., 6:]) | high << 4).astype(np.int8) - np.int8(16), _f16(block, 0))


def _q4_0(block: Bytes) -> Rows:
    return Rows(_nibbles(block[..., 2:]), _f16(block, 0))


def _q4_0_as_q4_1(block: Bytes) -> Rows:
    """(q - 8) d = q d + m with m = -8 d, exact unless it leaves float16, which is then not finite."""
    scales = _f16(block, 0)
    return Rows(_nibbles(block[..., 2:]), scales, (scales * np.float16(-8)).astype(np.float16))


def _q4_1(block: Bytes) -> Rows:
    return Rows(_nibbles(block[..., 4:]), _f16(block, 0), _f16(block, 2))


_AS_STORED: dict[tuple[str, int], Callable[[Bytes], Rows]] = {
    ("Q8_0", layout.Q8_0): _q8_0, ("Q5_0", layout.Q8_0): _q5_0_as_q8_0, ("Q4_0", layout.Q4_0): _q4_0,
    ("Q4_0", layout.Q4_1): _q4_0_as_q4_1, ("Q4_1", layout.Q4_1): _q4_1,
}


def quantize_q8_0(values: NDArray[np.float32]) -> Rows:
    """d = max|x| / 127, q = round(x / d), over the last axis of 32."""
    scales = np.abs(values).max(-1) / np.float32(127)
    inverse = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales > LEAST_SCALE)
    return Rows(np.rint(values * inverse[..., None]).astype(np.int8), scales.astype(np.float16))


def quantize_q4_1(values: NDArray[np.float32]) -> Rows:
    """d = (max - min) / 15, m = min, q = floor((x - m) / d + 1/2), over the last axis of 32."""
    minima = values.min(-1)
    scales = (values.max(-1) - minima) / np.float32(15)
    inverse = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales > LEAST_SCALE)
    steps = (values - minima[..., None]) * inverse[..., None] + np.float32(0.5)
    return Rows(np.minimum(steps, 15).astype(np.uint8), scales.astype(np.float16), minima.astype(np.float16))


_QUANTIZE = {layout.Q8_0: quantize_q8_0, layout.Q4_1: quantize_q4_1}


def _panels(rows: Rows, kind: int) -> Bytes:
    """The panels of some rows, (panels, bytes of one), rows padded with zeros to sixteen."""
    planes = [np.pad(plane, ((0, -len(plane) % LANES), *((0, 0),) * (plane.ndim - 1))) for plane in rows.planes()]
    n_panels = len(planes[0]) // LANES
    # (panel, row, ...): rows go inwards, behind the columns that share a vector.
    values, *factors = (plane.reshape(n_panels, LANES, *plane.shape[1:]) for plane in planes)
    if kind == layout.F32:
        return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(n_panels, -1).view(np.uint8)
    by_group = values.reshape(n_panels, LANES, -1, BLOCK // 4, 4).transpose(0, 2, 3, 1, 4)
    if kind != layout.Q8_0:
        by_group = by_group[:, :, 0::2] | by_group[:, :, 1::2] << 4
    n_blocks = by_group.shape[1]
    parts = [np.ascontiguousarray(by_group).reshape(n_panels, n_blocks, -1).view(np.uint8)]
    parts += [np.ascontiguousarray(factor.transpose(0, 2, 1)).view(np.uint8) for factor in factors]
    return np.concatenate(parts, axis=-1).reshape(n_panels, -1)
