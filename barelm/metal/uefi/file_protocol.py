"""Calls into the firmware: the volume the program was started from, and the files on it (UEFI 13.4, 13.5).

Where that is a folder of a web server (`network.web_files`), its files are opened, read and closed here as well.
"""

from barelm.contract import uefi
from barelm.contract.network.web_state import WebFile
from barelm.contract.uefi_protocols import FileInfo, FileIoToken, FileProtocol, LoadedImage, SimpleFileSystem
from barelm.dialect.memory import address_of, cells, load_u8, load_u16, memory, u16_array
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8, U16
from barelm.metal.uefi.answers import ERROR, failure_of, handle_of
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.network.web_files import close_web, is_web, open_web_file, read_web, seek_web

MOST_ENTRIES = 1 << 14
"""Of a folder that are looked at: a firmware may say the same one for ever."""


def own_device(fw: Firmware) -> int:
    """The handle of the device this program was started from, or 0."""
    loaded = protocol_of(fw, fw.image, uefi.LOADED_IMAGE_PROTOCOL)
    return LoadedImage(loaded).device_handle if loaded != 0 else 0


def open_volume(fw: Firmware, device: int) -> int:
    """The root directory of the volume on a device; 0: there is none; negative: the status."""
    file_system = protocol_of(fw, device, uefi.SIMPLE_FILE_SYSTEM_PROTOCOL) if device != 0 else 0
    if file_system == 0:
        return 0
    root = cells(1)
    status = call_efi(SimpleFileSystem(file_system).open_volume, (file_system, address_of(root)))
    return handle_of(status, root[0])


def open_own_file(fw: Firmware, root: int) -> int:
    """The file this program was started from, by the path of its image (UEFI 10.3.5.4), or 0."""
    loaded = protocol_of(fw, fw.image, uefi.LOADED_IMAGE_PROTOCOL)
    node = LoadedImage(loaded).file_path if loaded != 0 else 0
    while node != 0 and load_u8(node) != uefi.END_OF_PATH and load_u16(node + 2) >= 4:
        if load_u16(node) == uefi.FILE_OF_MEDIA:
            n = (load_u16(node + 2) - 4) // 2
            return open_file(root, u16_array(memory(node + 4, 2 * n), 0, n))
        node += load_u16(node + 2)
    return 0


def open_file(root: int, name: U16) -> int:
    """A file of a volume, for reading; 0: there is none of that name; negative: the status."""
    return open_for_writing(root, name, uefi.FILE_MODE_READ, 0)


def open_for_writing(root: int, name: U16, mode: int, kind: int) -> int:
    """A file or directory of a volume; `mode` may create it, with the attributes `kind`.  0: there is none of that
    name, or no such folder; negative: the status.
    """
    if is_web(root):
        return open_web_file(root, name, mode)
    file = cells(1)
    status = call_efi(FileProtocol(root).open, (root, address_of(file), address_of(name), mode, kind))
    return handle_of(status, file[0])


def write_file(file: int, source: int, n_bytes: int) -> int:
    """Write n bytes from an address; returns the status."""
    if is_web(file):
        return ERROR | uefi.EFI_WRITE_PROTECTED
    n = cells(1)
    n[0] = n_bytes
    status = call_efi(FileProtocol(file).write, (file, address_of(n), source))
    return ERROR | uefi.EFI_VOLUME_FULL if status == 0 and n[0] != n_bytes else failure_of(status)


def flush_file(file: int) -> int:
    """Have everything written reach the medium; returns the status."""
    return failure_of(call_efi(FileProtocol(file).flush, (file,)))


def delete_file(file: int) -> int:
    """Delete an open file and close it; returns the status.  Where it stays, that is a warning in the specification."""
    return failure_of(call_efi(FileProtocol(file).delete, (file,)))


def file_info(file: int, info: U8) -> int:
    """EFI_FILE_INFO (13.5.16) of an open file; returns the status, an error too where nothing was filled in."""
    if is_web(file):
        return ERROR | uefi.EFI_UNSUPPORTED
    n = cells(1)
    n[0] = len(info)
    found = FileInfo(address_of(info))
    found.size = 0
    status = call_efi(FileProtocol(file).get_info,
                      (file, address_of(uefi.FILE_INFO), address_of(n), address_of(info)))
    if status == 0 and not uefi.INFO_NAME < found.size <= len(info):
        return ERROR | uefi.EFI_DEVICE_ERROR
    return failure_of(status)


def is_folder(file: int) -> bool:
    """Whether what was opened by a file's name is a folder."""
    words = cells(64)
    info = FileInfo(address_of(words))
    return file_info(file, memory(address_of(words), 512)) == 0 and info.attribute & uefi.DIRECTORY != 0


def set_file_info(file: int, info: U8, n_bytes: int) -> int:
    """Change a file to be as n bytes of EFI_FILE_INFO say: another name renames it; returns the status."""
    return failure_of(call_efi(FileProtocol(file).set_info,
                               (file, address_of(uefi.FILE_INFO), n_bytes, address_of(info))))


def close_file(file: int) -> int:
    """Close a file or a directory."""
    if is_web(file):
        return close_web(file)
    return call_efi(FileProtocol(file).close, (file,))


def seek(file: int, position: int) -> int:
    """Set where the next read begins; returns the status."""
    if is_web(file):
        return seek_web(file, position)
    return failure_of(call_efi(FileProtocol(file).set_position, (file, position)))


def file_size(file: int) -> int:
    """The size of a file in bytes; negative: the status."""
    if is_web(file):
        return WebFile(file).size
    position = cells(1)
    position[0] = -1
    status = seek(file, uefi.END_OF_FILE)
    if status == 0:
        status = failure_of(call_efi(FileProtocol(file).get_position, (file, address_of(position))))
    if status == 0:
        status = seek(file, 0)
    if status == 0 and position[0] < 0:  # success, and nothing was filled in
        return ERROR | uefi.EFI_DEVICE_ERROR
    return position[0] if status == 0 else status


def read_file(file: int, target: int, n_bytes: int) -> int:
    """Read up to n bytes to an address; returns how many came, or where the firmware reports an error its status."""
    if is_web(file):
        return read_web(file, target, n_bytes)
    n = cells(1)
    n[0] = n_bytes
    status = call_efi(FileProtocol(file).read, (file, address_of(n), target))
    if status != 0:
        return failure_of(status)
    return n[0] if 0 <= n[0] <= n_bytes else ERROR | uefi.EFI_DEVICE_ERROR


def read_entry(folder: int, info: FileInfo, n_bytes: int, k: int) -> bool:
    """Read entry k of a folder, from 0 on, into a buffer of n bytes; False at its end, and where it has no end."""
    return k < MOST_ENTRIES and read_file(folder, info.address, n_bytes) > uefi.INFO_NAME


def start_read(file: int, token: FileIoToken) -> int:
    """Start a read from where the file stands, its end signaled at the token's event; returns the status."""
    if is_web(file) or FileProtocol(file).revision < uefi.FILE_PROTOCOL_REVISION2:
        return uefi.EFI_UNSUPPORTED
    return call_efi(FileProtocol(file).read_ex, (file, token.address))
