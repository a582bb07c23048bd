"""What was loaded goes into the TPM: the register is the one that anybody computes from the files."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from barelm.contract.trust.tpm_commands import REGISTERS
from barelm.contract.uefi_protocols import Tcg2
from barelm.dialect.memory import text
from barelm.machine.firmware.devices.tcg2_device import Tpm
from barelm.machine.firmware.services import handlers_of
from barelm.machine.firmware.tables import guid_of
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.machine.qemu import Qemu
from barelm.metal.storage.configuration import note_hash
from barelm.metal.trust import measured_boot
from barelm.metal.trust.loaded_files import trust_in
from barelm.settings import Settings
from barelm.trust.quote import judge_quote
from barelm.trust.receipt_file import parse_receipt
from barelm.trust.receipt_replay import receipt_on
from tests.built import program
from tests.metal.talks import Desk, array, chat_model
from tests.trust.signing import BOOT, SETTINGS, image, model
from tests.worlds import interpreter

EXTEND = "EFI_TCG2_PROTOCOL.HashLogExtendEvent"
PATIENCE_S = 240


def event(name: str, content: bytes) -> bytes:
    """The log's words for a file."""
    return f"barelm {name} {len(content)} {hashlib.sha256(content).hexdigest()}".encode()


def register(*files: tuple[str, bytes]) -> bytes:
    """What the register holds once files were measured."""
    value = bytes(32)
    for name, content in files:
        value = hashlib.sha256(value + hashlib.sha256(event(name, content)).digest()).digest()
    return value


def measured(patch: pytest.MonkeyPatch, settings: bytes, *, tpm: Tpm | None) -> tuple[Desk, int]:
    """A loaded model, and what the program keeps of having measured it."""
    desk = Desk(patch, settings=settings)
    machine = desk.firmware.machine
    if tpm is not None:
        machine.services.install(handlers_of(tpm))
        machine.protocols.add(0, guid_of(Tcg2), machine.services.table(Tcg2, machine.memory.pool(Tcg2.BYTES)))
    trust = trust_in(desk.workspace)
    note_hash(desk.workspace, array(settings), len(settings))
    interpreter(measured_boot.measure_loaded)(
        desk.t.con, desk.workspace, desk.b.settings, desk.header, desk.b.model, text("model.blm"))
    return desk, int(trust.measured)


def test_configuration_and_model_go_into_the_register(monkeypatch: pytest.MonkeyPatch) -> None:
    tpm, settings = Tpm(), b"tokens = 5\n"
    desk, pcr = measured(monkeypatch, settings, tpm=tpm)
    files = ("barelm.toml", settings), ("model.blm", chat_model()[1])
    assert pcr == measured_boot.PCR and tpm.pcrs[pcr] == register(*files)
    assert tpm.log == [(pcr, measured_boot.EV_IPL, event(*file)) for file in files]
    assert [k for k, value in enumerate(tpm.pcrs) if any(value)] == [pcr]
    assert desk.heard(lambda: measured_boot.put_measured(desk.t.con, desk.workspace)
                      ) == ',\n "trust": {"pcr": 12, "bound": false}'


@pytest.mark.parametrize("settings, tpm", [(b"measure = false\n", Tpm()), (b"", None)])
def test_without_a_tpm_or_where_it_is_not_wanted_nothing_is_hashed(monkeypatch: pytest.MonkeyPatch, settings: bytes,
                                                                   tpm: Tpm | None) -> None:
    desk, pcr = measured(monkeypatch, settings, tpm=tpm)
    assert pcr == 0 and trust_in(desk.workspace).has_model == 0 and (tpm is None or not tpm.log)


@pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))
@pytest.mark.parametrize("tpm, fault, calls", [(True, "", 2), (False, "", 0), (True, f"{EXTEND}=EFI_DEVICE_ERROR", 1)])
def test_the_compiled_program_measures(tmp_path: Path, tpm: bool, fault: str, calls: int) -> None:
    from barelm.machine.firmware.faults import parse_fault

    machine = Hosted(tpm=tpm, faults=(parse_fault(fault),) if fault else ())
    path = image(tmp_path, {BOOT: program().read_bytes(), "barelm.toml": SETTINGS.toml(), "model.blm": model()})
    with machine.start(Spec(path, 128)) as session:
        while session.read(60):
            pass
        assert session.status == 0 and session.calls.get(EXTEND, 0) == calls


@pytest.fixture
def swtpm() -> Iterator[Path]:
    """A TPM that is on: the socket of its control channel."""
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed")
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has 108 bytes
        control = Path(folder) / "control"
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={control}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not control.exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield control
        finally:
            process.kill()
            process.wait()


def read_register(control: Path, number: int) -> bytes:
    """TPM2_PCR_Read of the SHA-256 bank, over a data channel handed to swtpm (CMD_SET_DATAFD)."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(control))
        socket.send_fds(channel, [struct.pack(">I", 16)], [theirs.fileno()])
        assert channel.recv(4) == bytes(4)
        select = bytearray(3)
        select[number // 8] |= 1 << number % 8
        command = struct.pack(">IHB", 1, 0x000B, 3) + bytes(select)
        ours.sendall(struct.pack(">HII", 0x8001, 10 + len(command), 0x17E) + command)
        answer = ours.recv(4096)
    assert struct.unpack_from(">I", answer, 6)[0] == 0, answer.hex()
    return answer[-32:]


@pytest.mark.boot
@pytest.mark.skipif("Qemu().why_not() is not None", reason="QEMU or OVMF is not installed here")
def test_a_real_firmware_extends_the_register(tmp_path: Path, swtpm: Path) -> None:
    settings = Settings("to the sun", 0.0, tokens=3, at_end="return", receipt=True)
    path = image(tmp_path, {BOOT: program().read_bytes(), "barelm.toml": settings.toml(), "model.blm": model()})
    shown = ""
    with Qemu(tpm=swtpm).start(Spec(path, memory_mb=512, writable=True)) as session:
        while "any key" not in shown and (data := session.read(PATIENCE_S)):
            shown += data.decode()
    assert read_register(swtpm, measured_boot.PCR) == register(("barelm.toml", settings.toml()), ("model.blm", model()))
    assert os.path.exists(swtpm)
    told = parse_receipt(receipt_on(path), "it")
    said = judge_quote(told.quote, bytes.fromhex(told.last))
    assert said[1:] == [f"register {number} was {read_register(swtpm, number).hex()}" for number in REGISTERS]
    assert any(read_register(swtpm, 4)) and said[2].endswith(
        register(("barelm.toml", settings.toml()), ("model.blm", model())).hex())
