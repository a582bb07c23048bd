"""Primitives over memory: typed views, single loads and stores, atomics, constant text, what looks at all of a file.

These are the interpreter's models, and the definition.  Views never copy.  Addresses are int64, and in the
interpreter they are real addresses of this process.
"""

import ctypes
import functools
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.dialect.types import I64, U8, U16, Real

_atomic = threading.Lock()

UNKNOWN = 0x5AA55AA55AA55AA5
"""What is in words nobody has written: in the interpreter always this, so that it is noticed."""

CRC32C = 0x82F63B78
"""The polynomial of Castagnoli 1993, its highest power the lowest bit."""


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ CRC32C * (byte & 1)
    return byte


_TABLE = tuple(map(_table_entry, range(256)))


def _view(block: U8, offset: int, shape: Any, dtype: Any) -> NDArray[Any]:
    n = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return block[offset:offset + n].view(dtype).reshape(shape)


def u8_array(block: U8, offset: int, shape: Any) -> NDArray[np.uint8]:
    """A view of `block` from byte `offset` on as uint8 of `shape` (a count or a tuple)."""
    return _view(block, offset, shape, np.uint8)


def i8_array(block: U8, offset: int, shape: Any) -> NDArray[np.int8]:
    """The same as int8."""
    return _view(block, offset, shape, np.int8)


def u16_array(block: U8, offset: int, shape: Any) -> NDArray[np.uint16]:
    """The same as uint16."""
    return _view(block, offset, shape, np.uint16)


def i32_array(block: U8, offset: int, shape: Any) -> NDArray[np.int32]:
    """The same as int32."""
    return _view(block, offset, shape, np.int32)


def i64_array(block: U8, offset: int, shape: Any) -> NDArray[np.int64]:
    """The same as int64."""
    return _view(block, offset, shape, np.int64)


def u64_array(block: U8, offset: int, shape: Any) -> NDArray[np.uint64]:
    """The same as uint64."""
    return _view(block, offset, shape, np.uint64)


def f32_array(block: U8, offset: int, shape: Any) -> NDArray[np.float32]:
    """The same as float32."""
    return _view(block, offset, shape, np.float32)


def prefetch(x: U8, i: int) -> None:
    """Bring the cache line of byte i, which may lie anywhere, near.  Changes nothing but how long things take."""


def float_of_bits(bits: int) -> Real:
    """The float32 whose IEEE 754 bits are the low 32 of `bits`."""
    return np.uint32(bits & 0xFFFFFFFF).view(np.float32)


def bits_of_float(x: Real) -> int:
    """The IEEE 754 bits of a float32, widened."""
    return int(np.float32(x).view(np.uint32))


def memory(address: int, n_bytes: int) -> U8:
    """The bytes at `address`, as an array over them.  The caller has to make sure that they exist."""
    if n_bytes == 0:
        return np.empty(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * int(n_bytes)).from_address(int(address)))


def address_of(array: NDArray[Any]) -> int:
    """Where the first element of `array` lies."""
    return int(array.ctypes.data)


def cells(n: int) -> I64:
    """n zeroed int64 on the stack of the calling function, for results returned through pointers; n is a literal."""
    return np.zeros(n, np.int64)


def scratch(n: int) -> I64:
    """The same, but nobody knows what is in them: to be written before it is read.  Zeroing takes its time."""
    return np.full(n, UNKNOWN, np.int64)


def load_u8(address: int) -> int:
    """The byte at `address`, widened."""
    return ctypes.c_uint8.from_address(int(address)).value


def load_u16(address: int) -> int:
    """The little-endian 16 bits at `address`, widened."""
    return ctypes.c_uint16.from_address(int(address)).value


def load_u32(address: int) -> int:
    """The little-endian 32 bits at `address`, widened."""
    return ctypes.c_uint32.from_address(int(address)).value


def load_i64(address: int) -> int:
    """The little-endian 64 bits at `address`."""
    return ctypes.c_int64.from_address(int(address)).value


def store_i64(address: int, value: int) -> None:
    """Write 64 bits at `address`."""
    ctypes.c_int64.from_address(int(address)).value = int(value)


def copy_bytes(target: int, source: int, n_bytes: int) -> None:
    """Copy between two regions that do not overlap."""
    ctypes.memmove(int(target), int(source), int(n_bytes))


def fill_bytes(target: int, value: int, n_bytes: int) -> None:
    """Set every byte of a region."""
    ctypes.memset(int(target), int(value), int(n_bytes))


@functools.cache  # constants last as long as the program
def text(literal: str) -> U16:
    """A constant string in UTF-16 with its terminating zero, as firmware wants it; the argument is a literal."""
    return np.frombuffer((literal + "\0").encode("utf-16-le"), np.uint16)


def atomic_load(words: I64, i: int) -> int:
    """words[i], after everything its writer wrote before (acquire)."""
    with _atomic:
        return int(words[i])


def atomic_store(words: I64, i: int, value: int) -> None:
    """words[i] = value, after everything written before (release)."""
    with _atomic:
        words[i] = value


def atomic_add(words: I64, i: int, value: int) -> int:
    """words[i] += value in one step; returns what was there before."""
    with _atomic:
        before = int(words[i])
        words[i] = before + value
        return before


def crc32c(crc: int, data: U8, n_bytes: int) -> int:
    """CRC-32C (RFC 3720) of data[:n_bytes] behind what `crc` is that of; 0 is that of nothing."""
    crc = int(crc) ^ 0xFFFFFFFF
    for byte in data[:n_bytes].tobytes():
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def first_senseless(table: Any, column: int, stride: int, least: int, most: int, step: int, low: int, low_most: int
                    ) -> int:
    """Of the numbers at `column`, `column` + `stride`, ... of an int32 or int64 array the place of the first that is
    not from `least` to `most`, or less than `step` above the one before it (-1: whatever it is), or has bits of `low`
    that are above `low_most`; -1 where there is none.
    """
    values = np.asarray(table)[column::stride].astype(np.int64)
    wrong = (values < least) | (values > most) | ((values & low) > low_most)
    if step >= 0:
        wrong[1:] |= values[1:] < values[:-1] + step
    return column + stride * int(np.argmax(wrong)) if wrong.any() else -1
