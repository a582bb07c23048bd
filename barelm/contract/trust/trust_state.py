"""What the program knows of what it loaded."""

from barelm.contract.trust.hashing import SHA256_BYTES, Sha256
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import U8


class Trust(Struct):
    """Hashes of what was loaded, and what these must be."""

    bound: int  # address of the list a signed program is bound to, or 0
    watching: int  # 1: what is read of a session is hashed
    hash: Sha256  # of what is being hashed
    digest: U8 = room(SHA256_BYTES)  # of what was hashed last,
    n_bytes: int  # and of how many bytes
    model: U8 = room(SHA256_BYTES)
    has_model: int  # 1: that is known
    program: U8 = room(SHA256_BYTES)  # of its file on the volume, where a receipt was asked for
    measured: int  # the TPM's register it went into, or 0
    event: U8 = room(512)  # of the TPM's log; a command to it
    answer: U8 = room(1024)  # to that
