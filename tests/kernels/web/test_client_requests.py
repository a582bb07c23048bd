"""What official clients send, heard on a socket and read: curl and the packages of OpenAI, Anthropic and Ollama."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from barelm.contract.serving import http_state as http
from barelm.kernels.web.http_request import COMPLETE, INCOMPLETE, is_allowed
from barelm.kernels.web.requests import form_of
from tests.kernels.web.asking import Asked, ask
from tests.kernels.web.test_http_request import Read, read
from tests.worlds import jit

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
MESSAGES: Any = [{"role": "system", "content": "S"}, {"role": "user", "content": "H\u00e9"}]
ANSWER = b"HTTP/1.1 400 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def sent(call: Callable[[str], object]) -> Read:
    """The request that a client makes of the address it is given; it is answered with an error."""
    heard: list[Read] = []

    def serve() -> None:
        connection, raw = server.accept()[0], b""
        with connection:
            while not heard and (more := connection.recv(1 << 16)):
                raw += more
                found = read(jit, raw)
                if found.head.expects_continue and found.came == INCOMPLETE:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                heard.extend([found] * (found.came != INCOMPLETE))
            connection.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = threading.Thread(target=serve, daemon=True)
        listening.start()
        with contextlib.suppress(Exception):
            call(f"http://127.0.0.1:{server.getsockname()[1]}")
        listening.join(60)
    assert heard and heard[0].came == COMPLETE
    return heard[0]


def asked(found: Read, route: int) -> Asked:
    """What the request asks for."""
    assert (found.head.route, found.head.refusal, found.head.keep_alive) == (route, 0, 1)
    question = ask(jit, found.body, form_of(route))
    assert question.message == ""
    return question


def shows_key(found: Read) -> bool:
    """Whether the client shows the key that it was given."""
    return bool(jit(is_allowed)(found.data, found.head, np.frombuffer(b"k", np.uint8).copy()))


def test_openai() -> None:
    openai = pytest.importorskip("openai")

    def client(url: str) -> Any:
        return openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)

    found = sent(lambda url: client(url).chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, logprobs=True,
        top_logprobs=3, tools=[TOOL], tool_choice="auto", seed=4, stop=["x"], response_format={"type": "json_object"},
        max_tokens=7))
    question = asked(found, http.CHAT)
    assert shows_key(found) and question.stops == ["x"]
    assert [row[0] for row in question.rows] == ["system", "tool", "question"] and question.rows[2][1] == "H\u00e9"
    assert json.loads(question.rows[1][1]) == TOOL
    terms = question.terms
    assert (terms.stream, terms.include_usage, terms.alternatives, terms.json_object, terms.seed, terms.tools,
            terms.max_tokens) == (1, 1, 3, 1, 4, 1, 7)
    question = asked(sent(lambda url: client(url).completions.create(model="m", prompt="Once", logprobs=2)),
                     http.COMPLETIONS)
    assert (question.rows, question.terms.alternatives) == ([("question", "Once")], 2)
    assert sent(lambda url: client(url).models.list()).head.route == http.MODELS
    assert sent(lambda url: client(url).models.retrieve("a/b")).head.route == http.MODEL


def test_anthropic() -> None:
    anthropic = pytest.importorskip("anthropic")
    found = sent(lambda url: anthropic.Anthropic(base_url=url, api_key="k", max_retries=0).messages.create(
        model="m", max_tokens=9, system="S", messages=MESSAGES[1:], stop_sequences=["x"],
        tools=[{"name": "weather", "input_schema": {"type": "object"}}], tool_choice={"type": "auto"},
        extra_body={"temperature": 0.5}))
    question = asked(found, http.MESSAGES)
    assert shows_key(found) and [row[0] for row in question.rows] == ["system", "tool", "question"]
    assert (question.terms.max_tokens, float(question.terms.temperature), question.stops) == (9, 0.5, ["x"])


def test_ollama() -> None:
    ollama = pytest.importorskip("ollama")
    found = sent(lambda url: ollama.Client(url).chat(
        "m", messages=MESSAGES, tools=[TOOL], think=False, format="json",
        options={"temperature": 0.5, "num_predict": 3}))
    question = asked(found, http.OLLAMA_CHAT_ROUTE)
    assert [row[0] for row in question.rows] == ["system", "tool", "question"]
    assert (question.terms.think, question.terms.json_object, question.terms.max_tokens, question.terms.stream
            ) == (2, 1, 3, 0)
    question = asked(sent(lambda url: ollama.Client(url).generate("m", prompt="P", system="S", raw=False)),
                     http.OLLAMA_GENERATE)
    assert question.rows == [("system", "S"), ("question", "P")]
    assert sent(lambda url: ollama.Client(url).list()).head.route == http.TAGS


def test_curl() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not there")
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 5000}]})
    for options in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        found = sent(lambda url, options=options: subprocess.run(  # type: ignore[misc]
            ["curl", "-s", "-m", "20", *options, "-d", body, url + "/v1/chat/completions"], check=False))
        assert asked(found, http.CHAT).rows == [("question", "x" * 5000)]
