"""Names in the bytes of a request: found in tables, compared in constant time."""

from barelm.dialect.types import U8, U16
from barelm.kernels.text.utf8 import byte_at


def find_name(data: U8, lo: int, hi: int, names: U16, folded: int) -> int:
    """Which of the `names`, a zero behind each, data[lo:hi] is, from 0, or -1; `folded`: capitals are small."""
    number = 0
    alike = 0  # letters of the name from its first on; -1: it is another
    for i in range(len(names)):
        if names[i] == 0:
            if alike == hi - lo:
                return number
            number += 1
            alike = 0
        elif 0 <= alike < hi - lo and small(byte_at(data, lo + alike), folded) == int(names[i]):
            alike += 1
        else:
            alike = -1
    return -1


def small(byte: int, folded: int) -> int:
    """A byte, or with `folded` its small letter."""
    return byte | 32 if folded != 0 and 65 <= byte <= 90 else byte


def is_digit(byte: int) -> bool:
    """Whether it is one of 0 to 9."""
    return 48 <= byte <= 57


def hex_digit(byte: int) -> int:
    """The value of a hexadecimal digit, or -1."""
    if is_digit(byte):
        return byte - 48
    return (byte | 32) - 87 if 97 <= (byte | 32) <= 102 else -1


def same_secret(data: U8, lo: int, hi: int, secret: U8) -> bool:
    """Whether data[lo:hi] is the secret; how long it takes says nothing of how much is alike."""
    differ = (hi - lo) ^ len(secret)
    for i in range(lo, hi):
        other = byte_at(secret, (i - lo) % len(secret)) if len(secret) > 0 else 0
        differ |= byte_at(data, i) ^ other
    return differ == 0
