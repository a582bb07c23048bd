"""A TPM that signs: answers to the commands of a quote, as swtpm gives them, by a key of its own."""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from barelm.contract.trust.tpm_commands import CREATE_PRIMARY, FLUSH, QUOTE, READ_REGISTERS, REGISTERS
from barelm.contract.uefi_protocols import Tcg2
from barelm.machine.firmware.devices.tcg2_device import Tpm
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.services import service

HANDLE = bytes.fromhex("80000007")


def sized(content: bytes) -> bytes:
    """A TPM2B."""
    return struct.pack(">H", len(content)) + content


def answer(*content: bytes, code: int = 0) -> bytes:
    """What a TPM says to a command."""
    rest = b"".join(content)
    return struct.pack(">HII", 0x8001, 10 + len(rest), code) + rest


class SigningTpm(Tpm):
    """`refuses`: the command from 0 on from which it refuses; `commands`: those it was given."""

    def __init__(self, refuses: int = 9) -> None:
        super().__init__()
        self.key = ec.derive_private_key(12345, ec.SECP256R1())
        self.commands: list[bytes] = []
        self.refuses = refuses
        self.selection = bytes(READ_REGISTERS[10:])

    @service(Tcg2)
    def submit_command(self, this: int, n: int, command: int, room: int, out: int) -> None:
        """6.7: obey."""
        given = guest.read_bytes(command, n)
        assert struct.unpack_from(">I", given, 2)[0] == n
        self.commands.append(given)
        told = self.obey(given) if len(self.commands) <= self.refuses else answer(code=0x9A2)
        assert len(told) <= room
        guest.put_bytes(out, told)

    def obey(self, given: bytes) -> bytes:
        """The answer to a command."""
        if given == bytes(CREATE_PRIMARY):
            point = self.key.public_key().public_numbers()
            x, y = (sized(number.to_bytes(32, "big")) for number in (point.x, point.y))
            return answer(HANDLE, bytes(4), sized(bytes(CREATE_PRIMARY)[35:55] + x + y), b"\1" * 150)
        values = [self.pcrs[number] for number in REGISTERS]
        if given == bytes(READ_REGISTERS):
            return answer(bytes(4), bytes(READ_REGISTERS)[10:], bytes(4), *map(sized, values))
        if given == bytes(QUOTE[:10]) + HANDLE + bytes(QUOTE[14:29]) + given[29:61] + bytes(QUOTE[61:]):
            attest = bytes.fromhex("ff5443478018") + sized(b"the name of the key") + sized(given[29:61]) + bytes(
                25) + self.selection + sized(hashlib.sha256(b"".join(values)).digest())
            r, s = utils.decode_dss_signature(self.key.sign(attest, ec.ECDSA(hashes.SHA256())))
            return answer(bytes(4), sized(attest), b"\0\x18\0\x0b", *(sized(n.to_bytes(32, "big")) for n in (r, s)))
        assert given == bytes(FLUSH[:10]) + HANDLE
        return answer()

    def quote(self, link: bytes) -> bytes:
        """The answers behind one another."""
        asked = bytes(QUOTE[:10]) + HANDLE + bytes(QUOTE[14:29]) + link + bytes(QUOTE[61:])
        return b"".join(map(self.obey, (bytes(CREATE_PRIMARY), asked, bytes(READ_REGISTERS))))
