"""`barelm fleet` and `netboot`: what is written is what the programs it is for take, and nothing of an inventory is
more than a value there.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from barelm.errors import BarelmError
from barelm.fleet.front_ends import haproxy, litellm, llama_swap, prometheus
from barelm.fleet.inventory import FleetNode, Inventory, read_inventory
from barelm.host_files import no_progress
from barelm.pack.reader import read_packed
from barelm.trust.binding import bound_names
from tests.commands.conftest import Cli, hosted_only
from tests.fleet.nodes import played_nodes

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

FLEET = """
server = "192.168.1.2/24"
web_port = 81
[[node]]
name = "n1"
address = "192.168.1.11"
mac = "52:54:00:12:34:56"
model = "tiny.bin"
key = "abc"
[[node]]
name = "n2"
address = "192.168.1.12"
mac = "52:54:00:12:34:57"
model = "tiny.bin"
key = "abc"
slots = 2
[[node]]
name = "host"
address = "127.0.0.1"
port = 8081
model = "hf:some/where:Q8_0"
"""


def needs(program: str) -> pytest.MarkDecorator:
    """Skips where a program is not installed."""
    return pytest.mark.skipif(shutil.which(program, path=PATHS) is None, reason=f"{program} is not installed")


PATHS = os.environ.get("PATH", "") + ":/usr/sbin"


def check(*command: str | Path) -> None:
    """Run a program that checks a file."""
    program = shutil.which(str(command[0]), path=PATHS)
    assert program is not None
    done = subprocess.run([program, *map(str, command[1:])], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def fleet(cli: Cli) -> Path:
    """A folder that was written."""
    Path("fleet.toml").write_text(FLEET)
    result = cli("fleet", "fleet.toml", "out")
    assert result.code == 0 and "out: 3 nodes, 2 of them start over the network" in result.err
    return Path("out")


@hosted_only
def test_a_node_starts_from_a_folder_of_its_own(fleet: Path, cli: Cli) -> None:
    settings = tomllib.loads((fleet / "netboot/n2/barelm.toml").read_text())
    assert settings["serve"] is True and settings["key"] == "abc" and settings["slots"] == 2
    assert read_packed(fleet / "netboot/n1/model.blm").name == "tiny"
    assert os.path.samefile(fleet / "netboot/n1/model.blm", fleet / "netboot/n2/model.blm")
    assert not os.path.samefile(fleet / "netboot/n1/barelm.toml", fleet / "netboot/n2/barelm.toml")
    assert (fleet / "netboot/n1/barelm.efi").read_bytes()[:2] == b"MZ"
    told = (fleet / "netboot/dnsmasq.conf").read_text()
    assert "dhcp-host=52:54:00:12:34:57,set:n2,192.168.1.12,n2\n" in told
    assert 'dhcp-boot=tag:n2,tag:http,"http://192.168.1.2:81/n2/barelm.efi"\n' in told
    assert "dhcp-option-force=tag:http,60,HTTPClient\n" in told and "127.0.0.1" not in told
    before = {path: path.read_bytes() for path in fleet.rglob("*") if path.is_file()}
    assert cli("fleet", "fleet.toml", "out").code == 0
    assert {path: path.read_bytes() for path in fleet.rglob("*") if path.is_file()} == before


@hosted_only
@needs("dnsmasq")
def test_dnsmasq_takes_its_configurations(fleet: Path, cli: Cli) -> None:
    check("dnsmasq", "--test", f"--conf-file={fleet}/netboot/dnsmasq.conf")
    for more in ((), ("--range", "192.168.1.100,192.168.1.199")):
        assert cli("netboot", "boot", "tiny.bin", "--server", "192.168.1.2:8000", *more).code == 0
        check("dnsmasq", "--test", "--conf-file=boot/dnsmasq.conf")


@hosted_only
def test_a_folder_to_start_from(cli: Cli) -> None:
    ask = ("netboot", "boot", "tiny.bin", "--server", "192.168.1.2", "--key", "k", "-t", "0")
    assert cli(*ask).code == 0
    folder = cli.folder / "boot"
    assert sorted(path.name for path in folder.iterdir()) == ["README.txt", "barelm.efi", "barelm.toml",
                                                              "dnsmasq.conf", "model.blm"]
    assert len((folder / "README.txt").read_text().splitlines()) == 3
    settings = tomllib.loads((folder / "barelm.toml").read_text())
    assert (settings["serve"], settings["key"], settings["temperature"]) == (True, "k", 0)
    assert "pxe-service=BC_EFI" in (folder / "dnsmasq.conf").read_text()
    (folder / "index.html").write_text("mine")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert cli(*ask).code == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not [path for path in cli.folder.iterdir() if path.name.endswith(".part")]


@hosted_only
@pytest.mark.parametrize("options", [
    ("--server", "here"), ("--server", "192.168.1.2:0"), ("--server", "192.168.1.2:http"),
    ("--server", "192.168.1.2", "--range", "192.168.1.9"),
    ("--server", "192.168.1.2", "--range", "192.168.1.9,192.168.1.8")])
def test_servers_that_cannot_be(cli: Cli, options: tuple[str, ...]) -> None:
    assert "machines cannot start from" in cli.refuses("netboot", "boot", "tiny.bin", *options)


@hosted_only
def test_a_signed_program_is_bound_to_what_is_beside_it(cli: Cli) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    assert cli("keys", "keys").code == 0
    assert cli("netboot", "boot", "tiny.bin", "--server", "192.168.1.2", "--sign", "keys/db.key", "--cert",
               "keys/db.pem").code == 0
    bound = bound_names(Path("boot/barelm.efi").read_bytes())
    assert bound is not None and {name: n for name, (n, _) in bound.items()} == {
        name: Path("boot", name).stat().st_size for name in ("barelm.toml", "model.blm")}


@hosted_only
def test_a_full_disk_changes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from barelm.fleet import netboot

    netboot.write_folder(Path("boot"), {"a": b"old", "b": b"old"}, no_progress)

    def full(*what: object) -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(netboot, "_blocks", full)
    for folder in ("boot", "new"):
        with pytest.raises(BarelmError, match="No space left"):
            netboot.write_folder(Path(folder), {"a": b"new", "b": b"new"}, no_progress)
    assert {path.read_bytes() for path in Path("boot").iterdir()} == {b"old"}
    assert not Path("new").exists() and not list(Path().glob(".*.part"))


def inventory_of(text: str, folder: Path) -> Inventory:
    """Read one."""
    (folder / "x.toml").write_text(text)
    return read_inventory(folder / "x.toml")


NODE = '[[node]]\nname = "a"\naddress = "10.0.0.1"\nmodel = "m"\n'


@pytest.mark.parametrize("text, why", [
    ("", "names no"), ("x = [", "Invalid value"), ("node = 3", "names no"), ("node = [3]", "is a table"),
    (NODE + "colour = 1", "'colour', which means nothing"), ("colour = 1\n" + NODE, "'colour'"),
    (NODE.replace('"a"', '"a b"'), "name of node 1 cannot be 'a b'"),
    (NODE.replace('"a"', '"a\\n    server evil 1.2.3.4:80"'), "name of node 1"),
    (NODE.replace('"a"', '"../../etc"'), "name of node 1"), (NODE.replace('"a"', '""'), "name of node 1"),
    (NODE.replace("10.0.0.1", "10.0.0.1;x"), "address"), (NODE.replace("10.0.0.1", "::1"), "address"),
    (NODE.replace("10.0.0.1", ""), "address"), (NODE.replace('"m"', '""'), "model"),
    (NODE.replace('"m"', '"m\\"; rm"'), "model"), (NODE.replace('"m"', '"$(id)"'), "model"),
    (NODE + 'mac = "52:54:00:12:34"', "mac"), (NODE + "mac = \"52:54:00:12:34:56' ; id '\"", "mac"),
    (NODE + "port = 0", "port"), (NODE + "port = 70000", "port"), (NODE + 'port = "80"', "to be a number"),
    (NODE + "port = true", "to be a number"), (NODE + 'key = "a b"', "key"), (NODE + 'key = "a\\nb"', "key"),
    (NODE + "slots = 9", "slots"), (NODE + NODE, "two nodes have the name a"),
    (NODE + NODE.replace('"a"', '"b"'), "two nodes have the place 10.0.0.1:8080"),
    (NODE + NODE.replace('"a"', '"b"').replace("0.1", "0.2") + 'key = "k"', "different keys"),
    ('server = "10.0.0.9"\n' + NODE, "server of the fleet"), ('server = "x/24"\n' + NODE, "server of the fleet"),
    ('server = "192.168.1.2/24"\n' + NODE + 'mac = "52:54:00:12:34:56"', "not in the network"),
    ('[[node]]\nname = "a"\naddress = "10.0.0.1"', "no model")])
def test_inventories_that_are_refused(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match="is no inventory") as refused:
        inventory_of(text, tmp_path)
    assert why in refused.value.message and len(refused.value.message) < 400


def test_names_of_models_are_plain(tmp_path: Path) -> None:
    for model, name in (("hf:some/where:Q8_0", "hf_some_where_Q8_0"), ("/a b/ü m.gguf", "m"), ("é", "model"),
                        ("qwen2.5-0.5b", "qwen2.5-0.5b"), ("..", "model")):
        assert FleetNode("a", "10.0.0.1", model).model_name == name


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """The same fleet, from nothing but its file."""
    return inventory_of(FLEET, tmp_path)


@needs("haproxy")
def test_haproxy_takes_its_configuration(inventory: Inventory, tmp_path: Path) -> None:
    (tmp_path / "haproxy.cfg").write_bytes(haproxy(inventory))
    check("haproxy", "-c", "-f", tmp_path / "haproxy.cfg")


@needs("promtool")
def test_prometheus_takes_its_configuration(inventory: Inventory, tmp_path: Path) -> None:
    for name, content in prometheus(inventory).items():
        (tmp_path / name).write_bytes(content)
    check("promtool", "check", "config", tmp_path / "prometheus.yml")
    targets = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("targets*.json"))]
    assert [row["targets"] for file in targets for row in file] == [["192.168.1.11:8080"], ["192.168.1.12:8080"],
                                                                    ["127.0.0.1:8081"]]


def test_the_yaml_says_what_was_meant(inventory: Inventory) -> None:
    told = yaml.safe_load(litellm(inventory))
    assert [row["model_info"]["id"] for row in told["model_list"]] == ["n1", "n2", "host"]
    assert told["model_list"][0] == {
        "model_name": "tiny", "model_info": {"id": "n1", "mode": "chat"},
        "litellm_params": {"model": "openai/tiny", "api_base": "http://192.168.1.11:8080/v1", "api_key": "abc",
                           "max_parallel_requests": 8}}
    told = yaml.safe_load(llama_swap(inventory))
    assert set(told["models"]) == {"n1/tiny", "n2/tiny"} == set(told["groups"]["fleet"]["members"])
    assert "wakeonlan 52:54:00:12:34:56 " in told["models"]["n1/tiny"]["cmd"]
    assert told["models"]["n1/tiny"]["aliases"] == ["tiny"] and "aliases" not in told["models"]["n2/tiny"]
    assert told["peers"] == {"host": {"proxy": "http://127.0.0.1:8081", "models": ["hf_some_where_Q8_0"]}}


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def balancing(folder: Path, *nodes: FleetNode) -> Iterator[int]:
    """HAProxy before these nodes, as it is written; its port."""
    port = free_port()
    (folder / "haproxy.cfg").write_bytes(haproxy(Inventory(nodes, listen=port)))
    program = shutil.which("haproxy", path=PATHS)
    assert program is not None
    with subprocess.Popen([program, "-db", "-f", folder / "haproxy.cfg"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def post(port: int, body: dict[str, Any]) -> tuple[int, bytes]:
    """Ask for an answer."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    asked.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = asked.getresponse()
    return response.status, response.read()


@needs("haproxy")
def test_no_request_is_lost_when_nodes_are_full_or_end(tmp_path: Path) -> None:
    with played_nodes({"delay_s": 0.02}, {"full": True}, {"delay_s": 0.02}) as played:
        nodes = [FleetNode(f"n{number}", "127.0.0.1", "m", port=node.port) for number, node in enumerate(played)]
        with balancing(tmp_path, *nodes) as port, ThreadPoolExecutor(8) as pool:
            long = "x" * 200_000
            answers = [pool.submit(post, port, {"n": n, "text": long}) for n in range(60)]
            answers[10].result()
            played[2].kill()
            assert {answer.result()[0] for answer in answers} == {200}
        assert min(len(played[0].asked), len(played[2].asked)) > 0 and not played[1].asked


@needs("haproxy")
def test_each_model_has_its_nodes_and_events_leave_as_they_come(tmp_path: Path) -> None:
    with played_nodes({}, {}) as played:
        nodes = [FleetNode(name, "127.0.0.1", name, port=node.port) for name, node in zip("ab", played)]
        with balancing(tmp_path, *nodes) as port:
            for model in ("a", "b", "b", "unknown"):
                assert post(port, {"text": "y" * 100_000, "model": model})[0] == 200
            assert [body["model"] for body in played[0].asked] == ["a", "unknown"]
            assert [body["model"] for body in played[1].asked] == ["b", "b"]
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            asked.request("POST", "/v1/chat/completions", '{"stream": true}', {"Content-Type": "application/json"})
            response, began = asked.getresponse(), time.monotonic()
            assert response.readline() == b"data: 1\n"
            first = time.monotonic() - began
            assert response.read().endswith(b"data: [DONE]\n\n") and time.monotonic() - began > first + 0.4


def test_litellm_takes_its_configuration(tmp_path: Path) -> None:
    program = shutil.which("litellm")
    if program is None:
        pytest.skip("litellm is not installed")
    with played_nodes({}, {"full": True}) as played:
        nodes = tuple(FleetNode(f"n{number}", "127.0.0.1", "m", port=node.port, key="abc")
                      for number, node in enumerate(played))
        (tmp_path / "litellm.yaml").write_bytes(litellm(Inventory(nodes)))
        code = ("import sys, yaml, litellm\nc = yaml.safe_load(open(sys.argv[1]))\n"
                "r = litellm.Router(model_list=c['model_list'], **c['router_settings'])\n"
                "for k in range(4):\n    print('SAID', r.completion('m', [{'role': 'user', 'content': str(k)}])"
                ".choices[0].message.content)\n")
        done = subprocess.run([Path(program).with_name("python"), "-c", code, str(tmp_path / "litellm.yaml")],
                              capture_output=True, text=True, timeout=300, check=False)
        assert len(re.findall("^SAID [0-9a-f]{64}$", done.stdout, re.M)) == 4, done.stdout + done.stderr
        assert set(played[0].keys) == {"Bearer abc"}
