"""A node as its clients see it: the same answers as ever, whatever else is asked, and nothing that breaks it."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import barelm
from barelm.machine.hosted import Hosted
from tests.appliance.nodes import CHAT, PATIENCE_S, ServingNode, serving

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

WARM = {"temperature": 1.0, "max_tokens": 24}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    """One for all tests here; at the end it leaves nothing behind."""
    with serving(tmp_path_factory.mktemp("node")) as found:
        yield found
        assert found.end() == 0
        assert found.session.kept == 0 and not any(found.session.left.values()), found.session.left


def text_of(answer: Any) -> str:
    """What was said."""
    return str(answer["choices"][0]["message"]["content"])


def test_what_it_says_of_itself(node: ServingNode) -> None:
    assert node.json("/health") == {"status": "ok"}
    assert node.json("/v1/models")["data"][0]["id"] == "chatty"
    assert node.json("/props")["default_generation_settings"]["n_ctx"] == 1024
    assert len(node.json("/slots")) >= 2
    assert b"llamacpp:tokens_predicted_total" in node.ask("/metrics")[2]
    assert node.ask("/")[1]["content-type"].startswith("text/html")
    assert node.ask("/nothing")[0] == 404 and node.ask("/health", b"")[0] == 405
    assert node.json("/api/version") == {"version": barelm.__version__}


def test_whoever_asks_for_a_head_gets_no_more(node: ServingNode) -> None:
    with socket.create_connection(("127.0.0.1", node.session.port), timeout=PATIENCE_S) as peer:
        for path in (b"/health", b"/nothing", b"/"):
            peer.sendall(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            came = b""
            while not came.endswith(b"\r\n\r\n"):
                came += peer.recv(1 << 16)
            assert came.count(b"\r\n\r\n") == 1 and b"Content-Length: " in came


def test_the_seed_says_what_is_said(node: ServingNode) -> None:
    one, again, other = (text_of(node.chat("tell me", seed=seed, **WARM)) for seed in (5, 5, 6))
    assert one == again != other and len(one) > 24


def test_it_says_the_same_whatever_else_is_asked(node: ServingNode) -> None:
    questions = [(f"number {k} " * (1 + k % 5) * 3, k + 1) for k in range(14)]
    alone = [text_of(node.chat(said, seed=seed, **WARM)) for said, seed in questions[:7]]
    together: dict[int, str] = {}

    def ask(k: int) -> None:
        said, seed = questions[k]
        together[k] = text_of(node.chat(said, seed=seed, **WARM))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [together[k] for k in range(7)] == alone
    assert [text_of(node.chat(said, seed=seed, **WARM)) for said, seed in questions[7:]] == [
        together[k] for k in range(7, 14)]


def test_what_was_read_is_not_read_again(node: ServingNode) -> None:
    said = "a beginning that several have, and that is not read twice; " * 3
    first = node.chat(said + "one", seed=3, **WARM)
    second = node.chat(said + "two", seed=3, **WARM)
    known = second["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert known > 100 and first["usage"]["prompt_tokens"] > known
    assert text_of(node.chat(said + "one", seed=3, **WARM)) == text_of(first)


def test_a_stream_says_what_the_whole_does(node: ServingNode) -> None:
    body = {"messages": [{"role": "user", "content": "go on"}], "seed": 9, "logprobs": True, "top_logprobs": 3, **WARM}
    whole = node.json(CHAT, body)["choices"][0]
    content = node.ask(CHAT, {**body, "stream": True, "stream_options": {"include_usage": True}})[2].decode()
    events = [line.removeprefix("data: ") for line in content.split("\n\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == whole["message"]["content"]
    told = [token for choice in choices if choice.get("logprobs") for token in choice["logprobs"]["content"]]
    assert told == whole["logprobs"]["content"] and len(told) == 24
    for token in told:
        tops = [top["logprob"] for top in token["top_logprobs"]]
        assert tops == sorted(tops, reverse=True) and token["logprob"] <= tops[0] <= 0
    assert chunks[-1]["usage"]["completion_tokens"] == 24


def test_stops_end_an_answer(node: ServingNode) -> None:
    whole = text_of(node.chat("go on", seed=9, **WARM))
    stop = whole[20:23]
    answer = node.chat("go on", seed=9, stop=[stop], **WARM)
    assert text_of(answer) == whole[:whole.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_model_can_be_held_to_json(node: ServingNode) -> None:
    answer = node.chat("json please", response_format={"type": "json_object"}, seed=4, temperature=1.0, max_tokens=60)
    made = text_of(answer)
    assert made.lstrip().startswith("{")
    if answer["choices"][0]["finish_reason"] == "stop":
        json.loads(made)


def test_what_cannot_be_done_is_refused_by_name(node: ServingNode) -> None:
    for body, blamed in (({"n": 2}, "n"), ({"temperature": "hot"}, "temperature"), ({"logit_bias": {"1": 5}},
                                                                                  "logit_bias")):
        status, _, content = node.ask(CHAT, {"messages": [{"role": "user", "content": "x"}], **body})
        error = json.loads(content)["error"]
        assert status == 400 and error["param"] == blamed and blamed in error["message"]
    for path in (CHAT, "/v1/completions", "/api/chat", "/api/generate", "/v1/messages", "/v1/messages/count_tokens",
                 "/tokenize", "/detokenize"):
        for wrong in (b"{", b"[]", b'{"messages":7,"prompt":7,"content":7,"tokens":[-1]}', b"\xff", b""):
            status, _, content = node.ask(path, wrong)
            assert status == 400 and json.loads(content)["error"], (path, wrong)
    assert node.json("/detokenize", {"tokens": node.json("/tokenize", {"content": "hello"})["tokens"]}) == {
        "content": "hello"}
    status, _, content = node.ask(CHAT, {"messages": [{"role": "user", "content": "long " * 3000}]})
    assert status == 400 and json.loads(content)["error"]["code"] == "context_length_exceeded"


def test_a_connection_serves_again(node: ServingNode) -> None:
    connection = node.connection()
    with contextlib.closing(connection):
        for k in range(5):
            connection.request("POST", CHAT, json.dumps({
                "messages": [{"role": "user", "content": str(k)}], "max_tokens": 3}))
            assert connection.getresponse().read()
    with socket.create_connection(("127.0.0.1", node.session.port), timeout=PATIENCE_S) as peer:
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        came = b""
        while came.count(b'{"status":"ok"}') < 3:
            came += peer.recv(1 << 16)


def test_a_short_request_does_not_wait_for_long_ones(node: ServingNode) -> None:
    """More long answers than there are slots are under way, and none of them ends before the short one does."""
    begun, over = threading.Barrier(7), threading.Event()

    def long() -> None:
        connection = node.connection()
        with contextlib.closing(connection):
            connection.request("POST", CHAT, json.dumps({
                "messages": [{"role": "user", "content": "on and on"}], "stream": True, "max_tokens": 900}))
            begun.wait()
            answer = connection.getresponse()
            while not over.is_set() and answer.read1(4096):
                pass

    threads = [threading.Thread(target=long) for _ in range(6)]
    for thread in threads:
        thread.start()
    begun.wait()
    assert node.chat("hello", max_tokens=2)["usage"]["completion_tokens"] == 2
    over.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    wait_until_free(node)


def wait_until_free(node: ServingNode) -> None:
    """Who hung up has no slot any more."""
    until = time.monotonic() + PATIENCE_S
    while any(slot["is_processing"] for slot in node.json("/slots")):
        assert time.monotonic() < until, node.json("/slots")
        time.sleep(0.1)


def test_hostile_bytes_do_no_harm(node: ServingNode) -> None:
    draw = random.Random(15)
    honest = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 73\r\n\r\n"
              b'{"messages":[{"role":"user","content":"hello"}],"max_tokens":1,"seed":1}\n')
    expected = text_of(node.chat("hello", max_tokens=1, seed=1))
    for round_ in range(150):
        request = bytearray(honest)
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(request))
            request[at:at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 4))
        with socket.create_connection(("127.0.0.1", node.session.port), timeout=PATIENCE_S) as peer:
            with contextlib.suppress(OSError):
                for at in range(0, len(request), draw.choice((1000, 1000, 17))):
                    peer.sendall(request[at:at + 1000] if draw.random() < 0.9 else b"")
                if draw.random() < 0.5:
                    peer.shutdown(socket.SHUT_WR)
                    peer.settimeout(0.2)
                    peer.recv(4096)
        if round_ % 50 == 0:
            assert text_of(node.chat("hello", max_tokens=1, seed=1)) == expected
    wait_until_free(node)
    assert node.json("/health") == {"status": "ok"}


def test_a_key_is_wanted(tmp_path: Path) -> None:
    with serving(tmp_path, cores=1, key="secret") as node:
        assert node.ask("/health")[0] == 200 and node.ask("/")[0] == 200
        assert node.ask("/v1/models")[0] == 401 and node.ask("/v1/models", Authorization="Bearer wrong")[0] == 401
        assert node.ask("/v1/models", Authorization="Bearer secret")[0] == 200
        assert node.end() == 0


def test_what_is_asked_is_answered_before_it_ends(tmp_path: Path) -> None:
    with serving(tmp_path, cores=1) as node:
        connection = node.connection()
        with contextlib.closing(connection):
            connection.request("POST", CHAT, json.dumps({
                "messages": [{"role": "user", "content": "hello"}], "stream": True, "max_tokens": 600, "temperature": 0,
                "stream_options": {"include_usage": True}}))
            answer = connection.getresponse()
            came = answer.read1(64)
            node.session.send("\x03")
            came += answer.read()
            assert b'"completion_tokens":600' in came and came.endswith(b"data: [DONE]\n\n")
        assert node.end() == 0


def test_the_official_client(node: ServingNode) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{node.base}/v1", api_key="none", max_retries=0)
    asked = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    whole = client.chat.completions.create(model="chatty", messages=asked, seed=2, max_tokens=9)
    stream = client.chat.completions.create(model="chatty", messages=asked, seed=2, max_tokens=9, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == (
        whole.choices[0].message.content)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="chatty", messages=asked, n=3)
    assert [model.id for model in client.models.list()] == ["chatty"]
    assert client.completions.create(model="chatty", prompt="hello", max_tokens=4, seed=2).usage.completion_tokens == 4
