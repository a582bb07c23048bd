"""Hostile clients of a node: damaged requests, half ones, slow ones, huge heads, others behind one another, hang-ups.

    python -m tools.hostile MODEL.blm [--requests 1000000] [--seed 1]

serves the model on the hosted machine and says how many requests were sent, how many honest ones were answered
meanwhile, and how much memory the machine's process had at the beginning and at the end.  Exit code 1 where an honest
request had another answer than before, or the node ended.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from barelm.aot.build import build_program
from barelm.disk import write_image
from barelm.errors import BarelmError
from barelm.machine.hosted import Hosted, HostedSession
from barelm.machine.machine import Forward, Spec
from barelm.settings import Settings

BODY = b'{"messages":[{"role":"user","content":"hello"}],"max_tokens":1,"seed":1}'
HONEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
OTHERS = (
    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /tokenize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\n{\"con\r\n11\r\ntent\": \"a text\"}  \r\n0\r\n\r\n",
    b"GET /metrics HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n{\"a\":")
PATIENCE_S, HANG_S, AT_ONCE = 60, 2, 6
EVERY_S = 5


class Attack:
    """Clients that mean no good, and one that does."""

    def __init__(self, session: HostedSession, wanted: int, seed: int) -> None:
        self.session, self.wanted, self.seed = session, wanted, seed
        self.sent = self.honest = 0
        self.wrong: list[bytes] = []
        self.ended = ""  # what the machine said last, where it ended by itself
        self.over = threading.Event()
        self._lock = threading.Lock()

    def peer(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(("127.0.0.1", self.session.port), timeout=PATIENCE_S)

    def ask(self) -> bytes:
        """The words that are answered to an honest request."""
        with self.peer() as peer:
            peer.sendall(HONEST.replace(b"Host: x", b"Host: x\r\nConnection: close"))
            came = b""
            while more := peer.recv(1 << 16):
                came += more
        return came.partition(b'"content":')[2].partition(b',"')[0]

    def watch(self) -> None:
        """Ask honestly now and then."""
        expected = self.ask()
        while not self.over.wait(0.2):
            try:
                found = self.ask()
            except OSError as error:
                found = str(error).encode()
            self.honest += 1
            if found != expected:
                self.wrong.append(found)

    def run(self, number: int) -> None:
        """Send hostile requests until there are enough."""
        draw = random.Random(self.seed * 1000 + number)
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                n = self.once(draw)
                with self._lock:
                    self.sent += n
                    if self.sent >= self.wanted:
                        self.over.set()

    def once(self, draw: random.Random) -> int:
        """One connection; returns how many requests went over it."""
        kind = draw.random()
        with self.peer() as peer:
            peer.settimeout(HANG_S)
            if kind < 0.02:
                peer.sendall(b"GET / HTTP/1.1\r\n" + b"X-Long: %b\r\n" % (b"a" * draw.randint(100, 40000)) * 3)
                return 1
            if kind < 0.03:
                for byte in HONEST[:draw.randint(1, 60)]:
                    peer.sendall(bytes([byte]))
                    time.sleep(0.002)
                return 1
            if kind < 0.05:
                peer.sendall(HONEST.replace(b"}],", b"}],\"stream\":true,").replace(b"72", b"86") * 2)
                return 2
            requests = [damaged(draw) for _ in range(draw.randint(1, 40))]
            peer.sendall(b"".join(requests))
            if kind < 0.3:
                peer.shutdown(socket.SHUT_WR)
            if kind < 0.9:
                with contextlib.suppress(TimeoutError):
                    while peer.recv(1 << 16):
                        pass
            return len(requests)


def damaged(draw: random.Random) -> bytes:
    """A request with a few bytes others than they should be; now and then none is."""
    request = bytearray(draw.choice((HONEST, *OTHERS)) if draw.random() < 0.2 else draw.choice(OTHERS))
    for _ in range(draw.choice((0, 1, 1, 2, 5))):
        at = draw.randrange(len(request))
        request[at:at + draw.choice((0, 1, 1, 3))] = draw.choice((
            b"", draw.randbytes(1), draw.randbytes(3), b"\r\n", b"\0", b" ", b"99999999999", b'"', b"{[" * 30))
    return bytes(request)


def memory_kb(pid: int) -> int:
    """Of a process and its children."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, KeyError, ValueError):
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if int(fields["Pid"]) == pid or int(fields["PPid"]) == pid:
                total += int(fields["VmRSS"].split()[0])
    return total


def attack(session: HostedSession, wanted: int, seed: int) -> int:
    """All of it; returns the exit code."""
    said = bytearray()
    while b"Serving" not in said:
        said += session.read(PATIENCE_S)

    crowd = Attack(session, wanted, seed)

    def listen() -> None:
        words = b""
        try:
            while more := session.read(1e6):
                words = (words + more)[-2000:]
        except (BarelmError, OSError, ValueError) as end:
            words += str(end).encode()
        crowd.ended = words.decode(errors="replace")
        crowd.over.set()

    threading.Thread(target=listen, daemon=True).start()
    crowd.ask()
    before, began = memory_kb(session.pid), time.monotonic()
    threads = [threading.Thread(target=crowd.run, args=(k,)) for k in range(AT_ONCE)]
    threads.append(threading.Thread(target=crowd.watch))
    for thread in threads:
        thread.start()
    while not crowd.over.wait(EVERY_S):
        print(f"{crowd.sent} sent, {crowd.honest} honest ones answered, {memory_kb(session.pid)} KB", file=sys.stderr)
    for thread in threads:
        thread.join(PATIENCE_S)
    if crowd.ended:
        print(f"after {crowd.sent} hostile requests the node ended: {crowd.ended}")
        return 1
    answered = crowd.ask()
    print(f"{crowd.sent} hostile requests in {time.monotonic() - began:.0f} s; {crowd.honest} honest ones answered, "
          f"{len(crowd.wrong)} of them wrongly; memory {before} to {memory_kb(session.pid)} KB; "
          f"in the end it answers {answered.decode(errors='replace')}")
    return int(bool(crowd.wrong) or not answered)


def main() -> int:
    """Serve, and be hostile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "node.img"
        settings = Settings(serve=True, wait=0, at_end="shutdown")
        write_image(image, {"EFI/BOOT/BOOTX64.EFI": build_program(), "barelm.toml": settings.toml(),
                            "model.blm": asked.model}, free_bytes=1 << 23)
        with Hosted().start(Spec(image, 512, 1, forward=Forward(0, settings.port))) as session:
            return attack(session, asked.requests, asked.seed)


if __name__ == "__main__":
    sys.exit(main())
