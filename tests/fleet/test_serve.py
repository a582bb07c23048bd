"""`barelm serve` with a machine that plays a node: what is said when, and how it ends."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from barelm.contract.settings import ROWS
from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.fleet import serve
from barelm.fleet.serve import INTERRUPT, HostPort
from barelm.kernels.decoder.cache_plan import cache_bytes
from barelm.machine.machine import Spec
from barelm.pack.reader import read_packed
from barelm.pipeline import SETTINGS_PATH, memory_mb, served_bytes
from barelm.settings import Settings
from tests.commands.conftest import Cli, hosted_only
from tests.commands.test_processes import COMMAND, environment
from tests.gguf_files import write_small_gguf

pytestmark = hosted_only


class Health(http.server.BaseHTTPRequestHandler):
    """A node that is well."""

    def do_GET(self) -> None:
        """Answer /health."""
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *what: object) -> None:
        """Nothing."""


@dataclass
class Playing:
    """A machine, and its session: it serves at the forwarded port once it is on, until it is told to end."""

    ends_by_itself: bool = False
    obeys: bool = True
    status: int | None = None
    name: str = "hosted"
    specs: list[Spec] = field(default_factory=list)
    settings: str = ""
    typed: str = ""
    reads: int = 0
    told: threading.Event = field(default_factory=threading.Event)

    def why_not(self) -> None:
        """It can be used anywhere."""

    def start(self, spec: Spec) -> Playing:
        """Read its settings, and listen."""
        self.specs.append(spec)
        with open_volume(spec.image) as volume:
            entry = volume.lookup(SETTINGS_PATH)
            assert entry is not None
            self.settings = volume.read(entry, 0, entry.size).decode()
        assert spec.forward is not None
        self.server = http.server.ThreadingHTTPServer((spec.forward.address, spec.forward.port), Health)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __enter__(self) -> Playing:
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def read(self, timeout_s: float) -> bytes:
        """A start, then silence; where it is told to end, it says so."""
        self.reads += 1
        if self.reads == 1:
            return "barelm\n\nLoading ███░ 3 s left\nListening at 10.0.2.15\x1b]0;x\x07, por".encode()
        if self.reads == 2:
            return b"t 8080\n"
        if self.ends_by_itself:
            return b""
        deadline = time.monotonic() + min(timeout_s, 20)
        while not (self.told.wait(0.05) and self.obeys):
            if time.monotonic() > deadline:
                raise BarelmError(f"the program said nothing for {timeout_s:g} s")
        self.told.clear()
        self.ends_by_itself = True
        return b"Ended\nBARELM DONE 0\n"

    def send(self, text: str) -> None:
        """Remember."""
        self.typed += text
        self.told.set()


@pytest.fixture
def playing(monkeypatch: pytest.MonkeyPatch) -> Playing:
    """The machine that is chosen."""
    machine = Playing()
    monkeypatch.setattr(serve, "quick_machine", lambda name, note: machine)
    return machine


def interrupt_when(said: threading.Event, number: int = signal.SIGINT) -> None:
    """What a person does once something was said."""
    threading.Thread(target=lambda: (said.wait(60), os.kill(os.getpid(), number)), daemon=True).start()


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set when it was said that the node serves."""
    said = threading.Event()
    note = serve.Log.note

    def noted(log: serve.Log, line: str) -> None:
        note(log, line)
        if line.startswith("Serving "):
            said.set()

    monkeypatch.setattr(serve.Log, "note", noted)
    yield said


ON = ("serve", "tiny.bin", "--port", "0", "--cores", "1")


def test_a_node_is_announced_when_it_answers_and_ends_with_ctrl_c(cli: Cli, playing: Playing,
                                                                  serving: threading.Event) -> None:
    interrupt_when(serving)
    result = cli(*ON, "--key", "a secret", "--slots", "2", "-t", "0.5")
    assert result.code == 0 and result.out == ""
    spec = playing.specs[0]
    assert spec.forward is not None and spec.forward.to == ROWS["port"].default
    lines = result.err.splitlines()
    assert f"Serving tiny at http://127.0.0.1:{spec.forward.port} (hosted, 1 core).  Ctrl-C ends it." in lines
    assert "Listening at 10.0.2.15\ufffd]0;x\ufffd, port 8080" in lines and lines[-1] == "Ended"
    assert not any("Loading" in line or "DONE" in line for line in lines)
    assert any(line.startswith("tiny cannot chat, only complete texts (/v1/completions): ") for line in lines)
    assert playing.typed == INTERRUPT
    for line in ("serve = true", 'key = "a secret"', "slots = 2", 'at_end = "shutdown"', "temperature = 0.5"):
        assert f"\n{line}\n" in "\n" + playing.settings


def test_each_slot_has_memory_of_its_own(cli: Cli, playing: Playing) -> None:
    playing.ends_by_itself = True
    assert cli(*ON).code == 0
    playing.reads = 0
    assert cli(*ON, "--memory", "700").code == 0
    assert cli("pack", "tiny.bin", "-o", "tiny.blm").code == 0
    model = read_packed(Path("tiny.blm"))
    one, seven = (served_bytes(model, Settings(slots=n)) for n in (1, 7))
    assert seven - one >= 6 * cache_bytes(model.config, 64) and type(seven) is int
    short = served_bytes(model, Settings(slots=7, slot_context=16))
    assert one < short < seven and served_bytes(model, Settings()) == served_bytes(model, Settings(slots=4))
    assert [spec.memory_mb for spec in playing.specs] == [memory_mb(served_bytes(model, Settings())), 700]


def test_a_node_answers_and_ends_in_order(cli: Cli) -> None:
    """The program itself."""
    model = write_small_gguf(cli.folder / "small.gguf", seed=3)
    with subprocess.Popen([*COMMAND, "serve", model, "--machine", "hosted", "--port", "0", "--cores", "1"],
                          env=environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []
        while not (lines and (found := re.match(r"Serving .* at http://127\.0\.0\.1:(\d+) ", lines[-1]))):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        asked = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        asked.request("POST", "/v1/completions", json.dumps({"prompt": "one", "max_tokens": 3, "seed": 1}))
        assert json.loads(asked.getresponse().read())["usage"]["completion_tokens"] == 3
        asked.close()
        process.terminate()
        rest = process.stderr.read()
        assert process.wait() == 143 and "Ending, once what was asked is answered." in rest


def test_sigterm_lets_answers_end_too(cli: Cli, playing: Playing, serving: threading.Event) -> None:
    interrupt_when(serving, signal.SIGTERM)
    assert cli(*ON).code == 143 and playing.typed == INTERRUPT


def test_a_node_that_does_not_obey_is_switched_off(cli: Cli, playing: Playing, serving: threading.Event,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    playing.obeys = False
    monkeypatch.setattr(serve, "LEAVE_S", 0.3)
    interrupt_when(serving)
    assert cli(*ON).code == 0


def test_a_node_that_fails_is_an_error(cli: Cli, playing: Playing) -> None:
    playing.ends_by_itself, playing.status = True, 2
    result = cli(*ON)
    assert result.code == 1 and "barelm: the node ended with status 2.\n" in result.err


def test_a_port_that_is_taken_is_refused_before_anything_is_packed(cli: Cli, playing: Playing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = cli.refuses("serve", "no-such-model", "--port", port)
    assert f"cannot listen at 127.0.0.1, port {port}: " in said and "--port" in said and playing.specs == []


@pytest.mark.parametrize("place", [HostPort("no such host.invalid", 1), HostPort("192.0.2.1", 80), HostPort("::1", 80),
                                   HostPort("127.0.0.1", 70000), HostPort("127.0.0.1", -1)])
def test_no_place_of_this_host(place: HostPort) -> None:
    with pytest.raises(BarelmError, match="cannot listen at"):
        place.taken()


def test_more_context_than_the_model_has(cli: Cli, playing: Playing, tmp_path: Path) -> None:
    assert cli("pack", "tiny.bin", "-o", tmp_path / "tiny.blm").code == 0
    said = cli.refuses("serve", tmp_path / "tiny.blm", "--port", "0", "--context", "4096")
    assert "holds 64 tokens, not 4096" in said


def test_an_image_of_a_node(cli: Cli) -> None:
    result = cli("image", "tiny.bin", "--serve", "--port", "80", "--ip", "192.168.1.5/24", "--slot-context", "32")
    assert result.code == 0 and "cannot chat, only complete" in result.err
    with open_volume(Path("tiny.img")) as volume:
        entry: Any = volume.lookup(SETTINGS_PATH)
        written = volume.read(entry, 0, entry.size).decode()
    for line in ("serve = true", "port = 80", 'ip = "192.168.1.5/24"', "slot_context = 32"):
        assert f"\n{line}\n" in written
