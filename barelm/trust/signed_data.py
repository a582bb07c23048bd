"""PKCS #7 SignedData (RFC 2315) by one RSA key over SHA-256: what firmware checks programs and its variables by.

`cryptography` has the keys, the certificates and the mathematics.  Its own PKCS #7 signs texts only, not the content
that a signature of a program needs; the package `signify` only verifies, and `sbsign` would be a system package.  So
the structure is written here.  RSA with PKCS #1 v1.5 draws nothing: the same key and content give the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from barelm.errors import BarelmError
from barelm.host_files import reading
from barelm.trust.der import integer, null, object_id, octets, sequence, set_of, tagged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

DATA, SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SHA256 = sequence(object_id("2.16.840.1.101.3.4.2.1"), null())
RSA = sequence(object_id("1.2.840.113549.1.1.1"), null())


@dataclass(frozen=True)
class Signer:
    """A private key and the certificate of its public half."""

    key: RSAPrivateKey
    certificate: Certificate

    def sign(self, content: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        return self.key.sign(content, padding.PKCS1v15(), hashes.SHA256())


def read_signer(key: Path, certificate: Path) -> Signer:
    """From two files in PEM (the certificate also in DER).  Raises BarelmError where they are none, or of two keys."""
    need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with reading(key):
        content = key.read_bytes()
    try:
        private = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise BarelmError(f"{key} is not a private key in PEM without a password",
                          "`barelm keys` makes one; `openssl rsa` takes a password off.") from error
    if not isinstance(private, RSAPrivateKey):
        raise BarelmError(f"{key} is not an RSA key, and firmware takes no other", "Make one with `barelm keys`.")
    found = read_certificate(certificate)
    if found.public_key() != private.public_key():
        raise BarelmError(f"{certificate} is not the certificate of {key}", "Give the two that belong together.")
    return Signer(private, found)


def read_certificate(path: Path) -> Certificate:
    """From PEM or DER.  Raises BarelmError where it is neither."""
    need_cryptography()
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

    with reading(path):
        content = path.read_bytes()
    try:
        return (load_pem_x509_certificate if b"-----BEGIN" in content else load_der_x509_certificate)(content)
    except ValueError as error:
        raise BarelmError(f"{path} is not an X.509 certificate", "Give the .pem or .cer beside the key.") from error


def der_of(certificate: Certificate) -> bytes:
    """A certificate in DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def need_cryptography() -> None:
    """Raise BarelmError where the library is missing."""
    try:
        import cryptography.x509  # noqa: F401
    except ImportError as error:
        raise BarelmError("keys and signatures need the package `cryptography`",
                          "Install it: pip install 'barelm[sign]'.") from error


def signed_data(signer: Signer, kind: str, content: bytes, signed: bytes) -> bytes:
    """SignedData over a `content` of some kind, DER; `signed` is what of it is hashed.  Empty: what is signed stands
    elsewhere, and is signed without attributes.
    """
    attributes = attributes_of(kind, signed) if content else []
    certificate = signer.certificate
    shown = [tagged(0, content)] if content else []
    signature = signer.sign(set_of(*attributes) if attributes else signed)
    return sequence(
        integer(1), set_of(SHA256), sequence(object_id(kind), *shown), tagged(0, der_of(certificate)),
        set_of(sequence(integer(1), sequence(certificate.issuer.public_bytes(), integer(certificate.serial_number)),
                        SHA256, *([tagged(0, *sorted(attributes))] if attributes else []), RSA, octets(signature))))


def attributes_of(kind: str, signed: bytes) -> list[bytes]:
    """What a signature speaks of: the kind of content and its hash."""
    return [sequence(object_id(CONTENT_TYPE), set_of(object_id(kind))),
            sequence(object_id(MESSAGE_DIGEST), set_of(octets(hashlib.sha256(signed).digest())))]


def content_info(data: bytes) -> bytes:
    """SignedData as a ContentInfo, the form it has in a file."""
    return sequence(object_id(SIGNED_DATA), tagged(0, data))
