"""The network of a node against the hosted firmware and real peers: who comes, what goes wrong, what is given back."""

from __future__ import annotations

import socket
import time

import pytest

from barelm.contract import uefi
from barelm.contract.network.network_protocols import Tcp4
from barelm.contract.network.network_state import BROKEN, ENDED, LISTENING, OPEN
from barelm.dialect.memory import memory
from barelm.dialect.rooms import Failure
from barelm.machine.firmware.devices.network_plan import Card
from barelm.metal import arena
from barelm.metal.console.sinks import open_console
from barelm.metal.network import interfaces
from barelm.metal.network.connections import abandon_connection, connection_at, finish_connection, send_bytes
from barelm.metal.network.node_network import bind_network, close_network, open_network, poll_network, wait_network
from tests.metal.firmware import InProcess, without_files
from tests.metal.network.nodes import PORT, hurry, is_reset, node

SERVES = f"Network: serves at http://10.0.2.15:{PORT}/\n"
NEVER = Card(((0, "10.0.2.15"),), unplugged=((0, 1e9),))


def test_an_address_comes_and_is_said() -> None:
    with node(Card(((0.4, "10.0.2.15"),))) as one:
        one.open()
        assert one.said == "Network: waits for an address.\n" + SERVES
        one.close()


def test_who_waits_wakes_when_somebody_comes() -> None:
    with node() as one:
        one.open()
        with socket.create_connection(one.address) as peer:
            one.poll_until(lambda: one.connections)
            for _ in range(12):
                wait_network(one.net, 1)  # what was signaled before
                poll_network(one.net)
            peer.sendall(b"hello")
            began = time.monotonic()
            wait_network(one.net, 1000)
            assert time.monotonic() - began < 0.9
            one.poll_until(lambda: one.connections[0].n_received == 5)
        one.close()


def test_nobody_who_comes_is_overlooked_and_places_are_used_again() -> None:
    with node() as one:
        one.open()
        one.net.state.n_places = 8
        peers = [socket.create_connection(one.address) for _ in range(20)]
        seen = 0
        while seen < 20:
            one.poll_until(lambda: one.connections)
            assert len(one.connections) <= 8
            for k in range(8):
                if one.net.state.in_use[k]:
                    abandon_connection(one.net, k)
                    seen += 1
        for peer in peers:
            assert is_reset(peer)
            peer.close()
        one.net.state.n_places = 64
        assert one.net.state.serial == 20
        one.close()


def test_a_late_network_is_served_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 300)
    with node(Card(((1e9, "10.0.2.15"),))) as one:
        one.open()
        assert one.said.endswith("The network cannot be reached yet; it is served as soon as it can.\n")
        one.change(addresses=((0, "10.0.2.15"),))
        one.poll_until(lambda: one.said.endswith(SERVES))
        one.meet()[0].close()
        one.close()


def test_no_cable_is_said_and_so_is_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 300)
    with node(NEVER) as one:
        one.open()
        assert one.said.startswith("Network: no cable is in.\n") and SERVES not in one.said
        one.change(unplugged=())
        one.poll_until(lambda: one.said.endswith(SERVES))
        one.close()


def test_a_connection_outlives_a_cable_that_was_out() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        one.change(unplugged=((0, 1e9),))
        one.poll_until(lambda: one.said.endswith("Network: no cable is in.\n"))
        peer.sendall(b"are you there?")
        for _ in range(5):
            poll_network(one.net)
            wait_network(one.net, 20)
        assert connection_at(one.net, k).n_received == 0 and connection_at(one.net, k).stage == OPEN
        one.change(unplugged=())
        assert one.take(k, 14) == b"are you there?" and one.said.endswith(SERVES)
        peer.close()
        one.close()


def test_another_address_ends_what_came_to_the_last_one() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        one.change(addresses=((0, "10.0.2.77"),))
        one.poll_until(lambda: one.said.endswith(f"Network: serves at http://10.0.2.77:{PORT}/\n"))
        assert connection_at(one.net, k).stage == BROKEN
        abandon_connection(one.net, k)
        peer.close()
        one.meet()[0].close()
        one.close()


def test_a_lease_that_is_renewed_changes_nothing_and_one_that_is_lost_is_waited_for(
        monkeypatch: pytest.MonkeyPatch) -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        one.change(addresses=((0, ""),))
        poll_network(one.net)
        assert one.net.state.interfaces[0].stage == LISTENING
        one.change(addresses=((0, "10.0.2.15"),))
        poll_network(one.net)
        assert connection_at(one.net, k).stage == OPEN and one.said.endswith(SERVES)
        monkeypatch.setattr(interfaces, "GRACE_MS", 0)
        one.change(addresses=((0, ""),))
        one.poll_until(lambda: one.said.endswith("Network: waits for an address.\n"))
        assert connection_at(one.net, k).stage == BROKEN
        one.change(addresses=((0, "10.0.2.15"),))
        one.poll_until(lambda: one.said.endswith(SERVES))
        peer.close()
        one.close()


def test_a_fixed_address_needs_nobody_to_give_one() -> None:
    with node(Card(())) as one:
        one.ask_for("192.168.1.5/24 via 192.168.1.1")
        routes: list[bytes] = []
        table = one.machine.part(Tcp4)
        before = table.serve("routes", lambda *told: routes.append(
            b"".join(bytes(memory(at, 4)) for at in told[2:])) or before(*told))
        one.open()
        assert one.said == f"Network: serves at http://192.168.1.5:{PORT}/\n"
        assert routes == [bytes(8) + bytes([192, 168, 1, 1])]
        one.meet()[0].close()
        one.close()


@pytest.mark.parametrize("words", ["192.168.1.5", "here"])
def test_what_is_no_address_is_refused(words: str) -> None:
    with node() as one:
        one.ask_for(words)
        with pytest.raises(Failure, match="the setting `ip` is no address"):
            one.open()


def test_drivers_that_sleep_are_woken() -> None:
    with node(Card(((0, "10.0.2.15"),), asleep=True)) as one:
        one.open()
        assert one.said.endswith(SERVES)
        one.meet()[0].close()
        close_network(one.net)


def test_a_firmware_without_a_network_is_said() -> None:
    with InProcess(without_files()) as machine:
        workspace = arena.open_workspace(machine.fw)
        con = open_console(machine.fw, workspace.board.settings, workspace.board.figures, workspace)
        with pytest.raises(Failure, match="the firmware has no network here"):
            open_network(con, workspace.board, workspace)
        close_network(bind_network(con, workspace.board, workspace))


def test_fewer_places_where_memory_is_short() -> None:
    with node(memory_mb=16) as one:
        one.open()
        assert 0 < one.net.state.n_places < 32 and one.board.figures.memory > 0
        peer, k = one.meet()
        peer.sendall(b"x")
        assert one.take(k, 1) == b"x"
        peer.close()
        one.close()
        assert one.board.figures.memory == 0


def test_a_story_that_fails_gives_back_children_before_what_they_write_into() -> None:
    with node() as one:
        one.open()
        peers = [one.meet()[0] for _ in range(3)]
        arena.give_all_back(one.fw, one.workspace.ledger)
        assert one.machine.machine.inventory() == one.before
        for peer in peers:
            assert is_reset(peer)
            peer.close()


TCP, INTERFACE = "EFI_TCP4_PROTOCOL", "EFI_SIMPLE_NETWORK_PROTOCOL"
FAULTS = [f"{TCP}.{service}={status}@{call}" for service in ("Accept", "Receive", "Transmit", "Close")
          for status in ("EFI_NOT_READY", "EFI_OUT_OF_RESOURCES") for call in (1, 2)]
FAULTS += [f"{service}={status}" for service in (f"{INTERFACE}.GetStatus", f"{TCP}.Poll")
           for status in ("EFI_DEVICE_ERROR", "EFI_UNSUPPORTED")]
FAULTS += [f"{service}=EFI_DEVICE_ERROR@1" for service in (
    f"{TCP}.Configure", "EFI_SERVICE_BINDING_PROTOCOL.CreateChild", "EFI_IP4_CONFIG2_PROTOCOL.GetData",
    f"{TCP}.GetModeData")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_firmware_that_fails_for_a_moment_is_asked_again(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "GRACE_MS", 0)
    with node(faults=(fault,)) as one:
        one.open()
        peer, k = one.meet()
        peer.sendall(b"question")
        assert one.take(k, 8) == b"question"
        c = connection_at(one.net, k)
        send_bytes(one.net, k, c.received, 0, 8)
        finish_connection(one.net, k)
        one.poll_until(lambda: int(c.n_to_send) == 0)
        assert peer.recv(8) == b"question"
        peer.close()
        one.poll_until(lambda: not one.connections)
        one.close()


def test_a_peer_that_ends_its_half_is_still_answered() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        one.poll_until(lambda: connection_at(one.net, k).stage == ENDED)
        assert one.take(k, 10) == b"last words"
        peer.close()
        one.close()


def test_refusals_are_said() -> None:
    fault = f"EFI_TCP4_PROTOCOL.Configure={hex((1 << 63) | uefi.EFI_UNSUPPORTED)}@1"
    with node(faults=(fault,)) as one:
        one.open()
        assert one.said == "Network: the firmware lets nobody listen (status 8000000000000003).\n" + SERVES
        one.close()
