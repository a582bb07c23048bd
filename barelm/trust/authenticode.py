"""Signed programs: Authenticode (Windows Authenticode Portable Executable Signature Format, 2008) on PE32+ files.

The signature is over the file but for its checksum, the entry of the certificate table and that table, at its end.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from typing import TYPE_CHECKING

from barelm.errors import BarelmError
from barelm.trust.der import BIT_STRING, encoded, object_id, octets, sequence, tagged
from barelm.trust.signed_data import SHA256, Signer, attributes_of, content_info, signed_data

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

INDIRECT_DATA, PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.4", "1.3.6.1.4.1.311.2.1.15"

_PE_AT, _N_SECTIONS, _OPTIONAL_BYTES, _FILE_HEADER = 0x3C, 6, 20, 24  # PE format, "File Headers"
_DATA_BYTES, _SECTION_ALIGNMENT, _FILE_ALIGNMENT, _IMAGE_BYTES, _HEADER_BYTES = 8, 32, 36, 56, 60  # "Optional Header"
_CHECKSUM, _CERTIFICATES = 64, 112 + 8 * 4
_SECTION = "<8sIIIIIIHHI"
_READABLE_DATA = 0x40000040
_PKCS, _REVISION_2 = 0x0002, 0x0200  # WIN_CERTIFICATE (UEFI 32.2.4)
_SIGN_HINT = "Take the program `barelm build` makes."


def optional_header(program: bytes) -> int:
    """Where the optional header of a PE32+ file begins.  Raises BarelmError where it is none."""
    at = struct.unpack_from("<I", program, _PE_AT)[0] if len(program) > 0x200 else 0
    is_one = program[:2] == b"MZ" and program[at:at + 4] == b"PE\0\0" and program[at + 24:at + 26] == b"\x0b\x02"
    if not is_one or at + _FILE_HEADER + _CERTIFICATES + 8 > len(program):
        raise BarelmError("this is not a program for UEFI", _SIGN_HINT)
    return int(at) + _FILE_HEADER


def with_section(program: bytes, name: str, content: bytes) -> bytes:
    """The program with one more section of data to be read.  Raises BarelmError where its headers have no room."""
    if certificate_table(program)[1]:
        raise BarelmError("this program is signed already", _SIGN_HINT)
    header = optional_header(program)
    pe = header - _FILE_HEADER
    n, optional_bytes = struct.unpack_from("<H", program, pe + _N_SECTIONS)[0], struct.unpack_from(
        "<H", program, pe + _OPTIONAL_BYTES)[0]
    entry = header + optional_bytes + struct.calcsize(_SECTION) * n
    section_alignment, file_alignment = struct.unpack_from("<II", program, header + _SECTION_ALIGNMENT)
    image_bytes, header_bytes = struct.unpack_from("<II", program, header + _IMAGE_BYTES)
    if entry + struct.calcsize(_SECTION) > header_bytes:
        raise BarelmError("the headers of this program have no room for one more section", _SIGN_HINT)
    at, place = -(-len(program) // file_alignment) * file_alignment, -(-image_bytes // section_alignment
                                                                       ) * section_alignment
    stored = -(-len(content) // file_alignment) * file_alignment
    out = bytearray(program.ljust(at, b"\0") + content.ljust(stored, b"\0"))
    struct.pack_into(_SECTION, out, entry, name.encode(), len(content), place, stored, at, 0, 0, 0, 0, _READABLE_DATA)
    struct.pack_into("<H", out, pe + _N_SECTIONS, n + 1)
    struct.pack_into("<I", out, header + _IMAGE_BYTES, -(-(place + len(content)) // section_alignment)
                     * section_alignment)
    data_bytes = struct.unpack_from("<I", program, header + _DATA_BYTES)[0]
    struct.pack_into("<I", out, header + _DATA_BYTES, data_bytes + stored)
    return bytes(out)


def section_of(program: bytes, name: str) -> bytes | None:
    """The content of a section of a program; None where it has no such."""
    header = optional_header(program)
    n, optional_bytes = (struct.unpack_from("<H", program, header - _FILE_HEADER + at)[0]
                         for at in (_N_SECTIONS, _OPTIONAL_BYTES))
    if header + optional_bytes + n * struct.calcsize(_SECTION) > len(program):
        raise BarelmError("the program's list of sections is cut short", _SIGN_HINT)
    for k in range(n):
        found = struct.unpack_from(_SECTION, program, header + optional_bytes + k * struct.calcsize(_SECTION))
        if found[0].rstrip(b"\0") == name.encode():
            return program[found[4]:found[4] + min(found[1], found[3])]
    return None


def certificate_table(program: bytes) -> tuple[int, int]:
    """Where the signatures of a program are, and how many bytes; zeros where there are none."""
    at, n = struct.unpack_from("<II", program, optional_header(program) + _CERTIFICATES)
    return (at, n) if n else (0, 0)


def authenticode_digest(program: bytes) -> bytes:
    """The SHA-256 that a signature of a program is over, and firmware measures."""
    header = optional_header(program)
    checksum, table = header + _CHECKSUM, header + _CERTIFICATES
    end = certificate_table(program)[0] or len(program)
    kept = program[:checksum] + program[checksum + 4:table] + program[table + 8:end]
    return hashlib.sha256(kept.ljust(len(kept) + -end % 8, b"\0")).digest()


def sign_program(program: bytes, signer: Signer) -> bytes:
    """The program with a signature; the same key and program give the same bytes."""
    if certificate_table(program)[1]:
        raise BarelmError("this program is signed already", _SIGN_HINT)
    program = program.ljust(len(program) + -len(program) % 8, b"\0")
    content = _indirect_data(program)
    signature = content_info(signed_data(signer, INDIRECT_DATA, content, _inside(content)))
    n_bytes = 8 + len(signature) + -len(signature) % 8
    table = struct.pack("<IHH", n_bytes, _REVISION_2, _PKCS) + signature.ljust(n_bytes - 8, b"\0")
    out = bytearray(program + table)
    struct.pack_into("<II", out, optional_header(program) + _CERTIFICATES, len(program), len(table))
    return bytes(out)


def signed_by(program: bytes) -> Certificate | None:
    """Whose signature a program carries, as `sign_program` writes it; None where it is unsigned.

    Raises BarelmError where it is another tool's, or the program was changed since.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

    at, n = certificate_table(program)
    if not n:
        return None
    hint = "Make and sign it again with `barelm image --sign`; other tools' signatures are for these to check."
    data = program[at + 8:at + n]
    data = data[:_length(data)] if len(data) > 8 else data
    try:
        with warnings.catch_warnings(action="error"):  # of what is no DER, which `sign_program` never writes
            certificate = load_der_pkcs7_certificates(data)[0]
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        content = _indirect_data(program)
        attributes = sorted(attributes_of(INDIRECT_DATA, _inside(content)))
        if tagged(0, *attributes) not in data:
            raise ValueError("another content")
        signature = data[len(data) - key.key_size // 8:]
        key.verify(signature, encoded(0x31, b"".join(attributes)), padding.PKCS1v15(), hashes.SHA256())
    except Exception as error:  # the parser has one of its own for many kinds of damage
        raise BarelmError("the signature of the program is not one over it: it was changed, or signed by another tool",
                          hint) from error
    return certificate


def _length(data: bytes) -> int:
    """How many bytes the DER value at the beginning is."""
    n = data[1] & 0x7F
    return 2 + n + int.from_bytes(data[2:2 + n], "big") if data[1] & 0x80 else 2 + data[1]


def _indirect_data(program: bytes) -> bytes:
    """SpcIndirectDataContent: that it is a PE image, and its hash."""
    image = sequence(encoded(BIT_STRING, b"\0"), tagged(0, tagged(2, encoded(0x80, b""))))
    return sequence(sequence(object_id(PE_IMAGE_DATA), image),
                    sequence(SHA256, octets(authenticode_digest(program))))


def _inside(value: bytes) -> bytes:
    """A DER value without tag and length: what Authenticode hashes of the content."""
    return value[len(value) - (_length(value) - 2 - (value[1] & 0x7F if value[1] & 0x80 else 0)):]
