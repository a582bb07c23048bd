"""EFI_TCP4_PROTOCOL and the service binding that makes its children (UEFI 2.10, 11.6, 28.1)."""

from __future__ import annotations

import ipaddress
import socket

from barelm.contract import uefi
from barelm.contract.network.network_protocols import (
    ServiceBinding,
    Tcp4,
    Tcp4AccessPoint,
    Tcp4CloseToken,
    Tcp4ConfigData,
    Tcp4Data,
    Tcp4Token,
)
from barelm.machine.firmware.devices.host_sockets import Child, HostSockets
from barelm.machine.firmware.devices.network_interface import GATEWAY, NetworkInterface
from barelm.machine.firmware.events import Events
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError, require
from barelm.machine.firmware.protocols import Protocols
from barelm.machine.firmware.services import Services, service

_HOST = "127.0.0.1"
_KIND = bytes(uefi.TCP4_PROTOCOL)
_PACKET = Tcp4Token.BYTES  # where the token of a transfer leads to its data


class TcpDevice:
    """Children over `sockets`, of which a program's listening ones are `ports`: the machine's port, the host's socket.

    A port without one can be listened at, and nobody comes.
    """

    def __init__(self, interface: NetworkInterface, memory: Memory, protocols: Protocols, services: Services,
                 events: Events, ports: dict[int, socket.socket]) -> None:
        self.sockets = HostSockets(interface, events)
        self._interface, self._events, self._ports = interface, events, ports
        self._memory, self._protocols, self._services = memory, protocols, services

    @service(ServiceBinding)
    def create_child(self, this: int, handle: int) -> None:
        """11.6.2"""
        require(handle)
        with self.sockets.lock:
            guest.put_word(handle, self._new_child(guest.word(handle)).handle)

    @service(ServiceBinding)
    def destroy_child(self, this: int, handle: int) -> None:
        """11.6.3"""
        with self.sockets.lock:
            child = next((one for one in self.sockets.children.values() if one.handle == handle), None)
            require(child is not None, uefi.EFI_UNSUPPORTED)
            assert child is not None
            self._remove(child)

    @service(Tcp4)
    def get_mode_data(self, this: int, state: int, config: int, ip: int, mnp: int, snp: int) -> None:
        """28.1.2; state and configuration."""
        with self.sockets.lock:
            child = self._configured(this)
            if state:
                guest.put_bytes(state, child.state.to_bytes(4, "little"))
            if config:
                guest.put_bytes(config, bytes(Tcp4ConfigData.BYTES))
                point = Tcp4ConfigData(config).access_point
                point.station_port, point.remote_port = child.port, child.peer[1]
                for field, address in (("station_address", child.address), ("remote_address", child.peer[0])):
                    at = point.address + Tcp4AccessPoint.offset_of(field)
                    guest.put_bytes(at, ipaddress.IPv4Address(address).packed)

    @service(Tcp4)
    def configure(self, this: int, data: int) -> None:
        """28.1.4; to listen, or to go to the host where the card is to let it."""
        with self.sockets.lock:
            child = self._known(this)
            if data == 0:
                self._reset(child)
                return
            require(not child.is_configured, uefi.EFI_ACCESS_DENIED)
            point = Tcp4ConfigData(data).access_point
            if point.active_flag:
                self._aim(child, point)
                return
            others = self.sockets.children.values()
            require(all(other.port != point.station_port for other in others if other.state == uefi.TCP4_LISTEN),
                    uefi.EFI_ACCESS_DENIED)
            child.address = self._interface.configured_address(bytes(point.station_address),
                                                               bool(point.use_default_address))
            child.port, child.state, child.is_configured = int(point.station_port), uefi.TCP4_LISTEN, True
            child.socket = self._ports.get(child.port)

    @service(Tcp4)
    def routes(self, this: int, deletes: int, subnet: int, mask: int, gateway: int) -> None:
        """28.1.5; the host knows its way."""
        with self.sockets.lock:
            self._configured(this)
            require(subnet and mask and gateway)

    @service(Tcp4)
    def accept(self, this: int, token: int) -> None:
        """28.1.8"""
        with self.sockets.lock:
            child = self._with(this, token)
            require(child.state == uefi.TCP4_LISTEN, uefi.EFI_NOT_STARTED)
            child.accepts.append((token, self._new_child(0)))
            self._begin(child)

    @service(Tcp4)
    def connect(self, this: int, token: int) -> None:
        """28.1.6"""
        with self.sockets.lock:
            child = self._with(this, token)
            require(child.state == uefi.TCP4_CLOSED and child.peer[1] and not child.connecting, uefi.EFI_ACCESS_DENIED)
            child.socket = socket.socket()
            child.socket.setblocking(False)
            child.connecting = token
            child.socket.connect_ex((_HOST, child.peer[1]))
            self._begin(child)

    @service(Tcp4)
    def transmit(self, this: int, token: int) -> None:
        """28.1.9; the bytes are taken when the call is made."""
        with self.sockets.lock:
            child, data = self._connected(this, token)
            require(not child.closing, uefi.EFI_CONNECTION_FIN)
            require(child.failure in (0, uefi.EFI_CONNECTION_FIN), child.failure)
            fragment = data.fragments[0]
            content = guest.read_bytes(int(fragment.fragment_buffer), int(data.data_length))
            child.sends.append((token, bytearray(content)))
            self._begin(child)

    @service(Tcp4)
    def receive(self, this: int, token: int) -> None:
        """28.1.10"""
        with self.sockets.lock:
            child, _ = self._connected(this, token)
            require(not child.closing and not child.failure, child.failure or uefi.EFI_CONNECTION_FIN)
            child.receives.append(token)
            self._begin(child)

    @service(Tcp4)
    def close(self, this: int, token: int) -> None:
        """28.1.11"""
        with self.sockets.lock:
            child = self._with(this, token)
            require(child.state != uefi.TCP4_LISTEN and not child.closing, uefi.EFI_ACCESS_DENIED)
            if Tcp4CloseToken(token).abort_on_close or child.failure not in (0, uefi.EFI_CONNECTION_FIN):
                self._reset(child)
                self.sockets.complete(token, uefi.EFI_SUCCESS)
                return
            for pending in child.receives:
                self.sockets.complete(pending, uefi.EFI_ABORTED)
            child.receives, child.closing, child.closing_at = [], token, 0.0
            self._begin(child)

    @service(Tcp4)
    def cancel(self, this: int, token: int) -> None:
        """28.1.12"""
        with self.sockets.lock:
            child = self._configured(this)
            if token == 0:
                self._abort(child)
                return
            require(token in child.tokens, uefi.EFI_NOT_FOUND)
            for pending, newcomer in child.accepts:
                if pending == token:
                    self._remove(newcomer)
            child.accepts = [pair for pair in child.accepts if pair[0] != token]
            child.sends = [pair for pair in child.sends if pair[0] != token]
            child.receives = [pending for pending in child.receives if pending != token]
            self.sockets.complete(token, uefi.EFI_ABORTED)

    @service(Tcp4)
    def poll(self, this: int) -> None:
        """28.1.13; there is nothing to do: the thread has done it."""
        self._known(this)
        raise EfiError(uefi.EFI_NOT_READY)

    def _aim(self, child: Child, point: Tcp4AccessPoint) -> None:
        """Who it will connect to: the host, which has the gateway's address."""
        require(self._interface.card.outgoing, uefi.EFI_UNSUPPORTED)
        peer = str(ipaddress.IPv4Address(bytes(point.remote_address)))
        require(peer == GATEWAY, uefi.EFI_INVALID_PARAMETER)
        child.address = self._interface.configured_address(bytes(point.station_address),
                                                           bool(point.use_default_address))
        child.peer, child.is_configured = (peer, int(point.remote_port)), True

    def _known(self, this: int) -> Child:
        require(this in self.sockets.children)
        return self.sockets.children[this]

    def _configured(self, this: int) -> Child:
        child = self._known(this)
        require(child.is_configured, uefi.EFI_NOT_STARTED)
        return child

    def _with(self, this: int, token: int) -> Child:
        """A child that may be given a token: one that has an event, and is not under way."""
        child = self._configured(this)
        require(token and self._events.knows(int(Tcp4Token(token).event)))
        require(token not in child.tokens, uefi.EFI_ACCESS_DENIED)
        events = [int(Tcp4Token(one).event) for one, _ in child.accepts]
        require(int(Tcp4Token(token).event) not in events, uefi.EFI_ACCESS_DENIED)
        return child

    def _connected(self, this: int, token: int) -> tuple[Child, Tcp4Data]:
        """A child with a connection, and the data of a transfer: in one piece."""
        child = self._with(this, token)
        require(child.socket is not None and child.state == uefi.TCP4_ESTABLISHED,
                child.failure or uefi.EFI_NOT_STARTED)
        data = Tcp4Data(guest.word(token + _PACKET))
        require(data.fragment_count == 1 and data.data_length, uefi.EFI_UNSUPPORTED)
        require(data.fragments[0].fragment_length == data.data_length)
        return child, data

    def _begin(self, child: Child) -> None:
        """Do what can be done at once of what was asked for, and leave the rest to the thread."""
        self.sockets.move(child)
        if child.tokens:
            self.sockets.attend()

    def _new_child(self, handle: int) -> Child:
        table = self._memory.pool(Tcp4.BYTES)
        self._services.table(Tcp4, table)
        child = Child(self._protocols.add(handle, _KIND, table), table)
        self.sockets.children[table] = child
        return child

    def _abort(self, child: Child) -> None:
        """End all that is under way, and who was to be the next to come."""
        for _, newcomer in child.accepts:
            self._remove(newcomer)
        self.sockets.fail(child, uefi.EFI_ABORTED)

    def _reset(self, child: Child) -> None:
        """As it was when it was made; what is under way ends."""
        self._abort(child)
        self.sockets.cut(child)
        child.is_configured, child.failure = False, 0

    def _remove(self, child: Child) -> None:
        self._reset(child)
        del self.sockets.children[child.table]
        self._protocols.drop(child.handle, _KIND)
        self._memory.free_pool(child.table)
