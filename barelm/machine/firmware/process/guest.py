"""The program's memory seen from the firmware: words, strings, buffers at an address.  A null pointer is refused."""

import ctypes

from barelm.contract import uefi
from barelm.machine.firmware.tables import ERROR

MASK = (1 << 64) - 1
_LONGEST_STRING = 1 << 20


class EfiError(Exception):
    """What a service raises to return a status that is an error; `status` has the bit that says so."""

    def __init__(self, status: int) -> None:
        super().__init__(hex(status))
        self.status = ERROR | status


def require(condition: object, status: int = uefi.EFI_INVALID_PARAMETER) -> None:
    """Refuse a call unless the condition holds."""
    if not condition:
        raise EfiError(status)


def word(address: int) -> int:
    """The UINT64 at an address."""
    require(address)
    return ctypes.c_uint64.from_address(address).value


def words(address: int, n: int) -> list[int]:
    """n UINT64 from an address on."""
    require(address)
    return list((ctypes.c_uint64 * n).from_address(address))


def put_word(address: int, value: int) -> None:
    """Write a UINT64."""
    require(address)
    ctypes.c_uint64.from_address(address).value = value & MASK


def put_words(address: int, *values: int) -> None:
    """Write UINT64s in a row."""
    require(address)
    (ctypes.c_uint64 * len(values)).from_address(address)[:] = [value & MASK for value in values]


def put_bytes(address: int, content: bytes) -> None:
    """Write bytes."""
    require(address)
    ctypes.memmove(address, content, len(content))


def read_bytes(address: int, n: int) -> bytes:
    """n bytes."""
    require(address)
    return ctypes.string_at(address, n)


def buffer(address: int, n: int) -> memoryview:
    """n bytes to be written in place."""
    require(address)
    return memoryview((ctypes.c_char * n).from_address(address)).cast("B")


def guid(address: int) -> bytes:
    """The EFI_GUID at an address."""
    return read_bytes(address, 16)


def string(address: int) -> str:
    """The CHAR16 string at an address, without its terminating zero; lone surrogates are kept."""
    require(address)
    for end in range(address, address + _LONGEST_STRING, 2):
        if not ctypes.c_uint16.from_address(end).value:
            return ctypes.string_at(address, end - address).decode("utf-16-le", "surrogatepass")
    raise EfiError(uefi.EFI_INVALID_PARAMETER)
