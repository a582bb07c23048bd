"""The bytes of connections: what the firmware brings, what it takes, and how they end.

Of each connection one token may be under way to receive, one to send, and one to close it.  They end in whatever order;
a firmware that is busy is asked again at the next look.
"""

from typing import NamedTuple

from barelm.contract import uefi
from barelm.contract.board import Figures
from barelm.contract.network.network_state import (
    BROKEN,
    CLOSED,
    ENDED,
    LANDING_BYTES,
    LEAVING,
    OPEN,
    RECEIVED_BYTES,
    SENDING_BYTES,
    Connection,
    Connections,
    NetworkState,
)
from barelm.dialect.memory import address_of, copy_bytes, fill_bytes
from barelm.dialect.processor import cycles
from barelm.dialect.sentences import sentence
from barelm.dialect.types import U8
from barelm.metal.console.sinks import ALARM, Console
from barelm.metal.console.writing import say
from barelm.metal.network.addresses import address_in
from barelm.metal.uefi.answers import ERROR
from barelm.metal.uefi.handles import protocol_of
from barelm.metal.uefi.network.service_binding import destroy_child, note_child
from barelm.metal.uefi.network.tcp4 import PENDING, close_tcp, receive_tcp, tcp_peer, transmit_tcp

HEAD_BYTES = Connection.offset_of("landing")
"""Of a connection, what is not its buffers."""
PUSH = 1
FINISH_MS = 30_000
"""How long a peer may take none of what is left for it, once its connection is to end."""
CLOSE_MS = 5_000
"""How long a peer may take to end it, too."""


class Network(NamedTuple):
    """The network of a node."""

    con: Console
    state: NetworkState
    connections: Connections
    figures: Figures
    cycles_per_ms: int


def connection_at(net: Network, k: int) -> Connection:
    """Place k, from 0 to `state.n_places` - 1; there may be nobody."""
    return net.connections.places[k]


def free_place(net: Network) -> int:
    """A place where nobody is, or -1."""
    for k in range(net.state.n_places):
        if net.state.in_use[k] == 0:
            return k
    return -1


def begin_connection(net: Network, interface: int, handle: int) -> bool:
    """Have a place for a peer that came by an interface; without one it is sent away.  False where it is no peer."""
    fw = net.con.fw
    state = net.state
    binding = state.interfaces[interface].binding
    note_child(fw, binding, handle)
    tcp = protocol_of(fw, handle, uefi.TCP4_PROTOCOL)
    k = free_place(net)
    if tcp == 0 or k < 0:
        destroy_child(fw, binding, handle)
        return tcp != 0
    c = connection_at(net, k)
    fill_bytes(c.address, 0, HEAD_BYTES)
    state.serial += 1
    c.serial = state.serial
    c.interface = interface
    c.handle = handle
    c.tcp = tcp
    c.active_at = cycles()
    c.stage = OPEN
    state.in_use[k] = 1
    state.n_in_use += 1
    c.receive_token.event = state.arrived
    c.receive_token.packet = c.receive_data.address
    c.transmit_token.event = state.sent
    c.transmit_token.packet = c.transmit_data.address
    c.close_token.event = state.closed
    if tcp_peer(tcp, state.config_data) == 0:
        c.peer = address_in(state.config_data.access_point.remote_address)
    start_receiving(c)
    return True


def poll_connection(net: Network, k: int) -> None:
    """Take in what has come and what has gone, and go on."""
    c = connection_at(net, k)
    if c.receiving != 0 and c.receive_token.status != PENDING:
        take_received(c)
    if c.sending != 0 and c.transmit_token.status != PENDING:
        take_sent(c)
        c.closed_by = c.active_at + FINISH_MS * net.cycles_per_ms
    if c.stage == OPEN:
        start_receiving(c)
    if c.n_to_send > 0:
        start_sending(c)
    if c.finishing != 0:
        go_on_leaving(net, k)


def start_receiving(c: Connection) -> None:
    """Ask for bytes, where there is room for them and they are not asked for yet."""
    n = min(LANDING_BYTES, RECEIVED_BYTES - c.n_received)
    if c.receiving != 0 or n <= 0:
        return
    data = c.receive_data
    data.flags = 0
    data.data_length = n
    data.fragment_count = 1
    data.fragments[0].fragment_length = n
    data.fragments[0].fragment_buffer = address_of(c.landing)
    status = receive_tcp(c.tcp, c.receive_token)
    c.receiving = n if status == 0 else 0
    c.failure = 0
    if status != 0:
        note_failure(c, status)


def take_received(c: Connection) -> None:
    """What became of it."""
    asked = c.receiving
    c.receiving = 0
    status = c.receive_token.status
    if status != 0 and c.closing != 0:
        return  # to close a connection aborts what waits to be received; how that ends its own token says
    if status != 0:
        note_failure(c, status)
    elif c.receive_data.data_length > asked:
        note_failure(c, ERROR | uefi.EFI_DEVICE_ERROR)
    elif c.stage == OPEN:
        n = c.receive_data.data_length
        copy_bytes(address_of(c.received) + c.n_received, address_of(c.landing), n)
        c.n_received += n
        c.active_at = cycles()


def start_sending(c: Connection) -> None:
    """Send what is in the ring, up to its end, where nothing is under way."""
    if c.sending != 0 or c.n_to_send == 0 or c.stage == BROKEN:
        return
    n = min(c.n_to_send, SENDING_BYTES - c.first)
    data = c.transmit_data
    data.flags = PUSH
    data.data_length = n
    data.fragment_count = 1
    data.fragments[0].fragment_length = n
    data.fragments[0].fragment_buffer = address_of(c.to_send) + c.first
    status = transmit_tcp(c.tcp, c.transmit_token)
    if status == 0:
        c.sending = n
    else:
        note_failure(c, status)


def take_sent(c: Connection) -> None:
    """What became of it."""
    n = c.sending
    c.sending = 0
    c.active_at = cycles()
    if c.transmit_token.status != 0:
        note_failure(c, c.transmit_token.status)
    else:
        c.failure = 0
        c.first = (c.first + n) % SENDING_BYTES
        c.n_to_send -= n


def note_failure(c: Connection, status: int) -> None:
    """What a status says of a connection: that the firmware is busy, nothing, unless it stays so."""
    code = status & 0xFF
    if code < uefi.EFI_NO_MEDIA or code == uefi.EFI_ACCESS_DENIED or code == uefi.EFI_ABORTED:
        c.failure = status  # the others are the peer's, or the cable's
    if code == uefi.EFI_NOT_READY or code == uefi.EFI_OUT_OF_RESOURCES:
        return
    if code != uefi.EFI_CONNECTION_FIN or c.stage == ENDED:
        c.stage = BROKEN
    elif c.stage == OPEN:
        c.stage = ENDED


def room_to_send(c: Connection) -> int:
    """How many bytes `send_bytes` takes."""
    return SENDING_BYTES - c.n_to_send if c.stage == OPEN or c.stage == ENDED else 0


def unsent(c: Connection) -> int:
    """Bytes that the peer has not taken yet."""
    return c.n_to_send


def send_bytes(net: Network, k: int, data: U8, lo: int, hi: int) -> bool:
    """Send data[lo:hi] behind what is to be sent; False where there is no room for all of it: then nothing is."""
    c = connection_at(net, k)
    n = hi - lo
    if n > room_to_send(c):
        return False
    at = (c.first + c.n_to_send) % SENDING_BYTES
    straight = min(n, SENDING_BYTES - at)
    ring = address_of(c.to_send)
    source = address_of(data) + lo
    copy_bytes(ring + at, source, straight)
    copy_bytes(ring, source + straight, n - straight)
    c.n_to_send += n
    start_sending(c)
    return c.stage != BROKEN


def drop_received(c: Connection, n: int) -> None:
    """The first n bytes received were used: the others move to their place."""
    n = min(n, c.n_received)
    left = c.n_received - n
    base = address_of(c.received)
    if n > 0:
        for at in range(0, left, n):
            copy_bytes(base + at, base + at + n, min(n, left - at))
        c.n_received = left


def finish_connection(net: Network, k: int) -> None:
    """End a connection in order, once all is sent; it is nobody's from now on."""
    c = connection_at(net, k)
    if c.stage == BROKEN:
        abandon_connection(net, k)
    elif c.stage == OPEN or c.stage == ENDED:
        c.stage = LEAVING
        c.finishing = 1
        c.closed_by = cycles() + FINISH_MS * net.cycles_per_ms
        go_on_leaving(net, k)


def go_on_leaving(net: Network, k: int) -> None:
    """The next step of an end in order: all is sent, the connection is closed, the peer has done the same."""
    c = connection_at(net, k)
    over = c.stage == BROKEN or cycles() - c.closed_by > 0
    if c.closing != 0:
        over = over or c.close_token.status != PENDING
    elif c.n_to_send == 0 and not over:
        c.closing = 1
        c.closed_by = cycles() + CLOSE_MS * net.cycles_per_ms
        over = close_tcp(c.tcp, c.close_token) != 0
    if over:
        abandon_connection(net, k)


def abandon_connection(net: Network, k: int) -> None:
    """Reset a connection, whatever is under way; its place is free."""
    c = connection_at(net, k)
    if net.state.in_use[k] != 0:
        cut_connection(net, k)
        c.stage = CLOSED
        net.state.in_use[k] = 0
        net.state.n_in_use -= 1


def cut_connection(net: Network, k: int) -> None:
    """Give back what the firmware has of a connection; who has its place learns of it, and abandons it."""
    c = connection_at(net, k)
    card = net.state.interfaces[c.interface]
    if c.handle != 0:
        destroy_child(net.con.fw, card.binding, c.handle)
    if c.failure != 0 and c.failure != card.failure:
        card.failure = c.failure
        say(net.con, ALARM, sentence("Network: a connection failed in the firmware (status {:x16}).", (c.failure,)))
    c.handle = 0
    c.receiving = 0
    c.sending = 0
    c.stage = BROKEN
