"""Requests of HTTP/1.1 against h11, cut anywhere, and damaged."""

from __future__ import annotations

import random
from dataclasses import dataclass

import h11
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.serving import http_state as http
from barelm.contract.serving.http_state import RequestHead
from barelm.contract.serving.request_state import BODY_BYTES
from barelm.dialect.memory import text
from barelm.kernels.web import http_request, request_target
from barelm.kernels.web.http_request import COMPLETE, INCOMPLETE, REFUSED
from tests.worlds import World, both_worlds, interpreter, jit

HOST = b"Host: node\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Read:
    """What became of the bytes of a request."""

    came: int
    head: RequestHead
    data: np.ndarray[tuple[int], np.dtype[np.uint8]]

    @property
    def body(self) -> bytes:
        return self.data[self.head.body_lo:self.head.body_hi].tobytes()

    def field(self, number: int) -> bytes:
        return self.data[int(self.head.fields[2 * number]):int(self.head.fields[2 * number + 1])].tobytes()

    @property
    def result(self) -> tuple[int, bytes]:
        """All that counts of it."""
        words = self.head.base.tobytes() if self.came == COMPLETE else bytes([self.head.why])
        return self.came, words + (self.body if self.came == COMPLETE else b"")


def read(world: World, raw: bytes, *cuts: int, room: int = http.RECEIVED_BYTES) -> Read:
    """Read a request whose bytes come in pieces."""
    head = RequestHead.over(np.full(RequestHead.BYTES, 255, np.uint8))
    world(http_request.begin_request)(head)
    data, came = np.zeros(room, np.uint8), INCOMPLETE
    raw = raw[:room]
    for lo, hi in zip([0, *sorted(cuts)], [*sorted(cuts), len(raw)]):
        data[lo:hi] = np.frombuffer(raw[lo:hi], np.uint8)
        came = int(world(http_request.read_head)(data, min(hi, len(raw)), head))
        if came != INCOMPLETE:
            break
    return Read(came, head, data)


@both_worlds
def test_a_request_and_the_next(world: World) -> None:
    raw = b"\r\n" + POST + b"authorization:\t Bearer a b \r\nContent-Length: 3\r\norigin:\r\n\r\nabc"
    found = read(world, raw + GET)
    assert found.came == COMPLETE and found.body == b"abc" and found.head.n_bytes == len(raw)
    assert (found.head.route, found.head.method, found.head.keep_alive) == (http.CHAT, http.POST, 1)
    assert found.field(http.AUTHORIZATION) == b"Bearer a b" and found.field(http.ORIGIN) == b""
    assert read(world, raw[:-1]).came == INCOMPLETE


@both_worlds
def test_chunks_are_put_together_in_place(world: World) -> None:
    raw = CHUNKED + b"3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\nX-Sum: 5\r\n\r\n"
    found = read(world, raw + b"next")
    assert found.came == COMPLETE and found.body == b"abc0123456789" and found.head.n_bytes == len(raw)


REFUSALS = {
    b"GET / HTTP/1.1\nHost: a\r\n\r\n": 400, b"\x16\x03\x01": 400, b"GET  / HTTP/1.1\r\n": 400, b"\r\n\r\n": 400,
    b"GET /\r\n": 400, b"GET / HTTP/1.1 \r\n": 400, b"GET / http/1.1\r\n": 400, b"G@T / HTTP/1.1\r\n": 400,
    b"GET /\xc3\xbc HTTP/1.1\r\n": 400, b"GET /#a HTTP/1.1\r\n": 400, b"GET /%4 HTTP/1.1\r\n": 400,
    b"GET /%4g HTTP/1.1\r\n": 400, b"GET * HTTP/1.1\r\n": 400, b"CONNECT a:80 HTTP/1.1\r\n": 400,
    b"GET http:// HTTP/1.1\r\n": 400, b"GET /a\rb HTTP/1.1\r\n": 400,
    b"PRI * HTTP/2.0\r\n": 505, b"GET / HTTP/0.9\r\n": 505, b"GET / HTTP/1.2\r\n": 505,
    b"GET / HTTP/1.1\r\n\r\n": 400, GET + HOST: 400, GET + b"A : b\r\n": 400, GET + b"A: b\r\n c\r\n": 400,
    GET + b": b\r\n": 400, GET + b"A\r\n": 400, GET + b"A: \x01\r\n": 400, GET + b"A: b\n": 400, GET + b"A: \x7f": 400,
    GET + b"A: b\rc\r\n": 400,
    POST + b"Content-Length: 3\r\nContent-Length: 4\r\n": 400, POST + b"Content-Length: +3\r\n": 400,
    POST + b"Content-Length: 3, 3\r\n": 400, POST + b"Content-Length:\r\n": 400, POST + b"Content-Length: 0x3\r\n": 400,
    POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n": 400,
    POST + b"Transfer-Encoding: gzip, chunked\r\n": 501, POST + b"Transfer-Encoding: identity\r\n": 501,
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n": 400, POST + b"Expect: gold\r\n": 417,
    POST + b"Authorization: a\r\nAuthorization: b\r\n": 400,
    POST + f"Content-Length: {BODY_BYTES + 1}\r\n\r\n".encode(): 413,
    POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n": 413,
    b"GET /" + b"a" * http.LINE_BYTES: 414, GET + b"A: " + b"b" * http.LINE_BYTES: 431,
    GET + b"A: b\r\n" * (http.MOST_FIELDS + 1): 431, GET + (b"A: " + b"b" * 8000 + b"\r\n") * 3: 431,
    CHUNKED + b"\r\n": 400, CHUNKED + b"3 \r\n": 400, CHUNKED + b"g\r\n": 400, CHUNKED + b"-1\r\n": 400,
    CHUNKED + b"000000001\r\n": 400, CHUNKED + b"1\r\nab\r\n": 400, CHUNKED + b"1\n": 400,
    CHUNKED + b"1;" + b"a" * 300: 400,
    CHUNKED + b"7fffffff\r\n": 413, CHUNKED + b"0\r\nA b\r\n": 400,
    CHUNKED + b"1\r\na\r\n" * (http.RECEIVED_BYTES // 6): 413, CHUNKED + b"0\r\n" + b"A: b\r\n" * 300: 431,
}


@pytest.mark.parametrize(("raw", "status"), REFUSALS.items(), ids=[str(raw[-30:]) for raw in REFUSALS])
def test_what_is_refused(raw: bytes, status: int) -> None:
    whole = read(jit, raw)
    assert (whole.came, whole.head.refusal, whole.head.keep_alive) == (REFUSED, status, 0)
    assert http.HTTP_REFUSALS[whole.head.why].status == status
    assert read(jit, raw, *range(1, len(raw), 1 + len(raw) // 300)).result == whole.result


@both_worlds
@pytest.mark.parametrize(("line", "route"), [
    ("GET /", http.PAGE), ("HEAD /?a=/health", http.PAGE), ("GET http://node:80/health?x", http.HEALTH),
    ("GET HTTPS://node", http.PAGE), ("GET http://node?x=1", http.PAGE), ("GET /v1/m%6Fdels", http.MODELS),
    ("GET /v1/models/a/b.blm", http.MODEL), ("POST /api/chat", http.OLLAMA_CHAT_ROUTE), ("OPTIONS *", http.PREFLIGHT),
    ("OPTIONS /v1/chat/completions", http.PREFLIGHT), ("POST /v1/messages", http.MESSAGES),
    ("GET /v1/models/", http.NOT_FOUND), ("GET /health/", http.NOT_FOUND), ("GET /Health", http.NOT_FOUND),
    ("GET /health%00", http.NOT_FOUND), ("GET /%2fhealth", http.NOT_FOUND), ("POST /health", http.WRONG_METHOD),
    ("GET /v1/chat/completions", http.WRONG_METHOD), ("PATCH /health", http.WRONG_METHOD)])
def test_routes(world: World, line: str, route: int) -> None:
    found = read(world, f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (found.came, found.head.route) == (COMPLETE, route)
    assert found.head.refusal == {http.NOT_FOUND: 404, http.WRONG_METHOD: 405}.get(route, 0)
    assert found.head.keep_alive == 1


@both_worlds
@pytest.mark.parametrize(("version", "fields", "kept"), [
    ("1.1", "", 1), ("1.1", "Connection: close\r\n", 0), ("1.1", "Connection: x ,\tClose\r\n", 0),
    ("1.0", "", 0), ("1.0", "Connection: keep-alive\r\n", 1), ("1.0", "Connection: keep-alive, close\r\n", 0),
    ("1.1", "Connection: x\r\nConnection: close\r\n", 0), ("1.1", "Connection: closed\r\n", 1)])
def test_keep_alive(world: World, version: str, fields: str, kept: int) -> None:
    assert read(world, f"GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode()).head.keep_alive == kept


@both_worlds
def test_who_waits_for_leave_to_send(world: World) -> None:
    expecting = POST + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    found = read(world, expecting)
    assert (found.came, found.head.expects_continue, found.head.stage) == (INCOMPLETE, 1, http.IN_SIZED)
    assert read(world, expecting.replace(b" 3", b" 0")).head.expects_continue == 0
    assert read(world, expecting.replace(b"HTTP/1.1", b"HTTP/1.0")).head.expects_continue == 0


@both_worlds
@pytest.mark.parametrize(("fields", "key", "allowed"), [
    ("", "", True), ("", "k", False), ("Authorization: Bearer k\r\n", "k", True), ("x-api-key: k\r\n", "k", True),
    ("Authorization: bearer  k\r\n", "k", True), ("Authorization: Bearer kk\r\n", "k", False),
    ("Authorization: Basic k\r\n", "k", False), ("Authorization: k\r\n", "k", False),
    ("Authorization: Bearer \r\n", "k", False), ("Authorization: Bearer x\r\nX-Api-Key: k\r\n", "k", True),
    ("Authorization: Bearer ke\r\n", "key", False), ("Authorization: Bearer key\r\n", "key", True)])
def test_keys(world: World, fields: str, key: str, allowed: bool) -> None:
    found = read(world, GET + fields.encode() + b"\r\n")
    assert found.came == COMPLETE
    assert bool(world(http_request.is_allowed)(found.data, found.head, np.frombuffer(key.encode(), np.uint8).copy())
                ) == allowed


def test_queries() -> None:
    found = read(interpreter, b"GET /slots?a&fail_on_no_slot=1&b= HTTP/1.1\r\n" + HOST + b"\r\n")
    value = [request_target.query_value(found.data, found.head, text(name))
             for name in ("fail_on_no_slot", "a", "b", "c")]
    assert [found.data[lo:hi].tobytes() if lo >= 0 else None for lo, hi in value] == [b"1", b"", b"", None]


NAMES = st.sampled_from(["A", "Content-Length", "Transfer-Encoding", "Connection", "Host", "X-Y", "Expect"])
VALUES = st.sampled_from(["", "1", "3", " 7 ", "chunked", "close", "keep-alive", "100-continue", "\u00fc", "a, b",
                          "a\tb"])
BODIES = st.sampled_from([b"", b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n",
                          b"2;a=b\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n"])
REQUESTS = st.tuples(
    st.sampled_from(["GET / HTTP/1.1", "POST /tokenize HTTP/1.1", "POST /v1/messages HTTP/1.0", "PUT /x?y HTTP/1.1"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4), st.sampled_from(["Host: a\r\n", ""]), BODIES).map(
        lambda parts: f"{parts[0]}\r\n{parts[2]}".encode() + b"".join(
            f"{name}: {value}\r\n".encode() for name, value in parts[1]) + b"\r\n" + parts[3])


def of_h11(raw: bytes) -> tuple[str, bytes, bool] | None:
    """Method, body, and whether the connection stays; None: refused, or it is not all there."""
    peer, body, request = h11.Connection(h11.SERVER), b"", None
    try:
        peer.receive_data(raw)
        while not isinstance(event := peer.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert request is not None
    return request.method.decode(), body, peer.their_state is not h11.MUST_CLOSE


@given(raw=REQUESTS)
@settings(max_examples=500)
def test_what_is_taken_h11_takes_the_same_way(raw: bytes) -> None:
    found = read(jit, raw)
    theirs = of_h11(raw)
    if found.came == COMPLETE:
        method = [*http.METHODS, "PUT"][found.head.method]
        kept = bool(found.head.keep_alive)
        assert theirs is not None and theirs[:2] == (method, found.body)
        assert theirs[2] == kept or b"HTTP/1.0" in raw  # h11 keeps none of these
    elif theirs is not None:
        assert found.head.refusal in (400, 417, 501), "stricter, but not deaf"


@given(raw=REQUESTS, more=st.binary(max_size=5), cuts=st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=500)
def test_how_the_bytes_are_cut_says_nothing(raw: bytes, more: bytes, cuts: list[int]) -> None:
    whole = read(jit, raw + more)
    cuts = [cut for cut in cuts if cut <= len(raw + more)]
    for world in (interpreter, jit):
        assert read(world, raw + more, *cuts).result == whole.result


def test_damaged_requests_do_no_harm() -> None:
    dice = random.Random(5)
    seeds = [*REFUSALS, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", POST + b"Content-Length: 3\r\n\r\nabc"]
    seeds = [seed for seed in seeds if len(seed) < 1000]
    for _ in range(3000):
        raw = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            raw[dice.randrange(len(raw))] = dice.choice([dice.randrange(256), 10, 13, 32, 48, 58])
        cuts = sorted(dice.randrange(len(raw)) for _ in range(3))
        found = read(jit, bytes(raw), *cuts, room=1200)
        assert found.result == read(jit, bytes(raw), room=1200).result
        assert 0 <= found.head.body_lo <= found.head.body_hi <= http.RECEIVED_BYTES
