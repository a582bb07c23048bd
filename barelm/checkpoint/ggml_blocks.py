"""GGML's tensor types: how many values a block holds, how many bytes it takes, and the float32 values it stands for.

Blocks are rows of bytes.  Each formula multiplies and adds in float32 in the order of GGML's own
`dequantize_row_*`, so that every bit agrees with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

SMALL = 32  # values in a block of the simple formats
LARGE = 256  # values in a block of the "K" formats
K_SCALES = 12  # bytes of eight 6-bit scales and eight 6-bit minima
BLOCKS_AT_ONCE = 1 << 18  # values, so that what a formula works on stays in the cache


@dataclass(frozen=True)
class BlockFormat:
    """A tensor type: GGML's name and number, values and bytes of a block, and the formula for (n, bytes) blocks."""

    name: str
    type_id: int
    block_size: int
    block_bytes: int
    dequantize_blocks: Callable[[Bytes], Floats] = field(repr=False)

    def row_bytes(self, cols: int) -> int:
        """Bytes of a row of `cols` values, which must be whole blocks."""
        return cols // self.block_size * self.block_bytes

    def dequantize(self, rows: Bytes) -> Floats:
        """Rows of stored bytes, shape (n, bytes per row), as float32, shape (n, cols)."""
        blocks = np.ascontiguousarray(rows).reshape(-1, self.block_bytes)
        out = np.empty((len(blocks), self.block_size), np.float32)
        step = max(1, BLOCKS_AT_ONCE // self.block_size)
        # A scale may be infinite or no number: so is the weight then, as it is in GGML.
        with np.errstate(all="ignore"):
            for lo in range(0, len(blocks), step):
                out[lo:lo + step] = self.dequantize_blocks(blocks[lo:lo + step])
        return out.reshape(len(rows), rows.shape[1] // self.block_bytes * self.block_size)


def _half(raw: Bytes) -> Floats:
    return np.ascontiguousarray(raw).view("<f2").astype(np.float32)


def _float32(blocks: Bytes) -> Floats:
    return blocks.view("<f4")


def _bfloat16(blocks: Bytes) -> Floats:
    return (blocks.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _nibbles(raw: Bytes, run: int) -> Bytes:
    """The low halves of each `run` bytes, then their high halves."""
    packed = raw.reshape(len(raw), -1, 1, run)
    return np.concatenate([packed & 15, packed >> 4], axis=2).reshape(len(raw), -1)


def _fifth_bits(raw: Bytes) -> Bytes:
    """Bit i of 32 belongs to value i."""
    return np.unpackbits(np.ascontiguousarray(raw), axis=1, bitorder="little") << np.uint8(4)


def _q8_0(blocks: Bytes) -> Floats:
    """w = q · d"""
    return np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32) * _half(blocks[:, :2])


def _q4_0(blocks: Bytes) -> Floats:
    """w = d · (q - 8)"""
    return _half(blocks[:, :2]) * (_nibbles(blocks[:, 2:], SMALL // 2).astype(np.float32) - np.float32(8))


def _q4_1(blocks: Bytes) -> Floats:
    """w = d · q + m"""
    return _half(blocks[:, :2]) * _nibbles(blocks[:, 4:], SMALL // 2).astype(np.float32) + _half(blocks[:, 2:4])


def _q5_0(blocks: Bytes) -> Floats:
    """w = d · (q - 16)"""
    q = _nibbles(blocks[:, 6:], SMALL // 2) | _fifth_bits(blocks[:, 2:6])
    return _half(blocks[:, :2]) * (q.astype(np.float32) - np.float32(16))


def _q5_1(blocks: Bytes) -> Floats:
    """w = d · q + m"""
    q = _nibbles(blocks[:, 8:], SMALL // 2) | _fifth_bits(blocks[:, 4:8])
    return _half(blocks[:, :2]) * q.astype(np.float32) + _half(blocks[:, 2:4])


def _scales_and_minima(blocks: Bytes) -> tuple[Floats, Floats]:
    """d · scale and dmin · minimum of the eight sub-blocks of 32, each (n, 8, 1).

    Of the twelve bytes, the low six bits of 0-3 and 4-7 are the first four scales and minima; the halves of 8-11
    and the two bits left over in 0-3 and 4-7 make the last four.
    """
    first, second, third = (blocks[:, lo:lo + 4] for lo in (4, 8, 12))
    scales = np.concatenate([first & 63, third & 15 | first >> 2 & 48], axis=1)
    minima = np.concatenate([second & 63, third >> 4 | second >> 2 & 48], axis=1)
    d, dmin = _half(blocks[:, :2]), _half(blocks[:, 2:4])
    return (d * scales.astype(np.float32))[:, :, None], (dmin * minima.astype(np.float32))[:, :, None]


def _q4_k(blocks: Bytes) -> Floats:
    """w = d · scale · q - dmin · minimum"""
    d, m = _scales_and_minima(blocks)
    q = _nibbles(blocks[:, 4 + K_SCALES:], 32).reshape(-1, 8, 32)
    return (d * q.astype(np.float32) - m).reshape(-1, LARGE)


def _q5_k(blocks: Bytes) -> Floats:
    """w = d · scale · q - dmin · minimum; bit b of byte j is the fifth bit of value j of sub-block b."""
    d, m = _scales_and_minima(blocks)
    high = blocks[:, None, 4 + K_SCALES:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    q = _nibbles(blocks[:, 48:], 32).reshape(-1, 8, 32) | high << 4
    return (d * q.astype(np.float32) - m).reshape(-1, LARGE)


def _q6_k(blocks: Bytes) -> Floats:
    """w = d · scale · (q - 32), a scale for every 16; of two high bits, four values share a byte."""
    low = _nibbles(blocks[:, :128], 64).reshape(-1, 2, 4, 32)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    q = (low | high << 4).astype(np.float32) - np.float32(32)
    scales = _half(blocks[:, 208:]) * np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    return (scales[:, :, None] * q.reshape(-1, 16, 16)).reshape(-1, LARGE)


FORMATS = {form.type_id: form for form in (
    BlockFormat("F32", 0, 1, 4, _float32),
    BlockFormat("F16", 1, 1, 2, _half),
    BlockFormat("Q4_0", 2, SMALL, 18, _q4_0),
    BlockFormat("Q4_1", 3, SMALL, 20, _q4_1),
    BlockFormat("Q5_0", 6, SMALL, 22, _q5_0),
    BlockFormat("Q5_1", 7, SMALL, 24, _q5_1),
    BlockFormat("Q8_0", 8, SMALL, 34, _q8_0),
    BlockFormat("Q4_K", 12, LARGE, 144, _q4_k),
    BlockFormat("Q5_K", 13, LARGE, 176, _q5_k),
    BlockFormat("Q6_K", 14, LARGE, 210, _q6_k),
    BlockFormat("BF16", 30, 1, 2, _bfloat16),
)}
"""The types this reads, by GGML's number."""

BY_NAME = {form.name: form for form in FORMATS.values()}

OTHERS = {
    9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}
"""Names of the types it does not read, so as to refuse them by name."""
