"""A Hugging Face Hub of a test's own, on this machine: it lists repositories, sends files, and fails as it is told."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What the hub has and how it behaves; `requests` notes what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.url = ""
        self.requests: list[tuple[str, str | None]] = []  # a file's path and the Range, for each download
        self.tokens: set[str | None] = set()  # what asked for a file
        self.elsewhere: set[str | None] = set()  # what came where files are, under another name of this machine
        self.cuts: list[int] = []  # after so many bytes the connection breaks: the next answers, in turn
        self.gated = 0  # a status that a file without a token gets
        self.status = 0  # a status that everything gets
        self.ranges = True
        self.small: set[str] = set()  # files kept in Git itself
        self.said: dict[str, bytes] = {}  # files described as if they held something else
        self.digests: dict[str, str | None] = {}  # files described with another digest than theirs
        self.architecture: str | None = None

    def describe(self, repository: str) -> dict[str, Any]:
        """A repository as the hub's interface describes it."""
        siblings = []
        for path, content in self.files[repository].items():
            content = self.said.get(path, content)
            entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git_digest(content)}
            if path not in self.small:
                digest = self.digests.get(path, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        gguf = {"gguf": {"architecture": self.architecture, "total": 1}} if self.architecture else {}
        return {"id": repository, "sha": COMMIT, "siblings": siblings, **gguf}


def git_digest(content: bytes) -> str:
    """What Git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the end of the context."""
    hub = Hub()

    class Handler(_Handler):
        """The handler of this hub."""

        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.served.status:
            self._fail(self.served.status, "")
        elif asked := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._describe(asked[1], asked[2])
        elif asked := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
            self._redirect(asked[1], asked[2])
        elif asked := re.fullmatch(r"/content/([^/]+/[^/]+)/(.+)", path):
            self._send_file(asked[1], asked[2])
        else:
            self._fail(404, "EntryNotFound")

    def _describe(self, repository: str, revision: str) -> None:
        if repository not in self.served.files:
            self._fail(401, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._fail(404, "RevisionNotFound")
        else:
            self._answer(200, json.dumps(self.served.describe(repository)).encode())

    def _redirect(self, repository: str, path: str) -> None:
        """Large files are elsewhere, as on the hub itself."""
        token = self.headers.get("Authorization")
        self.served.tokens.add(token)
        if self.served.gated and not token:
            self._fail(self.served.gated, "GatedRepo")
        else:
            elsewhere = self.served.url.replace("127.0.0.1", "localhost")
            self._answer(302, b"", Location=f"{elsewhere}/content/{repository}/{path}")

    def _send_file(self, repository: str, path: str) -> None:
        content, asked = self.served.files[repository][path], self.headers.get("Range")
        self.served.requests.append((path, asked))
        self.served.elsewhere.add(self.headers.get("Authorization"))
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.served.ranges else 0
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if self.served.cuts:
            self.wfile.write(content[first:first + self.served.cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(content[first:])

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, b'{"error": "it is said here too"}', **{"X-Error-Code": code} if code else {})

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""
