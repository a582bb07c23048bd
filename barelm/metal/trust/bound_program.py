"""A signed program and the files it is bound to: anything else is refused.

The list is a section of the program's own image, where the firmware has loaded and checked it with all the rest.  A
program without such a section is bound to nothing.
"""

from barelm.contract import layout, uefi
from barelm.contract.layout import Header
from barelm.contract.regions import Workspace
from barelm.contract.trust.bound_files import BOUND_MAGIC, BOUND_NAME, BOUND_VERSION, MOST_BOUND, BoundFile, BoundList
from barelm.contract.trust.hashing import SHA256_BYTES, FileHash
from barelm.contract.trust.trust_state import Trust
from barelm.contract.uefi_protocols import LoadedImage
from barelm.dialect.memory import load_i64, load_u16, load_u32, text
from barelm.dialect.rooms import Failure
from barelm.dialect.types import U8, U16
from barelm.metal.trust import loaded_files
from barelm.metal.trust.loaded_files import trust_in
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import protocol_of

MZ, PE = 0x5A4D, 0x4550
PE_AT, N_SECTIONS, OPTIONAL_BYTES, FILE_HEADER_BYTES = 0x3C, 6, 20, 24  # PE format, "File Headers"
SECTION_BYTES, SECTION_SIZE, SECTION_AT = 40, 8, 12  # "Section Table"

RESTORE = "Restore it, or make and sign the image again with `barelm image --sign`."


def find_bound(fw: Firmware, trust: Trust) -> None:
    """Look for the list in the program's own image."""
    trust.bound = 0
    loaded = protocol_of(fw, fw.image, uefi.LOADED_IMAGE_PROTOCOL)
    if loaded == 0:
        return
    base = LoadedImage(loaded).image_base
    size = LoadedImage(loaded).image_size
    if base == 0 or load_u16(base) != MZ or load_u32(base + PE_AT) > size - layout.PAGE:
        return
    if load_u32(base + load_u32(base + PE_AT)) != PE:
        return
    header = base + load_u32(base + PE_AT)
    first = header + FILE_HEADER_BYTES + load_u16(header + OPTIONAL_BYTES)
    for k in range(load_u16(header + N_SECTIONS)):
        entry = first + k * SECTION_BYTES
        at = load_u32(entry + SECTION_AT)
        if load_i64(entry) == BOUND_NAME and at + load_u32(entry + SECTION_SIZE) <= size:
            trust.bound = base + at
    if trust.bound != 0 and not list_is_sound(BoundList(trust.bound)):
        raise Failure(uefi.EFI_SECURITY_VIOLATION, "the list of files this program is bound to cannot be read",
                      "Make and sign the image again with this version of barelm.")


def list_is_sound(bound: BoundList) -> bool:
    """Whether it is a list as this program knows it."""
    return bound.magic == BOUND_MAGIC and bound.version == BOUND_VERSION and 0 <= bound.n <= MOST_BOUND


def is_listed(trust: Trust, name: U16, n_bytes: int, digest: U8) -> bool:
    """Whether a file is one that the program is bound to, as it was then; a program bound to nothing takes any."""
    if trust.bound == 0:
        return True
    bound = BoundList(trust.bound)
    for k in range(bound.n):
        if is_the_same(bound.files[k], name, n_bytes, digest):
            return True
    return False


def is_the_same(file: BoundFile, name: U16, n_bytes: int, digest: U8) -> bool:
    """Whether name, in either case, size and hash are those of an entry."""
    k = 0
    while name[k] != 0 and file.name[k] != 0 and int(name[k]) | 32 == int(file.name[k]) | 32:
        k += 1
    same = name[k] == 0 and file.name[k] == 0 and file.n_bytes == n_bytes
    for i in range(SHA256_BYTES):
        same = same and file.digest[i] == digest[i]
    return same


def judge_configuration(fw: Firmware, workspace: Workspace, found: FileHash) -> None:
    """Find out what the program is bound to, and refuse a configuration that it is not."""
    trust = trust_in(workspace)
    find_bound(fw, trust)
    if not is_listed(trust, text("barelm.toml"), found.n_bytes, found.digest):
        raise Failure(uefi.EFI_SECURITY_VIOLATION, "barelm.toml is not the one this program was signed with", RESTORE)


def check_model(trust: Trust, name: U16, header: Header) -> None:
    """Refuse a model, now in memory, that the program is not bound to; its hash is known."""
    if not is_listed(trust, name, header.file_bytes, trust.model):
        raise Failure(uefi.EFI_SECURITY_VIOLATION, "this model is not the one this program was signed with", RESTORE)


def check_prefix(workspace: Workspace, name: U16) -> None:
    """Refuse a beginning of conversations, just read, that the program is not bound to."""
    trust = trust_in(workspace)
    if trust.bound == 0:
        return
    loaded_files.end_watch(trust)
    if not is_listed(trust, name, trust.n_bytes, trust.digest):
        raise Failure(uefi.EFI_SECURITY_VIOLATION, "prefix.session is not the one this program was signed with",
                      RESTORE)


def trusts_caches(workspace: Workspace) -> bool:
    """Whether keys and values are taken from a file: a signed program takes those it is bound to, and no others."""
    trust = trust_in(workspace)
    return trust.bound == 0 or trust.watching != 0
