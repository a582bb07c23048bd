"""The files of a model: one, or on a FAT volume several of up to 4 GiB (`contract.layout`)."""

from barelm.contract import layout, uefi
from barelm.contract.layout import MOST_PARTS, PART_BYTES, PART_MAGIC, PART_VERSION, Header
from barelm.contract.regions import Workspace
from barelm.contract.storage_state import ModelParts
from barelm.contract.uefi_protocols import FileIoToken
from barelm.dialect.memory import address_of, copy_bytes, crc32c, memory
from barelm.dialect.types import U16
from barelm.kernels.header import CUT_SHORT, DAMAGED, NOT_A_MODEL, OTHER_VERSION, SOUND, check_header
from barelm.metal.storage.model_refusals import DISK_FAILS, NO_PART, NOT_OPENED, OTHER_PART, TOO_SHORT
from barelm.metal.storage.whole_files import length_of, read_up_to, reads_whole
from barelm.metal.uefi.answers import ERROR
from barelm.metal.uefi.file_protocol import (
    close_file,
    file_size,
    is_folder,
    open_file,
    read_file,
    seek,
    start_read,
)

ABSENT = -1
FIRST_WORDS = 16
"""Bytes of the magic and the version."""


def parts_in(workspace: Workspace) -> ModelParts:
    """The files of the model that is looked at or loaded."""
    return workspace.parts


def open_parts(parts: ModelParts, root: int, name: U16, header: Header) -> int:
    """Open a model's files and read its header: SOUND, or what is wrong; `parts.name` is then the file that is meant.

    What was opened `close_parts` closes, in either case.
    """
    parts.root = root
    parts.n = 0
    parts.status = 0
    parts.n_units = length_of(name)
    copy_bytes(address_of(parts.name), address_of(name), 2 * parts.n_units)
    n_bytes = open_next(parts)
    if n_bytes < 0:
        parts.status = n_bytes
        return NOT_OPENED if n_bytes == ABSENT else DISK_FAILS
    parts.ends[0] = n_bytes
    verdict = read_header(parts, header, n_bytes)
    if verdict in (DAMAGED, NOT_A_MODEL, OTHER_VERSION, TOO_SHORT) and seek(parts.files[0], 0) == 0:
        verdict = read_header(parts, header, n_bytes)  # what came may be at fault, not what is there
    while verdict == CUT_SHORT:
        if n_bytes >= header.file_bytes:
            return SOUND
        came = open_next(parts)
        if came == ABSENT:
            return CUT_SHORT if parts.n == 1 and n_bytes != PART_BYTES else NO_PART
        if came < 0:
            parts.status = came
            return DISK_FAILS
        if not part_fits(parts, header):
            return OTHER_PART
        n_bytes = parts.ends[parts.n - 1]
    return verdict


def read_header(parts: ModelParts, header: Header, n_bytes: int) -> int:
    """Read the header from the first file, of so many bytes, and check it: SOUND, or what is wrong."""
    came = read_up_to(parts.files[0], memory(header.address, layout.HEADER_BYTES))
    if came != layout.HEADER_BYTES:
        parts.status = min(came, 0)
        return verdict_on_few(header, came) if came >= 0 else DISK_FAILS
    return check_header(header, n_bytes)


def verdict_on_few(header: Header, n_bytes: int) -> int:
    """What is wrong with a file that is shorter than a header: that alone, or that it never was a model of today."""
    if n_bytes < FIRST_WORDS:
        return TOO_SHORT
    if header.magic != layout.MAGIC:
        return NOT_A_MODEL
    if header.version != layout.VERSION:
        return OTHER_VERSION
    return TOO_SHORT


def open_next(parts: ModelParts) -> int:
    """Open the next file; its size, ABSENT where there is none, or another negative number: the firmware's status."""
    name_part(parts, parts.n)
    file = open_file(parts.root, parts.name) if parts.n < MOST_PARTS else 0
    if file <= 0:
        return file if file < 0 else ABSENT
    parts.files[parts.n] = file
    parts.n += 1
    size = file_size(file)
    return ABSENT if size < 0 and is_folder(file) else size


def name_part(parts: ModelParts, k: int) -> None:
    """Set the name to that of file k, from 0: the second's ends in .2."""
    at = parts.n_units
    if k > 0:
        parts.name[at] = 46
        at += 1
        if k >= 9:
            parts.name[at] = 48 + (k + 1) // 10
            at += 1
        parts.name[at] = 48 + (k + 1) % 10
        at += 1
    parts.name[at] = 0


def part_fits(parts: ModelParts, header: Header) -> bool:
    """Whether the file opened last goes on where the one before ends, in the same model; notes where it ends."""
    page = parts.page
    k = parts.n - 1
    file = parts.files[k]
    n_bytes = file_size(file)
    if not reads_whole(file, memory(page.address, layout.PAGE)):
        return False
    held = page.sum
    page.sum = 0
    found = crc32c(0, memory(page.address, layout.PAGE), layout.PAGE)
    if page.magic != PART_MAGIC or page.version != PART_VERSION or found != held:
        return False
    if page.model_sum != header.sum or page.number != k + 1:
        return False
    parts.ends[k] = page.offset + page.n_bytes
    return bool(page.offset == parts.ends[k - 1] and 0 < page.n_bytes <= n_bytes - layout.PAGE)


def part_at(parts: ModelParts, offset: int) -> tuple[int, int]:
    """The file in which a byte of the model lies, and where in it."""
    k = 0
    while k < parts.n - 1 and offset >= parts.ends[k]:
        k += 1
    return k, offset if k == 0 else layout.PAGE + offset - parts.ends[k - 1]


def start_part(parts: ModelParts, offset: int, token: FileIoToken) -> int:
    """Start the read of a token from `offset` of the model; the status, EFI_ABORTED where it lies in two files."""
    k, at = part_at(parts, offset)
    if parts.files[k] == 0 or offset + token.buffer_size > parts.ends[k]:
        return uefi.EFI_ABORTED
    status = seek(parts.files[k], at)
    return start_read(parts.files[k], token) if status == 0 else status


def read_part(parts: ModelParts, offset: int, target: int, n_bytes: int) -> int:
    """Read up to n bytes of the model, of one file, to an address; how many came; negative: the firmware refuses.

    A file that failed is opened again, for with some firmware every later read fails too.
    """
    k, at = part_at(parts, offset)
    came = ERROR | uefi.EFI_NOT_STARTED
    if parts.files[k] != 0:
        came = seek(parts.files[k], at)
    if came == 0:
        came = read_file(parts.files[k], target, min(n_bytes, parts.ends[k] - offset))
    if came < 0:
        parts.status = came
        if parts.files[k] != 0:
            close_file(parts.files[k])
        name_part(parts, k)
        parts.files[k] = max(open_file(parts.root, parts.name), 0)
    return came


def close_parts(parts: ModelParts) -> None:
    """Close every file that is open."""
    for k in range(parts.n):
        if parts.files[k] != 0:
            close_file(parts.files[k])
    parts.n = 0
