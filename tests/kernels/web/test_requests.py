"""What clients ask for, in each of the forms."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.serving import http_state
from barelm.contract.serving import request_fields as fields
from barelm.contract.serving.request_state import (
    ANTHROPIC,
    BODY_BYTES,
    MOST_ROWS,
    OLLAMA_CHAT,
    OLLAMA_TEXT,
    OPENAI_CHAT,
    OPENAI_TEXT,
    TOKENS,
    Question,
    Terms,
)
from barelm.kernels.web import requests
from tests.kernels.text.test_json_text import TEXTS
from tests.kernels.web.asking import ask, fresh
from tests.worlds import World, both_worlds, interpreter, jit

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
DEFAULTS = {"stream": 0, "include_usage": 0, "max_tokens": 0, "temperature": 1, "top_p": 0.9, "min_p": 0, "repeat": 1,
            "top_k": 0, "seed": 0, "alternatives": -1, "json_object": 0, "think": 0, "tools": 0, "one_call": 0}
FUNCTION = {"name": "weather", "description": "x", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "K\u00f6ln"}'}}


def terms_of(terms: Terms) -> dict[str, float]:
    """Those that can be asked for."""
    words = {name: getattr(terms, name) for name in DEFAULTS}
    return {name: round(float(word), 5) if isinstance(word, np.float32) else int(word) for name, word in words.items()}


@both_worlds
def test_what_holds_where_a_request_is_silent(world: World) -> None:
    found = ask(world, {**HELLO, "model": "any", "user": "x", "metadata": {"n": 5}, "stop": None, "n": None},
                stop=b"END\0")
    assert (found.reason, found.rows, found.q.plain) == (0, [("question", "Hi")], 0)
    assert (terms_of(found.terms), found.stops) == (DEFAULTS, ["END"])
    assert ask(world, {"prompt": "Hi", "stop": []}, OPENAI_TEXT, stop=b"END\0").stops == []


@both_worlds
@pytest.mark.parametrize(("asked", "wanted"), [
    ({"stream": True, "stream_options": {"include_usage": True, "x": 1}}, {"stream": 1, "include_usage": 1}),
    ({"max_tokens": 5}, {"max_tokens": 5}), ({"max_tokens": 5, "max_completion_tokens": 6.0}, {"max_tokens": 6}),
    ({"max_tokens": -1}, {"max_tokens": 0}), ({"temperature": 0}, {"temperature": 0}),
    ({"temperature": 7e-1, "top_p": 0.25, "min_p": 0.05, "top_k": 40, "repeat_penalty": 1.1},
     {"temperature": 0.7, "top_p": 0.25, "min_p": 0.05, "top_k": 40, "repeat": 1.1}),
    ({"top_p": 0}, {"top_p": 0.0}), ({"top_p": 1}, {"top_p": 1}), ({"top_k": -1}, {"top_k": 0}),
    ({"seed": 42}, {"seed": 42}), ({"seed": 0}, {"seed": 10**18 - 1}), ({"seed": -1}, {"seed": 0}),
    ({"seed": -5}, {"seed": 5}), ({"logprobs": True}, {"alternatives": 0}),
    ({"logprobs": False, "top_logprobs": 0}, {}),
    ({"top_logprobs": 20, "logprobs": True}, {"alternatives": 20}), ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_object"}}, {"json_object": 1}), ({"reasoning_effort": "low"}, {"think": 2}),
    ({"reasoning_effort": "high"}, {"think": 1}), ({"reasoning_effort": "medium"}, {}),
    ({"chat_template_kwargs": {"enable_thinking": False}}, {"think": 2}),
    ({"chat_template_kwargs": {"enable_thinking": True}}, {"think": 1}), ({"parallel_tool_calls": True}, {}),
    ({"parallel_tool_calls": False}, {"one_call": 1}), ({"tools": [TOOL, TOOL]}, {"tools": 2}),
    ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": 1}), ({"tools": [TOOL], "tool_choice": "none"}, {}),
    ({"n": 1, "frequency_penalty": 0.0, "presence_penalty": 0, "logit_bias": {}, "functions": []}, {}),
    ({"stream": None}, {})])
def test_terms(world: World, asked: dict[str, Any], wanted: dict[str, float]) -> None:
    found = ask(world, {**asked, **HELLO})
    assert (found.message, terms_of(found.terms)) == ("", {**DEFAULTS, **wanted})
    assert found.rows == [("tool", json.dumps(TOOL))] * int(found.terms.tools) + [("question", "Hi")]


@both_worlds
def test_stops(world: World) -> None:
    assert ask(world, {**HELLO, "stop": "\n"}, stop=b"END\0").stops == ["\n"]
    assert ask(world, {**HELLO, "stop": ["a", "", "\u00fc\"", "x" * 256]}).stops == ["a", "\u00fc\"", "x" * 256]
    for stop in (["x"] * 9, "x" * 257, ["x" * 250] * 8 + ["y"], [1], 5, "a\0b"):
        assert ask(world, {**HELLO, "stop": stop}).param == "stop"


REFUSALS: list[tuple[Any, str, str]] = [
    (b"{", "", "The body is not JSON."), (b"[]", "", "The body has to be a JSON object."),
    (b'{"messages":[{"role":"user","content":"\xff"}]}', "", "The body is not JSON."),
    ({}, "messages", "`messages` is missing."), ({"messages": None}, "messages", "`messages` is missing."),
    ({"messages": "Hi"}, "messages", "`messages` has to be a list."), ({"messages": [1]}, "messages", ""),
    ({"messages": []}, "messages", ""), ({"messages": [{"content": "x"}]}, "messages.role", ""),
    ({"messages": [{"role": "clown", "content": "x"}]}, "messages.role", ""),
    ({"messages": [{"role": 1, "content": "x"}]}, "messages.role", ""),
    ({"messages": [{"role": "user"}]}, "messages.content", "`messages.content` is missing."),
    ({"messages": [{"role": "user", "content": 5}]}, "messages.content", "`messages.content` has to be a string."),
    ({"messages": [{"role": "user", "content": [5]}]}, "messages.content", ""),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.content.type", ""),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.content.text", ""),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
     "messages.content.type", "`messages.content.type`: only text is read; no pictures, sounds or files."),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", ""),
    ({"messages": [*HELLO["messages"], {"role": "assistant", "content": "x"}]}, "messages", ""),
    ({"messages": [*HELLO["messages"], {"role": "tool", "content": "x"}]}, "messages",
     "`messages` holds calls or results: say in `tools` of what."),
    ({"messages": [*HELLO["messages"]] * 2 + [{"role": "assistant", "tool_calls": [{}]}]},
     "function", ""),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * MOST_ROWS}, "messages",
     "`messages` holds more than this node takes."),
    ({**HELLO, "n": 2}, "n", "`n` is supported with its usual value only."), ({**HELLO, "best_of": 2}, "best_of", ""),
    ({**HELLO, "logit_bias": {"5": 1}}, "logit_bias", ""),
    ({**HELLO, "frequency_penalty": 0.5}, "frequency_penalty", ""),
    ({**HELLO, "temperature": -1}, "temperature", "`temperature` has to be from 0 to 100."),
    ({**HELLO, "temperature": "hot"}, "temperature", "`temperature` has to be a number."),
    ({**HELLO, "temperature": 1e400}, "", "The body is not JSON."),
    (b'{"messages":[{"role":"user","content":"x"}],"temperature":1e400}', "temperature", ""),
    ({**HELLO, "max_tokens": 0}, "max_tokens", "`max_tokens` has to be from 1 to 999999999999999999."),
    ({**HELLO, "max_tokens": 1.5}, "max_tokens", "`max_tokens` has to be a whole number."),
    ({**HELLO, "stream": 1}, "stream", "`stream` has to be true or false."),
    ({**HELLO, "top_logprobs": 2}, "top_logprobs", "`top_logprobs` needs `logprobs` to be true."),
    ({**HELLO, "logprobs": True, "top_logprobs": 21}, "top_logprobs", ""), ({**HELLO, "logprobs": 3}, "logprobs", ""),
    ({**HELLO, "response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.type",
     "This value of `response_format.type` is not supported."),
    ({**HELLO, "response_format": {"type": "xml"}}, "response_format.type", ""),
    ({**HELLO, "response_format": "json"}, "response_format", "`response_format` has to be an object."),
    ({**HELLO, "tool_choice": "required", "tools": [TOOL]}, "tool_choice", ""),
    ({**HELLO, "tool_choice": {"type": "function"}, "tools": [TOOL]}, "tool_choice", ""),
    ({**HELLO, "tools": {}}, "tools", ""), ({**HELLO, "tools": [1]}, "tools", ""),
    ({**HELLO, "tools": [{"type": "web_search"}]}, "tools", ""),
    ({**HELLO, "tools": [{"function": {}}]}, "name", ""),
    ({**HELLO, "tools": [{"type": "function"}]}, "function", ""),
    ({**HELLO, "reasoning_effort": "heroic"}, "reasoning_effort", "")]


@pytest.mark.parametrize(("body", "param", "message"), REFUSALS)
@both_worlds
def test_refusals(world: World, body: Any, param: str, message: str) -> None:
    found = ask(world, body)
    assert found.reason > 0 and found.param == param and found.code
    assert found.message == (message or found.message)


@both_worlds
def test_messages_become_rows(world: World) -> None:
    call = {**CALL, "id": "c2", "function": {"name": "now", "arguments": ""}}
    found = ask(world, {"tools": [TOOL], "tool_choice": "none", "messages": [
        {"role": "system", "content": "S1"}, {"role": "user", "content": "Q1"},
        {"role": "user", "content": [{"type": "text", "text": "Q2"}, {"type": "text", "text": "Q3"}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL, call]},
        {"role": "tool", "content": "12", "tool_call_id": "c2"},
        {"role": "tool", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "3"}],
         "tool_call_id": "c1"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "", "tool_call_id": "c9", "name": "other"},
        {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B", "refusal": None},
        {"role": "developer", "content": "S2"}, {"role": "user", "content": "\U0001f600\n"}]})
    assert found.message == "" and found.terms.tools == 0
    assert found.rows == [
        ("system", "S1\n\nS2"), ("tool", json.dumps(TOOL)), ("question", "Q1\n\nQ2\nQ3"),
        ("call", '{"city": "K\u00f6ln"}', "weather", "c1"), ("call", "{}", "now", "c2"), ("result", "12", "now", "c2"),
        ("result", "1\n3", "weather", "c1"), ("call", '{"city": "K\u00f6ln"}', "weather", "c1"),
        ("result", "", "other", "c9"), ("reply", "A\n\nB"), ("question", "\U0001f600\n")]


@both_worlds
@pytest.mark.parametrize("arguments", ["[]", "{", '"x"', "1", "{} {}", [], 1, True])
def test_arguments_are_an_object(world: World, arguments: Any) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    found = ask(world, {"messages": [*HELLO["messages"], {"role": "assistant", "tool_calls": [call]}]})
    assert found.param == "function.arguments" and "is not a JSON object" in found.message


@both_worlds
def test_completions(world: World) -> None:
    found = ask(world, {"prompt": ["Once"], "logprobs": 3, "echo": False, "max_tokens": 9}, OPENAI_TEXT)
    assert (found.rows, found.q.plain, found.terms.alternatives) == ([("question", "Once")], 1, 3)
    assert terms_of(found.terms)["tools"] == 0
    for prompt, message in ((["a", "b"], "several"), ([1, 2], "several"), ([], "several"), (5, "string"),
                            (None, "missing")):
        assert message in ask(world, {"prompt": prompt}, OPENAI_TEXT).message
    assert ask(world, {"prompt": "x", "echo": True}, OPENAI_TEXT).param == "echo"
    assert ask(world, {"prompt": "", "suffix": "x"}, OPENAI_TEXT).param == "suffix"


@both_worlds
def test_ollama(world: World) -> None:
    options = {"num_predict": 7, "temperature": 0.5, "stop": ["x"], "num_ctx": 4096, "seed": 3, "typical_p": 1.0}
    body = {"model": "m", **HELLO, "options": options, "format": "json", "think": "high", "temperature": 9}
    found = ask(world, body, OLLAMA_CHAT)
    assert found.stops == ["x"] and terms_of(found.terms) == {
        **DEFAULTS, "stream": 1, "max_tokens": 7, "temperature": 0.5, "seed": 3, "json_object": 1, "think": 1}
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    found = ask(world, {"stream": False, "tools": [TOOL], "messages": [
        *HELLO["messages"], {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "r", "tool_name": "f"}]}, OLLAMA_CHAT)
    assert found.terms.stream == 0 and found.rows[2:] == [("call", '{"a": 1}', "f", ""), ("result", "r", "f", "")]
    assert ask(world, {"messages": []}, OLLAMA_CHAT).rows == [] == ask(world, {"model": "m"}, OLLAMA_TEXT).rows
    found = ask(world, {"prompt": "P", "system": "S", "think": False}, OLLAMA_TEXT)
    assert (found.rows, found.q.plain, found.terms.think) == ([("system", "S"), ("question", "P")], 0, 2)
    found = ask(world, {"prompt": "P", "system": "S", "raw": True}, OLLAMA_TEXT)
    assert (found.rows, found.q.plain) == ([("question", "P")], 1)
    for name, value in (("format", {"type": "object"}), ("images", ["x"]), ("context", [1]), ("suffix", "s")):
        assert ask(world, {"prompt": "P", name: value}, OLLAMA_TEXT).param == name
    assert ask(world, {**HELLO, "options": {"mirostat": 1}}, OLLAMA_CHAT).param == "mirostat"
    assert ask(world, {"messages": [{"role": "user", "content": "x", "images": ["y"]}]}, OLLAMA_CHAT
               ).param == "messages.images"


@both_worlds
@pytest.mark.parametrize("bare", [0, 1])
def test_anthropic(world: World, bare: int) -> None:
    tool = {"name": "weather", "input_schema": {"type": "object"}, "description": "It's \"fine\""}
    found = ask(world, {
        "model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "S1", "cache_control": {}}, {"type": "text",
                                                                                                       "text": "S2"}],
        "stop_sequences": ["x"], "thinking": {"type": "enabled", "budget_tokens": 5}, "tools": [tool],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "messages": [
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"a": [1]}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
                {"type": "text", "text": "12"}]}, {"type": "text", "text": "Now?"}]}]}, ANTHROPIC, bare=bare)
    assert found.message == "" and found.stops == ["x"]
    assert (found.terms.max_tokens, found.terms.think, found.terms.tools, found.terms.one_call) == (9, 1, 1, 1)
    function = {"name": "weather", "description": "It's \"fine\"", "parameters": {"type": "object"}}
    assert json.loads(found.rows[1][1]) == (function if bare else {"type": "function", "function": function})
    assert found.rows[0] == ("system", "S1\nS2") and found.rows[2:] == [
        ("question", "Q"), ("reply", "I look."), ("call", '{"a": [1]}', "weather", "t1"),
        ("result", "12\n\nNow?", "weather", "t1")]
    assert ask(world, {**HELLO, "tool_choice": {"type": "any"}}, ANTHROPIC).param == "tool_choice.type"
    pictured = {"messages": [{"role": "user", "content": [{"type": "image"}]}]}
    assert "only text" in ask(world, pictured, ANTHROPIC).message
    assert ask(world, {**HELLO, "tools": [{"type": "web_search_1", "name": "x"}]}, ANTHROPIC).param == "tools"


@both_worlds
def test_tokens(world: World) -> None:
    found = ask(world, {"content": "x\u00fc", "add_special": True, "with_pieces": True}, TOKENS)
    assert (found.rows, found.q.add_special, found.q.with_pieces) == ([("question", "x\u00fc")], 1, 1)
    assert ask(world, {"prompt": "p", "add_special_tokens": False}, TOKENS).rows == [("question", "p")]
    assert ask(world, {}, TOKENS).param == "messages.content"
    for tokens, n in (([1, 2.0, 9], 3), ([], 0), ([10], -1), ([-1], -1), ([1.5], -1), (["1"], -1), ("1", -1),
                      ([1] * 5, -1)):
        data = np.frombuffer(json.dumps({"tokens": tokens}).encode(), np.uint8).copy()
        ids, reading = np.zeros(4, np.int64), fresh(fields.RequestReading)
        found_n = world(requests.read_tokens)(data, 0, len(data), 10, ids, fresh(Terms), fresh(Question), reading)
        assert int(found_n) == n
        assert (n < 0) == (reading.reason > 0) and list(ids[:max(n, 0)]) == (tokens if n >= 0 else [])


@both_worlds
def test_of_two_members_the_last_counts(world: World) -> None:
    found = ask(world, b'{"stream":true,"messages":5,"s\\u0074ream":false,"messages":[{"role":"user","content":"a"}]}')
    assert (found.reason, found.terms.stream, found.rows) == (0, 0, [("question", "a")])


def test_forms_of_routes() -> None:
    assert requests.form_of(http_state.CHAT) == OPENAI_CHAT and requests.form_of(http_state.HEALTH) == -1
    assert requests.form_of(http_state.MESSAGES) == ANTHROPIC


def test_the_table() -> None:
    assert fields.NAMES[:20] == (
        "messages", "prompt", "system", "tools", "tokens", "role", "content", "tool_calls", "tool_call_id",
        "tool_use_id", "tool_name", "name", "type", "text", "id", "input", "function", "arguments", "description",
        "input_schema")
    assert len(fields.MEMBERS) <= len(fresh(fields.RequestReading).places)
    pairs = [(scope, member.name) for member in fields.MEMBERS for scope in set(member.scopes)]
    assert sorted(set(pairs)) == sorted(pairs), "a member stands once in a scope"
    for k, member in enumerate(fields.MEMBERS):
        above = [j for j, other in enumerate(fields.MEMBERS)
                 if other.kind == fields.GROUP and other.least in member.scopes]
        assert all(j < k for j in above), "a group comes before its members"


ROLES = st.sampled_from(["user", "assistant", "system", "tool", "developer"])
MESSAGES = st.fixed_dictionaries({"role": ROLES, "content": st.one_of(TEXTS, st.lists(st.fixed_dictionaries(
    {"type": st.just("text"), "text": TEXTS}), max_size=3))}, optional={"tool_call_id": TEXTS})


def expected(messages: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The rows, in Python."""
    rows: list[list[str]] = []
    kinds = {"user": "question", "assistant": "reply", "system": "system", "developer": "system", "tool": "result"}
    for message in sorted(messages, key=lambda message: kinds[message["role"]] != "system"):
        kind, content = kinds[message["role"]], message["content"]
        parts = [content] if isinstance(content, str) else [part["text"] for part in content]
        if kind == "result":
            rows.append([kind, "", "", message.get("tool_call_id", "")])
        for k, part in enumerate(parts):
            if rows and rows[-1][0] == kind:
                text = rows[-1][1]
                rows[-1][1] += ("\n" if k or kind == "result" else "\n\n") * bool(text) + part
            else:
                rows.append([kind, part])
    return [tuple(row) for row in rows]


@given(messages=st.lists(MESSAGES, max_size=5), ascii_only=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_conversation(messages: list[dict[str, Any]], ascii_only: bool) -> None:
    messages.append({"role": "user", "content": "."})
    for world in (interpreter, jit):
        found = ask(world, json.dumps({"messages": messages}, ensure_ascii=ascii_only).encode())
        rows = expected(messages)
        order = [row[0] for row in rows if row[0] != "system"]
        assert (found.message == "") == (order[0] == "question" and "result" not in order)
        assert found.rows == rows


def test_the_longest_bodies() -> None:
    text = "\\n" * (BODY_BYTES // 2 - 30)
    assert ask(jit, f'{{"messages":[{{"role":"user","content":"{text}"}}]}}'.encode()).reason == 0
    hostile = (b'{"messages":[' + b'{"role":"user","content":[{}]},' * 8000)[:BODY_BYTES]
    assert ask(jit, hostile).reason == fields.NOT_JSON
    many = b'{"messages":[' + b",".join([b'{"role":"user","content":"a"}'] * 8000) + b"]}"
    assert ask(jit, many).rows == [("question", "\n\n".join(["a"] * 8000))]
    tools = b'{"tools":[' + b",".join([b'{"name":"a","input_schema":{}}'] * 8000) + b'],"messages":[]}'
    assert ask(jit, tools, ANTHROPIC).reason == fields.TOO_MUCH
