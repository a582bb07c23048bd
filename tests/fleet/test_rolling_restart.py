"""Nodes behind HAProxy, ended in order and started anew one after the other, while clients ask: nothing is lost."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

from barelm.fleet.inventory import FleetNode
from tests.commands.conftest import Cli, hosted_only
from tests.commands.test_processes import COMMAND, environment
from tests.fleet.test_fleet_files import balancing, free_port, needs
from tests.gguf_files import write_small_gguf

pytestmark = [hosted_only, needs("haproxy")]
N_CLIENTS = 4


def start(model: Path, port: int, log: Path) -> subprocess.Popen[str]:
    """A node that serves."""
    with open(log, "w") as written:
        process = subprocess.Popen([*COMMAND, "serve", model, "--machine", "hosted", "--cores", "1", "--port",
                                    str(port)], env=environment(), stderr=written, text=True)
    while f"at http://127.0.0.1:{port} " not in log.read_text():
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(log.read_text())
    return process


def ask(port: int, number: int) -> str:
    """What is wrong with an answer, streamed or whole."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        asked.request("POST", "/v1/completions", json.dumps(
            {"prompt": f"one two {number}", "max_tokens": 40, "stream": number % 2 == 0, "seed": 1}))
        response = asked.getresponse()
        said = response.read()
        whole = said.endswith(b"data: [DONE]\n\n") if number % 2 == 0 else b'"usage"' in said
        return "" if response.status == 200 and whole else f"{response.status}: {said[-200:]!r}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        asked.close()


def test_a_rolling_restart_loses_no_request(cli: Cli, tmp_path: Path) -> None:
    model = write_small_gguf(cli.folder / "small.gguf", seed=3)
    ports, wrong, asked, over = [free_port(), free_port()], list[str](), [0] * N_CLIENTS, threading.Event()

    def client(number: int, port: int) -> None:
        while not over.is_set():
            asked[number] += 1
            wrong.extend(filter(None, [ask(port, asked[number])]))

    with ExitStack() as off:
        nodes = [start(model, port, tmp_path / f"{port}.log") for port in ports]
        off.callback(lambda: [node.terminate() for node in nodes])
        off.callback(over.set)
        port = off.enter_context(balancing(tmp_path, *(
            FleetNode(f"n{number}", "127.0.0.1", "m", port=number) for number in ports)))
        assert ask(port, 0) == ""
        clients = [threading.Thread(target=client, args=(number, port)) for number in range(N_CLIENTS)]
        for thread in clients:
            thread.start()
        for k in range(2):
            before = sum(asked)
            while sum(asked) < before + 50:
                over.wait(0.05)
            nodes[k].terminate()
            assert nodes[k].wait(60) == 143
            nodes[k] = start(model, ports[k], tmp_path / f"{ports[k]}.log")
            over.wait(5)  # HAProxy has seen it
        over.set()
        for thread in clients:
            thread.join()
    assert wrong == []
