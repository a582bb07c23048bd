"""The section of a signed program that binds files to it: their names and their SHA-256, under the signature.

`barelm image --sign` appends it to the program before signing (`barelm.trust`); the program finds it among the sections
of its own image, as systemd's stub finds its own, and refuses what is not as it says (`metal.trust`).
"""

from barelm.contract.storage_state import MODEL_UNITS
from barelm.contract.trust.hashing import SHA256_BYTES
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import U8, U16

BOUND_SECTION = ".bound"
BOUND_NAME = int.from_bytes(BOUND_SECTION.encode(), "little")
BOUND_MAGIC = int.from_bytes(b"barelmB\n", "little")
BOUND_VERSION = 1
MOST_BOUND = 48


class BoundFile(Struct):
    """A file of the volume's root; of a model in several files the first one's name, and the SHA-256 of the whole."""

    name: U16 = room(MODEL_UNITS)  # with its zero
    n_bytes: int
    digest: U8 = room(SHA256_BYTES)


class BoundList(Struct):
    """The section."""

    magic: int
    version: int
    n: int
    files: Array[BoundFile] = room(MOST_BOUND)
