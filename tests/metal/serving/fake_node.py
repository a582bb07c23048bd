"""A node without a model: the writers of the real one say what a test wants, as slowly as it wants."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from barelm.contract.serving.answer_state import KEPT, TEXT, THOUGHT
from barelm.contract.serving.request_state import OPENAI_CHAT
from barelm.kernels.web.answers import node_facts, telling
from barelm.kernels.web.answers.telling import Refusal
from barelm.metal.serving.node_page import put_page
from tests.kernels.web.answers.node import NONE, node_names, telling_of, u8
from tests.kernels.web.answers.test_node_facts import node_figures
from tests.worlds import interpreter


@dataclass
class FakeNode:
    """What it says, and what it was asked."""

    pieces: list[tuple[int, str]] = field(default_factory=list)
    key: str = ""
    refusals: list[tuple[int, str]] = field(default_factory=list)  # of the next questions
    breaks: bool = False  # the connection does, behind the pieces
    waits: bool = False  # behind the first piece, until the client goes or `go` is set
    reason: int = 0
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[Any] = field(default_factory=list)
    left: int = 0  # clients that went
    url: str = ""

    def says(self, *pieces: str, thought: str = "") -> None:
        """Of the next answers."""
        self.pieces = [(THOUGHT, thought)] * bool(thought) + [(TEXT, piece) for piece in pieces]


def said(writer: Any, *arguments: Any) -> bytes:
    """What a writer says."""
    target = np.zeros(1 << 16, np.uint8)
    n = int(interpreter(writer)(target, 0, *arguments))
    assert n > 0
    return target[:n].tobytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """One client of a node."""

    protocol_version = "HTTP/1.1"
    node: FakeNode

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is."""

    def handle_one_request(self) -> None:
        """A client may go whenever it likes."""
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def allowed(self) -> bool:
        """Whether the key is the right one; where not, that is said."""
        if not self.node.key or self.headers.get("Authorization") == f"Bearer {self.node.key}":
            return True
        self.wfile.write(said(telling.put_refusal, Refusal(0, 401, 0, KEPT, u8("A key is needed."), u8(""))))
        return False

    def do_GET(self) -> None:
        """The page, and what it wants to know."""
        if self.path == "/":
            self.wfile.write(said(put_page, KEPT))
        elif self.path != "/props":
            self.wfile.write(said(telling.put_refusal, Refusal(0, 404, 0, KEPT, u8("Nothing is here."), u8(""))))
        elif self.allowed():
            self.wfile.write(said(node_facts.put_fact, node_facts.PROPS, KEPT, node_names("tiny-stories"),
                                  node_figures()))

    def do_POST(self) -> None:
        """An answer, or why there is none."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        self.node.asked.append(body)
        if self.node.refusals:
            status, words = self.node.refusals.pop(0)
            self.wfile.write(said(telling.put_refusal, Refusal(0, status, 1, KEPT, u8(words), u8(""))))
            return
        try:
            self.answer()
        except ConnectionError:
            self.node.left += 1
            self.close_connection = True

    def answer(self) -> None:
        """The pieces, one after another."""
        t = telling_of(OPENAI_CHAT, reason=self.node.reason)
        self.wfile.write(said(telling.put_opening, t))
        for k, (kind, piece) in enumerate(self.node.pieces):
            self.wfile.write(said(telling.put_piece, t, kind, u8(piece), NONE))
            while self.node.waits and k == 0 and not self.node.go.wait(0.02):
                self.wfile.write(said(telling.put_waiting, t))
        if self.node.breaks:
            self.close_connection = True
            return
        self.wfile.write(said(telling.put_ending, t))


class Server(http.server.ThreadingHTTPServer):
    """Its clients' threads are waited for by nobody."""

    daemon_threads = True


def serve(node: FakeNode) -> Server:
    """Begin to serve at a free port; who stops it calls `shutdown` and `server_close`."""
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"node": node}))
    node.url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
