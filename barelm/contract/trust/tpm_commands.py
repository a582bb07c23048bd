"""Commands to a TPM 2.0 as bytes (TCG TPM 2.0 Library, parts 2 and 3): a key that signs what the TPM says, and a quote.

The key is made anew each time, from the seed of the endorsement hierarchy, and always the same: none is kept anywhere.
"""

import struct

import numpy as np

from barelm.dialect.types import U8

REGISTERS = (4, 12)
"""What is quoted: the programs that were started, by the firmware, and the files that were loaded, by this one."""
HANDLE_AT, QUALIFYING_AT = 10, 29
"""Where the handle of a key is, in commands and answers, and where 32 bytes of the caller's are in QUOTE."""

_SHA256, _NULL, _ECC, _ECDSA, _P256 = 0x000B, 0x0010, 0x0023, 0x0018, 0x0003
_ENDORSEMENT, _PASSWORD = 0x4000000B, 0x40000009
_ATTRIBUTES = 0x00050472  # fixed to this TPM, its secret made there, restricted to signing what the TPM says
_TEMPLATE = struct.pack(">HHIHHHHHHHH", _ECC, _SHA256, _ATTRIBUTES, 0, _NULL, _ECDSA, _SHA256, _P256, _NULL, 0, 0)
_SELECTION = struct.pack(">IHB3s", 1, _SHA256, 3, sum(1 << number for number in REGISTERS).to_bytes(3, "little"))


def _command(tag: int, code: int, handle: int, *content: bytes) -> U8:
    password = struct.pack(">IIHBH", 9, _PASSWORD, 0, 1, 0) if tag == 0x8002 else b""  # an empty one
    rest = b"".join((struct.pack(">I", handle) if handle >= 0 else b"", password, *content))
    return np.frombuffer(struct.pack(">HII", tag, 10 + len(rest), code) + rest, np.uint8)


_SIZES = struct.pack(">HHHH", 4, 0, 0, len(_TEMPLATE))
CREATE_PRIMARY = _command(0x8002, 0x131, _ENDORSEMENT, _SIZES, _TEMPLATE, bytes(6))
QUOTE = _command(0x8002, 0x158, 0, struct.pack(">H32sH", 32, b"", _NULL), _SELECTION)
READ_REGISTERS = _command(0x8001, 0x17E, -1, _SELECTION)
FLUSH = _command(0x8001, 0x165, 0)
