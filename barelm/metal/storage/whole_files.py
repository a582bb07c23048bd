"""Files written on the volume: whole or not at all.

A file is written under another name, flushed, and only then takes the place of the old one.  UEFI cannot rename onto
a file that exists, so the old one is deleted just before: a reader that finds only the other name takes that.
"""

from barelm.contract import uefi
from barelm.contract.regions import Workspace
from barelm.contract.storage_state import Names
from barelm.contract.uefi_protocols import FileInfo
from barelm.dialect.memory import address_of, copy_bytes, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16
from barelm.kernels.text.utf8 import decode_character
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.writing import say, say_line
from barelm.metal.uefi import file_protocol

MOST_NAME = 40
"""Characters of a name somebody gives."""


def names_in(workspace: Workspace) -> Names:
    """The buffers for names."""
    return workspace.names


def name_file(names: Names, folder: U16, given: U8, suffix: U16) -> bool:
    """Set path, path beside and name from what somebody gave; False where FAT or UEFI cannot take it."""
    n = 0
    at = 0
    while at < len(given):
        code_point, length = decode_character(given, at, len(given))
        if n >= MOST_NAME or not may_be_named(code_point):
            return False
        names.name[n] = code_point
        n += 1
        at += length
    if n == 0 or names.name[0] == 46 or names.name[0] == 32:
        return False
    copy_units(names.name, n, suffix)
    n_folder = len(folder) - 1
    copy_units(names.path, 0, folder)
    copy_units(names.path, n_folder, names.name[:n + len(suffix)])
    copy_units(names.beside, 0, names.path)
    end = n_folder + n + len(suffix) - 1
    names.beside[end] = 126
    names.beside[end + 1] = 0
    return True


def copy_units(target: U16, at: int, source: U16) -> None:
    """Copy UTF-16 to target[at:]."""
    copy_bytes(address_of(target) + 2 * at, address_of(source), 2 * len(source))


def may_be_named(code_point: int) -> bool:
    """Whether a character may stand in a file name here: no path, no wildcard, nothing beyond UCS-2."""
    if code_point < 32 or code_point == 127 or code_point >= 0xD800:
        return False
    forbidden = text('"*/:<>?\\|')
    for i in range(len(forbidden) - 1):
        if code_point == int(forbidden[i]):
            return False
    return True


def begin_file(root: int, names: Names) -> int:
    """The file beside, empty and open for writing; 0 or the status where that failed.

    One that was left over is the only copy if the power failed before it was renamed: then it is kept.
    """
    left_over = file_protocol.open_for_writing(root, names.beside, uefi.FILE_MODE_CHANGE, 0)
    if left_over > 0:
        old = file_protocol.open_file(root, names.path)
        if old != 0:
            file_protocol.close_file(old)
            file_protocol.delete_file(left_over)
        else:
            take_name(names, left_over)
            file_protocol.close_file(left_over)
    return file_protocol.open_for_writing(root, names.beside, uefi.FILE_MODE_CREATE, 0)


def finish_file(root: int, names: Names, file: int, status: int) -> int:
    """Let the file beside take its place, or where `status` says that writing failed, go; returns the status."""
    if status == 0:
        status = file_protocol.flush_file(file)
    if status != 0:
        file_protocol.delete_file(file)
        return status
    old = file_protocol.open_for_writing(root, names.path, uefi.FILE_MODE_CHANGE, 0)
    if old > 0:
        file_protocol.delete_file(old)
    status = take_name(names, file)
    if status == 0:
        file_protocol.flush_file(file)
    file_protocol.close_file(file)
    return status


def take_name(names: Names, file: int) -> int:
    """Rename the file beside; returns the status."""
    status = file_protocol.file_info(file, names.info)
    if status != 0:
        return status
    info = FileInfo(address_of(names.info))
    copy_units(info.file_name, 0, names.name)
    info.size = uefi.INFO_NAME + 2 * (length_of(names.name) + 1)
    return file_protocol.set_file_info(file, names.info, info.size)


def write_whole(root: int, names: Names, source: U8) -> int:
    """Write a file from memory; returns the status."""
    file = begin_file(root, names)
    if file <= 0:
        return file
    status = 0
    if len(source) > 0:
        status = file_protocol.write_file(file, address_of(source), len(source))
    return finish_file(root, names, file, status)


def open_either(root: int, names: Names) -> int:
    """A file for reading; after a power cut between deleting the old one and renaming, the one beside.  0: none."""
    file = file_protocol.open_file(root, names.path)
    return file if file != 0 else file_protocol.open_file(root, names.beside)


def say_status(con: Console, status: int) -> None:
    """Why nothing was written, in a line."""
    reason = status & 0xFFFF
    if reason == uefi.EFI_VOLUME_FULL:
        say_line(con, ALARM, text(
            "Not written: the volume is full.  Delete something on it, or write an image with --free."))
    elif reason == uefi.EFI_WRITE_PROTECTED:
        say_line(con, ALARM, text("Not written: the volume is read-only.  Is there a switch on the stick?"))
    elif reason == uefi.EFI_OUT_OF_RESOURCES:
        say_line(con, ALARM, text("Not written: this conversation is longer than this program can save."))
    else:
        say(con, ALARM, sentence(
            "Not written: the firmware reports error {}.  Is the stick still there?", (reason,)))


def length_of(name: U16) -> int:
    """How many units stand before the zero."""
    n = 0
    while n < len(name) and name[n] != 0:
        n += 1
    return n


def is_called(name: U16, suffix: U16) -> int:
    """How many units stand before the suffix a name ends in; 0 where it does not, in either case."""
    length = length_of(name) - (len(suffix) - 1)
    for i in range(len(suffix) - 1):
        if length <= 0 or int(name[length + i]) | 32 != int(suffix[i]) | 32:
            return 0
    return length
