"""Nodes that serve, on the hosted machine, and what a client says to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barelm.errors import BarelmError
from barelm.machine.hosted import Hosted, HostedSession
from barelm.machine.machine import Forward, Spec
from barelm.settings import Settings
from tests.appliance.chatty import Chatty, volume_of

MEMORY_MB = 320
PATIENCE_S = 120
CHAT = "/v1/chat/completions"


@dataclass
class ServingNode:
    """One that serves."""

    session: HostedSession
    packed: Path
    said: bytearray
    listener: threading.Thread | None = None

    @property
    def base(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.session.port}"

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.session.port, timeout=PATIENCE_S)

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, head and body of an answer, on a connection of its own."""
        connection = self.connection()
        with contextlib.closing(connection):
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request("GET" if content is None else "POST", path, content, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def json(self, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer that has to be one."""
        status, _, content = self.ask(path, body, **headers)
        assert status == 200, content
        return json.loads(content)

    def chat(self, said: str, **more: Any) -> Any:
        """What is answered to a question."""
        return self.json(CHAT, {"messages": [{"role": "user", "content": said}], **more})

    def end(self) -> int | None:
        """Have it end in order; returns its status."""
        self.session.send("\x03")
        assert self.listener is not None
        self.listener.join(PATIENCE_S)
        assert not self.listener.is_alive(), bytes(self.said[-500:])
        return self.session.status


@contextlib.contextmanager
def serving(folder: Path, *, cores: int = 2, machine: Hosted | None = None, chatty: Chatty | None = None,
            memory_mb: int = MEMORY_MB, **settings: Any) -> Iterator[ServingNode]:
    """A node that answers already."""
    image, model = folder / "node.img", folder / "model.blm"
    (chatty or Chatty(3, 1024)).write(model)
    volume_of(image, Settings(serve=True, wait=0, cores=cores, **settings), {"model.blm": model})
    spec = Spec(image, memory_mb, cores, forward=Forward(0, 8080))
    with (machine or Hosted()).start(spec) as session:
        node = ServingNode(session, model, bytearray())
        while b"Serving" not in node.said:
            node.said += session.read(PATIENCE_S)
        node.listener = threading.Thread(target=_listen, args=(node,), daemon=True)
        node.listener.start()
        yield node


def _listen(node: ServingNode) -> None:
    with contextlib.suppress(BarelmError, OSError, ValueError):
        while content := node.session.read(PATIENCE_S):
            node.said += content
