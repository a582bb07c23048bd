"""From nothing to an answer: OVMF fetches the program, the program its configuration and model, and serves."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from barelm.aot.build import build_program
from barelm.disk import write_image
from barelm.machine import qemu
from barelm.machine.machine import Forward, Spec
from barelm.machine.ovmf import find_ovmf
from barelm.machine.qemu import Qemu
from barelm.settings import Settings
from tests.appliance.chatty import Chatty
from tests.metal.network.web_server import serving_files

pytest.importorskip("virt.firmware.vars")
PATIENCE_S = 120


def variables(folder: Path, uri: str) -> Path:
    """The firmware's variables, to start from an address once."""
    template = find_ovmf(Path(qemu.find_program())).variables
    target = folder / "variables.fd"
    subprocess.run([sys.executable, "-P", "-m", "virt.firmware.vars", "-i", str(template), "-o", str(target),
                    "--set-boot-uri", uri], check=True, capture_output=True)
    return target


@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason="QEMU or OVMF is not installed")
def test_a_machine_starts_from_a_web_server_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Chatty(5, name="chatty").write(tmp_path / "model.blm").path.read_bytes()
    files = {"/node/barelm.efi": build_program().read_bytes(), "/node/model.blm": model,
             "/node/barelm.toml": Settings("", 0.0, chat=True, serve=True).toml()}
    write_image(tmp_path / "empty.img", {"nothing.txt": b""})
    with serving_files(files) as web:
        ours = variables(tmp_path, f"http://10.0.2.2:{web.server_port}/node/barelm.efi")

        def find_ours(*arguments: Any, **named: Any) -> Any:
            return replace(find_ovmf(*arguments, **named), variables=ours)

        monkeypatch.setattr(qemu, "find_ovmf", find_ours)
        spec = Spec(tmp_path / "empty.img", 512, 2, forward=Forward(0, 8080))
        with Qemu(card="virtio-net-pci,romfile=").start(spec) as session:
            text = ""
            while "Serving" not in text:
                content = session.read(PATIENCE_S)
                assert content, text
                text += content.decode(errors="replace")
            question = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
            request = urllib.request.Request(f"http://127.0.0.1:{session.port}/v1/chat/completions",
                                             json.dumps(question).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                assert json.load(answer)["usage"]["completion_tokens"] == 4
    assert any(asked.startswith("/node/model.blm bytes=") for asked in web.asked)
