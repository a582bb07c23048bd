"""START HERE: the network of a node, opened, polled between passes, waited for, and closed."""

from barelm.contract import uefi
from barelm.contract.board import Board
from barelm.contract.network.network_state import (
    LISTENING,
    MOST_ACCEPTS,
    MOST_CONNECTIONS,
    Connection,
    Connections,
    NetworkState,
)
from barelm.contract.regions import Workspace
from barelm.contract.uefi_protocols import SimpleTextInput
from barelm.dialect.memory import fill_bytes
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure
from barelm.dialect.sentences import sentence
from barelm.metal import arena
from barelm.metal.console.sinks import DIM, Console
from barelm.metal.console.writing import say
from barelm.metal.network.addresses import read_fixed
from barelm.metal.network.connections import Network, abandon_connection, poll_connection
from barelm.metal.network.interfaces import (
    ASK_MS,
    LOOK_MS,
    find_interfaces,
    look_after,
    stop_listening,
    take_peers,
)
from barelm.metal.uefi.network.interface_state import NO_CABLE
from barelm.metal.uefi.network.service_binding import connect_controllers
from barelm.metal.uefi.network.tcp4 import poll_tcp
from barelm.metal.uefi.timers import close_event, create_event, create_timer, wait_for_any

CABLE_MS, ADDRESS_MS = 10_000, 40_000
"""How long a cable, and an address, are waited for before the rest goes on without."""
MOST_POLLS = 32
"""Packets taken in at a look: a firmware takes one each time."""


def bind_network(con: Console, b: Board, workspace: Workspace) -> Network:
    """The network of a workspace, as it is."""
    state = workspace.network
    return Network(con, state, Connections(state.places), b.figures, b.figures.cycles_per_ms)


def open_network(con: Console, b: Board, workspace: Workspace) -> Network:
    """Find the network, and wait a while until it can be reached; raises where there is none at all.

    Where it takes longer `poll_network` goes on.
    """
    state = workspace.network
    fill_bytes(state.address, 0, NetworkState.BYTES)
    state.port = b.settings.port
    if not read_fixed(b.settings.ip, state.fixed):
        raise Failure(uefi.EFI_INVALID_PARAMETER, "the setting `ip` is no address of a node",
                      "Write it as \"192.168.1.5/24\" or \"192.168.1.5/24 via 192.168.1.1\", or leave it empty.")
    net = bind_network(con, b, workspace)
    find_interfaces(net)
    if state.n_interfaces == 0:
        connect_controllers(con.fw)
        find_interfaces(net)
    if state.n_interfaces == 0:
        raise Failure(uefi.EFI_NOT_FOUND, "the firmware has no network here",
                      "Switch its network stack on in its setup, or use a card that it has a driver for.")
    take_places(net)
    open_events(net)
    net = bind_network(con, b, workspace)
    await_address(net)
    return net


def take_places(net: Network) -> None:
    """Take memory for as many connections as it gives, up to the most."""
    state = net.state
    state.n_places = MOST_CONNECTIONS
    while state.places == 0:
        state.places = arena.take(net.con.fw, net.figures, state.n_places * Connection.BYTES)
        if state.places == 0:
            state.n_places //= 2
            if state.n_places == 0:
                raise Failure(uefi.EFI_OUT_OF_RESOURCES, "there is no memory for a single connection",
                              "Take a smaller model or context, or a machine with more memory.")


def open_events(net: Network) -> None:
    """Have what tokens signal, and what `wait_network` waits for."""
    fw = net.con.fw
    state = net.state
    state.timer = create_timer(fw)
    state.arrived = create_event(fw)
    state.sent = create_event(fw)
    state.closed = create_event(fw)
    missing = state.arrived == 0 or state.sent == 0 or state.closed == 0
    for k in range(MOST_ACCEPTS):
        state.accepted[k] = create_event(fw)
        state.waited[3 + k] = state.accepted[k]
        missing = missing or state.accepted[k] == 0
    if missing:
        raise Failure(uefi.EFI_OUT_OF_RESOURCES, "the firmware has no events for the network to give",
                      "Switch the machine off and on, and start again.")
    state.waited[0] = state.timer
    state.waited[1] = state.arrived
    state.waited[2] = state.sent
    state.waited[3 + MOST_ACCEPTS] = state.closed
    if fw.con_in != 0:
        state.waited[4 + MOST_ACCEPTS] = SimpleTextInput(fw.con_in).wait_for_key


def await_address(net: Network) -> None:
    """Wait until the node can be reached, or no longer."""
    began = cycles()
    while True:
        reached = False
        plugged = False
        for i in range(net.state.n_interfaces):
            look_after(net, i)
            reached = reached or net.state.interfaces[i].stage == LISTENING
            plugged = plugged or net.state.interfaces[i].cable != NO_CABLE
        if reached and plugged:
            return
        if cycles() - began > (ADDRESS_MS if plugged else CABLE_MS) * net.cycles_per_ms:
            say(net.con, DIM, sentence("The network cannot be reached yet; it is served as soon as it can.", ()))
            return
        for i in range(net.state.n_interfaces):
            poll_listener(net, i)
        wait_network(net, ASK_MS)


def poll_listener(net: Network, i: int) -> None:
    """Give the firmware's network its turn, and see who has come."""
    card = net.state.interfaces[i]
    if card.tcp != 0:
        for _ in range(MOST_POLLS):
            if poll_tcp(card.tcp) != 0:
                break
    if card.stage == LISTENING:
        take_peers(net, i)


def poll_network(net: Network) -> None:
    """Between passes: bytes move, peers come, and what has become of cables and addresses is said."""
    state = net.state
    for i in range(state.n_interfaces):
        poll_listener(net, i)
        card = state.interfaces[i]
        every = LOOK_MS if card.stage == LISTENING else ASK_MS
        if cycles() - card.looked_at > every * net.cycles_per_ms:
            look_after(net, i)
    if state.n_in_use > 0:
        for k in range(state.n_places):
            if state.in_use[k] != 0:
                poll_connection(net, k)


def wait_network(net: Network, milliseconds: int) -> None:
    """Sleep until something comes or goes, a key waits at the firmware's keyboard, or so long, a second at most."""
    fw = net.con.fw
    n = 4 + MOST_ACCEPTS + int(fw.con_in != 0)
    wait_for_any(fw, net.state.waited, n, net.state.timer, 1000 * min(milliseconds, LOOK_MS))


def close_network(net: Network) -> None:
    """Reset all connections, and give everything back; where there is no network nothing is done."""
    fw = net.con.fw
    state = net.state
    if state.n_interfaces == 0:
        return
    for k in range(state.n_places):
        if state.places != 0:
            abandon_connection(net, k)
    for i in range(state.n_interfaces):
        stop_listening(net, i)
    state.n_interfaces = 0
    close_event(fw, state.timer)
    close_event(fw, state.arrived)
    close_event(fw, state.sent)
    close_event(fw, state.closed)
    for k in range(MOST_ACCEPTS):
        close_event(fw, state.accepted[k])
    arena.give(fw, net.figures, state.places, state.n_places * Connection.BYTES)
    state.places = 0
