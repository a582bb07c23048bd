"""What a TPM signed over a receipt, taken apart and checked (TCG TPM 2.0 Library, part 2).

It says that this TPM signed the receipt's last link while its registers held these values.  Whether the key is one of a
TPM only a certificate of its maker would say: whoever has the machine knows its key, and compares.
"""

import hashlib
import struct

from barelm.contract.trust.tpm_commands import READ_REGISTERS, REGISTERS
from barelm.errors import BarelmError
from barelm.trust.signed_data import need_cryptography

_QUOTED = bytes.fromhex("ff5443478018")  # TPM_GENERATED_VALUE, TPM_ST_ATTEST_QUOTE
_SELECTION = bytes(READ_REGISTERS[10:])
_COORDINATE = 32


def judge_quote(answers: bytes, link: bytes) -> list[str]:
    """What a quote says of a receipt, in lines.  Raises BarelmError where it is not one over this link."""
    need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    try:
        made, said, read = _answers(answers)
        public, attest = _sized(made, 18), _sized(said, 14)
        x, y = public[-2 * _COORDINATE - 2:-_COORDINATE - 2], public[-_COORDINATE:]
        r = _sized(said, 20 + len(attest))
        s = _sized(said, 22 + len(attest) + len(r))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + x + y)
        key.verify(utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")), attest,
                   ec.ECDSA(hashes.SHA256()))
        values = [_sized(read, at) for at in (28, 30 + hashlib.sha256().digest_size)]
        name = _sized(attest, len(_QUOTED))
        state = _SELECTION + b"\0\x20" + hashlib.sha256(b"".join(values)).digest()
        if attest[:6] != _QUOTED or _sized(attest, 8 + len(name)) != link or not attest.endswith(state):
            raise ValueError("it is over something else")
    except (InvalidSignature, ValueError, struct.error) as error:
        why = str(error) or "its signature is wrong"
        raise BarelmError(f"the quote in this receipt is none of a TPM over it: {why}",
                          "Take the receipt from where it was written again.") from error
    return [f"quoted by the TPM's key {hashlib.sha256(public).hexdigest()}",
            *(f"register {number} was {value.hex()}" for number, value in zip(REGISTERS, values))]


def _answers(content: bytes) -> list[bytes]:
    """The three answers; each says its size behind a tag."""
    found = []
    for _ in range(3):
        n = struct.unpack_from(">I", content, 2)[0]
        found.append(content[:n])
        content = content[n:]
    return found


def _sized(content: bytes, at: int) -> bytes:
    """A TPM2B: a size and so many bytes."""
    n = struct.unpack_from(">H", content, at)[0]
    if at + 2 + n > len(content):
        raise ValueError("it is cut short")
    return content[at + 2:at + 2 + n]
