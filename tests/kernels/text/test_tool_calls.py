"""Calls out of replies: what templates write for calls is what is found, cut anywhere, with text around."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.serving.call_state import CallReading
from barelm.kernels.text import tool_calls
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.kernels.text.tool_turns import CALL, ID, NAME, ROW_WORDS, TEXT
from barelm.pack.chat.tool_pieces import Said
from tests.kernels.text.bytelevel import SPECIAL, twins
from tests.pack.chat.test_tool_pieces import pieces_of, said_of, with_template, written
from tests.pack.chat.tool_templates import CUT
from tests.worlds import World, both_worlds, interpreter, jit

Heard = tuple[str, list[tuple[str, str, str]]]
CALLS = st.lists(st.tuples(st.sampled_from(["weather", "now", "f_2", "a.b-c"]), st.sampled_from(
    ["{}", '{"city": "K\u00f6ln } \\"x\\"\\n"}', '{"a": [1, {"b": null}]}', '{"q": "</tool_call><tool_call>[ARGS]"}'])),
    min_size=1, max_size=3)


def heard(world: World, v: Vocabulary, reply: str, *cuts: int) -> Heard:
    """The text that is told, and the calls, of a reply that comes in pieces."""
    raw = reply.encode()
    data = np.frombuffer(raw + b"<}", np.uint8).copy()
    c = CallReading.over(np.full(CallReading.BYTES, 255, np.uint8))
    world(tool_calls.begin_calls)(c)
    told, calls = b"", []
    for n, ended in [*((min(cut, len(raw)), 0) for cut in sorted(cuts)), (len(raw), 0), (len(raw), 1)]:
        while True:
            if world(tool_calls.next_call)(v, 0, data, n, ended, c):
                calls.append((raw[c.name_lo:c.name_hi].decode(), raw[c.arguments_lo:c.arguments_hi].decode(),
                              raw[c.id_lo:c.id_hi].decode()))
            elif c.free > c.at:
                told += raw[c.at:c.free]
                world(tool_calls.told)(c)
            else:
                break
    assert c.at == len(raw) and c.n_calls == len(calls)
    return told.decode(), calls


def found_at_once(world: World, v: Vocabulary, reply: str) -> list[tuple[str, str, str]]:
    """The calls of a whole reply as rows; the text before them is what is free of them while it grows."""
    raw = reply.encode()
    data, rows = np.frombuffer(raw + b"<}", np.uint8).copy(), np.zeros(ROW_WORDS * 99, np.int64)
    n, before = world(tool_calls.find_calls)(v, 0, data, len(raw), rows)
    free = 0
    for end in range(len(raw) + 1):
        later = int(world(tool_calls.free_of_calls)(v, 0, data, free, end))
        assert free <= later <= before
        free = later
    calls = rows[:ROW_WORDS * int(n)].reshape(-1, ROW_WORDS)
    assert all(row[0] == CALL for row in calls) and (n or before == len(raw))
    return [tuple(raw[row[word]:row[word + 1]].decode() for word in (NAME, TEXT, ID)) for row in calls]  # type: ignore[misc]


def reply_with(name: str, made: list[tuple[str, str]]) -> str:
    """What a template writes behind a question for a reply with these calls, up to their results."""
    v = with_template(name).v
    said = said_of("U", ["Hello"], 1, "")
    calls = [Said("call", arguments, tool, f"call{k:05}") for k, (tool, arguments) in enumerate(made)]
    results = [Said("result", "12", call.name, call.id) for call in calls]
    asked, whole = written(jit, v, said), written(jit, v, [*said, *calls, *results])
    assert asked is not None and whole is not None
    begin = asked[0].rstrip()
    assert whole[0].startswith(begin)
    return whole[0][len(begin):]


@pytest.mark.parametrize("name", CUT)
@given(made=CALLS)
@settings(max_examples=20, deadline=None)
def test_what_is_written_for_calls_is_found(name: str, made: list[tuple[str, str]]) -> None:
    made = made[:1] if pieces_of(CUT[name])[1].one_call else made
    reply = reply_with(name, made)
    for world in (interpreter, jit):
        told, calls = heard(world, with_template(name).v, reply)
        assert [(tool, json.loads(arguments)) for tool, arguments, _ in calls] == [
            (tool, json.loads(arguments)) for tool, arguments in made]
        assert [number for _, _, number in calls] == [
            f"call{k:05}" if name == "mistral" else "" for k in range(len(made))]
        assert "weather" not in told.partition("12")[0]
        assert found_at_once(world, with_template(name).v, reply) == calls


EXAMPLES: list[tuple[str, str, Heard]] = [
    ("qwen", "Hi <b> there\n", ("Hi <b> there\n", [])),
    ("qwen", 'I look.\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
     ("I look.", [("f", '{"a": 1}', "")])),
    ("qwen", '<tool_call>{"name":"f","arguments":{}}</tool_call><tool_call>{"name":"g","arguments":{}}</tool_call>.',
     (".", [("f", "{}", ""), ("g", "{}", "")])),
    ("qwen", '<tool_call>\n{"name": "f", "arguments": {}}', ("", [("f", "{}", "")])),
    ("qwen", '<tool_call>\n{"name": "f", "arguments": {"a', ('<tool_call>\n{"name": "f", "arguments": {"a', [])),
    ("qwen", '<tool_call>\n{"name": "f", "arguments": [1]}', ('<tool_call>\n{"name": "f", "arguments": [1]}', [])),
    ("qwen", "<tool_call>\nx <tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
     ("<tool_call>\nx", [("f", "{}", "")])),
    ("llama", '\n{"name": "f", "parameters": {"a": {}}}', ("", [("f", '{"a": {}}', "")])),
    ("llama", 'As {"name": "f", "parameters": {}}', ('As {"name": "f", "parameters": {}}', [])),
    ("llama", '{"name": "Ann", "age": 5}', ('{"name": "Ann", "age": 5}', [])),
    ("mistral", "Yes[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{}[TOOL_CALLS]g[CALL_ID]1[ARGS]{}",
     ("Yes", [("f", "{}", "123456789"), ("g", "{}", "1")])),
    ("mistral", "[TOOL_CALLS]f[ARGS]{}", ("[TOOL_CALLS]f[ARGS]{}", [])),
    ("listed", "a<calls>f:{}, g:{ }</calls> b", ("a", [("f", "{}", ""), ("g", "{ }", "")])),
]


@both_worlds
@pytest.mark.parametrize(("name", "reply", "wanted"), EXAMPLES)
def test_examples(world: World, name: str, reply: str, wanted: Heard) -> None:
    told, calls = heard(world, with_template(name).v, reply)
    assert (told.strip() if calls else told, calls) == wanted if name != "listed" else calls == wanted[1]


def test_text_after_calls_is_told() -> None:
    assert heard(jit, with_template("listed").v, "a<calls>f:{}, g:{ }</calls> b")[0] == "a b"


TEXTS = st.lists(st.sampled_from(["a", " ", "\n", "<", "<tool", "<tool_call>", '{"name": "', "{", "}", "f", '"',
                                  "[TOOL", "[TOOL_CALLS]", "<calls>", "\u00fc", ":", ", ", "</calls>",
                                  '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "[ARGS]{}",
                                  '{"name": "f", "parameters": {"a": 1}}', "<calls>f:{}"]), max_size=8).map("".join)


@pytest.mark.parametrize("name", CUT)
@given(reply=TEXTS, cuts=st.lists(st.integers(0, 90), max_size=6))
@settings(max_examples=150, deadline=None)
def test_how_a_reply_is_cut_says_nothing(name: str, reply: str, cuts: list[int]) -> None:
    v = with_template(name).v
    whole = heard(jit, v, reply)
    assert heard(jit, v, reply, *cuts) == whole == heard(interpreter, v, reply, *cuts)
    assert found_at_once(jit, v, reply) == whole[1]
    if not whole[1]:
        assert whole[0] == reply, "what is no call is told as it is"


@both_worlds
def test_plain_text_is_not_held_back(world: World) -> None:
    for name in CUT:
        data = np.frombuffer(b"Plain text.", np.uint8).copy()
        c = CallReading.over(np.zeros(CallReading.BYTES, np.uint8))
        world(tool_calls.begin_calls)(c)
        assert not world(tool_calls.next_call)(with_template(name).v, 0, data, len(data), 0, c)
        assert c.free == len(data)


@both_worlds
def test_marks_of_calls_are_told_from_other_special_tokens(world: World) -> None:
    both = twins("qwen2", SPECIAL, CUT["qwen"].replace("tool_call>", "tool>"))
    marks = {}
    for name, token in both.vocab.special.items():
        lo, hi = world(tool_calls.call_mark)(both.v, 0, token)
        marks[name] = both.v.special_texts[int(lo):int(hi)].tobytes().decode()
    assert marks == {name: "<tool>" if name == "<tool>" else "" for name in SPECIAL}
    assert list(world(tool_calls.call_mark)(both.v, 0, 0)) == [0, 0]
