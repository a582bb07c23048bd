"""GGML's tensor types: what a block of each holds, and the float32 values that stands for.

Blocks are rows of bytes.  Each formula multiplies and adds in float32 in the order of GGML's own
`dequantize_row_*`, so that every bit agrees with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.kernels.encodings import (
    BF16,
    F16,
    F32,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
    Q2_K,
    Q3_K,
    Q4_0,
    Q4_1,
    Q4_K,
    Q5_0,
    Q5_1,
    Q5_K,
    Q6_K,
    Q8_0,
    TABLE,
)
from barelm.kernels.encodings.look_up import FP4, IQ4

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Blocks = NDArray[np.void]

SMALL = 32  # values in a block of the simple formats
LARGE = 256  # values in a block of the "K" formats
BLOCKS_AT_ONCE = 1 << 18  # values, so that what a formula works on stays in the cache
FACTORS = ("scales", "d", "m")
"""Fields that integers are multiplied by or that are added; the others hold the integers."""


@dataclass(frozen=True)
class BlockFormat:
    """A tensor type: GGML's name and number, the values of a block, its fields, and what they mean.

    `stored` gives the values of n blocks as they are stored, shape (n, block_size), most of them integers; `formula`
    what these stand for as float32 once `offset` is subtracted.  `scales` are those of parts of a block, where bytes
    have to be taken apart for them.
    """

    name: str
    type_id: int
    block_size: int
    fields: np.dtype[np.void] = field(repr=False)
    stored: Callable[[Blocks], NDArray[Any]] = field(repr=False)
    formula: Callable[[Blocks, Floats], Floats] = field(repr=False)
    offset: int = 0
    scales: Callable[[Blocks], Bytes] | None = field(default=None, repr=False)

    @property
    def block_bytes(self) -> int:
        """Bytes of a block."""
        return self.fields.itemsize

    def row_bytes(self, cols: int) -> int:
        """Bytes of a row of `cols` values, which must be whole blocks."""
        return cols // self.block_size * self.block_bytes

    def dequantize(self, rows: Bytes) -> Floats:
        """Rows of stored bytes, shape (n, bytes per row), as float32, shape (n, cols)."""
        blocks = self._blocks(rows)
        out = np.empty((len(blocks), self.block_size), np.float32)
        step = max(1, BLOCKS_AT_ONCE // self.block_size)
        # A scale may be infinite or no number: so is the weight then, as it is in GGML.
        with np.errstate(all="ignore"):
            for lo in range(0, len(blocks), step):
                values = self.stored(blocks[lo:lo + step]).astype(np.float32)
                if self.offset:
                    values -= np.float32(self.offset)
                out[lo:lo + step] = self.formula(blocks[lo:lo + step], values)
        return out.reshape(len(rows), rows.shape[1] // self.block_bytes * self.block_size)

    def parts(self, rows: Bytes) -> tuple[NDArray[Any], tuple[NDArray[Any], ...]]:
        """The stored values of such rows, shape (n, blocks, block_size), and their factors, each (n, blocks, some)."""
        blocks, shape = self._blocks(rows), (len(rows), rows.shape[1] // self.block_bytes, -1)
        factors = [blocks[name] for name in self.fields.names or () if name in FACTORS]
        if self.scales:
            factors = [self.scales(blocks), *factors]
        return self.stored(blocks).reshape(shape), tuple(factor.reshape(shape) for factor in factors)

    def _blocks(self, rows: Bytes) -> Blocks:
        return np.ascontiguousarray(rows).reshape(-1).view(self.fields)


def _fields(**types: str) -> np.dtype[np.void]:
    return np.dtype(list(types.items()))


def _upper_halves(blocks: Blocks) -> Floats:
    """Of float32, whose lower halves are zero."""
    return (blocks["x"].astype(np.uint32) << np.uint32(16)).view(np.float32)[:, None]


def _nibbles(run: int) -> Callable[[Blocks], Bytes]:
    """The low halves of each `run` bytes, then their high halves."""
    def stored(blocks: Blocks) -> Bytes:
        packed = blocks["low"].reshape(len(blocks), -1, 1, run)
        return np.concatenate([packed & 15, packed >> 4], axis=2).reshape(len(blocks), -1)

    return stored


def _five_bits(blocks: Blocks) -> Bytes:
    """Bit i of 32 belongs to value i."""
    high = np.unpackbits(np.ascontiguousarray(blocks["high"]), axis=1, bitorder="little")
    return _nibbles(SMALL // 2)(blocks) | high << np.uint8(4)


def _five_bits_k(blocks: Blocks) -> Bytes:
    """Bit b of byte j is the fifth bit of value j of sub-block b."""
    high = blocks["high"][:, None] >> np.arange(8, dtype=np.uint8)[:, None] & np.uint8(1)
    return _nibbles(32)(blocks) | high.reshape(-1, LARGE) << np.uint8(4)


def _six_bits(blocks: Blocks) -> Bytes:
    """Of two high bits, four values share a byte."""
    high = blocks["high"].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & np.uint8(3)
    return _nibbles(64)(blocks) | high.reshape(-1, LARGE) << np.uint8(4)


def _bit_pairs(blocks: Blocks) -> Bytes:
    """Four values share a byte."""
    pairs = blocks["low"].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None] & np.uint8(3)
    return pairs.reshape(-1, LARGE)


def _three_bits(blocks: Blocks) -> Bytes:
    """Bit b of byte j of the high ones belongs to value j of the 32 values b."""
    high = blocks["high"][:, None] >> np.arange(8, dtype=np.uint8)[:, None] & np.uint8(1)
    return _bit_pairs(blocks) | high.reshape(-1, LARGE) << np.uint8(2)


def _itself(blocks: Blocks, q: Floats) -> Floats:
    """w = q"""
    return q


def _scaled(blocks: Blocks, q: Floats) -> Floats:
    """w = d q, or d q + m"""
    scaled = _column(blocks["d"]) * q
    return scaled + _column(blocks["m"]) if "m" in (blocks.dtype.names or ()) else scaled


def _six_bit_pairs(blocks: Blocks) -> Bytes:
    """The scale and the minimum of each of the eight sub-blocks of 32 in turn.

    Of the twelve bytes, the low six bits of 0-3 and 4-7 are the first four scales and minima; the halves of 8-11
    and the two bits left over in 0-3 and 4-7 make the last four.
    """
    first, second, third = (blocks["six"][:, lo:lo + 4] for lo in (0, 4, 8))
    scales = np.concatenate([first & 63, third & 15 | first >> 2 & 48], axis=1)
    minima = np.concatenate([second & 63, third >> 4 | second >> 2 & 48], axis=1)
    return np.stack([scales, minima], axis=-1).reshape(len(blocks), -1)


def _scaled_by_pairs(blocks: Blocks, q: Floats) -> Floats:
    """w = d scale q - m minimum for each of the sub-blocks of 32."""
    pairs = _six_bit_pairs(blocks).astype(np.float32)
    d, m = _column(blocks["d"]) * pairs[:, 0::2], _column(blocks["m"]) * pairs[:, 1::2]
    return (d[:, :, None] * q.reshape(-1, 8, 32) - m[:, :, None]).reshape(-1, LARGE)


def _six_bit_scales(blocks: Blocks) -> Bytes:
    """Of twelve bytes the halves of the first eight, low ones first, are low bits, the pairs of the last four high."""
    low = np.concatenate([blocks["six"][:, :8] & 15, blocks["six"][:, :8] >> 4], axis=1)
    high = blocks["six"][:, None, 8:] >> np.array([0, 2, 4, 6], np.uint8)[:, None] & np.uint8(3)
    joined: Bytes = low | high.reshape(-1, 16) << np.uint8(4)
    return joined


def _split_scales(blocks: Blocks) -> Bytes:
    """Their low four bits in four bytes, their high two in a word."""
    low = blocks["six"][:, :, None] >> np.array([0, 4], np.uint8) & np.uint8(15)
    high = blocks["two"][:, None] >> np.arange(0, 16, 2, dtype=np.uint16) & np.uint16(3)
    return (low.reshape(-1, 8) | high << np.uint16(4)).astype(np.uint8)


def _scaled_around_32(blocks: Blocks, q: Floats, scales: Bytes) -> Floats:
    """w = d (scale - 32) q for each part that has a scale."""
    factors = _column(blocks["d"]) * (scales.astype(np.float32) - np.float32(32))
    return (factors[:, :, None] * q.reshape(*scales.shape, -1)).reshape(-1, LARGE)


def _scaled_by_halves(blocks: Blocks, q: Floats) -> Floats:
    """w = d scale q - m minimum for each of sixteen times 16."""
    low, high = (half.astype(np.float32) for half in (blocks["scales"] & 15, blocks["scales"] >> 4))
    d, m = _column(blocks["d"]) * low, _column(blocks["m"]) * high
    return (d[:, :, None] * q.reshape(-1, 16, 16) - m[:, :, None]).reshape(-1, LARGE)


def _of(table: tuple[int, ...], q: Floats) -> Floats:
    """Entries of a table."""
    return np.array(table, np.float32)[q.astype(np.uint8)]


def _power_of_two(blocks: Blocks, q: Floats) -> Floats:
    """w = 2^(d - 128) v[q]"""
    return np.ldexp(np.float32(1), blocks["d"].astype(np.int32) - 128)[:, None] * _of(FP4, q)


def _scaled_by_bytes(blocks: Blocks, q: Floats) -> Floats:
    """w = d scale q for each of sixteen times 16."""
    scales = _column(blocks["d"]) * blocks["scales"].astype(np.float32)
    return (scales[:, :, None] * q.reshape(-1, 16, 16)).reshape(-1, LARGE)


def _column(halves: NDArray[Any]) -> Floats:
    return halves.astype(np.float32)[:, None]


def _native(kind: int, *rest: Any) -> BlockFormat:
    """A format the kernels have."""
    return BlockFormat(*TABLE[kind][:3], *rest)


FORMATS = {form.type_id: form for form in (
    _native(F32, _fields(x="<f4"), lambda blocks: blocks["x"][:, None], _itself),
    _native(F16, _fields(x="<f2"), lambda blocks: blocks["x"][:, None], _itself),
    _native(Q4_0, _fields(d="<f2", low="16u1"), _nibbles(SMALL // 2), _scaled, 8),
    _native(Q4_1, _fields(d="<f2", m="<f2", low="16u1"), _nibbles(SMALL // 2), _scaled),
    _native(Q5_0, _fields(d="<f2", high="4u1", low="16u1"), _five_bits, _scaled, 16),
    _native(Q5_1, _fields(d="<f2", m="<f2", high="4u1", low="16u1"), _five_bits, _scaled),
    _native(Q8_0, _fields(d="<f2", q="32i1"), lambda blocks: blocks["q"], _scaled),
    _native(Q4_K, _fields(d="<f2", m="<f2", six="12u1", low="128u1"), _nibbles(32), _scaled_by_pairs, 0,
            _six_bit_pairs),
    _native(Q5_K, _fields(d="<f2", m="<f2", six="12u1", high="32u1", low="128u1"), _five_bits_k, _scaled_by_pairs, 0,
            _six_bit_pairs),
    _native(Q6_K, _fields(low="128u1", high="64u1", scales="16i1", d="<f2"), _six_bits, _scaled_by_bytes, 32),
    _native(BF16, _fields(x="<u2"), _upper_halves, _itself),
    _native(IQ4_NL, _fields(d="<f2", low="16u1"), _nibbles(SMALL // 2), lambda blocks, q: _scaled(blocks, _of(IQ4, q))),
    _native(IQ4_XS, _fields(d="<f2", two="<u2", six="4u1", low="128u1"), _nibbles(SMALL // 2),
            lambda blocks, q: _scaled_around_32(blocks, _of(IQ4, q), _split_scales(blocks)), 0, _split_scales),
    _native(MXFP4, _fields(d="u1", low="16u1"), _nibbles(SMALL // 2), _power_of_two),
    _native(Q3_K, _fields(high="32u1", low="64u1", six="12u1", d="<f2"), _three_bits,
            lambda blocks, q: _scaled_around_32(blocks, q, _six_bit_scales(blocks)), 4, _six_bit_scales),
    _native(Q2_K, _fields(scales="16u1", low="64u1", d="<f2", m="<f2"), _bit_pairs, _scaled_by_halves),
)}
"""The types this reads, by GGML's number."""

BY_NAME = {form.name: form for form in FORMATS.values()}

OTHERS = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 40: "NVFP4",
    41: "Q1_0",
}
"""Names of the types it does not read, so as to refuse them by name."""
