"""A node that answers in tests: its names, a vocabulary of a few pieces, and what it says read as a client does."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from typing import Any

import h11
import numpy as np

from barelm.contract.serving.answer_state import Answer, NodeNames
from barelm.contract.serving.request_state import Terms
from barelm.dialect.types import I64, U8
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.kernels.text.tool_turns import CALL, ROW_WORDS, ToolTalk
from barelm.kernels.web.answers import telling
from barelm.kernels.web.answers.answer_fields import Telling
from tests.worlds import World, jit

PIECES = (b"Hello", b" w\xc3\xb6rld", b"\n\"", b"\xf0\x9f", b"\x98\x80")
ROOM = 1 << 15
CREATED = 1_795_719_134  # 2026-11-26T18:52:14Z
NONE: I64 = np.zeros(0, np.int64)


def u8(data: bytes | str) -> U8:
    """Bytes as an array."""
    return np.frombuffer(data.encode() if isinstance(data, str) else data, np.uint8).copy()


def vocabulary() -> Vocabulary:
    """PIECES, and nothing else."""
    i32, i64, bytes_ = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    ends = np.cumsum([len(piece) for piece in PIECES]).astype(np.int32)
    return Vocabulary(2, -1, 0, 0, 0, 0, u8(b"".join(PIECES)), ends, i64, i32, i64, i64, i32, i32, i32, 0, 0, bytes_, 0,
                      i32, bytes_, 0, i32, bytes_)


def node_names(model: str = "m\u00f6del \"x\"", version: str = "0.1.0") -> NodeNames:
    """Names as the node keeps them."""
    names = NodeNames.over(np.zeros(NodeNames.BYTES, np.uint8))
    names.model[:len(model.encode())] = u8(model)
    names.version[:len(version.encode())] = u8(version)
    names.context, names.n_slots = 4096, 4
    names.n_vocabulary, names.n_trained, names.model_bytes = 32000, 8192, 123_456_789
    return names


def telling_of(api: int, **fields: int) -> Telling:
    """An answer with some numbers; fields of terms and of the answer by their names."""
    terms = Terms.over(np.zeros(Terms.BYTES, np.uint8))
    answer = Answer.over(np.zeros(Answer.BYTES, np.uint8))
    terms.api, terms.alternatives, terms.include_usage = api, -1, 1
    answer.number, answer.created = 0x123456789ABCDEF0, CREATED
    answer.n_prompt, answer.n_cached, answer.n_made = 12, 4, 34
    answer.prompt_us, answer.making_us = 250_000, 2_000_000
    for name, value in fields.items():
        setattr(answer if name in Answer.FIELDS else terms, name, value)
    return Telling(node_names(), terms, answer, vocabulary())


def calls_of(*calls: tuple[str, str, str]) -> ToolTalk:
    """Calls of tools: name, arguments, id."""
    rows, said = np.zeros(ROW_WORDS * max(len(calls), 1), np.int64), b""
    for k, (name, arguments, own) in enumerate(calls):
        row = [CALL]
        for part in (arguments, name, own):
            row += [len(said), len(said) + len(part.encode())]
            said += part.encode()
        rows[ROW_WORDS * k:ROW_WORDS * (k + 1)] = row
    return ToolTalk(rows, len(calls), u8(said))


def told_of(*tokens: Sequence[tuple[int, float]]) -> I64:
    """Tokens with the logarithms of their probabilities, as the writers take them."""
    return np.array([(token, int(np.float32(value).view(np.uint32))) for pairs in tokens for token, value in pairs],
                    np.int64).reshape(-1)


NO_CALLS = calls_of()


class Stream:
    """A stream as it is told, and whether every writer says -1 where there is no room."""

    def __init__(self, world: World, t: Telling) -> None:
        self.world, self.t, self.n = world, t, 0
        self.target = np.zeros(ROOM, np.uint8)
        self.put(telling.put_opening)

    def put(self, writer: Any, *arguments: Any) -> None:
        """One more writer; with a byte too little it has to say so, and to change nothing."""
        before = self.state()
        end = int(self.world(writer)(self.target, self.n, self.t, *arguments))
        assert end >= self.n
        after = self.state()
        if end > self.n and self.world is jit:
            self.restore(before)
            assert int(self.world(writer)(self.target[:end - 1].copy(), self.n, self.t, *arguments)) == -1
            assert self.state() == before
            self.restore(after)
        self.n = end

    def state(self) -> bytes:
        """The bytes of the answer."""
        return ctypes.string_at(self.t.answer.address, Answer.BYTES)

    def restore(self, state: bytes) -> None:
        """The answer as it was."""
        ctypes.memmove(self.t.answer.address, state, len(state))

    def say(self, kind: int, text: str, told: I64 = NONE) -> None:
        """A piece."""
        self.put(telling.put_piece, kind, u8(text), told)

    def end(self) -> Heard:
        """The end, and what a client heard."""
        self.put(telling.put_ending)
        return heard(self.target[:self.n].tobytes())


class Heard:
    """An answer as a client of HTTP reads it."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        """A body that is JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """A body of JSON in lines."""
        return [json.loads(line) for line in self.body.decode().splitlines()]

    @property
    def events(self) -> list[tuple[str, str]]:
        """A body of server-sent events: their names and data."""
        assert self.body.endswith(b"\n\n")
        found = []
        for event in self.body.decode()[:-2].split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.split("\n"))
            found.append((fields.get("event", ""), fields.get("data", "")))
        return found


def heard(data: bytes, method: str = "GET") -> Heard:
    """Exactly one answer, read by h11; the connection can be used for another where it says so."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "node")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    head = client.next_event()
    assert isinstance(head, h11.Response), head
    headers = {name.decode(): value.decode() for name, value in head.headers}
    if not {"content-length", "transfer-encoding"} & set(headers) and head.status_code != 204:
        client.receive_data(b"")
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += bytes(event.data)
    assert client.trailing_data[0] == b""
    assert (client.their_state is h11.DONE) == (headers["connection"] == "keep-alive")
    return Heard(head.status_code, headers, body)


def said_of(world: World, writer: Any, *arguments: Any) -> bytes:
    """What a writer says; with a byte too little it has to say that."""
    target = np.zeros(ROOM, np.uint8)
    n = int(world(writer)(target, 0, *arguments))
    assert n > 0 and int(world(writer)(target[:n - 1].copy(), 0, *arguments)) == -1
    return target[:n].tobytes()


def whole_bytes(world: World, api: int, said: str | bytes, thought: str = "", calls: ToolTalk = NO_CALLS,
                told: I64 = NONE, **fields: int) -> bytes:
    """A whole answer."""
    return said_of(world, telling.put_whole, telling_of(api, **fields), u8(said), u8(thought), calls, told)


def whole(world: World, api: int, said: str | bytes, *arguments: Any, **more: Any) -> Heard:
    """The same as its client hears it."""
    return heard(whole_bytes(world, api, said, *arguments, **more))
