"""Tools in chat templates: pieces on the host, and the kernel that writes them, against jinja2 rendering the whole."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.checkpoint.gguf_metadata import read_model_metadata
from barelm.checkpoint.gguf_vocab import read_vocab
from barelm.commands.show import tool_facts
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.kernels.text import tool_turns as kernels
from barelm.kernels.text.chat_turn import TurnStyle
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.pack.chat.chat_cutting import Chat
from barelm.pack.chat.chat_pieces import chat_of, describe_tools, read_tools_section, tools_of, tools_section
from barelm.pack.chat.tool_pieces import JsonForm, Said, Tools
from tests.kernels.text.bytelevel import SPECIAL, Twins, twins
from tests.pack.chat.test_chat_pieces import CHATML, vocab_with
from tests.pack.chat.tool_templates import CUT, LISTED, LLAMA, MISTRAL, QWEN, rendered
from tests.worlds import World, both_worlds, jit

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "<|im_end|> \"\u00fc\"\n"}}}
TOOLS = tuple(json.dumps({"type": "function", "function": function}) for function in (
    {"name": "weather", "description": "It's <fine>", "parameters": PARAMETERS}, {"name": "now", "parameters": {}},
    {"name": "f_2", "description": "\u4f60\n", "parameters": {"required": [], "x": [1, 2.5, None, {"a": {}}]}}))
ARGUMENTS = ('{"city": "K\\u00f6ln \\"x\\"\\n"}', "{}", '{ "a":[1,{"b":null} ],"c":true}')
TEXTS = st.text(st.sampled_from(" \n\tab{}\"\\<|>\u4f60\u00fc"), min_size=1, max_size=9).filter(str.strip)
REFUSED = {
    CHATML: "it has no place for tools",
    QWEN.replace("tool | tojson", "tool.function.name"): "it does not print a tool as JSON",
    QWEN.replace("call.function.arguments | tojson", "call.function.arguments | items | list"):
        "it does not print the arguments of a call as JSON",
    QWEN.replace("message.tool_calls %}", "false %}").replace("call in message.tool_calls", "call in []"):
        "it prints no calls",
    QWEN.replace("call.function.name", "loop.index ~ call.function.name"): "fixed pieces",
    QWEN.replace("call.function.name", "call.function.name ~ loop.index"): "one like another",
    QWEN.replace("call.function.name", "call.function.name ~ call.function.name"): "twice",
    QWEN.replace("'\\n<tool_response>\\n' + message.content", "message.content.replace('b', 'c')"): "as it is",
    QWEN.replace("'\\n<tool_response>\\n' + message.content", "message.content.replace('\n\n', '\n')"):
        "fixed pieces",
    MISTRAL.replace("{%- if tools %}", "{%- if false %}").replace(
        "{{- '[INST]'", "{% if tools and message == (talk | selectattr('role', 'equalto', 'user') | list)[-1] %}"
        "{{- tools | tojson }}{% endif %}{{- '[INST]'"):
        "before the last question",
    "{% if tools %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif %}" + CHATML:
        "too long",
}


def said_of(talk: str, texts: list[str], n_tools: int, system: str) -> list[Said]:
    """A conversation: U a question, R a reply, K a text before calls, C a call, T a result."""
    said = [Said("system", system)] if system else []
    said += [Said("tool", tool) for tool in TOOLS[:n_tools]]
    for k, (letter, text) in enumerate(zip(talk, itertools.cycle(texts))):
        said.append({"U": Said("user", text), "R": Said("reply", "Yes.\n- b"), "K": Said("reply", "I look."),
                     "C": Said("call", ARGUMENTS[k % 3], "weather", f"call{k:05}"),
                     "T": Said("result", text, "weather", f"call{k:05}")}[letter])
    return said


def pieces_of(template: str) -> tuple[Chat, Tools]:
    """The pieces, which there must be."""
    chat, tools = chat_of(vocab_with(template)), tools_of(vocab_with(template))
    assert isinstance(chat, Chat) and isinstance(tools, Tools), (chat, tools)
    return chat, tools


def as_printed(tools: Tools, said: list[Said]) -> list[Said]:
    """What of a tool is to be given, and in the form of Python."""
    return [replace_text(part, tools) if part.kind == "tool" else part for part in said]


def replace_text(part: Said, tools: Tools) -> Said:
    """The same with the function alone where that is what is printed."""
    tool = json.loads(part.text)
    return part._replace(text=json.dumps(tool["function"] if tools.bare else tool))


def talks(one_call: bool) -> st.SearchStrategy[str]:
    """Conversations in letters: every question is answered, after calls or none; the last waits for its answer."""
    calls = st.sampled_from(["CT", "KCT"] if one_call else ["CT", "KCT", "CCTT", "KCCCTTT"])
    rounds = st.lists(calls, max_size=2).map("".join)
    return st.tuples(st.lists(rounds.map(lambda part: "U" + part + "R"), max_size=2).map("".join), rounds).map(
        lambda parts: parts[0] + "U" + parts[1])


@pytest.mark.parametrize("name", CUT)
@given(data=st.data(), texts=st.lists(TEXTS, min_size=1, max_size=3), n_tools=st.integers(1, 3),
       system=st.sampled_from(["", "Be brief."]))
@settings(max_examples=60)
def test_pieces_give_what_the_template_gives(name: str, data: st.DataObject, texts: list[str], n_tools: int,
                                             system: str) -> None:
    chat, tools = pieces_of(CUT[name])
    said = said_of(data.draw(talks(tools.one_call)), texts, n_tools, system if chat.pieces().takes_system else "")
    expected = rendered(CUT[name], [part._replace(text=json.dumps(json.loads(part.text), ensure_ascii=False))
                                    if part.kind == "call" else part for part in said], as_text=name == "listed")
    assert tools.text(0, chat.pieces(), as_printed(tools, said)) == expected


def test_what_a_template_does_with_tools() -> None:
    qwen, llama, mistral, listed = (pieces_of(template)[1] for template in (QWEN, LLAMA, MISTRAL, LISTED))
    assert (llama.one_call, llama.quotes_results, llama.form) == (True, True, JsonForm(4))
    assert (mistral.strips, qwen.strips, mistral.one_call) == (3, 0, False)
    assert (listed.bare, listed.form) == (True, JsonForm(2, 1)) and not qwen.bare
    assert (qwen.sets[0].opens_calls, qwen.sets[0].closes_calls) == ("<tool_call>\n{\"name\": \"", "}\n</tool_call>")
    assert tool_facts(qwen) == (
        'yes, calls in a reply, as <tool_call> {"name": "NAME", "arguments": {...}} </tool_call>')
    assert tool_facts(llama) == 'yes, one call in a reply, as {"name": "NAME", "parameters": {...}}'
    assert mistral.call_form == "[TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{...}"


@pytest.mark.parametrize(("template", "reason"), REFUSED.items())
def test_what_cannot_be_cut_says_why(template: str, reason: str) -> None:
    refusal = tools_of(vocab_with(template))
    assert isinstance(refusal, str) and reason in refusal, refusal
    assert isinstance(chat_of(vocab_with(template)), Chat), "its chat is none the worse for that"
    assert tool_facts(refusal) == f"no: {refusal}"


@pytest.mark.parametrize("template", [*CUT.values(), CHATML, "", "{{ nonsense"])
def test_the_section_holds_pieces_or_the_reason(template: str) -> None:
    tools = tools_of(vocab_with(template))
    section = tools_section(tools)
    header = Header.over(np.zeros(layout.HEADER_BYTES, np.uint8))
    describe_tools(header, tools)
    assert read_tools_section(np.pad(section, (0, -len(section) % 8)), header) == tools


KINDS = ("system", "tool", "user", "reply", "call", "result")


def noted(said: list[Said]) -> kernels.ToolTalk:
    """A conversation as the kernel takes it."""
    rows, raw = np.zeros(kernels.ROW_WORDS * len(said), np.int64), b""
    for k, part in enumerate(said):
        rows[kernels.ROW_WORDS * k] = KINDS.index(part.kind)
        for word, text in ((kernels.TEXT, part.text), (kernels.NAME, part.name), (kernels.ID, part.id)):
            rows[kernels.ROW_WORDS * k + word:][:2] = len(raw), len(raw) + len(text.encode())
            raw += text.encode()
    return kernels.ToolTalk(rows, len(said), np.frombuffer(raw + b"\0", np.uint8).copy())


def written(world: World, v: Vocabulary, said: list[Said], room: int = 1 << 15) -> tuple[str, list[int]] | None:
    """The text and ids of a conversation from the kernel; None where it refuses."""
    text, guards = np.zeros(room, np.uint8), np.full(kernels.ROW_GUARDS * len(said), -1, np.int64)
    ids, ranks = np.zeros(room + 2, np.int64), np.zeros(room + 2, np.int64)
    n = int(world(kernels.encode_tool_turns)(v, TurnStyle(0, 0, 0), noted(said), text, guards, ids, ranks))
    return None if n < 0 else (text.tobytes().partition(b"\0")[0].decode(), [int(token) for token in ids[:n]])


def with_template(name: str) -> Twins:
    """Both tokenizers over a vocabulary with this chat template."""
    return twins("qwen2", SPECIAL, CUT[name])


@pytest.mark.parametrize("name", CUT)
@given(data=st.data(), texts=st.lists(TEXTS, min_size=1, max_size=3), n_tools=st.integers(1, 3),
       system=st.sampled_from(["", " Be brief.\n"]))
@settings(max_examples=60)
def test_the_kernel_writes_the_same(name: str, data: st.DataObject, texts: list[str], n_tools: int,
                                    system: str) -> None:
    both = with_template(name)
    chat, tools = chat_of(both.vocab), tools_of(both.vocab)
    assert isinstance(chat, Chat) and isinstance(tools, Tools)
    said = as_printed(tools, said_of(data.draw(talks(tools.one_call)), texts, n_tools, system))
    expected = tools.text(0, chat.pieces(), said)
    found = written(jit, both.v, said)
    assert found is not None
    assert found[0] == expected
    if "<|im_end|>" not in "".join(part.text for part in said if part.kind == "tool"):
        assert found[1] == both.oracle.encode(expected).ids


@both_worlds
def test_special_tokens_within_tools_calls_and_results_stay_text(world: World) -> None:
    both, end = with_template("qwen"), "<|im_end|>"
    said = said_of("UCT", ["x"], 1, "")
    parts = [replace_in(part, "weather", end) if part.kind != "user" else part for part in said]
    parts[-1] = parts[-1]._replace(text=end)
    honest, sly = written(world, both.v, said), written(world, both.v, parts)
    assert honest is not None and sly is not None
    special = set(both.vocab.special.values())
    assert [token for token in sly[1] if token in special] == [token for token in honest[1] if token in special]


def replace_in(part: Said, old: str, new: str) -> Said:
    """A part with something else in all of its texts."""
    return Said(part.kind, *(text.replace(old, new) for text in part[1:]))


@both_worlds
@pytest.mark.parametrize("talk", ["", "R", "C", "T", "UR", "UC", "UT", "UU", "UCU", "UCTU", "URR", "UCR", "URT"])
def test_what_comes_in_no_order_is_refused(world: World, talk: str) -> None:
    assert written(world, with_template("qwen").v, said_of(talk, ["x"], 1, "")) is None


@both_worlds
def test_what_a_template_has_no_place_for_is_refused(world: World) -> None:
    v = with_template("qwen").v
    assert written(world, v, said_of("U", ["x"], 0, "")) is None, "without tools it is no matter of this module"
    said = said_of("U", ["x"], 1, "")
    assert written(world, v, [said[1], said[0]]) is None, "tools come first"
    assert written(world, v, said, room=40) is None
    assert written(world, with_template("llama").v, said_of("UCCTT", ["x"], 1, "")) is None
    plain = twins("qwen2", SPECIAL, CHATML).v
    assert not world(kernels.has_tools)(plain) and written(world, plain, said) is None


def test_every_room_too_small_is_refused() -> None:
    v, said = with_template("llama").v, said_of("UCTRU", [" x\n"], 2, "S")
    whole = written(jit, v, said)
    assert whole is not None
    n = len(whole[0].encode())
    assert all(written(jit, v, said, room) is None for room in range(8, n - 8, 7))


def test_a_real_template() -> None:
    path = Path.home() / ".cache" / "barelm-test-models" / "qwen2.5-coder-0.5b-q4_k_m.gguf"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    vocab = read_vocab(read_model_metadata(path))
    tools = tools_of(vocab)
    assert isinstance(tools, Tools)
    assert "<tool_call>" in tools.call_form
    assert isinstance(tools_of(replace(vocab, chat_template=CHATML)), str)
