"""A SHA-256 being computed (`kernels.sha256`)."""

from barelm.dialect.structs import Struct, room
from barelm.dialect.types import I32, U8

SHA256_BYTES, SHA256_BLOCK = 32, 64


class Sha256(Struct):
    """FIPS 180-4: the eight words so far, how many bytes they are of, and what is gathered of the next block."""

    words: I32 = room(8)
    n_bytes: int
    block: U8 = room(SHA256_BLOCK)


class FileHash(Struct):
    """A file as it was read: its bytes, and their SHA-256."""

    n_bytes: int
    digest: U8 = room(SHA256_BYTES)
    state: Sha256
