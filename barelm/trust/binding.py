"""A program bound to the files it is to run with, and signed (`contract.trust.bound_files`)."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from barelm import __version__
from barelm.contract.trust.bound_files import BOUND_MAGIC, BOUND_SECTION, BOUND_VERSION, MOST_BOUND, BoundList
from barelm.errors import BarelmError
from barelm.host_files import reading
from barelm.trust.authenticode import section_of, sign_program, with_section
from barelm.trust.signed_data import Signer

SBAT = f"""sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md
barelm,1,barelm,barelm,{__version__},barelm
"""
"""Which generation of which program this is: shim starts nothing that does not say."""


def bound_and_signed(program: Path, files: Mapping[str, Path | bytes], signer: Signer) -> bytes:
    """The program, bound to files of the volume's root, under a signature; a model is named as its first file is."""
    with reading(program):
        content = with_section(program.read_bytes(), ".sbat", SBAT.encode())
    return sign_program(with_section(content, BOUND_SECTION, bound_list(files)), signer)


def bound_list(files: Mapping[str, Path | bytes]) -> bytes:
    """The section.  Raises BarelmError where they are too many."""
    if len(files) > MOST_BOUND:
        raise BarelmError(f"a program cannot be bound to {len(files)} files", f"It takes up to {MOST_BOUND}.")
    bound = BoundList.over(np.zeros(BoundList.BYTES, np.uint8))
    bound.magic, bound.version, bound.n = BOUND_MAGIC, BOUND_VERSION, len(files)
    for k, (name, content) in enumerate(files.items()):
        entry = bound.files[k]
        units = np.frombuffer((name + "\0").encode("utf-16-le"), np.uint16)
        if len(units) > len(entry.name):
            raise BarelmError(f"the name {name} is too long for a signed program", "Take a shorter one.")
        entry.name[:len(units)] = units
        entry.n_bytes, digest = sha256_of(content)
        entry.digest[:] = np.frombuffer(digest, np.uint8)
    return bytes(bound.base)


def bound_names(program: bytes) -> dict[str, tuple[int, str]] | None:
    """What a program is bound to: size and SHA-256 by name; None where it is bound to nothing."""
    content = section_of(program, BOUND_SECTION)
    if content is None:
        return None
    bound = BoundList.over(np.frombuffer(content.ljust(BoundList.BYTES, b"\0")[:BoundList.BYTES], np.uint8).copy())
    if (bound.magic, bound.version) != (BOUND_MAGIC, BOUND_VERSION) or not 0 <= bound.n <= MOST_BOUND:
        raise BarelmError("the list of files the program is bound to cannot be read",
                          "It is of another version of barelm, or damaged.")
    entries = [bound.files[k] for k in range(bound.n)]
    return {entry.name.tobytes().decode("utf-16-le", "replace").partition("\0")[0]:
            (int(entry.n_bytes), entry.digest.tobytes().hex()) for entry in entries}


def sha256_of(content: Path | bytes) -> tuple[int, bytes]:
    """Size and SHA-256 of a file or of bytes."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).digest()
    with reading(content), open(content, "rb") as file:
        return content.stat().st_size, hashlib.file_digest(file, "sha256").digest()
