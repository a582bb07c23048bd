"""Answers in Ollama's and Anthropic's forms, and errors in everybody's: by the official packages, if there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.serving.answer_state import BY_CALL, BY_END, BY_LENGTH, BY_STOP, CLOSED, TEXT, THOUGHT
from barelm.contract.serving.request_state import ANTHROPIC, OLLAMA_CHAT, OLLAMA_TEXT, OPENAI_CHAT, OPENAI_TEXT
from barelm.kernels.web.answers import telling
from barelm.kernels.web.answers.status_lines import STATUSES, TOO_LONG
from barelm.kernels.web.answers.telling import Refusal
from tests.kernels.web.answers.node import NO_CALLS, Heard, Stream, calls_of, heard, said_of, telling_of, u8, whole
from tests.worlds import World, both_worlds, jit

TEXTS = st.text(max_size=40)
CALLS = (("weather", '{"city":\n "K\u00f6ln\\n"}', ""), ("now", "", "own-id"))
ARGUMENTS = [{"city": "K\u00f6ln\n"}, {}]
USAGE = {"input_tokens": 8, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 34}
COUNTS = {"total_duration": 2_250_000_000, "load_duration": 0, "prompt_eval_count": 12,
          "prompt_eval_duration": 250_000_000, "eval_count": 34, "eval_duration": 2_000_000_000}


def official(package: str, kind: str, data: Any) -> Any:
    """What the official package makes of it."""
    types = pytest.importorskip(package, reason=f"the package {package.split('.')[0]} is not installed")
    return getattr(types, kind).model_validate(data)


@both_worlds
@pytest.mark.parametrize("api", [OLLAMA_CHAT, OLLAMA_TEXT])
def test_a_stream_for_ollama(world: World, api: int) -> None:
    stream = Stream(world, telling_of(api, reason=BY_LENGTH))
    stream.say(THOUGHT, "Hm\n")
    stream.put(telling.put_waiting)
    stream.say(TEXT, "Hall\u00f6chen\r\n")
    answer = stream.end()
    thought, piece, last = answer.lines
    assert answer.headers["content-type"] == "application/x-ndjson"
    said = [line["message"] if api == OLLAMA_CHAT else line for line in (thought, piece, last)]
    key = "content" if api == OLLAMA_CHAT else "response"
    assert [part[key] for part in said] == ["", "Hall\u00f6chen\r\n", ""] and said[0]["thinking"] == "Hm\n"
    assert [line["done"] for line in (thought, piece, last)] == [False, False, True]
    assert last["done_reason"] == "length" and {key: last[key] for key in COUNTS} == COUNTS
    for line in (thought, piece, last):
        assert line["created_at"] == "2026-11-26T18:52:14Z" and line["model"] == "m\u00f6del \"x\""
        official("ollama", "ChatResponse" if api == OLLAMA_CHAT else "GenerateResponse", line)


@both_worlds
def test_calls_for_ollama(world: World) -> None:
    stream = Stream(world, telling_of(OLLAMA_CHAT))
    for row in range(2):
        stream.put(telling.put_call, calls_of(*CALLS), row)
    *lines, _ = stream.end().lines
    together = whole(world, OLLAMA_CHAT, "", calls=calls_of(*CALLS)).json
    calls = [call for line in lines for call in line["message"]["tool_calls"]]
    assert calls == together["message"]["tool_calls"] and together["message"]["content"] == ""
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        (CALLS[k][0], ARGUMENTS[k]) for k in range(2)]
    for line in (*lines, together):
        official("ollama", "ChatResponse", line)


@both_worlds
def test_whole_answers_for_ollama(world: World) -> None:
    chat, text = (whole(world, api, "Hi", "Hm").json for api in (OLLAMA_CHAT, OLLAMA_TEXT))
    assert chat["message"] == {"role": "assistant", "thinking": "Hm", "content": "Hi"}
    assert (text["response"], text["thinking"]) == ("Hi", "Hm")
    for answer, kind in ((chat, "ChatResponse"), (text, "GenerateResponse")):
        assert answer["done"] and answer["done_reason"] == "stop" and {key: answer[key] for key in COUNTS} == COUNTS
        official("ollama", kind, answer)


def events_of_anthropic(answer: Heard) -> list[Any]:
    """The events of a stream, each checked."""
    adapter = None
    try:
        from anthropic.types import RawMessageStreamEvent
        from pydantic import TypeAdapter
        adapter = TypeAdapter(RawMessageStreamEvent)
    except ImportError:
        pass
    found = []
    for name, data in answer.events:
        found.append(json.loads(data))
        assert found[-1]["type"] == name
        if adapter is not None and name != "ping":
            adapter.validate_python(found[-1])
    return found


@both_worlds
def test_a_stream_for_anthropic(world: World) -> None:
    stream = Stream(world, telling_of(ANTHROPIC, reason=BY_CALL))
    stream.put(telling.put_waiting)
    stream.say(THOUGHT, "Hm")
    stream.say(TEXT, "Hall\u00f6")
    stream.say(TEXT, "chen")
    for row in range(2):
        stream.put(telling.put_call, calls_of(*CALLS), row)
    first, _, *events, last, stop = events_of_anthropic(stream.end())
    assert first["message"] == {"id": "msg_123456789abcdef0", "type": "message", "role": "assistant", "content": [],
                                "model": "m\u00f6del \"x\"", "stop_reason": None, "stop_sequence": None,
                                "usage": USAGE | {"output_tokens": 0}}
    assert last["delta"] == {"stop_reason": "tool_use", "stop_sequence": None} and last["usage"] == USAGE
    assert stop == {"type": "message_stop"}
    blocks: list[Any] = []
    for event in events:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append([event["content_block"]["type"], "", "open"])
        elif event["type"] == "content_block_stop":
            blocks[event["index"]][2] = "closed"
        else:
            assert event["index"] == len(blocks) - 1 and blocks[-1][2] == "open"
            delta = event["delta"]
            blocks[-1][1] += delta.get("text", delta.get("thinking", delta.get("partial_json", "")))
    assert blocks == [["thinking", "Hm", "closed"], ["text", "Hall\u00f6chen", "closed"],
                      ["tool_use", CALLS[0][1], "closed"], ["tool_use", "", "closed"]]


@both_worlds
def test_an_empty_stream_for_anthropic(world: World) -> None:
    events = events_of_anthropic(Stream(world, telling_of(ANTHROPIC)).end())
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]


@both_worlds
@pytest.mark.parametrize(("said", "thought", "calls", "reason", "parts"), [
    ("Hi", "", (), BY_END, ["text"]), ("", "", (), BY_LENGTH, ["text"]),
    ("Hi", "Hm", (), BY_STOP, ["thinking", "text"]),
    ("", "Hm", CALLS, BY_CALL, ["thinking", "tool_use", "tool_use"]), ("", "", CALLS[:1], BY_CALL, ["tool_use"])])
def test_whole_answers_for_anthropic(world: World, said: str, thought: str, calls: Any, reason: int, parts: list[str]
                                     ) -> None:
    answer = whole(world, ANTHROPIC, said, thought, calls_of(*calls), reason=reason).json
    assert [part["type"] for part in answer["content"]] == parts
    assert answer["stop_reason"] == ("end_turn", "max_tokens", "stop_sequence", "tool_use")[reason]
    assert answer["usage"] == USAGE
    used = [part["input"] for part in answer["content"] if part["type"] == "tool_use"]
    assert used == ARGUMENTS[:len(calls)]
    official("anthropic.types", "Message", answer)


@given(said=TEXTS, thought=TEXTS, api=st.sampled_from([OPENAI_TEXT, OLLAMA_CHAT, OLLAMA_TEXT, ANTHROPIC]))
def test_any_text_comes_back(said: str, thought: str, api: int) -> None:
    answer = whole(jit, api, said, thought).json
    parts = {part["type"]: part for part in answer.get("content", [])}
    found = {OPENAI_TEXT: lambda: answer["choices"][0]["text"], OLLAMA_CHAT: lambda: answer["message"]["content"],
             OLLAMA_TEXT: lambda: answer["response"],
             ANTHROPIC: lambda: parts.get("text", {"text": ""})["text"]}[api]()
    assert found == said
    stream = Stream(jit, telling_of(api))
    stream.say(TEXT, said)
    heard_now = stream.end()
    assert json.dumps(said, ensure_ascii=False)[1:-1].encode() in heard_now.body


@both_worlds
@pytest.mark.parametrize("status", STATUSES[2:])
def test_errors(world: World, status: int) -> None:
    said = "Nothing is \"right\" with n\u00f6.\n"
    for api in range(5):
        refusal = Refusal(api, status, 7 if status == 503 else 0, CLOSED if status == 400 else 0, u8(said),
                          u8("best_of" if status == 400 else ""))
        answer = heard(said_of(world, telling.put_refusal, refusal))
        assert answer.status == status % 1000 and answer.headers.get("retry-after") == ("7" if status == 503 else None)
        assert answer.headers["access-control-allow-origin"] == "*"
        error = answer.json["error"]
        if api in (OLLAMA_CHAT, OLLAMA_TEXT):
            assert error == said
        elif api == ANTHROPIC:
            assert answer.json["type"] == "error" and error["message"] == said and error["type"]
        else:
            code = {401: "invalid_api_key", TOO_LONG: "context_length_exceeded", 429: "rate_limit_exceeded"}.get(status)
            assert error["type"] and error | {"type": ""} == {
                "message": said, "type": "", "param": "best_of" if status == 400 else None, "code": code}


@both_worlds
def test_an_unknown_status_is_a_fault_of_the_node(world: World) -> None:
    answer = heard(said_of(world, telling.put_refusal, Refusal(0, 599, 0, 0, u8("x"), u8(""))))
    assert answer.json["error"]["type"] == "server_error"


@both_worlds
@pytest.mark.parametrize("api", range(5))
def test_an_error_in_a_stream(world: World, api: int) -> None:
    stream = Stream(world, telling_of(api))
    stream.say(TEXT, "Hi")
    error = said_of(world, telling.put_failure, Refusal(api, 500, 0, 0, u8("It broke."), u8("")))
    answer = heard(stream.target[:stream.n].tobytes() + error)
    last = answer.lines[-1] if api in (OLLAMA_CHAT, OLLAMA_TEXT) else json.loads(answer.events[-1][1])
    assert "It broke." in json.dumps(last["error"])


@both_worlds
def test_signs_of_life(world: World) -> None:
    for api, sign in ((OPENAI_CHAT, b"\n\n: reading\n\n"), (ANTHROPIC, b'\n\nevent: ping\ndata: {"type":"ping"}\n\n')):
        stream = Stream(world, telling_of(api))
        stream.put(telling.put_waiting)
        assert sign in heard(stream.target[:stream.n].tobytes() + b"0\r\n\r\n").body


def test_no_calls_is_what_it_says() -> None:
    assert NO_CALLS.n == 0
