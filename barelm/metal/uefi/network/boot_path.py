"""Where the program came from over the network: the device path's URI (UEFI 10.3.4.23), or what a PXE server said
(UEFI 24.3).
"""

from barelm.contract import uefi
from barelm.contract.network.web_state import PATH_BYTES, WebVolume
from barelm.dialect.memory import load_i64, load_u8, load_u16, memory
from barelm.dialect.types import U8
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import protocol_of

MESSAGING, URI, SLASH, COLON, DOT, ZERO, WEB_PORT = 3, 24, 47, 58, 46, 48, 80
MOST_NODES = 64
PXE_MODE = 96  # where in EFI_PXE_BASE_CODE_PROTOCOL its mode is, and what is where in that
PROXY_RECEIVED, ACK_PACKET, PROXY_PACKET = 10, 1524, 2996
SERVER_ADDRESS, BOOT_FILE, BOOT_FILE_BYTES = 20, 108, 128  # of a packet


def find_server(fw: Firmware, device: int, v: WebVolume) -> bool:
    """The server the program was started from, and the folder there; False where it was started otherwise."""
    node = protocol_of(fw, device, uefi.DEVICE_PATH_PROTOCOL) if device != 0 else 0
    for _ in range(MOST_NODES):
        if node == 0 or load_u8(node) == uefi.END_OF_PATH or load_u16(node + 2) < 4:
            break
        if load_u8(node) == MESSAGING and load_u8(node + 1) == URI and load_u16(node + 2) > 4:
            uri = memory(node + 4, load_u16(node + 2) - 4)
            return read_uri(v, uri)
        node += load_u16(node + 2)
    return find_pxe_server(fw, device, v)


def read_uri(v: WebVolume, uri: U8) -> bool:
    """Read `http://192.168.1.2:8000/folder/program.efi`; False where it is not one with an address."""
    at = 7
    n = len(uri)
    if n < at or uri[4] != COLON or uri[5] != SLASH or uri[6] != SLASH:
        return False
    v.ip = 0
    for k in range(4):
        if k > 0:
            if at >= n or uri[at] != DOT:
                return False
            at += 1
        at, number = digits_at(uri, at)
        if number < 0 or number > 255:
            return False
        v.ip = v.ip << 8 | number
    v.port = WEB_PORT
    if at < n and uri[at] == COLON:
        at, v.port = digits_at(uri, at + 1)
    keep_folder(v, uri[at:])
    return 0 < v.port < 1 << 16


def digits_at(data: U8, at: int) -> tuple[int, int]:
    """Behind a number, and it; -1 where there is none."""
    number = -1
    while at < len(data) and ZERO <= data[at] < ZERO + 10 and number < 1 << 50:
        number = 10 * max(number, 0) + int(data[at]) - ZERO
        at += 1
    return at, number


def find_pxe_server(fw: Firmware, device: int, v: WebVolume) -> bool:
    """The server of a PXE start: its files are asked for by HTTP, too, in the folder that the program was in."""
    pxe = protocol_of(fw, device, uefi.PXE_BASE_CODE_PROTOCOL) if device != 0 else 0
    mode = load_i64(pxe + PXE_MODE) if pxe != 0 else 0
    if mode == 0 or load_u8(mode) == 0:
        return False
    v.port = WEB_PORT
    found = False
    for k in range(2):
        packet = mode + (ACK_PACKET if k == 0 else PROXY_PACKET)
        server = memory(packet + SERVER_ADDRESS, 4)
        ip = int(server[0]) << 24 | int(server[1]) << 16 | int(server[2]) << 8 | int(server[3])
        if ip != 0 and (k == 0 or load_u8(mode + PROXY_RECEIVED) != 0):
            v.ip = ip
            keep_folder(v, memory(packet + BOOT_FILE, BOOT_FILE_BYTES))
            found = True
    return found


def keep_folder(v: WebVolume, path: U8) -> None:
    """The folder of a path, up to its last slash; it ends with its zero, or all of it."""
    root = v.root
    root.path[0] = SLASH
    root.n_path = 1
    shift = int(len(path) == 0 or path[0] != SLASH)
    for at in range(min(len(path), PATH_BYTES // 2)):
        if path[at] <= 32:
            break
        root.path[at + shift] = path[at]
        if path[at] == SLASH:
            root.n_path = at + shift + 1
