"""A web server that knows ranges, and can be made to break off, to be slow, or to know none."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web(ThreadingHTTPServer):
    """`files` by their paths; `cuts` are after how many bytes of a body the next answers break off."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.cuts, self.asked = files, list[int](), list[str]()
        self.knows_ranges, self.closes = True, False


class Answer(BaseHTTPRequestHandler):
    """One answer after another."""

    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        """A range of a file."""
        asked = self.headers["Range"] or ""
        self.server.asked.append(f"{self.path} {asked}")
        content = self.server.files.get(self.path)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if content is None or found is None:
            self.answer(404 if content is None else 200, content or b"", "")
            return
        first, last = int(found[1]), min(int(found[2]), len(content) - 1)
        if not self.server.knows_ranges:
            self.answer(200, content, "")
        elif first > last:
            self.answer(416, b"", f"bytes */{len(content)}")
        else:
            self.answer(206, content[first:last + 1], f"bytes {first}-{last}/{len(content)}")

    do_HEAD = do_GET

    def answer(self, code: int, body: bytes, content_range: str) -> None:
        """Send it, or a part."""
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("CONTENT-Range", content_range)
        if self.server.closes:
            self.send_header("Connection", "close")
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts and len(body) > 1 else -1
        if self.command != "HEAD":
            self.wfile.write(body if cut < 0 else body[:cut])
        if cut >= 0 or self.server.closes:
            self.close_connection = True

    def handle(self) -> None:
        """A client may go in the middle."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *words: object) -> None:
        """Not to the terminal."""


@contextmanager
def serving_files(files: dict[str, bytes]) -> Iterator[Web]:
    """A server for a while."""
    with Web(files) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield web
        web.shutdown()
        thread.join()
