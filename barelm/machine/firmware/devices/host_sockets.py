"""Bytes between the tokens of a program and the host's sockets, moved by a thread of its own.

What a token asks for is tried at once, and by the thread when the socket is ready for it.  The thread has no other use
of Linux than poll, accept, recv, send, shutdown and close: a program's process may have little
(`process.confinement`), and `SYSTEM_CALLS` are those of them that are not for everybody.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from barelm.contract import uefi
from barelm.contract.network.network_protocols import Tcp4Data, Tcp4ListenToken, Tcp4Token
from barelm.machine.firmware.devices.network_interface import NetworkInterface
from barelm.machine.firmware.events import Events
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.tables import ERROR

OUTGOING_CALLS = {"ioctl": 16, "socket": 41, "connect": 42}
SYSTEM_CALLS = {"sendto": 44, "recvfrom": 45, "shutdown": 48, "getsockname": 51, "setsockopt": 54, "getsockopt": 55,
                "accept4": 288}
"""By their numbers on x86-64; the first are for a card that is outgoing."""

_LINGER_S = 2.0
_LOOK_S = 0.02
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


@dataclass(eq=False)
class Child:
    """What EFI_SERVICE_BINDING_PROTOCOL makes: nothing yet, a place to listen, or one end of a connection."""

    handle: int
    table: int
    state: int = uefi.TCP4_CLOSED
    is_configured: bool = False
    address: str = ""  # its own
    port: int = 0
    socket: socket.socket | None = None  # that listens, or that is connected
    peer: tuple[str, int] = ("0.0.0.0", 0)
    failure: int = 0  # what its connection came to, where it has
    accepts: list[tuple[int, Child]] = field(default_factory=list)  # tokens, and who the next connection will be
    receives: list[int] = field(default_factory=list)  # tokens
    sends: list[tuple[int, bytearray]] = field(default_factory=list)  # tokens, and what of their bytes is left
    connecting: int = 0  # the token that waits until it is connected
    closing: int = 0  # the token that waits until the peer has closed, too
    closing_at: float = 0.0

    @property
    def tokens(self) -> list[int]:
        """All that are under way."""
        pending = [token for token, _ in self.accepts] + self.receives + [token for token, _ in self.sends]
        return pending + [token for token in (self.connecting, self.closing) if token]


class HostSockets:
    """The children's sockets.  `lock` is held by whoever looks at children or changes them."""

    def __init__(self, interface: NetworkInterface, events: Events) -> None:
        self.lock = threading.RLock()
        self.children: dict[int, Child] = {}  # by their tables
        self._interface, self._events = interface, events
        self._bell, self._ring = os.pipe()
        self._thread: threading.Thread | None = None
        self._is_open = True

    def attend(self) -> None:
        """Have the thread look again at what there is to do."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        os.write(self._ring, b"\0")

    def close(self) -> None:
        """End the thread, where a machine ends before its process."""
        self._is_open = False
        if self._thread is not None:
            self.attend()
            self._thread.join()
        os.close(self._bell)
        os.close(self._ring)

    def complete(self, token: int, status: int) -> None:
        """Say in a token what it came to, and signal its event."""
        view = Tcp4Token(token)
        guest.put_word(token + Tcp4Token.offset_of("status"), ERROR | status if status else 0)
        self._events.signal(int(view.event))

    def move(self, child: Child) -> None:
        """Do what can be done now; the lock held."""
        if child.socket is None or not self._interface.reaches(child.address):
            return
        if child.state == uefi.TCP4_LISTEN:
            self._accept(child)
            return
        if child.connecting:
            self._try(child, self._connect)
        while child.sends and self._try(child, self._send):
            pass
        while child.receives and self._try(child, self._receive):
            pass
        if child.closing and not child.sends:
            self._linger(child)

    def fail(self, child: Child, status: int) -> None:
        """End all that is under way with a status."""
        tokens = child.tokens
        child.accepts, child.receives, child.sends, child.connecting, child.closing = [], [], [], 0, 0
        for token in tokens:
            self.complete(token, status)

    def cut(self, child: Child) -> None:
        """Reset a connection, or stop to use a socket that listens."""
        if child.socket is not None and child.state != uefi.TCP4_LISTEN:
            try:
                child.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            child.socket.close()
            self.attend()  # what the thread waits for is not closed before it looks again
        child.socket, child.state = None, uefi.TCP4_CLOSED

    def _try(self, child: Child, step: Callable[[Child, socket.socket], bool]) -> bool:
        """Take a step that may have to wait, or find the connection broken."""
        assert child.socket is not None
        try:
            return step(child, child.socket)
        except BlockingIOError:
            return False
        except OSError:
            child.failure = uefi.EFI_CONNECTION_RESET
            self.fail(child, child.failure)
            return False

    def _connect(self, child: Child, wire: socket.socket) -> bool:
        poll = select.poll()
        poll.register(wire, select.POLLOUT)
        if not poll.poll(0):
            return False
        failure = wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        token, child.connecting = child.connecting, 0
        child.state = uefi.TCP4_CLOSED if failure else uefi.TCP4_ESTABLISHED
        wire.setblocking(True)
        self.complete(token, uefi.EFI_CONNECTION_REFUSED if failure else uefi.EFI_SUCCESS)
        return True

    def _send(self, child: Child, wire: socket.socket) -> bool:
        token, left = child.sends[0]
        del left[:wire.send(left, _FLAGS)]
        if not left:
            child.sends.pop(0)
            self.complete(token, uefi.EFI_SUCCESS)
        return True

    def _receive(self, child: Child, wire: socket.socket) -> bool:
        data = Tcp4Data(guest.word(child.receives[0] + Tcp4Token.BYTES))
        fragment = data.fragments[0]
        content = wire.recv(int(fragment.fragment_length), socket.MSG_DONTWAIT)
        token = child.receives.pop(0)
        if content:
            guest.put_bytes(int(fragment.fragment_buffer), content)
            fragment.fragment_length = data.data_length = len(content)
        else:
            child.failure = child.failure or uefi.EFI_CONNECTION_FIN
        self.complete(token, 0 if content else uefi.EFI_CONNECTION_FIN)
        return True

    def _accept(self, child: Child) -> None:
        assert child.socket is not None
        while child.accepts:
            try:
                wire, peer = child.socket.accept()  # it does not block
            except OSError:
                return  # nobody is there, or whoever came has gone
            token, newcomer = child.accepts.pop(0)
            newcomer.socket, newcomer.state, newcomer.peer = wire, uefi.TCP4_ESTABLISHED, peer
            newcomer.address, newcomer.port, newcomer.is_configured = child.address, child.port, True
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Tcp4ListenToken(token).new_child_handle = newcomer.handle
            self.complete(token, uefi.EFI_SUCCESS)

    def _linger(self, child: Child) -> None:
        """Take in what the peer still says until it has closed, too, or that takes too long."""
        assert child.socket is not None
        try:
            if not child.closing_at:
                child.closing_at = time.monotonic()
                child.socket.shutdown(socket.SHUT_WR)
            while child.socket.recv(1 << 16, socket.MSG_DONTWAIT):
                pass
        except BlockingIOError:
            if time.monotonic() - child.closing_at < _LINGER_S:
                return
        except OSError:
            pass
        token, child.closing, child.state = child.closing, 0, uefi.TCP4_CLOSED
        child.socket.close()
        child.socket = None
        self.attend()
        self.complete(token, uefi.EFI_SUCCESS)

    def _run(self) -> None:
        while self._is_open:
            poll = select.poll()
            poll.register(self._bell, select.POLLIN)
            with self.lock:
                timeout_s = self._watch(poll)
            ready = {number for number, _ in poll.poll(None if timeout_s is None else timeout_s * 1000)}
            if self._bell in ready:
                os.read(self._bell, 1 << 12)
            with self.lock:
                for child in list(self.children.values()):
                    self.move(child)

    def _watch(self, poll: select.poll) -> float | None:
        """Register what a child waits for; returns how long to wait at most."""
        changes = self._interface.card.changes()
        for child in self.children.values():
            wanted = select.POLLIN if child.accepts or child.receives or child.closing else 0
            wanted |= select.POLLOUT if child.sends or child.connecting else 0
            if child.socket is not None and wanted and self._interface.reaches(child.address):
                poll.register(child.socket, wanted)
            changes = changes or bool(child.closing)
        return _LOOK_S if changes and self.children else None

