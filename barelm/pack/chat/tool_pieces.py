"""What stands around tools, calls of them and their results, where a chat template has a place for them.

Like `pack.chat.chat_cutting` it imports neither NumPy nor the rooms below.  The metal writes the same with
`kernels.text.tool_turns`; a test compares the two, and both with the template.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from barelm.pack.chat.chat_cutting import AFTER_SYSTEM, FIRST, NEXT, ChatPieces
from barelm.pack.chat.chat_template import filled

SLOTS = "\1\2\3\4\5\6\7\10"
SYSTEM_SLOT, TOOLS_SLOT, USER_SLOT, CONTENT_SLOT, NAME_SLOT, ARGUMENTS_SLOT, ID_SLOT, RESULT_SLOT = tuple(SLOTS)
"""Where in a piece a text goes, as in `contract.layout`."""


class JsonForm(NamedTuple):
    """How JSON is printed: Python's `json.dumps`, its lines `level` steps further in."""

    indent: int = 0  # 0: on one line
    level: int = 0
    compact: bool = False  # no blanks behind commas and colons

    def dumps(self, value: Any) -> str:
        """The value in this form."""
        separators = (",", ":") if self.compact else None
        text = json.dumps(value, ensure_ascii=False, indent=self.indent or None, separators=separators)
        return text.replace("\n", "\n" + " " * self.indent * self.level)


FORMS = (JsonForm(), JsonForm(compact=True),
         *(JsonForm(indent, level) for indent in (4, 2, 1, 3) for level in (0, 1, 2)))


class Said(NamedTuple):
    """A part of a conversation, in order: a "system" text, each "tool", then "user", "reply", "call" and "result".

    The text of a tool and of a call (its arguments) is JSON.  Calls follow the "reply" that came with them, if any.
    """

    kind: str
    text: str
    name: str = ""  # of the tool a call or result is of
    id: str = ""


@dataclass(frozen=True)
class ToolPieces:
    """A set, in the order of `contract.layout`; those with slots are said to have them."""

    opening: str  # up to the first question: TOOLS, USER
    opening_with_system: str  # SYSTEM too, or empty
    between_tools: str
    call: str  # NAME, ARGUMENTS, ID
    before_calls: str  # behind a question
    before_calls_and_content: str  # CONTENT, unless it is left out
    between_calls: str
    calls_to_results: str
    result: str  # RESULT, NAME, ID
    between_results: str
    results_to_reply: str  # that is asked for
    results_to_past_reply: str  # CONTENT
    results_to_calls: str
    results_to_calls_and_content: str
    opens_calls: str  # with what a reply that calls begins to call
    closes_calls: str


# What stands between two parts of a conversation; "calls" is a reply that calls follow.
_BETWEEN = {
    ("user", "call"): "before_calls", ("user", "calls"): "before_calls_and_content",
    ("call", "call"): "between_calls", ("call", "result"): "calls_to_results",
    ("result", "result"): "between_results", ("result", "reply"): "results_to_past_reply",
    ("result", "call"): "results_to_calls", ("result", "calls"): "results_to_calls_and_content"}


@dataclass(frozen=True)
class Tools:
    """A template's tools: a ToolPieces for each ChatPieces, and what all of them share."""

    sets: tuple[ToolPieces, ...]
    form: JsonForm = JsonForm()  # of a tool,
    bare: bool = False  # of its "function" alone
    arguments: JsonForm = JsonForm()
    one_call: bool = False  # it cannot show two at once
    quotes_results: bool = False  # it prints them as JSON texts
    strips: int = 0  # white space of a result: 1 left, 2 right

    def text(self, number: int, chat: ChatPieces, said: Sequence[Said]) -> str:
        """A conversation up to the reply that is asked for, by a set and the chat's pieces of the same."""
        pieces, text, before = self.sets[number], "", ""
        system = next((part.text for part in said if part.kind == "system"), "")
        tools = [self.form.dumps(json.loads(part.text)) for part in said if part.kind == "tool"]
        talk = [part for part in said if part.kind not in ("system", "tool")]
        for k, part in enumerate(talk):
            calls = part.kind == "reply" and [more.kind for more in talk[k + 1:k + 2]] == ["call"]
            kind = "calls" if calls else part.kind
            piece = {
                ("", "user"): pieces.opening_with_system if system else pieces.opening, ("reply", "call"): "",
                ("reply", "user"): chat.before_next_user + USER_SLOT,
                ("user", "reply"): chat.before_past_reply + CONTENT_SLOT,
                **{between: getattr(pieces, name) for between, name in _BETWEEN.items()},
            }[before, kind]
            slot = NEXT if before else AFTER_SYSTEM if system else FIRST
            text += _with_slots(piece + {"call": pieces.call, "result": pieces.result}.get(kind, ""), {
                SYSTEM_SLOT: chat.stripped(0, system), TOOLS_SLOT: filled(pieces.between_tools).join(tools),
                USER_SLOT: chat.stripped(slot, part.text), CONTENT_SLOT: part.text,
                NAME_SLOT: part.name, ID_SLOT: part.id, RESULT_SLOT: self._result(part.text),
                ARGUMENTS_SLOT: self.arguments.dumps(json.loads(part.text)) if kind == "call" else ""})
            before = part.kind
        return text + filled(chat.before_reply if before == "user" else pieces.results_to_reply)

    def _result(self, text: str) -> str:
        text = text.lstrip() if self.strips & 1 else text
        text = text.rstrip() if self.strips & 2 else text
        return json.dumps(text, ensure_ascii=False) if self.quotes_results else text

    @property
    def call_form(self) -> str:
        """A call as the model writes it, for people to read."""
        pieces = self.sets[0]
        shown = {NAME_SLOT: "NAME", ARGUMENTS_SLOT: "{...}", ID_SLOT: "ID"}
        return " ".join(filled(pieces.opens_calls + _with_slots(pieces.call, shown) + pieces.closes_calls).split())


def _with_slots(piece: str, texts: dict[str, str]) -> str:
    """A piece with its slots filled, and its dates."""
    return "".join(texts[part] if part in texts else filled(part) for part in re.split(f"([{SLOTS}])", piece))
