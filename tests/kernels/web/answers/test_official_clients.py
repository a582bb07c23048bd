"""The official clients, as they come, hear what the writers say: over a socket, answer by answer."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from barelm.contract.serving.answer_state import BY_CALL, TEXT, THOUGHT
from barelm.contract.serving.request_state import ANTHROPIC, OPENAI_CHAT, OPENAI_TEXT
from barelm.kernels.web.answers import node_facts, telling
from barelm.kernels.web.answers.status_lines import TOO_LONG
from barelm.kernels.web.answers.telling import Refusal
from tests.kernels.web.answers.node import Stream, calls_of, node_names, said_of, telling_of, told_of, u8, whole_bytes
from tests.kernels.web.answers.test_node_facts import node_figures
from tests.worlds import interpreter

CALLS = calls_of(("weather", '{"city": "K\u00f6ln"}', ""), ("now", "{}", ""))


class Script(socketserver.ThreadingTCPServer):
    """Says the answers in turn, whatever is asked; connections are kept."""

    daemon_threads = allow_reuse_address = True

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Told)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Told(socketserver.StreamRequestHandler):
    """One client."""

    server: Script

    def handle(self) -> None:
        """A request is its head, and as much as it says behind it."""
        try:
            while line := self.rfile.readline():
                length = 0
                while line not in (b"\r\n", b""):
                    name, _, value = line.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                    line = self.rfile.readline()
                self.rfile.read(length)
                self.wfile.write(self.server.answers.pop(0))
        except ConnectionError:
            pass


@pytest.fixture
def script() -> Iterator[Script]:
    with Script() as script:
        threading.Thread(target=script.serve_forever, daemon=True).start()
        yield script
        script.shutdown()


@pytest.fixture
def openai(script: Script) -> Any:
    """OpenAI's client."""
    package = pytest.importorskip("openai", reason="the package openai is not installed")
    return package.OpenAI(base_url=f"{script.url}/v1", api_key="none", max_retries=0)


def streamed(api: int, *writers: Any, **fields: int) -> bytes:
    """A stream: pieces as (kind, text), calls as rows of CALLS."""
    stream = Stream(interpreter, telling_of(api, **fields))
    for writer in writers:
        if isinstance(writer, int):
            stream.put(telling.put_call, CALLS, writer)
        elif writer is None:
            stream.put(telling.put_waiting)
        else:
            stream.say(*writer)
    stream.put(telling.put_ending)
    return stream.target[:stream.n].tobytes()


def test_openai_hears_a_stream(script: Script, openai: Any) -> None:
    script.answers = [streamed(OPENAI_CHAT, None, (THOUGHT, "Hm"), (TEXT, "Hall\u00f6"), (TEXT, "chen"), 0, 1,
                               reason=BY_CALL)] * 2
    for _ in range(2):
        chunks = list(openai.chat.completions.create(model="x", messages=[], stream=True))
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == "Hall\u00f6chen"
        assert [call.function.arguments for delta in deltas for call in delta.tool_calls or []] == [
            '{"city": "K\u00f6ln"}', "{}"]
        assert chunks[-1].usage.total_tokens == 46 and chunks[-2].choices[0].finish_reason == "tool_calls"


def test_openai_hears_whole_answers(script: Script, openai: Any) -> None:
    told = told_of([(0, -0.5), (1, -1.0)])
    script.answers = [whole_bytes(interpreter, OPENAI_CHAT, "Hi", told=told, alternatives=1),
                      whole_bytes(interpreter, OPENAI_TEXT, "Ho"),
                      said_of(interpreter, node_facts.put_fact, node_facts.MODELS, 0, node_names(), node_figures())]
    chat = openai.chat.completions.create(model="x", messages=[])
    assert chat.choices[0].message.content == "Hi" and chat.usage.prompt_tokens_details.cached_tokens == 4
    assert chat.choices[0].logprobs.content[0].top_logprobs[0].logprob == -1.0
    assert openai.completions.create(model="x", prompt="").choices[0].text == "Ho"
    assert [model.id for model in openai.models.list()] == ["m\u00f6del \"x\""]


@pytest.mark.parametrize(("status", "kind"), [
    (400, "BadRequestError"), (TOO_LONG, "BadRequestError"), (401, "AuthenticationError"), (404, "NotFoundError"),
    (429, "RateLimitError"), (500, "InternalServerError"), (503, "InternalServerError")])
def test_openai_hears_errors(script: Script, openai: Any, status: int, kind: str) -> None:
    package = pytest.importorskip("openai")
    refusal = Refusal(OPENAI_CHAT, status, 1, 0, u8("It cannot be."), u8("n"))
    script.answers = [said_of(interpreter, telling.put_refusal, refusal)]
    with pytest.raises(getattr(package, kind), match="It cannot be") as caught:
        openai.chat.completions.create(model="x", messages=[])
    assert caught.value.param == "n" and caught.value.status_code == status % 1000
    assert status != TOO_LONG or caught.value.code == "context_length_exceeded"


def test_openai_hears_an_error_in_a_stream(script: Script, openai: Any) -> None:
    package = pytest.importorskip("openai")
    stream = Stream(interpreter, telling_of(OPENAI_CHAT))
    stream.say(TEXT, "Half")
    failure = Refusal(OPENAI_CHAT, 500, 0, 0, u8("It broke."), u8(""))
    script.answers = [stream.target[:stream.n].tobytes() + said_of(interpreter, telling.put_failure, failure)]
    with pytest.raises(package.APIError, match="It broke"):
        list(openai.chat.completions.create(model="x", messages=[], stream=True))


def test_anthropic_hears_a_stream(script: Script) -> None:
    package = pytest.importorskip("anthropic", reason="the package anthropic is not installed")
    client = package.Anthropic(base_url=script.url, api_key="none", max_retries=0)
    script.answers = [
        streamed(ANTHROPIC, None, (THOUGHT, "Hm"), (TEXT, "Hall\u00f6"), (TEXT, "chen"), 0, 1, reason=BY_CALL),
        whole_bytes(interpreter, ANTHROPIC, "Hi", "Hm", CALLS),
        said_of(interpreter, telling.put_refusal, Refusal(ANTHROPIC, 400, 0, 0, u8("It cannot be."), u8("")))]
    asked = {"model": "x", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}
    with client.messages.stream(**asked) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[1].text == "Hall\u00f6chen" and message.content[2].input == {"city": "K\u00f6ln"}
    assert message.stop_reason == "tool_use" and message.usage.output_tokens == 34
    assert client.messages.create(**asked).content[2].input == {"city": "K\u00f6ln"}
    with pytest.raises(package.BadRequestError, match="It cannot be"):
        client.messages.create(**asked)
