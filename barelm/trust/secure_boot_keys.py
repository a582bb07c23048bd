"""Keys for Secure Boot (UEFI 32.3): PK, KEK and db, and the files firmware set-ups enrol them from.

NAME.key   the private key, PEM, for its owner alone        NAME.esl   EFI_SIGNATURE_LIST
NAME.pem   the certificate, PEM                             NAME.auth  the same, signed: PK and KEK by PK, db by KEK
NAME.cer   the certificate, DER
"""

from __future__ import annotations

import os
import struct
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from barelm.errors import BarelmError
from barelm.trust.signed_data import DATA, Signer, der_of, need_cryptography, signed_data

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

NAMES = ("PK", "KEK", "db")
YEARS = 25
BITS = 2048  # what all firmware takes

GLOBAL_VARIABLE = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
CERT_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
CERT_TYPE_PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
ATTRIBUTES = 0x27  # kept, for boot and run time, changed only by what is signed with a time (8.2.1)
_WIN_CERT_GUID = 0x0EF1


def make_keys(folder: Path, owner: str) -> list[Path]:
    """Make all of it in a folder; returns the files.  Raises BarelmError where one is there already."""
    need_cryptography()
    files = [folder / f"{name}.{kind}" for name in NAMES for kind in ("key", "pem", "cer", "esl", "auth")]
    if there := next((path for path in files if os.path.lexists(path)), None):
        raise BarelmError(f"{there} is there already", "Keys are never overwritten: name another folder.")
    now, guid = datetime.now(UTC), uuid.uuid4()
    signers = {name: make_signer(f"{owner} {name}", now) for name in NAMES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, signer in signers.items():
            _write(folder, name, signer, signers["KEK" if name == "db" else "PK"], guid, now)
    except OSError as error:
        raise BarelmError(f"cannot write keys to {folder}: {error.strerror}",
                          "Choose a folder that may be written.") from error
    return files


def make_signer(name: str, now: datetime) -> Signer:
    """A new key and a certificate of it that it signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(65537, BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    return Signer(key, certificate)


def signature_list(certificate: Certificate, owner: uuid.UUID) -> bytes:
    """EFI_SIGNATURE_LIST of one certificate (32.4.1)."""
    entry = owner.bytes_le + der_of(certificate)
    return CERT_X509.bytes_le + struct.pack("<III", 28 + len(entry), 0, len(entry)) + entry


def authenticated(name: str, content: bytes, signer: Signer, now: datetime) -> bytes:
    """A new value of a variable as SetVariable takes it: EFI_VARIABLE_AUTHENTICATION_2 and the content (8.2.2)."""
    time = struct.pack("<HBBBBBBIhBB", now.year, now.month, now.day, now.hour, now.minute, now.second, 0, 0, 0, 0, 0)
    vendor = SECURITY_DATABASE if name == "db" else GLOBAL_VARIABLE
    signed = name.encode("utf-16-le") + vendor.bytes_le + struct.pack("<I", ATTRIBUTES) + time + content
    signature = signed_data(signer, DATA, b"", signed)
    return time + struct.pack("<IHH", 24 + len(signature), 0x0200, _WIN_CERT_GUID
                              ) + CERT_TYPE_PKCS7.bytes_le + signature + content


def _write(folder: Path, name: str, signer: Signer, by: Signer, owner: uuid.UUID, now: datetime) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    listed = signature_list(signer.certificate, owner)
    with open(os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    for kind, content in (("pem", signer.certificate.public_bytes(Encoding.PEM)), ("cer", der_of(signer.certificate)),
                          ("esl", listed), ("auth", authenticated(name, listed, by, now))):
        (folder / f"{name}.{kind}").write_bytes(content)
