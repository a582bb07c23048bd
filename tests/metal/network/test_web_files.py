"""Files of the server that a program was started from over the network, read as the firmware's own are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract import uefi
from barelm.contract.network.web_state import WebVolume
from barelm.contract.regions import NOTHING
from barelm.contract.uefi_protocols import BootServices, FileInfo, SimpleFileSystem
from barelm.dialect.memory import address_of, text
from barelm.dialect.rooms import Failure
from barelm.machine.firmware.devices.network_plan import Card
from barelm.machine.firmware.effects import EFFECTS
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import require
from barelm.machine.firmware.tables import guid_of
from barelm.metal import arena
from barelm.metal.storage.volumes import close_volume, find_volume, volume_in
from barelm.metal.uefi.file_protocol import (
    close_file,
    file_size,
    open_file,
    open_for_writing,
    read_entry,
    read_file,
    seek,
)
from barelm.metal.uefi.network import web_client
from barelm.metal.uefi.network.boot_path import read_uri
from tests.metal.firmware import InProcess, without_files
from tests.metal.network.web_server import Web, serving_files

END = bytes.fromhex("7fff0400")
CONTENT = np.random.default_rng(5).bytes(3_000_000)
FILES = {"/nodes/one/model.blm": CONTENT, "/nodes/one/barelm.toml": b"serve = true\n", "/nodes/one/a%20b": b"spaced"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time does not pass so slowly."""
    monkeypatch.setattr(web_client, "PATIENCE_US", 3_000_000)
    monkeypatch.setattr(web_client, "AGAIN_US", 2_000)
    monkeypatch.setattr(web_client, "ADDRESS_US", 2_000_000)


class Started:
    """A machine started from a server, and its workspace."""

    def __init__(self, web: Web, machine: InProcess) -> None:
        self.web, self.machine = web, machine
        self.workspace = arena.open_workspace(machine.fw)
        self.fw = arena.accountable(machine.fw, self.workspace)
        self.before = machine.machine.inventory()

    def root(self) -> int:
        """The volume it finds."""
        return int(find_volume(self.fw, self.workspace).root)

    def end(self) -> None:
        """All is closed, and nothing left."""
        close_volume(self.workspace)
        assert volume_in(self.workspace).root == 0
        assert self.machine.machine.inventory() == self.before
        assert all(self.workspace.ledger.holdings[k].kind == NOTHING for k in range(int(self.workspace.ledger.n)))


@contextmanager
def started(uri: str = "http://10.0.2.2:{}/nodes/one/barelm.efi", card: Any = None) -> Iterator[Started]:
    """A machine whose firmware has loaded the program from a server."""
    card = card or Card(((0, "10.0.2.15"),), outgoing=True)
    with serving_files(dict(FILES)) as web, np.errstate(all="ignore"):
        with InProcess(without_files(), card=card) as machine:
            hosted = machine.machine
            node = uri.format(web.server_port).encode()
            path = bytes([3, 11]) + (4 + 33).to_bytes(2, "little") + bytes(33)
            path += bytes([3, 24]) + (4 + len(node)).to_bytes(2, "little") + node + END
            place = hosted.memory.pool(len(path))
            guest.put_bytes(place, path)
            for interfaces in hosted.protocols.handles.values():
                if guid_of(SimpleFileSystem) in interfaces:
                    del interfaces[guid_of(SimpleFileSystem)]
                    interfaces[bytes(uefi.DEVICE_PATH_PROTOCOL)] = place
            yield Started(web, machine)
        assert hosted.tcp is not None
        hosted.tcp.sockets.close()


def read(file: int, n: int) -> bytes:
    """Up to n bytes of a file."""
    target = np.zeros(max(n, 1), np.uint8)
    came = read_file(file, address_of(target), n)
    assert came >= 0, hex(came)
    return target[:came].tobytes()


def test_a_file_is_read_as_any_other() -> None:
    with started() as one:
        root = one.root()
        file = open_file(root, text("model.blm"))
        assert file > 0 and file_size(file) == len(CONTENT)
        assert read(file, 1000) == CONTENT[:1000] and read(file, 5000) == CONTENT[1000:6000]
        assert seek(file, 2_999_990) == 0 and read(file, 100) == CONTENT[-10:] and read(file, 100) == b""
        assert seek(file, 0) == 0 and read(file, len(CONTENT)) == CONTENT
        other = open_file(root, text("barelm.toml"))
        assert read(other, 100) == b"serve = true\n" and read(open_file(root, text("a b")), 9) == b"spaced"
        assert open_file(root, text("prefix.session")) == 0
        assert open_for_writing(root, text("x"), uefi.FILE_MODE_CREATE, 0) < 0
        close_file(file)
        one.end()
        assert len({asked.partition(" ")[0] for asked in one.web.asked}) == 4


def test_the_folder_lists_the_usual_model() -> None:
    with started() as one:
        root, room = one.root(), np.zeros(1024, np.uint8)
        info = FileInfo(address_of(room))
        for _ in range(2):
            seek(root, 0)
            assert read_entry(root, info, 1024, 0) and not read_entry(root, info, 1024, 1)
            assert guest.string(info.address + uefi.INFO_NAME) == "model.blm"
        one.end()


@pytest.mark.parametrize("closes", [False, True])
def test_a_connection_that_ends_is_taken_up_where_it_ended(closes: bool) -> None:
    with started() as one:
        file = open_file(one.root(), text("model.blm"))
        one.web.closes, one.web.cuts = closes, [1_000_000, 0, 1, 0, 999_999, 500_000]
        assert read(file, len(CONTENT)) == CONTENT and not one.web.cuts
        assert one.web.asked[-1].endswith(f"bytes={2_500_000}-{2_999_999}")
        one.end()


def test_a_server_that_is_gone_is_a_status() -> None:
    with started() as one:
        file = open_file(one.root(), text("model.blm"))
        one.web.cuts = [10] + [0] * 50
        room = np.zeros(1000, np.uint8)
        assert read_file(file, address_of(room), 1000) < 0
        one.web.cuts = []
        assert read(file, 1000) == CONTENT[:1000]
        one.end()


def test_more_than_was_asked_for_is_not_believed() -> None:
    with started() as one:
        file, calls = open_file(one.root(), text("model.blm")), itertools.count()
        services = one.machine.machine.services
        receive = services.handlers["EFI_TCP4_PROTOCOL.Receive"]
        services.install({"EFI_TCP4_PROTOCOL.Receive": lambda *told: receive(*told) if next(calls) != 2 else EFFECTS[
            "ends_long"]([*told], lambda: 0)})
        assert read(file, len(CONTENT)) == CONTENT and next(calls) > 3
        one.end()


def test_a_card_without_its_service_is_passed_over() -> None:
    def handle_protocol(handle: int, kind: int, interface: int) -> int | None:
        require(guest.guid(kind) != bytes(uefi.TCP4_SERVICE_BINDING_PROTOCOL), uefi.EFI_DEVICE_ERROR)
        return before(handle, kind, interface)

    with started() as one:
        before = one.machine.part(BootServices).serve("handle_protocol", handle_protocol)
        with pytest.raises(Failure, match="the server this was started from"):
            one.root()


def test_a_server_without_ranges_is_refused() -> None:
    with started() as one:
        one.web.knows_ranges = False
        assert open_file(one.root(), text("model.blm")) & 0xFF == uefi.EFI_UNSUPPORTED
        one.end()


def test_a_server_that_does_not_answer_is_said() -> None:
    with started("http://10.0.2.2:1/barelm.efi") as one:
        with pytest.raises(Failure, match="the server this was started from"):
            one.root()
        arena.give_all_back(one.fw, one.workspace.ledger)
        assert one.machine.machine.inventory() == one.before


def test_no_network_is_no_server() -> None:
    with started("http://nobody.example/barelm.efi") as one:
        with pytest.raises(Failure, match="no file system"):
            one.root()


@given(st.ip_addresses(v=4), st.integers(1, 65535), st.lists(st.sampled_from(["a", "node-1"]), max_size=3))
def test_addresses_of_programs(ip: Any, port: int, folders: list[str]) -> None:
    v = WebVolume.over(np.zeros(WebVolume.BYTES, np.uint8))
    folder = "/".join(["", *folders, ""])
    for uri, expected in ((f"http://{ip}:{port}{folder}barelm.efi", port), (f"http://{ip}{folder}barelm.efi", 80)):
        assert read_uri(v, np.frombuffer(uri.encode(), np.uint8))
        assert (int(v.ip), int(v.port), bytes(v.root.path[:v.root.n_path])) == (int(ip), expected, folder.encode())


@given(st.binary(max_size=60).map(lambda tail: b"http://1" + tail))
def test_what_is_no_address_does_no_harm(uri: bytes) -> None:
    v = WebVolume.over(np.zeros(WebVolume.BYTES, np.uint8))
    read_uri(v, np.frombuffer(uri, np.uint8))
    assert v.root.n_path <= len(v.root.path) // 2 + 1
