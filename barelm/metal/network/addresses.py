"""Addresses of IPv4: numbers here, four bytes in the order they are written in where the firmware has them."""

from barelm.contract.network.network_state import FixedAddress
from barelm.contract.settings import Text
from barelm.dialect.memory import memory
from barelm.dialect.types import U8

DOT, SLASH, SPACE, ZERO = 46, 47, 32, 48
VIA = 0x766961
"""The bytes of the word."""


def address_in(place: U8) -> int:
    """The address in four bytes."""
    return int(place[0]) << 24 | int(place[1]) << 16 | int(place[2]) << 8 | int(place[3])


def put_address(place: U8, address: int) -> None:
    """Write an address into four bytes."""
    for k in range(4):
        place[k] = address >> (24 - 8 * k) & 0xFF


def mask_of(prefix: int) -> int:
    """The mask of so many bits."""
    return 0xFFFFFFFF << (32 - prefix) & 0xFFFFFFFF


def prefix_of(mask: int) -> int:
    """How many bits a mask begins with."""
    prefix = 0
    while prefix < 32 and mask >> (31 - prefix) & 1 != 0:
        prefix += 1
    return prefix


def read_fixed(words: Text, fixed: FixedAddress) -> bool:
    """Read the node's own address as the configuration has it, `192.168.1.5/24 via 192.168.1.1`, empty for none;
    False where it is no such thing.
    """
    fixed.ip = 0
    fixed.gateway = 0
    n = words.n_bytes
    if n == 0:
        return True
    data = memory(words.address, n)
    at, fixed.ip = read_address(data, 0, n)
    if at < 0 or at >= n or data[at] != SLASH:
        return False
    at, fixed.prefix = read_number(data, at + 1, n, 30)
    if at < 0 or fixed.prefix == 0 or fixed.ip == 0:
        return False
    if at == n:
        return True
    if n - at < 6 or data[at] != SPACE or data[at + 4] != SPACE or (
            int(data[at + 1]) << 16 | int(data[at + 2]) << 8 | int(data[at + 3])) != VIA:
        return False
    at, fixed.gateway = read_address(data, at + 5, n)
    mask = mask_of(fixed.prefix)
    return at == n and fixed.gateway != fixed.ip and fixed.gateway & mask == fixed.ip & mask


def read_address(data: U8, at: int, n: int) -> tuple[int, int]:
    """Behind an address (-1: there is none), and it."""
    address = 0
    for k in range(4):
        if k > 0:
            if at >= n or data[at] != DOT:
                return -1, 0
            at += 1
        at, number = read_number(data, at, n, 255)
        if at < 0:
            return -1, 0
        address = address << 8 | number
    return at, address


def read_number(data: U8, at: int, n: int, most: int) -> tuple[int, int]:
    """Behind a whole number up to `most` (-1: there is none), and it."""
    number = 0
    begin = at
    while at < n and at - begin < 3 and ZERO <= data[at] < ZERO + 10:
        number = 10 * number + int(data[at]) - ZERO
        at += 1
    return (-1, 0) if at == begin or number > most else (at, number)
