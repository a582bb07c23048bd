"""A firmware whose network fails for good, or says what is not so: it is said, and nothing outlives its memory."""

from __future__ import annotations

import functools

import pytest

from barelm.contract import uefi
from barelm.contract.network.network_state import BROKEN, LISTENING, OPEN, Connection
from barelm.contract.uefi_protocols import BootServices
from barelm.dialect.rooms import Failure
from barelm.machine.firmware.devices.network_plan import Card
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.metal.network import interfaces
from barelm.metal.network.connections import abandon_connection, connection_at
from barelm.metal.network.node_network import close_network, poll_network, wait_network
from tests.metal.network.nodes import PORT, Node, hurry, is_reset, node

SERVES = f"Network: serves at http://10.0.2.15:{PORT}/\n"
TCP, BINDING = "EFI_TCP4_PROTOCOL", "EFI_SERVICE_BINDING_PROTOCOL"


def refused(status: int) -> str:
    """What is said where nobody can come."""
    return f"Network: the firmware lets nobody listen (status {1 << 63 | status:016x}).\n"


def is_broken(c: Connection) -> bool:
    """Whether it is of no use any more."""
    return c.stage == BROKEN


def look(one: Node, times: int = 3) -> None:
    """Poll, as if a second were over each time."""
    for _ in range(times):
        one.net.state.interfaces[0].looked_at = 0
        poll_network(one.net)
        wait_network(one.net, 5)


def test_a_card_without_its_service_is_none() -> None:
    with node() as one:
        def handle_protocol(handle: int, kind: int, interface: int) -> int | None:
            require(guest.guid(kind) != bytes(uefi.TCP4_SERVICE_BINDING_PROTOCOL), uefi.EFI_DEVICE_ERROR)
            return before(handle, kind, interface)

        before = one.machine.part(BootServices).serve("handle_protocol", handle_protocol)
        with pytest.raises(Failure, match="the firmware has no network here"):
            one.open()


@pytest.mark.parametrize("fault", ["nothing@1", "nothing@3", "nothing@1+"])
def test_a_timer_that_does_not_go_off_is_not_waited_for(fault: str) -> None:
    with node(Card(((0.4, "10.0.2.15"),)), faults=(f"SetTimer={fault}",)) as one:
        one.open()
        assert one.said.endswith(SERVES) and (one.net.state.timer == 0) == (fault != "nothing@3")
        one.meet()[0].close()
        one.close()


@pytest.mark.parametrize("fault", ["EFI_TCP4_PROTOCOL.GetModeData=EFI_DEVICE_ERROR@1+", "GetModeData=lies@1+",
                                   "GetModeData=nothing@1+", "EFI_IP4_CONFIG2_PROTOCOL.GetData=EFI_DEVICE_ERROR@3+"])
def test_connections_outlive_a_firmware_that_does_not_say_how_they_are(
        fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "GRACE_MS", 0)
    with node(faults=(fault,)) as one:
        one.open()
        peer, k = one.meet()
        look(one)
        assert connection_at(one.net, k).stage == OPEN and one.said.count("serves at") == 1
        peer.close()
        one.close()


def test_an_address_is_asked_for_until_the_firmware_takes_it() -> None:
    with node(faults=("SetData=EFI_OUT_OF_RESOURCES@1",)) as one:
        one.open()
        assert one.said == "Network: waits for an address.\n" + SERVES
        one.close()


@pytest.mark.parametrize("fault", ["ends_long", "ends_failed", "ends_aborted", "EFI_DEVICE_ERROR"])
def test_a_connection_that_the_firmware_fails_ends_and_that_is_said_once(fault: str) -> None:
    with node(faults=(f"{TCP}.Receive={fault}@1+",)) as one:
        one.open()
        for _ in range(2):
            peer, k = one.meet()
            c = connection_at(one.net, k)
            one.poll_until(functools.partial(is_broken, c))
            assert c.n_received == 0
            abandon_connection(one.net, k)
            assert is_reset(peer)
            peer.close()
        assert one.said.count("a connection failed in the firmware (status 80000000000000") == 1
        one.close()


def test_one_that_is_busy_for_good_is_said_at_the_end() -> None:
    with node(faults=(f"{TCP}.Receive=EFI_NOT_READY@1+",)) as one:
        one.open()
        peer, k = one.meet()
        look(one)
        assert connection_at(one.net, k).stage == OPEN and "failed" not in one.said
        one.close()
        assert one.said.endswith("a connection failed in the firmware (status 8000000000000006).\n")
        peer.close()


@pytest.mark.parametrize("fault", ["EFI_DEVICE_ERROR", "ends_failed", "ends_alone"])
def test_where_nobody_can_come_that_is_said_once(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 300)
    with node(faults=(f"{TCP}.Accept={fault}@1+",)) as one:
        one.open()
        look(one, 6)
        assert one.said.count(refused(uefi.EFI_DEVICE_ERROR)) == 1 and "serves at" not in one.said
        assert one.net.state.interfaces[0].stage != LISTENING
        one.close()


def test_once_somebody_can_come_again_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "QUIET_MS", 200)
    with node() as one:
        one.open()
        accept = one.machine.machine.services.handlers[f"{TCP}.Accept"]
        one.machine.machine.services.install({f"{TCP}.Accept": lambda *_: 1 << 63 | uefi.EFI_DEVICE_ERROR})
        peers = [one.peer() for _ in range(4)]
        one.poll_until(lambda: one.said == SERVES + refused(uefi.EFI_DEVICE_ERROR))
        one.machine.machine.services.install({f"{TCP}.Accept": accept})
        one.poll_until(lambda: one.said.endswith(refused(uefi.EFI_DEVICE_ERROR) + SERVES))
        for peer in peers:
            peer.close()
        one.close()


def test_what_comes_and_is_no_peer_is_said() -> None:
    with node(faults=(f"{TCP}.Accept=ends_strange@1",)) as one:
        one.open()
        poll_network(one.net)
        assert one.said == SERVES + refused(uefi.EFI_DEVICE_ERROR) and not one.connections
        one.meet()[0].close()
        one.close()


@pytest.mark.parametrize("call", [1, 2])
def test_a_child_the_firmware_keeps_is_asked_for_again(call: int) -> None:
    with node(faults=(f"DestroyChild=EFI_ACCESS_DENIED@{call}",)) as one:
        one.open()
        peer = one.meet()[0]
        one.close()
        assert is_reset(peer)
        peer.close()


def test_nothing_is_under_way_on_a_child_that_stays_for_good() -> None:
    with node(faults=("DestroyChild=EFI_ACCESS_DENIED@1+",)) as one:
        one.open()
        peer = one.meet()[0]
        tcp = one.machine.machine.tcp
        assert tcp is not None and any(child.tokens for child in tcp.sockets.children.values())
        close_network(one.net)
        assert not any(child.tokens for child in tcp.sockets.children.values()) and is_reset(peer)
        peer.close()
