"""Files written on the volume: whole or not at all.

A file is written under another name, flushed, opened again and compared, and only then takes the place of the old one.
UEFI cannot rename onto a file that exists, so the old one is deleted just before: a reader that finds only the other
name takes that.  Not every firmware can rename.  Then it is copied, and while a third file is there, which is empty,
the other one is the whole one.
"""

from barelm.contract import uefi
from barelm.contract.regions import Workspace
from barelm.contract.storage_state import Names
from barelm.contract.uefi_protocols import FileInfo
from barelm.dialect.memory import address_of, copy_bytes, memory, text
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8, U16
from barelm.kernels.text.utf8 import decode_character
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.writing import say, say_line
from barelm.metal.uefi import file_protocol
from barelm.metal.uefi.answers import ERROR

MOST_NAME = 40
"""Characters of a name somebody gives."""
SPACE, DOT = 32, 46

WRITING, COMPARING = 1, 2
OTHERWISE = ERROR | uefi.EFI_CRC_ERROR
"""The status where what is read is not what was written."""
DEVICES = "con prn aux nul com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9"
"""Names that some systems keep for devices, whatever stands behind a dot."""


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
    if n == 0 or names.name[0] == DOT or names.name[0] == SPACE or is_device(given):
        return False
    copy_units(names.name, n, suffix)
    n_folder = len(folder) - 1
    copy_units(names.path, 0, folder)
    copy_units(names.path, n_folder, names.name[:n + len(suffix)])
    copy_units(names.beside, 0, names.path)
    end = n_folder + n + len(suffix) - 1
    names.beside[end] = 126
    names.beside[end + 1] = 0
    copy_units(names.mark, 0, names.beside[:end + 1])
    names.mark[end + 1] = 126
    names.mark[end + 2] = 0
    return True


def is_device(given: U8) -> bool:
    """Whether a name is one of DEVICES, in either case, as far as its first dot and without blanks before that."""
    end = 0
    while end < len(given) and given[end] != 46:
        end += 1
    while end > 0 and given[end - 1] == 32:
        end -= 1
    words = text(DEVICES)
    at = 0
    while at < len(words):
        n = 0
        while words[at + n] != 32 and words[at + n] != 0:
            n += 1
        alike = int(n == end)
        for i in range(min(n, end)):
            alike &= int(int(given[i]) == int(words[at + i]) or int(given[i]) | 32 == int(words[at + i]))
        if alike:
            return True
        at += n + 1
    return False


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


def begin_file(root: int, names: Names) -> None:
    """Have the file beside open and empty; `names.status` says whether that failed, as it does from here on.

    One that was left over takes its place first, where it is the whole one.
    """
    names.step = 0
    names.file = 0
    names.status = settle(root, names)
    names.stays = 0
    if names.status == 0:
        names.file = open_empty(root, names, names.beside)
        names.status = min(names.file, 0)


def goes_on(root: int, names: Names) -> bool:
    """Whether all parts are to be put, again: they are written beside, and then compared with what is there.

    After that the file has its name, or `names.status` says what failed and the old one is as it was.
    """
    names.step += 1
    if names.status == 0 and names.step == COMPARING:
        names.status = file_protocol.flush_file(names.file)
        close_open(names.file)
        names.file = file_protocol.open_file(root, names.beside) if names.status == 0 else 0
        if names.status == 0:
            names.status = min(names.file, 0) if names.file != 0 else OTHERWISE
    elif names.status == 0 and names.step > COMPARING and file_protocol.file_size(names.file) != names.n_bytes:
        names.status = OTHERWISE
    names.n_bytes = 0
    if names.status == 0 and names.step <= COMPARING:
        return True
    close_open(names.file)
    if names.status == 0:
        names.status = take_place(root, names)
    elif names.step > WRITING:
        remove_file(root, names.beside)
    return False


def put_part(names: Names, source: U8) -> None:
    """The next bytes of the file: written, or compared with what is there."""
    done = 0
    while names.status == 0 and done < len(source):
        n = min(len(source) - done, len(names.block))
        place = address_of(source) + done
        if names.step == WRITING:
            names.status = file_protocol.write_file(names.file, place, n)
        elif not reads_alike(names.file, names.block, memory(place, n)):
            names.status = OTHERWISE
        done += n
    names.n_bytes += done


def reads_alike(file: int, block: U8, wanted: U8) -> bool:
    """Whether the next bytes of a file are these; `block` is as long at least."""
    if not reads_whole(file, block[:len(wanted)]):
        return False
    for i in range(len(wanted)):
        if block[i] != wanted[i]:
            return False
    return True


def reads_whole(file: int, target: U8) -> bool:
    """Whether so many bytes of a file could be read."""
    return read_up_to(file, target) == len(target)


def read_up_to(file: int, target: U8) -> int:
    """Read as much of a file as there is and goes into `target`; how many bytes came, or the status of a failure.
    The firmware may give them in pieces.
    """
    done = 0
    while done < len(target):
        came = file_protocol.read_file(file, address_of(target) + done, len(target) - done)
        if came <= 0:
            return done if came == 0 else came
        done += came
    return done


def settle(root: int, names: Names) -> int:
    """See to a file beside that was left over; returns the status."""
    left_over = presence(root, names.beside)
    if left_over <= 0:
        return left_over
    old = presence(root, names.path)
    marked = presence(root, names.mark)
    if old == 1 and marked == 0:
        remove_file(root, names.beside)
        return 0
    return take_place(root, names) if min(old, marked) >= 0 else min(old, marked)


def take_place(root: int, names: Names) -> int:
    """Give the file beside, which is whole, its name: by renaming, or where that is refused by a copy, compared and
    only then the one.  Returns the status.
    """
    status = ERROR | uefi.EFI_ALREADY_STARTED
    if presence(root, names.mark) == 0:
        remove_file(root, names.path)
        status = rename_beside(root, names)
    if status != 0:
        status = copy_beside(root, names)
    names.stays = int(status != 0)
    return status


def rename_beside(root: int, names: Names) -> int:
    """Rename the file beside, and look whether it is there then; returns the status."""
    file = file_protocol.open_for_writing(root, names.beside, uefi.FILE_MODE_CHANGE, 0)
    if file <= 0:
        return min(file, -1)
    n_bytes = file_protocol.file_size(file)
    status = file_protocol.file_info(file, names.info)
    info = FileInfo(address_of(names.info))
    if status == 0 and info.file_size != n_bytes:
        status = OTHERWISE
    if status == 0:
        copy_units(info.file_name, 0, names.name)
        info.size = uefi.INFO_NAME + 2 * (length_of(names.name) + 1)
        status = file_protocol.set_file_info(file, names.info, info.size)
    if status == 0:
        file_protocol.flush_file(file)
    file_protocol.close_file(file)
    file = file_protocol.open_file(root, names.path) if status == 0 else 0
    if status == 0 and (file <= 0 or file_protocol.file_size(file) != n_bytes):
        status = OTHERWISE
    close_open(file)
    return status


def copy_beside(root: int, names: Names) -> int:
    """Copy the file beside to where it belongs, marked as the whole one meanwhile; returns the status."""
    mark = open_empty(root, names, names.mark)
    if mark <= 0:
        return mark
    status = file_protocol.flush_file(mark)
    file_protocol.close_file(mark)
    for comparing in range(2):
        source = file_protocol.open_file(root, names.beside)
        target = file_protocol.open_file(root, names.path) if comparing else open_empty(root, names, names.path)
        if status == 0 and (source <= 0 or target <= 0):
            status = min(source, target, -1)
        if status == 0:
            status = pour(names, source, target, comparing)
        if status == 0 and not comparing:
            status = file_protocol.flush_file(target)
        close_open(source)
        close_open(target)
    if status == 0:
        remove_file(root, names.mark)
        if presence(root, names.mark) == 0:
            remove_file(root, names.beside)
    return status


def pour(names: Names, source: int, target: int, comparing: int) -> int:
    """Write what is in one file into another, or compare them; returns the status."""
    half = len(names.block) // 2
    left = file_protocol.file_size(source)
    if comparing and file_protocol.file_size(target) != left:
        return OTHERWISE
    status = min(left, 0)
    while status == 0 and left > 0:
        n = min(left, half)
        if not reads_whole(source, names.block[:n]):
            status = ERROR | uefi.EFI_DEVICE_ERROR
        elif not comparing:
            status = file_protocol.write_file(target, address_of(names.block), n)
        elif not reads_alike(target, names.block[half:], names.block[:n]):
            status = OTHERWISE
        left -= n
    return status


def open_empty(root: int, names: Names, name: U16) -> int:
    """A file open for writing, empty whatever it was before; negative: the status."""
    file = file_protocol.open_for_writing(root, name, uefi.FILE_MODE_CREATE, 0)
    if file > 0 and file_protocol.file_size(file) != 0:
        file_protocol.delete_file(file)
        file = file_protocol.open_for_writing(root, name, uefi.FILE_MODE_CREATE, 0)
    if file > 0 and file_protocol.file_size(file) != 0:
        if file_protocol.file_info(file, names.info) == 0:
            info = FileInfo(address_of(names.info))
            info.file_size = 0
            file_protocol.set_file_info(file, names.info, info.size)
        if file_protocol.file_size(file) != 0:
            file_protocol.close_file(file)
            return ERROR | uefi.EFI_ACCESS_DENIED
    return file if file != 0 else ERROR | uefi.EFI_NOT_FOUND


def presence(root: int, name: U16) -> int:
    """1: there is a file of that name; 0: there is none; negative: the status."""
    file = file_protocol.open_file(root, name)
    close_open(file)
    return min(file, 1)


def remove_file(root: int, name: U16) -> None:
    """Delete a file, where it is there and the firmware does it."""
    file = file_protocol.open_for_writing(root, name, uefi.FILE_MODE_CHANGE, 0)
    if file > 0:
        file_protocol.delete_file(file)


def close_open(file: int) -> None:
    """Close a file, if it is one."""
    if file > 0:
        file_protocol.close_file(file)


def write_whole(root: int, names: Names, source: U8) -> int:
    """Write a file from memory; returns the status."""
    begin_file(root, names)
    while goes_on(root, names):
        put_part(names, source)
    return names.status


def open_either(root: int, names: Names) -> int:
    """A file for reading; after a power cut the one beside, where that is the whole one.  0: none; negative: a status.
    """
    marked = presence(root, names.mark) > 0
    file = file_protocol.open_file(root, names.beside if marked else names.path)
    return file if file != 0 else file_protocol.open_file(root, names.path if marked else names.beside)


def say_status(con: Console, names: Names) -> None:
    """Why nothing was written, in a line, and where it is all the same."""
    reason = names.status & 0xFFFF
    if names.stays != 0:
        say(con, ALARM, sentence(
            "Written, but the firmware would not name it so (error {}): it is whole as {}.", (reason, names.beside)))
    elif reason == uefi.EFI_VOLUME_FULL:
        say_line(con, ALARM, text(
            "Not written: the volume is full.  Delete something on it, or write an image with --free."))
    elif reason == uefi.EFI_WRITE_PROTECTED:
        say_line(con, ALARM, text("Not written: the volume is read-only.  Is there a switch on the stick?"))
    elif reason == uefi.EFI_OUT_OF_RESOURCES:
        say_line(con, ALARM, text("Not written: this conversation is longer than this program can save."))
    elif reason == uefi.EFI_CRC_ERROR:
        say_line(con, ALARM, text("Not written: the volume gives back something else.  Try another stick."))
    else:
        say(con, ALARM, sentence(
            "Not written: the firmware reports error {}.  Is the stick still there?", (reason,)))


def length_of(name: U16) -> int:
    """How many units stand before the zero."""
    n = 0
    while n < len(name) and name[n] != 0:
        n += 1
    return n


def is_listed(info: FileInfo, name: U16, suffix: U16) -> int:
    """`is_called` of an entry of a folder; 0 for folders, and where it begins with a dot: other systems write these."""
    if info.attribute & uefi.DIRECTORY != 0 or name[0] == DOT:
        return 0
    return is_called(name, suffix)


def is_called(name: U16, suffix: U16) -> int:
    """How many units stand before the suffix a name ends in; 0 where it does not, in either case."""
    length = length_of(name) - (len(suffix) - 1)
    for i in range(len(suffix) - 1):
        if length <= 0 or int(name[length + i]) | 32 != int(suffix[i]) | 32:
            return 0
    return length
