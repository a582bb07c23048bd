"""Requests read as clients send them, their terms and rows as Python has them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from barelm.contract.serving import request_state
from barelm.contract.serving.request_fields import REASONS, RequestReading
from barelm.contract.serving.request_state import Question, Terms
from barelm.contract.settings import ROWS, SettingsView
from barelm.dialect.memory import store_i64
from barelm.dialect.structs import Struct
from barelm.kernels.text.tool_turns import ID, NAME, ROW_WORDS, TEXT
from barelm.kernels.web import request_members, requests
from tests.worlds import World

EVERYTHING: dict[str, Any] = {
    "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5, "seed": 7, "stop": ["a", "\u00fc"],
    "max_tokens": 5, "options": {"num_predict": 5, "top_p": 1e-1}, "response_format": {"type": "json_object"},
    "think": True, "logprobs": True, "top_logprobs": 2, "n": 1, "prompt": "P", "tokens": [5],
    "system": [{"type": "text", "text": "S"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}, {"name": "g", "input_schema": {}}],
    "messages": [
        {"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "\ud83d\ude00"}]},
        {"role": "assistant", "content": "A", "tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "R"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}]}
"""A bit of all that a request can have."""
KINDS = ("system", "tool", "question", "reply", "call", "result")


@functools.cache
def node_settings(stop: bytes = b"") -> SettingsView:
    """The defaults, and a stop."""
    view = SettingsView.over(np.zeros(SettingsView.BYTES, np.uint8))
    for name, row in ROWS.items():
        store_i64(view.address + SettingsView.offset_of(name), row.word(row.default))
    stops = np.frombuffer(stop + b"\0", np.uint8).copy()
    view.stop.address, view.stop.n_bytes = stops.ctypes.data, len(stop)
    KEPT.append(stops)
    return view


KEPT: list[Any] = []


def fresh(kind: type[Struct]) -> Any:
    """A struct with anything in it."""
    return kind.over(np.full(kind.BYTES, 0x55, np.uint8))


@dataclass
class Asked:
    """A request as it was read."""

    reason: int
    terms: Terms
    q: Question
    reading: RequestReading
    message: str
    param: str
    code: str

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The conversation: kind, text, name and id of each part, the last two where there are any."""
        said, found = self.q.said.tobytes(), []
        for row in range(self.q.n_rows):
            words = [int(word) for word in self.q.rows[ROW_WORDS * row:ROW_WORDS * (row + 1)]]
            texts = [said[words[k]:words[k + 1]].decode() for k in (TEXT, NAME, ID)]
            found.append((KINDS[words[0]], *texts) if words[0] > 3 else (KINDS[words[0]], texts[0]))
        return found

    @property
    def stops(self) -> list[str]:
        return self.terms.stops[:self.terms.stop_bytes].tobytes().decode().split("\0")[:-1]


def ask(world: World, body: Any, api: int = request_state.OPENAI_CHAT, *, bare: int = 0, stop: bytes = b"") -> Asked:
    """Read a body: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    data = np.frombuffer(b"xx" + raw + b'"}', np.uint8).copy()
    terms, q, reading = fresh(Terms), fresh(Question), fresh(RequestReading)
    reason = int(world(requests.read_request)(data, 2, 2 + len(raw), api, node_settings(stop), bare, terms, q, reading))
    assert reason == reading.reason
    return Asked(reason, terms, q, reading, *(told(world, put, reading) for put in (
        request_members.put_reason, request_members.put_param, request_members.put_code)))


def told(world: World, put: Any, reading: RequestReading) -> str:
    """What is said of a refusal."""
    target = np.zeros(400, np.uint8)
    n = int(world(put)(target, 0, reading))
    assert all(int(world(put)(target[:room], 0, reading)) == -1 for room in range(0, n, 7))
    text = target[:n].tobytes().decode("ascii")
    assert not set(text) & set('"\\') and "{" not in text
    assert text or reading.reason == 0 or reading.member < 0
    assert REASONS[reading.reason]
    return text
