"""The inventory of a fleet: a TOML file that names its nodes.  Whoever wrote it, what is in it can be written into the
configurations of other programs: every value is looked at, and a key that is not known is refused.

    server = "192.168.1.2/24"        # of whoever serves boot files; without it nothing starts from the network
    router = "192.168.1.1"           # that nodes are told of
    web_port = 80                    # where it serves files,
    listen = 8000                    # and where HAProxy listens

    [[node]]
    name = "n1"
    address = "192.168.1.11"
    mac = "52:54:00:12:34:56"        # without it the node is not started from the network, nor woken
    model = "qwen3-0.6b"
    port = 8080
    key = ""
    slots = 0
    context = 0
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from barelm.contract.settings import ROWS
from barelm.errors import BarelmError
from barelm.host_files import reading

MOST_NODES = 1000
MOST_BYTES = 1 << 20
_NAME = re.compile("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a label of DNS
_MAC = re.compile("[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_KEY = re.compile("[A-Za-z0-9._~+/=-]{0,200}")  # what RFC 6750 lets a bearer token be
_MODEL = re.compile(r"[^\x00-\x1f\x7f\"'\\$`{}%]{1,300}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class FleetNode:
    """A machine that serves a model."""

    name: str
    address: str
    model: str
    mac: str = ""
    port: int = 8080
    key: str = ""
    slots: int = 0
    context: int = 0

    @property
    def place(self) -> str:
        """Where it listens."""
        return f"{self.address}:{self.port}"

    @property
    def model_name(self) -> str:
        """What clients call its model."""
        name = Path(self.model).stem if self.model.endswith((".gguf", ".bin", ".blm")) else self.model
        return _NOT_IN_A_NAME.sub("_", name).strip("_.-") or "model"


@dataclass(frozen=True)
class Inventory:
    """A fleet."""

    nodes: tuple[FleetNode, ...]
    server: str = ""  # an address and its network, 192.168.1.2/24
    router: str = ""
    web_port: int = 80
    listen: int = 8000

    @property
    def models(self) -> dict[str, list[FleetNode]]:
        """The nodes of each model, by what clients call it; in the order of the file."""
        found: dict[str, list[FleetNode]] = {}
        for node in self.nodes:
            found.setdefault(node.model_name, []).append(node)
        return found


def read_inventory(path: Path) -> Inventory:
    """Read and check one.  Raises BarelmError naming the node and what is wrong with it."""
    with reading(path), open(path, "rb") as file:
        raw = file.read(MOST_BYTES + 1)
    try:
        if len(raw) > MOST_BYTES:
            raise ValueError(f"it is longer than {MOST_BYTES:,} bytes")
        table = tomllib.loads(raw.decode())
        rows = table.pop("node", [])
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_NODES:
            raise ValueError(f"it names no [[node]], or more than {MOST_NODES}")
        nodes = tuple(_node(number, row) for number, row in enumerate(rows, 1))
        inventory = Inventory(nodes, **_checked(Inventory, table, "the fleet"))
        _check_together(inventory)
    except (ValueError, RecursionError) as error:
        raise BarelmError(f"{path} is no inventory of a fleet: {error}",
                          "docs/SERVING.md shows one; correct that line.") from error
    return inventory


def _node(number: int, row: object) -> FleetNode:
    if not isinstance(row, dict):
        raise ValueError("a [[node]] is a table")
    return FleetNode(**_checked(FleetNode, row, f"node {number}"))


def _checked(kind: type, table: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """The values of a table, each of the type of its field and as `CHECKS` wants it."""
    known = {field.name: field for field in fields(kind) if field.name != "nodes"}
    if unknown := sorted(table.keys() - known.keys()):
        raise ValueError(f"{whose} has a key {unknown[0]!r}, which means nothing")
    for name, field in known.items():
        if name not in table and field.default is MISSING:
            raise ValueError(f"{whose} has no {name}")
        value = table.get(name, field.default)
        if type(value) is not field.type:
            raise ValueError(f"the {name} of {whose} has to be a {'number' if field.type is int else 'string'}")
        if name in table and not _fits(name, value):
            raise ValueError(f"the {name} of {whose} cannot be {str(value)[:60]!r}")
    return dict(table)


def _fits(name: str, value: Any) -> bool:
    if name in _MOST:
        least, most = _MOST[name]
        return bool(least <= value <= most)
    if name in _FORMS:
        return bool(_FORMS[name].fullmatch(value)) or (name == "mac" and not value)
    try:
        (IPv4Interface if name == "server" else IPv4Address)(value)
        return "/" in value if name == "server" else True
    except ValueError:
        return False


def _check_together(inventory: Inventory) -> None:
    """What no two nodes may share, and what those of one model have to."""
    for what in ("name", "mac", "place"):
        seen: set[str] = set()
        for node in inventory.nodes:
            value = getattr(node, what)
            if value and value in seen:
                raise ValueError(f"two nodes have the {what} {value}")
            seen.add(value)
    for model, nodes in inventory.models.items():
        if len({node.key for node in nodes}) > 1:
            raise ValueError(f"the nodes of {model} have different keys, and a client has one")
    if inventory.server:
        network = IPv4Interface(inventory.server).network
        for node in inventory.nodes:
            if node.mac and IPv4Address(node.address) not in network:
                raise ValueError(f"the address of {node.name} is not in the network of the server, {network}")


_FORMS = {"name": _NAME, "mac": _MAC, "key": _KEY, "model": _MODEL}
_MOST = {"port": (1, 65535), "web_port": (1, 65535), "listen": (1, 65535), "slots": (0, ROWS["slots"].most),
         "context": (0, 1 << 24)}
