"""The tools of a chat template cut into pieces, in the process of `pack.chat.cutting_process`.

The template is rendered with marks in place of tools, calls and results, and cut at them; then what the pieces give is
compared with what the template itself gives.  A template that prints a tool or the arguments of a call otherwise than
as JSON (as a list of names and types, argument by argument) cannot be cut, and the reason is said.
"""

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from barelm.pack.chat.chat_cutting import PADDING, REPLY, SYSTEM, THINK, USER, USER_AGAIN, Chat, ChatPieces
from barelm.pack.chat.chat_template import ChatTemplate, Refused, TemplateSource, filled
from barelm.pack.chat.tool_pieces import (
    ARGUMENTS_SLOT,
    CONTENT_SLOT,
    FORMS,
    ID_SLOT,
    NAME_SLOT,
    RESULT_SLOT,
    SLOTS,
    SYSTEM_SLOT,
    TOOLS_SLOT,
    USER_SLOT,
    JsonForm,
    Said,
    ToolPieces,
    Tools,
)

CALLING = "barelmcontent"
"""Marks a text that comes with a call."""


def _tool(k: int) -> Said:
    parameters = {"type": "object", "properties": {f"barelmkey{k}": {"type": "string"}}, "required": []}
    function = {"name": f"barelmtool{k}", "description": f"barelmsays{k}", "parameters": parameters}
    return Said("tool", json.dumps({"type": "function", "function": function}))


def _call(k: int) -> Said:
    return Said("call", json.dumps({f"barelmcity{k}": f"barelmwhere{k}"}), f"barelmname{k}", f"barelmid{k}")


def _result(k: int) -> Said:
    return Said("result", f'barelm"result{k}', f"barelmname{k}", f"barelmid{k}")


TOOLS = (_tool(0), _tool(1))
# Numbers differ, so that it is seen what belongs to a call and what to a result.
CALLS, RESULTS = tuple(map(_call, range(4))), tuple(map(_result, range(4, 8)))

# What is compared: texts that have been changed by templates that are not made of pieces.
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "\u00fcber \"x\"\n <b>"}},
              "required": []}
COMPARED_TOOLS = tuple(Said("tool", json.dumps({"type": "function", "function": function})) for function in (
    {"name": "weather", "description": "Says it's <fine>.", "parameters": PARAMETERS},
    {"name": "now", "description": "\u4f60\u597d", "parameters": {"type": "object", "properties": {}}},
    {"name": "add_2", "description": "", "parameters": {**PARAMETERS, "x": [1, 2.5, True, None, [], {"a": {}}]}}))
COMPARED_ARGUMENTS = ('{"city": "K\u00f6ln \\"x\\"\\n"}', "{}", '{"a": [1, {"b": null}], "c": 2.5, "d": true}')
COMPARED_RESULTS = ("12", '{"a": "b\u00fc"}', " two\nlines\n\n", "<b> 'x' {{ y }}", "[1, 2]")
# U: a question, R: a reply, K: a text before calls, C: a call, T: a result.
TALKS = ("U", "URU", "UCT", "UKCT", "UCTCT", "UCTKCT", "UCTRU", "UCTRUCT", "URUKCT", "UCCTT", "UKCCTTRUCCCTTT")


def cut_tools(source: TemplateSource, chat: Chat) -> Tools:
    """The tools of a template of which these are the pieces.  Raises Refused."""
    found: list[Tools] = []
    for number, pieces in enumerate(chat.sets):
        dated = any("\0" in getattr(pieces, name) for name in ("before_system", "before_first_user", "system_to_user"))
        template = ChatTemplate(source, THINK[chat.choice.index(number)], dated=dated)
        found.append(_cut(_ToolTemplate.of(template), pieces))
    alike = {Tools((), *tools) for tools in ((t.form, t.bare, t.arguments, t.one_call, t.quotes_results, t.strips)
                                             for t in found)}
    if len(alike) != 1:
        raise Refused("it prints tools in another form when it is to think")
    return Tools(tuple(tools.sets[0] for tools in found), *list(vars(found[0]).values())[1:])


class _ToolTemplate(NamedTuple):
    """A template, and how it wants to be told tools and calls."""

    template: ChatTemplate
    form: JsonForm
    bare: bool  # a tool is its "function"
    as_text: bool = False  # the arguments of a call, not as an object

    @classmethod
    def of(cls, template: ChatTemplate) -> "_ToolTemplate":
        """Find where it prints tools, and in which form."""
        text = cls(template, FORMS[0], False).render([*TOOLS, Said("user", USER)])
        for bare, form in itertools.product((False, True), FORMS):
            found = cls(template, form, bare)
            if all(text.count(form.dumps(found.tool(said))) == 1 for said in TOOLS):
                return found
        raise Refused("it does not print a tool as JSON" if "barelmtool0" in text else "it has no place for tools")

    def tool(self, said: Said) -> Any:
        """What it prints of a tool."""
        return json.loads(said.text)["function"] if self.bare else json.loads(said.text)

    def render(self, said: Sequence[Said], *, asking: bool = True) -> str:
        """What it makes of a conversation."""
        messages: list[dict[str, Any]] = []
        for part in said:
            if part.kind == "call":
                if messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": ""})
                arguments = part.text if self.as_text else json.loads(part.text)
                messages[-1].setdefault("tool_calls", []).append(
                    {"type": "function", "id": part.id, "function": {"name": part.name, "arguments": arguments}})
            elif part.kind == "result":
                messages.append({"role": "tool", "content": part.text, "name": part.name, "tool_call_id": part.id})
            elif part.kind != "tool":
                messages.append({"role": {"reply": "assistant"}.get(part.kind, part.kind), "content": part.text})
        tools = [json.loads(part.text) for part in said if part.kind == "tool"]
        return self.template.render(messages, asking=asking, told={"tools": tools})


class _Cut(NamedTuple):
    """Output cut at its marks: what stands between the parts of a conversation, and what each part is printed as."""

    between: list[str]
    parts: list[str]


def _marks(said: Sequence[Said], tools: _ToolTemplate, arguments: JsonForm, quotes: bool) -> dict[str, tuple[int, str]]:
    """Every text to be found, with the number of its part and its slot."""
    marks = {}
    for k, part in enumerate(said):
        if part.kind == "tool":
            marks[tools.form.dumps(tools.tool(part))] = (k, TOOLS_SLOT)
        elif part.kind == "call":
            marks[arguments.dumps(json.loads(part.text))] = (k, ARGUMENTS_SLOT)
        elif part.kind == "result":
            marks[json.dumps(part.text) if quotes else part.text] = (k, RESULT_SLOT)
        else:
            marks[part.text] = (k, {"system": SYSTEM_SLOT, "user": USER_SLOT, "reply": CONTENT_SLOT}[part.kind])
        if part.kind in ("call", "result"):
            marks |= {part.name: (k, NAME_SLOT), part.id: (k, ID_SLOT)}
    return marks


def _cut_at(text: str, marks: dict[str, tuple[int, str]]) -> _Cut:
    """Cut at the marks; those of one part stay together with what is between them."""
    cut, last = _Cut([], [""]), -1
    pieces = re.split("(" + "|".join(map(re.escape, sorted(marks, key=len, reverse=True))) + ")", text)
    if set(SLOTS) & set(text):
        raise Refused("it prints control characters")
    parts: list[str] = []
    for literal, mark in zip(pieces[::2], pieces[1::2]):
        number, slot = marks[mark]
        if number < last:
            raise Refused("it prints tools before the last question, not at the beginning" if slot == TOOLS_SLOT
                          else "it does not print calls and results in order")
        if number == last:
            parts[-1] += literal + slot
        else:
            cut.between.append(literal)
            parts.append(slot)
        last = number
    return _Cut([*cut.between, pieces[-1]], parts)


class _Cutter:
    """Cuts conversations once it is known in which forms a template prints calls and results."""

    def __init__(self, tools: _ToolTemplate) -> None:
        self.tools, self.one_call = tools, False
        self.arguments, self.quotes = JsonForm(), False
        self._find_forms()

    def _find_forms(self) -> None:
        """How arguments and results are printed, and whether there may be two calls at once."""
        talk = (*TOOLS, Said("user", USER), CALLS[0], RESULTS[0])
        reason = ""
        for as_text in (False, True):
            tools = self.tools._replace(as_text=as_text)
            try:
                text = tools.render(talk)
            except Refused as error:
                reason = reason or str(error)
                continue
            forms = [form for form in FORMS if text.count(form.dumps(json.loads(CALLS[0].text))) == 1]
            if forms and RESULTS[0].text not in text and json.dumps(RESULTS[0].text) not in text:
                raise Refused("it does not print the result of a tool as it is")
            if forms:
                self.tools, self.arguments, self.quotes = tools, forms[0], RESULTS[0].text not in text
                try:
                    tools.render((*TOOLS, Said("user", USER), *CALLS[:2], *RESULTS[:2]))
                except Refused:
                    self.one_call = True
                return
            reason = reason or ("it does not print the arguments of a call as JSON" if CALLS[0].name in text
                                else "it prints no calls")
        raise Refused(reason)

    def cut(self, *said: Said) -> _Cut:
        """A conversation cut at its texts, those left out that it does not print; tools are one part."""
        text = self.tools.render((*TOOLS, *said))
        return _cut_at(text, _marks((*TOOLS, *said), self.tools, self.arguments, self.quotes))

    def strips(self) -> int:
        """Two bits: whether a result loses the white space on its left, on its right."""
        padded = RESULTS[0]._replace(text=PADDING + REPLY + PADDING)
        text = self.tools.render((*TOOLS, Said("user", USER), CALLS[0], padded))
        if self.quotes:
            return 0
        before, _, after = text.partition(REPLY)
        return (not before.endswith(PADDING)) | (not after.startswith(PADDING)) << 1


def _cut(tools: _ToolTemplate, chat: ChatPieces) -> Tools:
    """Cut, and compare.  Raises Refused."""
    cutter = _Cutter(tools)
    n = 1 if cutter.one_call else 2
    user, reply, calling = Said("user", USER), Said("reply", REPLY), Said("reply", CALLING)
    plain = cutter.cut(user, *CALLS[:n], *RESULTS[:n], reply, Said("user", USER_AGAIN))
    at = plain.parts.index(USER_SLOT) + 1  # where the calls begin
    if at != 3 or len(plain.parts) != 5 + 2 * n or len(set(plain.parts[at:at + n])) > 1 or len(
            set(plain.parts[at + n:at + 2 * n])) > 1:
        raise Refused("it does not print tools, calls and results one like another, once and in order")
    if any(part.count(slot) > 1 for part in plain.parts for slot in SLOTS):
        raise Refused("it prints a text of a call or a result twice")
    again = cutter.cut(user, CALLS[0], RESULTS[0], CALLS[1], RESULTS[1])
    asked = cutter.cut(user, *CALLS[:n], *RESULTS[:n])
    before_calls = plain.between[at]
    told = _told(before_calls, plain.between[at + n], chat)
    pieces = ToolPieces(
        opening=plain.between[0] + TOOLS_SLOT + plain.between[2] + USER_SLOT,
        opening_with_system=_with_system(cutter) if chat.takes_system else "",
        between_tools=plain.between[1], call=plain.parts[at], before_calls=before_calls,
        before_calls_and_content=_content(cutter.cut(user, calling, CALLS[0], RESULTS[0]), at),
        between_calls=plain.between[at + 1] if n == 2 else "", calls_to_results=plain.between[at + n],
        result=plain.parts[at + n], between_results=plain.between[at + n + 1] if n == 2 else "",
        results_to_reply=asked.between[-1], results_to_past_reply=plain.between[at + 2 * n] + CONTENT_SLOT,
        results_to_calls=again.between[at + 2],
        results_to_calls_and_content=_content(cutter.cut(user, CALLS[0], RESULTS[0], calling, CALLS[1], RESULTS[1]),
                                              at + 2), opens_calls=told[0], closes_calls=told[1])
    found = Tools((pieces,), tools.form, tools.bare, cutter.arguments, cutter.one_call, cutter.quotes, cutter.strips())
    _compare(cutter.tools, found, chat)
    return found


def _content(cut: _Cut, at: int) -> str:
    """What stands before a call, the text that came with it included unless it is left out."""
    if cut.parts[at] == CONTENT_SLOT:
        return cut.between[at] + CONTENT_SLOT + cut.between[at + 1]
    return cut.between[at]


def _with_system(cutter: _Cutter) -> str:
    """The opening with a system text, before the tools or behind them."""
    said = (Said("system", SYSTEM), *TOOLS, Said("user", USER))
    text = cutter.tools.render(said)
    first, *_, last = (cutter.tools.form.dumps(cutter.tools.tool(tool)) for tool in TOOLS)
    before, found, after = text.partition(first)
    _, again, after = after.partition(last)
    piece = (before + TOOLS_SLOT + after.partition(USER)[0] + USER_SLOT).replace(SYSTEM, SYSTEM_SLOT)
    if not found or not again or piece.count(SYSTEM_SLOT) != 1:
        raise Refused("it does not print a system text beside tools")
    return piece


def _told(before_calls: str, behind: str, chat: ChatPieces) -> tuple[str, str]:
    """What of the texts around calls a model writes itself: behind the beginning of a reply, before its end."""
    opens = before_calls.removeprefix(chat.before_past_reply)
    end = chat.after_reply.strip()
    return opens.lstrip(), behind.partition(end)[0] if end else ""


def _compare(tools: _ToolTemplate, found: Tools, chat: ChatPieces) -> None:
    """Whether the pieces give what the template gives."""
    for k, talk in enumerate(TALKS):
        if found.one_call and "CC" in talk:
            continue
        for system in ("", "Be brief.") if chat.takes_system else ("",):
            said = [*([Said("system", system)] if system else []), *(COMPARED_TOOLS[k:] or COMPARED_TOOLS)]
            said += _talk(talk, k)
            expected = filled(tools.render(said))
            told = [part._replace(text=json.dumps(tools.tool(part))) if part.kind == "tool" else part for part in said]
            if found.text(0, chat, told) != expected:
                raise Refused("its tools, calls and results are not printed as fixed pieces around their texts")


def _talk(talk: str, shift: int) -> list[Said]:
    """A conversation from its letters."""
    said, n = [], 0
    for k, letter in enumerate(talk, shift):
        n = n if letter == "T" and talk[k - shift - 1] == "T" else 0 if letter == "T" else n
        name, number = ("weather", "now", "add_2")[n % 3], f"call{n:05}"
        said.append({
            "U": Said("user", ("Hello", "  two\nlines \u00fc ")[k % 2]), "R": Said("reply", "Yes.\n- b"),
            "K": Said("reply", "I look."), "C": Said("call", COMPARED_ARGUMENTS[k % 3], name, number),
            "T": Said("result", COMPARED_RESULTS[k % 5], name, number)}[letter])
        n = n + 1 if letter in "CT" else 0
    return said
