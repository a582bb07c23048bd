"""A small program that serves, compiled: on the hosted machine, shut in as ever, and in QEMU on OVMF's own network."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.firmware.devices.network_plan import Card
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Forward, Machine, Session, Spec
from barelm.machine.qemu import Qemu
from tests.metal.network.echo import PORT, program

PATIENCE_S = 60


class Reader(threading.Thread):
    """Reads what a machine says, to its end."""

    def __init__(self, session: Session) -> None:
        super().__init__(daemon=True)
        self.session, self.text, self.changed = session, "", threading.Condition()
        self.start()

    def run(self) -> None:
        """Read."""
        while content := self.session.read(PATIENCE_S):
            with self.changed:
                self.text += content.decode()
                self.changed.notify_all()

    def wait(self, words: str, times: int = 1) -> None:
        """Until the words were said so often."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.text.count(words) >= times, PATIENCE_S), self.text


@contextmanager
def serving(folder: Path, machine: Machine) -> Iterator[tuple[Reader, Session]]:
    """A machine that serves, and at its end has given everything back."""
    image = folder / "echo.img"
    write_image(image, {PROGRAM: program()})
    with machine.start(Spec(image, 256, 1, forward=Forward(0, PORT))) as session:
        reader = Reader(session)
        reader.wait("serves at http://")
        yield reader, session
        assert echoed(session.port, b"Q") == b"Q"
        reader.join(PATIENCE_S)
        assert not reader.is_alive()


def echoed(port: int, content: bytes) -> bytes:
    """What comes back."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as peer:
        def send() -> None:
            peer.sendall(content)
            peer.shutdown(socket.SHUT_WR)

        writer, got = threading.Thread(target=send), bytearray()
        writer.start()
        while part := peer.recv(1 << 16):
            got += part
        writer.join()
        return bytes(got)


def at_once(port: int, n: int) -> None:
    """So many peers, none of which is given what is another's."""
    contents = [np.random.default_rng(k).bytes(2000) for k in range(n)]
    got: dict[int, bytes] = {}

    def ask(k: int) -> None:
        got[k] = echoed(port, contents[k])

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == dict(enumerate(contents))


def test_a_hosted_machine_serves_through_its_filter(tmp_path: Path) -> None:
    with serving(tmp_path, Hosted()) as (_, session):
        big = np.random.default_rng(1).bytes(1 << 20)
        assert echoed(session.port, big) == big
        at_once(session.port, 80)
    assert session.status == 0 and (session.kept, session.left) == (0, {})  # type: ignore[attr-defined]


def test_a_hosted_machine_gets_over_cables_and_addresses(tmp_path: Path) -> None:
    card = Card(((0.1, "10.0.2.15"), (8, "10.0.2.16")), unplugged=((0, 3),))
    with serving(tmp_path, Hosted(card=card)) as (reader, session):
        assert reader.text.startswith("Network: no cable is in.\nNetwork: serves at http://")
        assert echoed(session.port, b"before") == b"before"
        reader.wait("serves at http://10.0.2.16")
        assert echoed(session.port, b"after") == b"after"
    assert session.status == 0 and (session.kept, session.left) == (0, {})  # type: ignore[attr-defined]


def test_a_hosted_machine_without_a_network_says_so(tmp_path: Path) -> None:
    image = tmp_path / "echo.img"
    write_image(image, {PROGRAM: program()})
    with Hosted().start(Spec(image, 64)) as session:
        text = b"".join(iter(lambda: session.read(PATIENCE_S), b"")).decode()
    assert "the firmware has no network here" in text and session.port == 0
    assert session.status != 0 and (session.kept, session.left) == (0, {})


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    image = tmp_path / "echo.img"
    write_image(image, {PROGRAM: program()})
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(BarelmError, match="cannot listen"):
            Hosted().start(Spec(image, forward=Forward(other.getsockname()[1], PORT)))


@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason="QEMU or OVMF is not installed")
@pytest.mark.parametrize("card", ["virtio-net-pci", "virtio-net-pci,romfile=", "e1000"])
def test_a_machine_of_qemu_serves(tmp_path: Path, card: str) -> None:
    with serving(tmp_path, Qemu(card=card)) as (reader, session):
        big = np.random.default_rng(1).bytes(1 << 18)
        assert echoed(session.port, big) == big
        at_once(session.port, 8)
        with socket.create_connection(("127.0.0.1", session.port), PATIENCE_S) as peer:
            session.plug(False)  # type: ignore[attr-defined]
            if card != "virtio-net-pci":  # whose driver, from QEMU, does not tell
                reader.wait("no cable is in.")
            peer.sendall(b"nobody hears this yet")
            session.plug(True)  # type: ignore[attr-defined]
            assert peer.recv(100) == b"nobody hears this yet"
