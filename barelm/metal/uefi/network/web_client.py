"""A client of HTTP/1.1 as far as files need it: ranges over a connection that is kept, and taken up anew where it ends
(RFC 9110, 9112).
"""

from barelm.contract import uefi
from barelm.contract.network.network_protocols import Tcp4ConfigData, Tcp4Option, Tcp4Token
from barelm.contract.network.web_state import HEAD_BYTES, WebFile, WebVolume
from barelm.dialect.memory import address_of, copy_bytes, fill_bytes, memory, text
from barelm.dialect.types import U8, U16
from barelm.kernels.text.dates import put_name
from barelm.kernels.web.answers.form_filling import put_number
from barelm.kernels.web.answers.http_heads import end_of_head
from barelm.metal.uefi.answers import ERROR, failure_of
from barelm.metal.uefi.boot_services import Firmware, keep_account, open_firmware, stall
from barelm.metal.uefi.handles import handle_with, protocol_of
from barelm.metal.uefi.network.boot_path import digits_at
from barelm.metal.uefi.network.interface_state import ask_for_address
from barelm.metal.uefi.network.service_binding import create_child, destroy_child
from barelm.metal.uefi.network.tcp4 import PENDING, configure_tcp, connect_tcp, poll_tcp, receive_tcp, transmit_tcp

STEP_US, PATIENCE_US, ADDRESS_US, AGAIN_US = 50, 15_000_000, 40_000_000, 100_000
MOST_ATTEMPTS, MOST_CARDS = 6, 8
WINDOW, RETRIES, HOPS = 2 << 20, 12, 64
RETURN, LINE_FEED, COLON, SPACE, ZERO = 13, 10, 58, 32, 48


def firmware_of(v: WebVolume) -> Firmware:
    """The firmware a server is reached by."""
    return keep_account(open_firmware(v.image, v.table), v.ledger)


def reach_server(v: WebVolume) -> int:
    """Connect by the first card that a connection comes about by; returns the status."""
    fw = firmware_of(v)
    status = ERROR | uefi.EFI_NOT_FOUND
    for k in range(MOST_CARDS):
        handle = handle_with(fw, uefi.TCP4_SERVICE_BINDING_PROTOCOL, k)
        if handle == 0:
            break
        v.binding = protocol_of(fw, handle, uefi.TCP4_SERVICE_BINDING_PROTOCOL)
        v.config = protocol_of(fw, handle, uefi.IP4_CONFIG2_PROTOCOL)
        status = connect(v) if v.binding != 0 else status
        if status == 0:
            break
    return status


def connect(v: WebVolume) -> int:
    """Connect to the server; returns the status."""
    fw = firmware_of(v)
    disconnect(v)
    if v.config != 0:
        ask_for_address(v.config)
    v.child = create_child(fw, v.binding)
    v.tcp = protocol_of(fw, v.child, uefi.TCP4_PROTOCOL) if v.child != 0 else 0
    if v.tcp == 0:
        disconnect(v)
        return ERROR | uefi.EFI_OUT_OF_RESOURCES
    describe(v)
    status = configure_tcp(v.tcp, v.config_data)
    waited = 0
    while status & 0xFF == uefi.EFI_NO_MAPPING and status != 0 and waited < ADDRESS_US:
        stall(fw, AGAIN_US)
        waited += AGAIN_US
        status = configure_tcp(v.tcp, v.config_data)
    v.token.event = v.event
    if status == 0:
        status = await_token(v, connect_tcp(v.tcp, Tcp4Token(v.token.address)))
    if status != 0:
        disconnect(v)
    return status


def describe(v: WebVolume) -> None:
    """Who talks to whom."""
    fill_bytes(v.config_data.address, 0, Tcp4ConfigData.BYTES)
    fill_bytes(v.option.address, 0, Tcp4Option.BYTES)
    v.config_data.time_to_live = HOPS
    point = v.config_data.access_point
    point.use_default_address = 1
    point.active_flag = 1
    for k in range(4):
        point.remote_address[k] = v.ip >> (24 - 8 * k) & 0xFF
    point.remote_port = v.port
    v.option.receive_buffer_size = WINDOW
    v.option.send_buffer_size = HEAD_BYTES
    v.option.connection_timeout = PATIENCE_US // 1_000_000
    v.option.data_retries = RETRIES
    v.option.enable_window_scaling = 1
    v.config_data.control_option = v.option.address


def disconnect(v: WebVolume) -> None:
    """End the connection, where there is one; nothing of an answer is left."""
    if v.child != 0:
        destroy_child(firmware_of(v), v.binding, v.child)
    v.child = 0
    v.tcp = 0
    v.left = 0
    v.n_head = 0
    v.at = 0


def await_token(v: WebVolume, status: int) -> int:
    """Wait until what the token asks for is done, where the call for it succeeded; returns the status."""
    fw = firmware_of(v)
    waited = 0
    while status == 0 and v.token.status == PENDING:
        if poll_tcp(v.tcp) != 0:
            stall(fw, STEP_US)
            waited += STEP_US
        if waited > PATIENCE_US:
            return ERROR | uefi.EFI_TIMEOUT
    return failure_of(v.token.status) if status == 0 else status


def transfer(v: WebVolume, address: int, n: int, sends: bool) -> int:
    """Send n bytes, or receive up to so many; returns how many it were, or the status."""
    v.data.flags = int(sends)
    v.data.data_length = n
    v.data.fragment_count = 1
    v.data.fragments[0].fragment_length = n
    v.data.fragments[0].fragment_buffer = address
    v.token.packet = v.data.address
    status = await_token(v, transmit_tcp(v.tcp, v.token) if sends else receive_tcp(v.tcp, v.token))
    if status != 0:
        return status
    return v.data.data_length if v.data.data_length <= n else ERROR | uefi.EFI_DEVICE_ERROR


def fetch(v: WebVolume, file: WebFile, first: int, target: int, n: int) -> int:
    """Fetch n bytes of a file from one on, to an address; returns how many came, all of them, or a status.

    A connection that ends in the middle is taken up again, and the rest is asked for.
    """
    done = 0
    status = ERROR | uefi.EFI_DEVICE_ERROR
    attempts = 0
    while done < n and attempts < MOST_ATTEMPTS:
        attempts += 1
        status = ask_for(v, file, first + done, first + n - 1)
        before = done
        while status == 0 and done < n:
            came = take_body(v, target + done, n - done)
            if came <= 0:
                status = came if came < 0 else ERROR | uefi.EFI_DEVICE_ERROR
            else:
                done += came
        if status != 0:
            disconnect(v)
            if is_final(status):
                break
        if done > before:
            attempts = 0
    return done if done == n else status


def is_final(status: int) -> bool:
    """Whether asking again is of no use."""
    code = status & 0xFF
    return code == uefi.EFI_NOT_FOUND or code == uefi.EFI_UNSUPPORTED or code == uefi.EFI_ACCESS_DENIED


def ask_for(v: WebVolume, file: WebFile, first: int, last: int) -> int:
    """Ask for bytes of a file and read the head of the answer; returns the status."""
    if v.child != 0 and v.left > 0:
        disconnect(v)
    status = connect(v) if v.child == 0 else uefi.EFI_SUCCESS
    if status != 0:
        stall(firmware_of(v), AGAIN_US)
        return status
    n = put_request(v, file, first, last)
    came = transfer(v, address_of(v.head), n, True)
    v.n_head = 0
    v.at = 0
    end = 0
    while came > 0 and end == 0:
        if v.n_head == HEAD_BYTES:
            return ERROR | uefi.EFI_UNSUPPORTED
        came = transfer(v, address_of(v.head) + v.n_head, HEAD_BYTES - v.n_head, False)
        v.n_head += max(came, 0)
        end = end_of_head(v.head, 0, v.n_head)
    if came <= 0:
        return came if came < 0 else ERROR | uefi.EFI_DEVICE_ERROR
    v.at = end
    return read_answer(v, end, first, last)


def put_request(v: WebVolume, file: WebFile, first: int, last: int) -> int:
    """The request into `head`; returns its length."""
    n = put_name(v.head, 0, text("GET "), HEAD_BYTES)
    copy_bytes(address_of(v.head) + n, address_of(file.path), file.n_path)
    n = put_name(v.head, n + file.n_path, text(" HTTP/1.1\r\nHost: "), HEAD_BYTES)
    for k in range(4):
        n = put_number(v.head, n, v.ip >> (24 - 8 * k) & 0xFF)
        v.head[n] = 46 if k < 3 else COLON
        n += 1
    n = put_number(v.head, n, v.port)
    n = put_name(v.head, n, text("\r\nUser-Agent: barelm\r\nRange: bytes="), HEAD_BYTES)
    n = put_number(v.head, n, first)
    v.head[n] = 45
    n = put_number(v.head, n + 1, last)
    return put_name(v.head, n, text("\r\n\r\n"), HEAD_BYTES)


def read_answer(v: WebVolume, end: int, first: int, last: int) -> int:
    """What the head of an answer says: only the bytes asked for will do; returns a status."""
    _, code = digits_at(v.head[:end], 9)
    v.left = field_number(v.head[:end], text("content-length:"), 0)
    total = field_number(v.head[:end], text("content-range:"), 47)
    if code == 206 and v.left == last - first + 1 and total > last and (
            field_number(v.head[:end], text("content-range:"), SPACE) == first):
        v.total = total
        return uefi.EFI_SUCCESS
    if code == 404 or code == 410:
        return ERROR | uefi.EFI_NOT_FOUND
    if code == 401 or code == 403:
        return ERROR | uefi.EFI_ACCESS_DENIED
    if code == 200 and v.left >= 0 or code == 416:
        return ERROR | uefi.EFI_UNSUPPORTED
    return ERROR | uefi.EFI_DEVICE_ERROR


def field_number(head: U8, name: U16, behind: int) -> int:
    """The number in a field of a head, right away or behind a character; -1: there is none."""
    n = len(name) - 1
    for i in range(len(head) - n):
        k = 0
        while i > 1 and k < n and head[i - 1] == LINE_FEED and int(head[i + k]) | 32 == int(name[k]) | 32:
            k += 1
        if k == n:
            at = i + n
            while at < len(head) and head[at] == SPACE:
                at += 1
            value = at
            while behind != 0 and at < len(head) and head[at] != RETURN and (at == value or head[at - 1] != behind):
                at += 1
            return digits_at(head, at)[1]
    return -1


def take_body(v: WebVolume, target: int, n: int) -> int:
    """Up to n bytes of the body that is coming; returns how many, or a status."""
    n = min(n, v.left)
    ready = min(n, v.n_head - v.at)
    if ready > 0:
        copy_bytes(target, address_of(v.head) + v.at, ready)
        v.at += ready
    came = ready if ready > 0 or n == 0 else transfer(v, target, n, False)
    v.left -= max(came, 0)
    return came


def size_of(v: WebVolume, file: WebFile) -> int:
    """How many bytes a file has; a status where it is not there, or the server knows no ranges."""
    byte = memory(address_of(v.head) + HEAD_BYTES - 1, 1)
    came = fetch(v, file, 0, address_of(byte), 1)
    return v.total if came == 1 else came
