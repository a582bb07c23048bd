"""A node's network on the hosted firmware of this process, and peers that are sockets of this process, too."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from barelm.contract.network.network_state import Connection
from barelm.contract.regions import NOTHING
from barelm.machine.firmware.devices.network_plan import Card
from barelm.metal import arena
from barelm.metal.console.sinks import open_console
from barelm.metal.measuring import clock
from barelm.metal.network import node_network
from barelm.metal.network.connections import connection_at, drop_received
from barelm.metal.network.node_network import close_network, open_network, poll_network, wait_network
from tests.metal.firmware import InProcess, without_files

PORT = 8080
PATIENCE_S = 20


class Node:
    """A machine with a network card, and on it the network of a node, once it is opened."""

    def __init__(self, machine: InProcess, address: tuple[str, int]) -> None:
        self.machine, self.address = machine, address
        self.workspace = arena.open_workspace(machine.fw)
        self.fw = arena.accountable(machine.fw, self.workspace)
        self.board = self.workspace.board
        self.board.settings.port = PORT
        self.board.settings.report = 1
        self.board.figures.cycles_per_ms = clock.cycles_per_ms(self.fw)
        self.con = open_console(self.fw, self.board.settings, self.board.figures, self.workspace)
        self._ip: np.ndarray[tuple[int], np.dtype[np.uint8]] | None = None
        self.before = machine.machine.inventory()

    def ask_for(self, ip: str) -> None:
        """The setting `ip`."""
        self._ip = np.frombuffer(ip.encode() or b"\0", np.uint8).copy()
        self.board.settings.ip.address, self.board.settings.ip.n_bytes = self._ip.ctypes.data, len(ip)

    def open(self) -> Node:
        """Open the network."""
        self.net = open_network(self.con, self.board, self.workspace)
        return self

    @property
    def said(self) -> str:
        """All it has said."""
        return self.machine.shown.decode()

    @property
    def connections(self) -> list[Connection]:
        """Those there are."""
        state = self.net.state
        return [connection_at(self.net, k) for k in range(int(state.n_places)) if state.in_use[k]]

    def poll_until(self, condition: Callable[[], object]) -> None:
        """Poll until something is so, or fail."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.said
            poll_network(self.net)
            wait_network(self.net, 20)

    def peer(self) -> socket.socket:
        """Somebody who comes, whether he is seen or not."""
        return socket.create_connection(self.address, PATIENCE_S)

    def meet(self) -> tuple[socket.socket, int]:
        """A new peer, and its place."""
        serial = int(self.net.state.serial)
        peer = self.peer()
        self.poll_until(lambda: self.net.state.serial > serial)
        return peer, next(k for k in range(int(self.net.state.n_places))
                          if self.net.state.in_use[k] and connection_at(self.net, k).serial == serial + 1)

    def take(self, k: int, n: int) -> bytes:
        """n bytes that come by a connection."""
        c, taken = connection_at(self.net, k), bytearray()
        while len(taken) < n:
            self.poll_until(lambda: c.n_received > 0)
            m = min(int(c.n_received), n - len(taken))
            taken += bytes(c.received[:m])
            drop_received(c, m)
        return bytes(taken)

    def change(self, **card: object) -> None:
        """Something befalls the card, which was asked for its address long ago."""
        interface, tcp = self.machine.machine.interface, self.machine.machine.tcp
        assert interface is not None and tcp is not None
        interface.card = replace(interface.card, **card)  # type: ignore[arg-type]
        tcp.sockets.attend()
        self.net.state.interfaces[0].looked_at = 0

    def close(self) -> None:
        """Close it; the firmware has everything back, and knows of nothing that is under way."""
        close_network(self.net)
        assert self.machine.machine.inventory() == self.before
        assert all(self.workspace.ledger.holdings[k].kind == NOTHING for k in range(int(self.workspace.ledger.n)))


@contextmanager
def node(card: Card | None = None, faults: tuple[str, ...] = (), memory_mb: int = 64) -> Iterator[Node]:
    """A node whose network is to be opened; who comes to its address comes to its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, np.errstate(all="ignore"):
        listener.setblocking(False)
        machine = InProcess(without_files(), faults, memory_mb=memory_mb, card=card or Card(((0, "10.0.2.15"),)),
                            ports=((PORT, listener),))
        with machine:
            yield Node(machine, listener.getsockname())
        assert machine.machine.tcp is not None
        machine.machine.tcp.sockets.close()


def reset(peer: socket.socket) -> None:
    """Go away without a word."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def is_reset(peer: socket.socket) -> bool:
    """Whether a peer was, or will be soon."""
    peer.settimeout(PATIENCE_S)
    try:
        peer.recv(1)
    except ConnectionResetError:
        return True
    return False


def hurry(monkeypatch: object, ms: int) -> None:
    """Have cable and address not be waited for long."""
    monkeypatch.setattr(node_network, "CABLE_MS", ms)  # type: ignore[attr-defined]
    monkeypatch.setattr(node_network, "ADDRESS_MS", ms)  # type: ignore[attr-defined]
