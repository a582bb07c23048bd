"""Answers of OpenAI's chat: read by h11 and json, and by the official package where it is installed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.serving.answer_state import BY_CALL, BY_LENGTH, CLOSED, PLAIN, TEXT, THOUGHT
from barelm.contract.serving.request_state import OPENAI_CHAT, OPENAI_TEXT
from barelm.kernels.web.answers import telling
from tests.kernels.web.answers.node import (
    CREATED,
    PIECES,
    Heard,
    Stream,
    calls_of,
    telling_of,
    told_of,
    whole,
)
from tests.worlds import World, both_worlds, jit

TEXTS = st.text(max_size=40)
USAGE = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46,
         "prompt_tokens_details": {"cached_tokens": 4}}
TIMINGS = {"cache_n": 4, "prompt_n": 8, "prompt_ms": 250.0, "prompt_per_second": 32.0, "predicted_n": 34,
           "predicted_ms": 2000.0, "predicted_per_second": 17.0}
CALLS = (("weather", '{"city":"K\u00f6ln\\n"}', ""), ("now", "{}", "own-id"))
TOLD = ([(0, -0.25), (0, -0.25), (1, -2.5)], [(3, -math.inf), (4, -1e-4), (3, -20000.0)])


def official(kind: str, data: Any) -> None:
    """The official package takes it for what it is to be."""
    types = pytest.importorskip("openai.types", reason="the package openai is not installed")
    chat = pytest.importorskip("openai.types.chat")
    model = getattr(chat, kind, None) or getattr(types, kind)
    model.model_validate(data, strict=True)


def chunks(answer: Heard) -> list[Any]:
    """The events of a stream, but for the last."""
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, last = answer.events
    assert last == ("", "[DONE]")
    return [json.loads(data) for _, data in events]


@both_worlds
@pytest.mark.parametrize("connection", [0, CLOSED, PLAIN])
def test_a_stream_of_a_chat(world: World, connection: int) -> None:
    stream = Stream(world, telling_of(OPENAI_CHAT, connection=connection))
    stream.say(THOUGHT, "Hm\n")
    stream.say(TEXT, "Hall\u00f6chen \U0001f600 \"q\"")
    stream.say(TEXT, "\x00\u2028")
    answer = stream.end()
    first, thought, one, two, last, usage = chunks(answer)
    assert ("transfer-encoding" in answer.headers) == (connection != PLAIN)
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None,
                                 "finish_reason": None}]
    assert thought["choices"][0]["delta"] == {"reasoning_content": "Hm\n"}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in (one, two)] == ["Hall\u00f6chen \U0001f600 \"q\"",
                                                                               "\x00\u2028"]
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert last["timings"] == TIMINGS
    assert usage["choices"] == [] and usage["usage"] == USAGE
    for chunk in (first, thought, one, two, last, usage):
        assert chunk["id"] == "chatcmpl-123456789abcdef0" and chunk["created"] == CREATED
        assert chunk["model"] == "m\u00f6del \"x\"" and chunk["system_fingerprint"] == "0.1.0"
        official("ChatCompletionChunk", chunk)


@both_worlds
def test_calls_in_a_stream(world: World) -> None:
    stream = Stream(world, telling_of(OPENAI_CHAT, reason=BY_CALL, include_usage=0))
    for row in range(2):
        stream.put(telling.put_call, calls_of(*CALLS), row)
    _, one, two, last = chunks(stream.end())
    for k, chunk in enumerate((one, two)):
        official("ChatCompletionChunk", chunk)
        call, = chunk["choices"][0]["delta"]["tool_calls"]
        assert call == {"index": k, "id": ("89abcdef0", "own-id")[k], "type": "function",
                        "function": {"name": CALLS[k][0], "arguments": CALLS[k][1]}}
    assert last["choices"][0]["finish_reason"] == "tool_calls"


@both_worlds
def test_a_whole_answer(world: World) -> None:
    answer = whole(world, OPENAI_CHAT, "Hi \u00fc", "thought", reason=BY_LENGTH)
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    official("ChatCompletion", answer.json)
    assert answer.json["choices"] == [{"index": 0, "finish_reason": "length", "message": {
        "role": "assistant", "content": "Hi \u00fc", "reasoning_content": "thought"}}]
    assert answer.json["usage"] == USAGE and answer.json["timings"] == TIMINGS


@both_worlds
def test_a_whole_answer_with_calls(world: World) -> None:
    answer = whole(world, OPENAI_CHAT, "", calls=calls_of(*CALLS), reason=BY_CALL).json
    official("ChatCompletion", answer)
    message = answer["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": name, "arguments": arguments} for name, arguments, _ in CALLS]
    assert message["tool_calls"][1]["id"] == "own-id" and len(message["tool_calls"][0]["id"]) == 9


@given(said=TEXTS, thought=TEXTS)
def test_any_text_comes_back(said: str, thought: str) -> None:
    message = whole(jit, OPENAI_CHAT, said, thought).json["choices"][0]["message"]
    assert (message["content"], message.get("reasoning_content", "")) == (said, thought)
    stream = Stream(jit, telling_of(OPENAI_CHAT))
    stream.say(TEXT, said)
    assert chunks(stream.end())[1]["choices"][0]["delta"]["content"] == said


@given(said=st.binary(max_size=30))
def test_bytes_that_are_no_text_are_replaced(said: bytes) -> None:
    answer = whole(jit, OPENAI_CHAT, said).json
    assert answer["choices"][0]["message"]["content"] == said.decode(errors="replace")


def token(k: int, logprob: float) -> dict[str, Any]:
    """A token as it has to be told."""
    return {"token": PIECES[k].decode(errors="replace"), "logprob": logprob, "bytes": list(PIECES[k])}


@both_worlds
def test_probabilities(world: World) -> None:
    told = told_of(*TOLD)
    expected = [token(0, -0.25) | {"top_logprobs": [token(0, -0.25), token(1, -2.5)]},
                token(3, -9999.0) | {"top_logprobs": [token(4, -0.0001), token(3, -9999.0)]}]
    answer = whole(world, OPENAI_CHAT, "Hi", told=told, alternatives=2).json
    official("ChatCompletion", answer)
    assert answer["choices"][0]["logprobs"] == {"content": expected, "refusal": None}
    stream = Stream(world, telling_of(OPENAI_CHAT, alternatives=2))
    stream.say(TEXT, "Hi", told)
    chunk = chunks(stream.end())[1]
    official("ChatCompletionChunk", chunk)
    assert chunk["choices"][0]["logprobs"] == answer["choices"][0]["logprobs"]


@both_worlds
def test_probabilities_of_completions(world: World) -> None:
    stream = Stream(world, telling_of(OPENAI_TEXT, alternatives=2))
    stream.say(TEXT, "Hello", told_of(TOLD[0]))
    stream.say(TEXT, "x", told_of(TOLD[1], TOLD[0]))
    one, two, last, usage = chunks(stream.end())
    for chunk in (one, two, last, usage):
        assert chunk["id"].startswith("cmpl-") and chunk["object"] == "text_completion"
        official("Completion", chunk | {"choices": [choice | {"finish_reason": "stop"} for choice in chunk["choices"]]})
    assert one["choices"] == [{"index": 0, "text": "Hello", "finish_reason": None, "logprobs": {
        "tokens": ["Hello"], "token_logprobs": [-0.25], "top_logprobs": [{"Hello": -0.25, " w\u00f6rld": -2.5}],
        "text_offset": [0]}}]
    assert two["choices"][0]["logprobs"]["text_offset"] == [5, 6]
    assert last["choices"][0]["finish_reason"] == "stop" and last["timings"] == TIMINGS and usage["usage"] == USAGE


@both_worlds
def test_a_whole_completion(world: World) -> None:
    answer = whole(world, OPENAI_TEXT, "Once\n", told=told_of([(1, -1.0)]), alternatives=0).json
    official("Completion", answer)
    assert answer["choices"] == [{"index": 0, "text": "Once\n", "finish_reason": "stop", "logprobs": {
        "tokens": [" w\u00f6rld"], "token_logprobs": [-1.0], "top_logprobs": [{}], "text_offset": [0]}}]
    assert answer["usage"] == USAGE
