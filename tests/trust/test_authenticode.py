"""Keys and signatures, by the tools others check them with."""

from __future__ import annotations

import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pefile
import pytest

from barelm.errors import BarelmError
from barelm.trust.authenticode import authenticode_digest, section_of, sign_program, signed_by, with_section
from barelm.trust.binding import bound_list, bound_names
from barelm.trust.secure_boot_keys import ATTRIBUTES, GLOBAL_VARIABLE, NAMES, SECURITY_DATABASE, make_keys, make_signer
from barelm.trust.signed_data import content_info, read_signer
from tests.machine.programs import program
from tests.trust.signing import signer


def plain() -> bytes:
    """A small program."""
    return program("x", "shut_down")


def test_the_same_program_and_key_give_the_same_bytes() -> None:
    assert sign_program(plain(), signer()) == sign_program(plain(), signer())


def test_a_section_is_where_the_header_says() -> None:
    content = with_section(plain(), ".bound", b"a list" * 1000)
    image = pefile.PE(data=content)
    last = image.sections[-1]
    assert last.Name.rstrip(b"\0") == b".bound" and last.get_data()[:6000] == b"a list" * 1000
    assert image.OPTIONAL_HEADER.SizeOfImage == last.VirtualAddress + 8192 and not last.IMAGE_SCN_MEM_WRITE
    assert section_of(content, ".bound") == b"a list" * 1000 and section_of(plain(), ".bound") is None


@pytest.mark.skipif(shutil.which("sbverify") is None, reason="sbsigntool is not installed")
def test_sbverify_takes_the_signature_and_not_that_of_a_changed_program(tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys", "someone")
    signed = sign_program(with_section(plain(), ".bound", b"x"), read_signer(tmp_path / "keys/db.key", keys[12]))
    for content, fine in ((signed, True), (changed(signed), False)):
        (tmp_path / "a.efi").write_bytes(content)
        done = subprocess.run(["sbverify", "--cert", tmp_path / "keys/db.pem", tmp_path / "a.efi"], capture_output=True)
        assert (done.returncode == 0) == fine


def changed(program: bytes) -> bytes:
    """A bit of its code."""
    return program[:0x401] + bytes([program[0x401] ^ 1]) + program[0x402:]


def test_what_is_signed_is_found_and_a_change_is_noticed() -> None:
    signed = sign_program(plain(), signer())
    assert signed_by(signed) == signer().certificate and signed_by(plain()) is None
    assert authenticode_digest(signed) == authenticode_digest(plain())
    for content in (changed(signed), signed[:-300] + bytes([signed[-300] ^ 1]) + signed[-299:]):
        with pytest.raises(BarelmError, match="the signature of the program is not one over it"):
            signed_by(content)
    with pytest.raises(BarelmError, match="signed already"):
        sign_program(signed, signer())


@pytest.mark.parametrize("content", [b"", b"MZ", bytes(4096), b"MZ" + bytes(4094)])
def test_no_program(content: bytes) -> None:
    with pytest.raises(BarelmError, match="not a program for UEFI"):
        sign_program(content, signer())


def test_headers_that_lie_and_are_cut() -> None:
    lying, at = bytearray(plain()), struct.unpack_from("<I", plain(), 0x3C)[0]
    struct.pack_into("<H", lying, at + 6, 60_000)
    with pytest.raises(BarelmError, match="list of sections is cut short"):
        bound_names(bytes(lying))
    cut = bytes(0x1F0).join((b"MZ", plain()[at:at + 60]))
    with pytest.raises(BarelmError, match="not a program for UEFI"):
        bound_names(cut[:0x3C] + (0x1F2).to_bytes(4, "little") + cut[0x40:])


@pytest.mark.parametrize("sound, damaged", [
    ("2a864886f70d010101", "2a864886f70d0101ff"),  # a key of a kind nobody knows
    ("a003020102", "a00302016c"),  # a version of certificates there is none of
    ("02010131", "0201ff31")])  # what is no DER
def test_certificates_that_are_none(sound: str, damaged: str) -> None:
    """Each is an exception of its own in the library that reads them."""
    signed = sign_program(plain(), signer())
    assert bytes.fromhex(sound) in signed
    with pytest.raises(BarelmError, match="the signature of the program is not one over it"):
        signed_by(signed.replace(bytes.fromhex(sound), bytes.fromhex(damaged)))


def test_a_list_and_back() -> None:
    files: dict[str, Path | bytes] = {"barelm.toml": b"", "modèle.blm": b"abc"}
    names = bound_names(with_section(plain(), ".bound", bound_list(files)))
    assert names is not None and names["modèle.blm"] == (
        3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert list(names) == list(files)


def test_keys_are_for_their_owner_and_never_overwritten(tmp_path: Path) -> None:
    files = make_keys(tmp_path, "someone")
    assert {path.name for path in files} == {path.name for path in tmp_path.iterdir()}
    assert all((tmp_path / f"{name}.key").stat().st_mode & 0o77 == 0 for name in NAMES)
    with pytest.raises(BarelmError, match="PK.key is there already"):
        make_keys(tmp_path, "someone")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("name, by", [("PK", "PK"), ("KEK", "PK"), ("db", "KEK")])
def test_auth_files_are_signed_as_set_variable_wants_them(tmp_path: Path, name: str, by: str) -> None:
    """The specification's formula (8.2.2), put together here, checked by OpenSSL."""
    make_keys(tmp_path, "someone")
    content, listed = (tmp_path / f"{name}.auth").read_bytes(), (tmp_path / f"{name}.esl").read_bytes()
    time, n_bytes = content[:16], struct.unpack_from("<I", content, 16)[0]
    assert content[16 + n_bytes:] == listed and listed[28 + 16:] == (tmp_path / f"{name}.cer").read_bytes()
    vendor = SECURITY_DATABASE if name == "db" else GLOBAL_VARIABLE
    signed = name.encode("utf-16-le") + vendor.bytes_le + struct.pack("<I", ATTRIBUTES) + time + listed
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "signature").write_bytes(content_info(content[40:16 + n_bytes]))
    command: list[str | Path] = [
        "openssl", "smime", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "signature", "-content",
        tmp_path / "signed", "-CAfile", tmp_path / f"{by}.pem", "-purpose", "any", "-out", "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key, certificate, what", [
    ("db.pem", "db.pem", "is not a private key in PEM"), ("db.key", "db.key", "is not an X.509 certificate"),
    ("db.key", "KEK.cer", "is not the certificate of"), ("none", "db.pem", "cannot read")])
def test_keys_that_do_not_fit(tmp_path: Path, key: str, certificate: str, what: str) -> None:
    make_keys(tmp_path, "someone")
    with pytest.raises(BarelmError, match=what):
        read_signer(tmp_path / key, tmp_path / certificate)


def test_every_signer_is_another() -> None:
    assert make_signer("a", datetime.now(UTC)).certificate != signer().certificate
