"""Nodes that are played: an HTTP server that answers as one does, from what is asked alone; and can be killed."""

from __future__ import annotations

import hashlib
import http.server
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


class PlayedNode:
    """One that is on.  With `dies_after` so many answers it is gone, in the middle of the next; one that is `full` says
    503 to everything but /health.
    """

    def __init__(self, port: int = 0, *, dies_after: int | None = None, full: bool = False, delay_s: float = 0) -> None:
        self.dies_after, self.full, self.delay_s = dies_after, full, delay_s
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self._numbers = itertools.count(1)
        node = self

        class Handler(_Handler):
            played = node

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *what: None  # type: ignore[method-assign]
        self.port: int = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What a node says: the same to the same request, but for its number, the time and what it remembers."""
        number = next(self._numbers)
        if "temperature" in body and not isinstance(body["temperature"], int | float):
            return 400, {"error": {"message": "temperature has to be a number", "type": "invalid_request_error"}}
        said = hashlib.sha256(json.dumps([path, body], sort_keys=True).encode()).hexdigest()
        return 200, {"id": f"chatcmpl-{self.port}-{number}", "object": "chat.completion", "created": int(time.time()),
                     "model": body.get("model", "played"), "choices": [{
                         "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
                     "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
                               "prompt_tokens_details": {"cached_tokens": number % 3}},
                     "timings": {"predicted_per_second": time.time()}}

    def kill(self) -> None:
        """Off, at once."""
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    played: PlayedNode
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Its health."""
        self._send(200 if self.path == "/health" else 404, {"status": "ok"})

    def do_POST(self) -> None:
        """An answer."""
        node = self.played
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if node.full:
            self._send(503, {"error": {"message": "all slots are taken"}})
            return
        time.sleep(node.delay_s)
        node.asked.append(body)
        node.keys.append(self.headers["Authorization"])
        if node.dies_after is not None and len(node.asked) > node.dies_after:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"id")
            self.close_connection = True
            threading.Thread(target=node.kill, daemon=True).start()
        elif body.get("stream"):
            self._stream()
        else:
            self._send(*node.answer(self.path, body))

    def log_message(self, *what: object) -> None:
        """Nothing."""

    def _send(self, status: int, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After", "1") if status == 503 else None
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in (b"data: 1\n\n", b"data: [DONE]\n\n"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(0.5)
        self.wfile.write(b"0\r\n\r\n")


@contextmanager
def played_nodes(*choices: dict[str, Any]) -> Iterator[list[PlayedNode]]:
    """Some that are on while this lasts."""
    with ExitStack() as off:
        nodes = [PlayedNode(**choice) for choice in choices]
        for node in nodes:
            off.callback(node.kill)
        yield nodes
