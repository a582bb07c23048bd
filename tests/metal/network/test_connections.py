"""Bytes of connections: rings, what moves when, how they end, peers that behave badly."""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.network.network_state import (
    BROKEN,
    CLOSED,
    ENDED,
    LEAVING,
    OPEN,
    RECEIVED_BYTES,
    SENDING_BYTES,
    Connection,
)
from barelm.metal.network import connections
from barelm.metal.network.connections import (
    abandon_connection,
    connection_at,
    drop_received,
    finish_connection,
    room_to_send,
    send_bytes,
    unsent,
)
from barelm.metal.network.node_network import poll_network
from tests.metal.network.nodes import node, reset

CLOSE_WAIT = 8
"""What Linux says of a connection that its peer has ended, and not reset (tcp_states.h)."""


def noise(n: int, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Bytes of which none is like the next."""
    return np.random.default_rng(seed).integers(0, 256, n).astype(np.uint8)


@given(st.lists(st.integers(0, 400), max_size=6))
def test_what_is_dropped_goes_and_the_rest_stays(steps: list[int]) -> None:
    c = Connection.over(np.zeros(Connection.BYTES, np.uint8))
    data = noise(1000).tobytes()
    c.received[:1000] = np.frombuffer(data, np.uint8)
    c.n_received = 1000
    for n in steps:
        drop_received(c, n)
        data = data[n:]
        assert bytes(c.received[:c.n_received]) == data


def test_much_is_sent_through_a_ring_to_a_slow_reader() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        c, wanted, got = connection_at(one.net, k), noise(3 << 20), bytearray()

        def read() -> None:
            while content := peer.recv(1 << 14):
                got.extend(content)
                if len(got) < 1 << 19:
                    time.sleep(0.005)

        reader = threading.Thread(target=read)
        reader.start()
        at, step = 0, 7777
        while at < len(wanted):
            n = min(step, len(wanted) - at)
            before = unsent(c)
            if send_bytes(one.net, k, wanted, at, at + n):
                at += n
                assert room_to_send(c) == SENDING_BYTES - unsent(c)
            else:
                assert before + n > SENDING_BYTES and unsent(c) <= before
                poll_network(one.net)
        finish_connection(one.net, k)
        one.poll_until(lambda: unsent(c) == 0)
        reader.join(20)
        peer.close()
        assert bytes(got) == wanted.tobytes()
        one.poll_until(lambda: c.stage == CLOSED)
        one.close()


def test_a_request_longer_than_there_is_room_for_waits_in_the_network() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        c, sent = connection_at(one.net, k), noise(RECEIVED_BYTES + (1 << 20))
        writer = threading.Thread(target=peer.sendall, args=(sent.tobytes(),))
        writer.start()
        one.poll_until(lambda: c.n_received == RECEIVED_BYTES)
        for _ in range(5):
            poll_network(one.net)
        assert c.n_received == RECEIVED_BYTES and c.stage == OPEN
        assert one.take(k, len(sent)) == sent.tobytes()
        writer.join()
        peer.close()
        one.close()


def test_a_peer_that_resets_breaks_its_own_connection_only() -> None:
    with node() as one:
        one.open()
        (bad, k), (good, m) = one.meet(), one.meet()
        reset(bad)
        one.poll_until(lambda: connection_at(one.net, k).stage == BROKEN)
        data = noise(10)
        assert not send_bytes(one.net, k, data, 0, 10) and room_to_send(connection_at(one.net, k)) == 0
        finish_connection(one.net, k)
        assert connection_at(one.net, k).stage == CLOSED
        good.sendall(b"fine")
        assert one.take(m, 4) == b"fine"
        good.close()
        one.close()


def test_a_peer_that_reads_nothing_is_left_in_the_end() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        c, data = connection_at(one.net, k), noise(SENDING_BYTES)
        sent = 0
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            sent += len(data) * send_bytes(one.net, k, data, 0, len(data))
            poll_network(one.net)
        assert unsent(c) > 0
        finish_connection(one.net, k)
        poll_network(one.net)
        assert c.stage != CLOSED
        c.closed_by = 0
        poll_network(one.net)
        assert c.stage == CLOSED and not one.connections
        peer.close()
        one.close()


def test_an_end_in_order_is_no_reset() -> None:
    """What a reset comes right behind, a proxy that reads late throws away."""
    with node() as one:
        one.open()
        peer, k = one.meet()
        c, data = connection_at(one.net, k), noise(1000)
        assert send_bytes(one.net, k, data, 0, 1000)
        finish_connection(one.net, k)
        one.poll_until(lambda: c.closing == 1)
        for _ in range(5):
            poll_network(one.net)
        assert c.stage == LEAVING
        while peer.recv(1 << 12):
            pass
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSE_WAIT
        peer.close()
        one.poll_until(lambda: c.stage == CLOSED)
        one.close()


def test_who_does_not_close_too_is_reset() -> None:
    with node() as one:
        one.open()
        peer, k = one.meet()
        c = connection_at(one.net, k)
        finish_connection(one.net, k)
        poll_network(one.net)
        assert c.closing == 1 and peer.recv(10) == b""
        c.closed_by = 0
        poll_network(one.net)
        assert c.stage == CLOSED
        peer.close()
        one.close()


def test_a_place_tells_its_users_apart() -> None:
    with node() as one:
        one.open()
        first, k = one.meet()
        serial = int(connection_at(one.net, k).serial)
        first.sendall(b"left behind")
        one.poll_until(lambda: connection_at(one.net, k).n_received)
        abandon_connection(one.net, k)
        abandon_connection(one.net, k)  # twice is once
        second, again = one.meet()
        assert again == k and connection_at(one.net, k).serial == serial + 1
        assert connection_at(one.net, k).n_received == 0
        assert connection_at(one.net, k).peer == 127 << 24 | 1
        for peer in (first, second):
            peer.close()
        one.close()


def test_the_order_in_which_tokens_end_is_nobodys_business(monkeypatch: object) -> None:
    """All tokens of a machine end late and in reverse: what was closed, then what was sent, then what came."""
    with node() as one:
        one.open()
        peer, k = one.meet()
        c = connection_at(one.net, k)
        tcp = one.machine.machine.tcp
        assert tcp is not None
        held: list[tuple[int, int]] = []
        complete = tcp.sockets.complete
        tcp.sockets.complete = lambda token, status: held.append((token, status))  # type: ignore[method-assign]
        peer.sendall(b"question")
        data = noise(100)
        send_bytes(one.net, k, data, 0, 100)
        assert peer.recv(100) == data.tobytes()
        one_poll = connections.poll_connection
        one_poll(one.net, k)
        assert unsent(c) == 100 and c.n_received == 0
        deadline = time.monotonic() + 5
        while len(held) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        tcp.sockets.complete = complete  # type: ignore[method-assign]
        for token, status in reversed(held):
            complete(token, status)
        one_poll(one.net, k)
        assert unsent(c) == 0 and bytes(c.received[:8]) == b"question"
        peer.shutdown(socket.SHUT_WR)
        one.poll_until(lambda: c.stage == ENDED)
        peer.close()
        one.close()
