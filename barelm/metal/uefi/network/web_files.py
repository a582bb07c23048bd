"""Files of a web server, in the words of the firmware's own: `file_protocol` asks here where a file is one of these.

There is the folder the program came from.  It can be read from, and what is in it nobody says: it is listed as if the
usual model were all.
"""

from barelm.contract import uefi
from barelm.contract.network.web_state import MOST_WEB_FILES, PATH_BYTES, WEB_REVISION, WebFile, WebVolume
from barelm.contract.uefi_protocols import FileInfo
from barelm.dialect.memory import address_of, copy_bytes, load_i64, text
from barelm.dialect.types import U16
from barelm.metal.uefi.answers import ERROR
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.network.boot_path import SLASH, find_server
from barelm.metal.uefi.network.service_binding import connect_controllers
from barelm.metal.uefi.network.web_client import disconnect, fetch, firmware_of, reach_server, size_of
from barelm.metal.uefi.timers import close_event, create_event

BACKSLASH, PERCENT, LISTED = 92, 37, "model.blm"


def is_web(file: int) -> bool:
    """Whether a file is one of a web server."""
    return load_i64(file) == WEB_REVISION


def open_web(fw: Firmware, v: WebVolume, device: int) -> int:
    """The folder that the program on a device was started from over the network; 0: it was not; negative: the status
    with which its server could not be reached.
    """
    if not find_server(fw, device, v):
        return 0
    v.image = fw.image
    v.table = fw.table
    v.ledger = fw.ledger
    v.event = create_event(fw)
    status = reach_server(v)
    if status != 0:
        connect_controllers(fw)
        status = reach_server(v)
    if status != 0:
        close_event(fw, v.event)
        return status
    v.root.revision = WEB_REVISION
    v.root.volume = v.address
    v.root.open = 1
    v.root.size = -1
    v.root.position = 0
    return v.root.address


def open_web_file(root: int, name: U16, mode: int) -> int:
    """A file of the folder; 0: there is none of that name; negative: the status."""
    v = WebVolume(WebFile(root).volume)
    if mode != uefi.FILE_MODE_READ:
        return ERROR | uefi.EFI_WRITE_PROTECTED
    for k in range(MOST_WEB_FILES):
        file = v.files[k]
        if file.open == 0:
            if not put_path(file, v.root, name):
                return 0
            size = size_of(v, file)
            if size < 0:
                return 0 if size & 0xFF == uefi.EFI_NOT_FOUND else size
            file.revision = WEB_REVISION
            file.volume = v.address
            file.open = 1
            file.size = size
            file.position = 0
            return file.address
    return ERROR | uefi.EFI_OUT_OF_RESOURCES


def put_path(file: WebFile, folder: WebFile, name: U16) -> bool:
    """The path of a file in the folder, as in a request; False where it is too long."""
    n = folder.n_path
    copy_bytes(address_of(file.path), address_of(folder.path), n)
    i = 0
    while i < len(name) and name[i] != 0:
        unit = int(name[i]) & 0xFFFF
        plain = 48 <= unit < 58 or 64 < unit < 91 or 96 < unit < 123 or unit in (45, 46, 95, 126) or unit == SLASH
        if n + 3 > PATH_BYTES or unit >= 128:
            return False
        if plain or unit == BACKSLASH:
            file.path[n] = SLASH if unit == BACKSLASH else unit
            n += 1
        else:
            file.path[n] = PERCENT
            file.path[n + 1] = hexadecimal_digit(unit >> 4)
            file.path[n + 2] = hexadecimal_digit(unit & 15)
            n += 3
        i += 1
    file.n_path = n
    return True


def hexadecimal_digit(value: int) -> int:
    """The character of a digit."""
    return 48 + value if value < 10 else 55 + value


def read_web(place: int, target: int, n: int) -> int:
    """Read up to n bytes from where a file stands; returns how many came, or the status.  Of the folder, an entry."""
    file = WebFile(place)
    if file.size < 0:
        return list_folder(file, target, n)
    n = min(n, file.size - file.position)
    came = fetch(WebVolume(file.volume), file, file.position, target, n) if n > 0 else 0
    file.position += max(came, 0)
    return came


def list_folder(folder: WebFile, target: int, n: int) -> int:
    """The next entry of the folder, EFI_FILE_INFO; returns its bytes, 0 at the end."""
    name = text(LISTED)
    size = uefi.INFO_NAME + 2 * len(name)
    if folder.position != 0 or n < size:
        return 0
    folder.position = 1
    info = FileInfo(target)
    info.size = size
    info.file_size = 0
    info.attribute = 0
    copy_bytes(target + uefi.INFO_NAME, address_of(name), 2 * len(name))
    return size


def seek_web(place: int, position: int) -> int:
    """Set where the next read begins; returns the status."""
    WebFile(place).position = WebFile(place).size if position == uefi.END_OF_FILE else position
    return uefi.EFI_SUCCESS


def close_web(place: int) -> int:
    """Close a file; with the folder the connection ends."""
    file = WebFile(place)
    file.open = 0
    if file.size < 0:
        v = WebVolume(file.volume)
        disconnect(v)
        close_event(firmware_of(v), v.event)
        v.event = 0
    return uefi.EFI_SUCCESS
