"""The hashes of what was loaded: configuration, model, the beginning of conversations, and the program's own file."""

from barelm.contract import layout
from barelm.contract.board import LoadedModel
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.settings import SettingsView
from barelm.contract.trust.hashing import SHA256_BYTES
from barelm.contract.trust.trust_state import Trust
from barelm.dialect.memory import address_of, fill_bytes, memory, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, padded
from barelm.kernels.sha256 import begin_sha256, extend_sha256, finish_sha256
from barelm.metal.console.sinks import DIM, Console
from barelm.metal.console.writing import put, say_line
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.file_protocol import close_file, open_own_file, read_file

LARGE = 64 << 20
"""Bytes that a processor without instructions for it hashes in half a second."""


def trust_in(workspace: Workspace) -> Trust:
    """What is known of what was loaded."""
    return workspace.trust


def hash_model(trust: Trust, header: Header, model: LoadedModel) -> None:
    """Hash the model as it lies in memory, header and padded sections: that is the whole file, byte for byte.

    What is in memory is what counts: a disk could answer differently when it is read again.
    """
    if trust.has_model != 0:
        return
    begin_sha256(trust.hash)
    extend_sha256(trust.hash, memory(header.address, layout.HEADER_BYTES))
    for section in range(header.n_sections):
        n_bytes = padded(header.sections[section].n_bytes, layout.PAGE)
        extend_sha256(trust.hash, memory(model.sections[section], n_bytes))
    finish_sha256(trust.hash, trust.model)
    trust.has_model = 1


def say_hashing(con: Console, settings: SettingsView, header: Header) -> None:
    """Tell a person what takes a while, of a model for which it may."""
    if settings.report == 0 and header.file_bytes > LARGE:
        say_line(con, DIM, text("Checking the model."))


def hash_program(fw: Firmware, trust: Trust, root: int, space: U8) -> None:
    """Hash the file this program was started from, as the volume has it now; zeros where the firmware does not say."""
    fill_bytes(address_of(trust.program), 0, SHA256_BYTES)
    file = open_own_file(fw, root)
    if file <= 0:
        return
    begin_sha256(trust.hash)
    n = read_file(file, address_of(space), len(space))
    while n > 0:
        extend_sha256(trust.hash, space[:n])
        n = read_file(file, address_of(space), len(space))
    close_file(file)
    if n == 0:
        finish_sha256(trust.hash, trust.program)


def put_digest(con: Console, digest: U8) -> None:
    """A hash in hexadecimal."""
    for i in range(SHA256_BYTES):
        put(con, sentence("{:x2}", (int(digest[i]),)))


def begin_watch(trust: Trust) -> None:
    """From here on hash what is read of a session, in a signed program."""
    trust.watching = int(trust.bound != 0)
    if trust.watching != 0:
        begin_sha256(trust.hash)


def watch(workspace: Workspace, data: U8) -> None:
    """More of it was read."""
    trust = workspace.trust
    if trust.watching != 0:
        extend_sha256(trust.hash, data)


def end_watch(trust: Trust) -> None:
    """That was all."""
    trust.n_bytes = trust.hash.n_bytes
    finish_sha256(trust.hash, trust.digest)
    trust.watching = 0
