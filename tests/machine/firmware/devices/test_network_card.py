"""The network card's protocols: what is refused, what is said of an address, tokens that are given up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.network.network_protocols import (
    Ip4Config2,
    Ip4InterfaceInfo,
    ServiceBinding,
    SimpleNetwork,
    SimpleNetworkMode,
    Tcp4,
    Tcp4ConfigData,
    Tcp4Data,
    Tcp4IoToken,
    Tcp4ListenToken,
)
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.structs import Struct
from barelm.machine.firmware.devices.network_plan import Card
from barelm.metal.uefi.handles import locate_protocol, protocol_of
from barelm.metal.uefi.network.tcp4 import PENDING
from barelm.metal.uefi.timers import create_event
from tests.metal.firmware import InProcess, without_files
from tests.metal.network.nodes import PORT

ERROR = -(1 << 63)
S = TypeVar("S", bound=Struct)
NO_ADDRESS = Card(((1e9, "10.0.2.15"),))


class Bench:
    """A card, and a child of its service."""

    def __init__(self, machine: InProcess, address: tuple[str, int]) -> None:
        self.machine, self.fw, self.address = machine, machine.fw, address
        self.binding = locate_protocol(self.fw, uefi.TCP4_SERVICE_BINDING_PROTOCOL)
        self.config = locate_protocol(self.fw, uefi.IP4_CONFIG2_PROTOCOL)
        self.network = locate_protocol(self.fw, uefi.SIMPLE_NETWORK_PROTOCOL)
        self.kept: list[object] = []
        self.child = self.create()
        self.tcp = protocol_of(self.fw, self.child, uefi.TCP4_PROTOCOL)

    def create(self) -> int:
        """One more child."""
        handle = cells(1)
        assert call_efi(ServiceBinding(self.binding).create_child, (self.binding, address_of(handle))) == 0
        return int(handle[0])

    def make(self, kind: type[S]) -> S:
        """A struct that stays."""
        made = kind.over(np.zeros(kind.BYTES, np.uint8))
        self.kept.append(made)
        return made

    def configure(self, port: int = PORT, tcp: int = 0) -> int:
        """Listen at a port with the default address; the code of the status."""
        data = self.make(Tcp4ConfigData)
        data.access_point.use_default_address, data.access_point.station_port = 1, port
        tcp = tcp or self.tcp
        return int(call_efi(Tcp4(tcp).configure, (tcp, data.address)) & 0xFF)

    def policy(self, policy: int) -> int:
        """Set where the address comes from."""
        word = np.array([policy], np.int64)
        arguments = self.config, uefi.IP4_POLICY, 4, address_of(word)
        return int(call_efi(Ip4Config2(self.config).set_data, arguments) & 0xFF)

    def call(self, service: str, *arguments: int) -> int:
        """A service of the child; the code of its status."""
        return int(call_efi(getattr(Tcp4(self.tcp), service), (self.tcp, *arguments)) & 0xFF)

    def listen_token(self) -> Tcp4ListenToken:
        """One with an event."""
        token = self.make(Tcp4ListenToken)
        token.event, token.status = create_event(self.fw), PENDING
        return token

    def io_token(self, n: int) -> Tcp4IoToken:
        """One with an event and room for n bytes."""
        token, data = self.make(Tcp4IoToken), self.make(Tcp4Data)
        room = np.zeros(n, np.uint8)
        self.kept.append(room)
        token.event, token.status, token.packet = create_event(self.fw), PENDING, data.address
        data.data_length = data.fragments[0].fragment_length = n
        data.fragment_count, data.fragments[0].fragment_buffer = 1, address_of(room)
        return token


def benches(card: Card) -> Iterator[Bench]:
    """A bench for a test."""
    with socket.create_server(("127.0.0.1", 0)) as listener, np.errstate(all="ignore"):
        listener.setblocking(False)
        with InProcess(without_files(), card=card, ports=((PORT, listener),)) as machine:
            yield Bench(machine, listener.getsockname())
        assert machine.machine.tcp is not None
        machine.machine.tcp.sockets.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """One with an address as soon as it is asked for."""
    yield from benches(Card(((0, "10.0.2.15"),)))


@pytest.fixture
def waiting() -> Iterator[Bench]:
    """One that never gets an address."""
    yield from benches(NO_ADDRESS)


def test_nobody_listens_without_an_address(bench: Bench, waiting: Bench) -> None:
    assert bench.configure() == uefi.EFI_NO_MAPPING
    assert bench.policy(uefi.IP4_POLICY_DHCP) == 0 and bench.policy(uefi.IP4_POLICY_DHCP) == uefi.EFI_ABORTED
    assert bench.configure() == 0 and bench.configure() == uefi.EFI_ACCESS_DENIED
    other = protocol_of(bench.fw, bench.create(), uefi.TCP4_PROTOCOL)
    assert bench.configure(tcp=other) == uefi.EFI_ACCESS_DENIED and bench.configure(81, other) == 0
    assert waiting.policy(uefi.IP4_POLICY_DHCP) == 0 and waiting.configure() == uefi.EFI_NO_MAPPING
    assert bench.policy(7) == uefi.EFI_INVALID_PARAMETER


def test_what_is_said_of_an_interface(bench: Bench) -> None:
    room, size = np.zeros(256, np.uint8), cells(1)
    get = Ip4Config2(bench.config).get_data
    arguments = bench.config, uefi.IP4_INTERFACE_INFO, address_of(size), address_of(room)
    assert call_efi(get, arguments) == ERROR | uefi.EFI_BUFFER_TOO_SMALL and size[0] == Ip4InterfaceInfo.BYTES
    bench.policy(uefi.IP4_POLICY_DHCP)
    size[0] = 256
    info = Ip4InterfaceInfo(address_of(room))
    assert call_efi(get, arguments) == 0 and size[0] == Ip4InterfaceInfo.BYTES + 2 * 12
    assert bytes(info.station_address) == bytes([10, 0, 2, 15]) and bytes(info.subnet_mask) == b"\xff\xff\xff\0"
    assert info.route_table_size == 2 and info.route_table == info.address + Ip4InterfaceInfo.BYTES
    mode = SimpleNetworkMode(SimpleNetwork(bench.network).mode)
    assert mode.media_present == mode.media_present_supported == 1 and mode.hw_address_size == 6
    assert call_efi(SimpleNetwork(bench.network).get_status, (bench.network, 0, 0)) < 0


def test_tokens_are_used_once_at_a_time_and_can_be_given_up(bench: Bench) -> None:
    token = bench.listen_token()
    assert bench.call("accept", token.address) == uefi.EFI_NOT_STARTED
    bench.policy(uefi.IP4_POLICY_DHCP)
    bench.configure()
    assert bench.call("accept", token.address) == 0 and bench.call("accept", token.address) == uefi.EFI_ACCESS_DENIED
    same = bench.listen_token()
    same.event = token.event
    assert bench.call("accept", same.address) == uefi.EFI_ACCESS_DENIED
    same.event = 0
    assert bench.call("accept", same.address) == uefi.EFI_INVALID_PARAMETER
    assert bench.call("cancel", same.address) == uefi.EFI_NOT_FOUND
    assert bench.call("cancel", token.address) == 0 and token.status == ERROR | uefi.EFI_ABORTED
    assert bench.call("receive", bench.io_token(10).address) == uefi.EFI_NOT_STARTED
    assert bench.call("configure", 0) == 0 and bench.call("poll") == uefi.EFI_NOT_READY
    assert bench.call("get_mode_data", 0, 0, 0, 0, 0) == uefi.EFI_NOT_STARTED


def test_children_go_with_all_that_was_theirs(bench: Bench) -> None:
    bench.policy(uefi.IP4_POLICY_DHCP)
    bench.configure()
    before = bench.machine.machine.inventory()
    tokens = [bench.listen_token() for _ in range(3)]
    for token in tokens:
        assert bench.call("accept", token.address) == 0
    destroy = ServiceBinding(bench.binding).destroy_child
    assert call_efi(destroy, (bench.binding, 12345)) == ERROR | uefi.EFI_UNSUPPORTED
    assert call_efi(destroy, (bench.binding, bench.child)) == 0
    assert [token.status for token in tokens] == [ERROR | uefi.EFI_ABORTED] * 3
    now = bench.machine.machine.inventory()
    assert now["interfaces"] == before["interfaces"] - 1 and now["pools"] == before["pools"] - 1
    assert call_efi(destroy, (bench.binding, bench.child)) == ERROR | uefi.EFI_UNSUPPORTED


def test_a_card_that_is_not_outgoing_lets_nobody_out(bench: Bench) -> None:
    bench.policy(uefi.IP4_POLICY_DHCP)
    data = bench.make(Tcp4ConfigData)
    data.access_point.use_default_address = data.access_point.active_flag = 1
    assert bench.call("configure", data.address) == uefi.EFI_UNSUPPORTED
