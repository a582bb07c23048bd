"""What asks, inside Ray's processes: one for each node, as many requests at a time as the node has slots.

A node that is lost or full, or whose answer is cut short, gave none: the request goes to another, or to the one that is
started in its place.  So what is written never says which nodes there were.
"""

import http.client
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from barelm.child_python import child_command, child_environment
from barelm.fleet.serve import HostPort

LATER = (429, 502, 503, 504)
"""Answers that another try may better."""
LOST = 0
"""In place of a status: no node answered."""
ANSWER_S = 3600.0
PATIENCE_S = 300.0
"""How long a request is tried for."""
AWAY_S = 60.0
"""After so long a node that was lost is tried again."""
START_S = 600.0
SERVE_CHILD = "barelm.fleet.serve_child"


@dataclass(frozen=True)
class Target:
    """A node to ask."""

    host: str
    port: int
    key: str = ""


class Nodes(Protocol):
    """Whom one process asks."""

    def current(self) -> Target:
        """The node to ask now."""

    def lost(self, target: Target) -> None:
        """That one did not answer."""


class ListedNodes:
    """Those of an inventory, from its own on: the others where that is lost."""

    def __init__(self, targets: Sequence[Target], number: int) -> None:
        self._targets, self._home, self._at, self._since = targets, number % len(targets), number % len(targets), 0.0
        self._lock = threading.Lock()

    def current(self) -> Target:
        """As `Nodes`."""
        with self._lock:
            if self._at != self._home and time.monotonic() - self._since > AWAY_S:
                self._at = self._home
            return self._targets[self._at]

    def lost(self, target: Target) -> None:
        """As `Nodes`."""
        with self._lock:
            if self._targets[self._at] == target:
                self._at, self._since = (self._at + 1) % len(self._targets), time.monotonic()


class StartedNode:
    """A hosted node of this process's own, which is started anew where it is lost."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments, self._lock = arguments, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._target, self._words = Target("", 0), tempfile.TemporaryFile()

    def current(self) -> Target:
        """As `Nodes`.  Raises OSError, with its last words, where it does not start."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._target

    def lost(self, target: Target) -> None:
        """As `Nodes`: one that still runs is asked again."""

    def close(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _start(self) -> None:
        place = HostPort("127.0.0.1", 0).taken()
        environment = {name: value for name, value in child_environment().items() if name != "BARELM_KEY"}
        command = child_command(SERVE_CHILD, *self._arguments, "--port", str(place.port))
        self._words.truncate(0)
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=self._words)
        self._target = Target(place.host, place.port)
        until = time.monotonic() + START_S
        while not place.is_healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                self._words.seek(0)
                raise OSError(self._words.read()[-400:].decode(errors="replace").strip())
            time.sleep(0.2)


class Asker:
    """Asks for the rows of a block; answers come in their order, for Ray counts what it has where it asks again."""

    def __init__(self, listed: Mapping[str, Sequence[Target]], arguments: Sequence[str], n_slots: int, counter: Any
                 ) -> None:
        """Of the nodes that are `listed` by model, or of one that is started with these arguments."""
        import ray

        number = int(ray.get(counter.next.remote()))
        self._nodes: dict[str, Nodes] = {name: ListedNodes(targets, number) for name, targets in listed.items()}
        self._nodes = self._nodes or {"": StartedNode(arguments)}
        self._n_slots = n_slots

    def __call__(self, rows: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
        """Number, status and content for each."""
        with ThreadPoolExecutor(self._n_slots) as pool:
            for number, (status, content) in zip(rows["number"], pool.map(self._answer, rows["url"], rows["body"])):
                yield {"number": [int(number)], "status": [status], "content": [content]}

    def _answer(self, url: str, body: str) -> tuple[int, str]:
        model = str(json.loads(body).get("model", ""))
        return ask_until_answered(self._nodes.get(model) or next(iter(self._nodes.values())), str(url), str(body))


def ask_until_answered(nodes: Nodes, url: str, body: str) -> tuple[int, str]:
    """Status and content of an answer, from whichever node gives it; LOST and why, where none does in time."""
    until, why = time.monotonic() + PATIENCE_S, ""
    for pause in chain((0.1, 0.2, 0.5, 1.0, 2.0), iter(lambda: 5.0, None)):
        target = None
        try:
            target = nodes.current()
            status, content = ask_once(target, url, body)
            json.loads(content)
            if status not in LATER:
                return status, content
            why = f"{target.host}:{target.port} says {status}: {content[:200]}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"{f'{target.host}:{target.port}: ' if target else ''}{error or type(error).__name__}"
        if target:
            nodes.lost(target)
        if time.monotonic() > until:
            break
        time.sleep(pause)
    return LOST, why


def ask_once(target: Target, url: str, body: str) -> tuple[int, str]:
    """Status and content.  Raises OSError or HTTPException where the node is gone, even without a word."""
    asked = http.client.HTTPConnection(target.host, target.port, timeout=ANSWER_S)
    try:
        asked.connect()
        _notice_death(asked.sock)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        asked.request("POST", url, body, headers | ({"Authorization": f"Bearer {target.key}"} if target.key else {}))
        response = asked.getresponse()
        return response.status, response.read().decode()
    finally:
        asked.close()


def _notice_death(connection: socket.socket) -> None:
    """A machine that lost its power is missed within half a minute, however long an answer takes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        with suppress(AttributeError, OSError):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
