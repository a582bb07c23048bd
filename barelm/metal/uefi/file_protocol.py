"""Calls into the firmware: the volume the program was started from, and the files on it (UEFI 13.4, 13.5)."""

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileIoToken, FileProtocol, LoadedImage, SimpleFileSystem
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8, U16
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import protocol_of


def open_own_volume(fw: Firmware) -> int:
    """The root directory of the volume this program was started from, or 0."""
    loaded = protocol_of(fw, fw.image, uefi.LOADED_IMAGE_PROTOCOL)
    if loaded == 0:
        return 0
    file_system = protocol_of(fw, LoadedImage(loaded).device_handle, uefi.SIMPLE_FILE_SYSTEM_PROTOCOL)
    if file_system == 0:
        return 0
    root = cells(1)
    status = call_efi(SimpleFileSystem(file_system).open_volume, (file_system, address_of(root)))
    return root[0] if status == 0 else 0


def open_file(root: int, name: U16) -> int:
    """A file of a volume, for reading, or 0."""
    return max(open_for_writing(root, name, uefi.FILE_MODE_READ, 0), 0)


def open_for_writing(root: int, name: U16, mode: int, kind: int) -> int:
    """A file or directory of a volume; `mode` may create it, with the attributes `kind`.  Not positive: the status."""
    file = cells(1)
    status = call_efi(FileProtocol(root).open, (root, address_of(file), address_of(name), mode, kind))
    return file[0] if status == 0 else status


def write_file(file: int, source: int, n_bytes: int) -> int:
    """Write n bytes from an address; returns the status."""
    n = cells(1)
    n[0] = n_bytes
    status = call_efi(FileProtocol(file).write, (file, address_of(n), source))
    return uefi.EFI_VOLUME_FULL if status == 0 and n[0] != n_bytes else status


def flush_file(file: int) -> int:
    """Have everything written reach the medium; returns the status."""
    return call_efi(FileProtocol(file).flush, (file,))


def delete_file(file: int) -> int:
    """Delete an open file and close it."""
    return call_efi(FileProtocol(file).delete, (file,))


def file_info(file: int, info: U8) -> int:
    """EFI_FILE_INFO (13.5.16) of an open file; returns the status."""
    n = cells(1)
    n[0] = len(info)
    return call_efi(FileProtocol(file).get_info,
                    (file, address_of(uefi.FILE_INFO), address_of(n), address_of(info)))


def set_file_info(file: int, info: U8, n_bytes: int) -> int:
    """Change a file to be as n bytes of EFI_FILE_INFO say: another name renames it; returns the status."""
    return call_efi(FileProtocol(file).set_info,
                    (file, address_of(uefi.FILE_INFO), n_bytes, address_of(info)))


def close_file(file: int) -> int:
    """Close a file or a directory."""
    return call_efi(FileProtocol(file).close, (file,))


def seek(file: int, position: int) -> int:
    """Set where the next read begins."""
    return call_efi(FileProtocol(file).set_position, (file, position))


def file_size(file: int) -> int:
    """The size of a file in bytes, or -1."""
    position = cells(1)
    if seek(file, uefi.END_OF_FILE) != 0:
        return -1
    status = call_efi(FileProtocol(file).get_position, (file, address_of(position)))
    return position[0] if status == 0 and seek(file, 0) == 0 else -1


def read_file(file: int, target: int, n_bytes: int) -> int:
    """Read up to n bytes to an address; returns how many came, or -1 where the firmware reports an error."""
    n = cells(1)
    n[0] = n_bytes
    status = call_efi(FileProtocol(file).read, (file, address_of(n), target))
    return n[0] if status == 0 else -1


def start_read(file: int, token: FileIoToken) -> int:
    """Start a read from where the file stands, its end signaled at the token's event; returns the status."""
    if FileProtocol(file).revision < uefi.FILE_PROTOCOL_REVISION2:
        return uefi.EFI_UNSUPPORTED
    return call_efi(FileProtocol(file).read_ex, (file, token.address))
