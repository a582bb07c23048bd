"""A chat template (jinja2) cut into pieces, in a process of its own: a template is a stranger's program.

The template is rendered with marks for texts and cut at them; then what the pieces give is compared with what the
template itself gives, over conversations of several turns.  A template that does anything else with its texts than
print them, whole or stripped, once and in order, cannot be cut, and the reason is said.

A reply may stand otherwise among the earlier ones than where it was asked for: templates of models that think leave
the thoughts out.  So there are two pieces before a reply.
"""

import itertools
import os
from dataclasses import dataclass, replace
from typing import Any

from barelm.pack.chat.chat_template import DATE_MARK, ChatTemplate, Message, Refused, TemplateSource, filled

# Marks: letters and digits only, so that no template sees more in them than a text.
SYSTEM, USER, USER_AGAIN, REPLY = "barelmsystemtext0", "barelmusertext1", "barelmusertext2", "barelmreplytext3"
THOUGHT = "barelmthought4"

# Put on either side of a mark to see whether it is stripped; none of it is special to a tokenizer.
PADDING = " \n\t"

BLANK_LINES = "a\n\nb\r\n\r\n\n c  d\t\te"  # a template that changes the inside of a text most likely changes this
SYSTEM_TEXTS = ("You are brief.", " \u00fcber\n\nspaces \n")
USER_TEXTS = ("Hello", "  two lines\nand a space ", "{{ '\u4f60\u597d' }} \U0001f600\n", "\t1 <b> 22</b>", BLANK_LINES)
REPLY_TEXTS = ("Yes.", "A list:\n- \u0444\u044b\u0432\n- b", "{% x %}", BLANK_LINES)

AFTER_SYSTEM, FIRST, NEXT = 1, 2, 3
"""Slots, as in `contract.layout`: where a system text goes, and a user's."""

THOUGHT_PAIRS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<seed:think>", "</seed:think>"),
                 ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
                 ("<mm:think>", "</mm:think>"), ("<|channel>thought", "<channel|>"))
"""What models write before a thought and behind it."""
HARMONY = (("T", "<|channel|>analysis<|message|>"), ("T", "<|channel|>commentary<|message|>"),
           ("A", "<|channel|>final<|message|>"), ("-", "<|end|>"), ("-", "<|start|>assistant"))
"""The same where every message has a channel (gpt-oss)."""

SILENT = ("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>")
"""What some write around the answer itself."""

THINK: tuple[dict[str, Any], ...] = (
    {}, {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"},
    {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"})
"""What a template is told where nobody says whether to think, where it is to, and where not."""
TOOLS: tuple[dict[str, Any], ...] = ({"tools": None}, {}, {"tools": []})
"""No tools, as a template may want to be told; the first that it can be used with."""


@dataclass(frozen=True)
class ChatPieces:
    """What stands between the texts, and what becomes of them.

    `strips` has two bits for each slot of `layout` (a text in its place): white space is stripped left, right.
    Where `takes_system` is false, `before_system` and `system_to_user` are empty.
    Stripping stops at the pieces: a template that strips a piece and a text in one also strips the piece where the
    text is nothing but white space, which is not followed.
    Dates are DATE_MARKs.  `marks` are what a reply may hold beside its answer, each with its effect
    (`kernels.text.thoughts`).
    """

    before_system: str
    system_to_user: str
    before_first_user: str
    before_next_user: str
    before_reply: str
    after_reply: str
    before_past_reply: str = ""  # one that is not the last
    marks: tuple[tuple[str, str], ...] = ()
    strips: int = 0
    takes_system: bool = False
    system_moves: bool = False  # it stands before the last text of the user's
    rewrites: bool = False  # a reply does not stay as it was made
    keeps_thoughts: bool = False  # among earlier replies
    thinks_at_once: bool = False  # a reply begins within a thought

    def turn(self, user: str, system: str = "", *, first: bool = True, reply: str | None = None) -> str:
        """The text of one turn, up to the reply, or where it is an earlier one with that; dates are filled in."""
        text = self.before_first_user if first else self.before_next_user
        slot = FIRST if first else NEXT
        if system and (reply is None if self.system_moves else first):
            text = (self.before_system if first else text) + self.stripped(0, system) + self.system_to_user
            slot = AFTER_SYSTEM
        text += self.stripped(slot, user) + (self.before_reply if reply is None else self.before_past_reply + reply)
        return filled(text)

    def stripped(self, slot: int, text: str) -> str:
        """A text as the template shows it in a slot."""
        strips = self.strips >> 2 * slot
        text = text.lstrip() if strips & 1 else text
        return text.rstrip() if strips & 2 else text


@dataclass(frozen=True)
class Chat:
    """The pieces, in one to three sets, and which of them counts: as a template is by itself, to think, or not to."""

    sets: tuple[ChatPieces, ...]
    choice: tuple[int, int, int]

    def pieces(self, think: int = 0) -> ChatPieces:
        """One set."""
        return self.sets[self.choice[think]]

    def turn(self, user: str, system: str = "", *, first: bool = True) -> str:
        """The text of one turn up to the reply, by the set that counts where nobody says whether to think."""
        return self.pieces().turn(user, system, first=first)

    @property
    def thinks(self) -> bool:
        """Whether the model may write down thoughts."""
        return bool(self.sets[0].marks)


def cut_template(source: TemplateSource) -> Chat:
    """The pieces of a template.  Raises Refused."""
    first, tools = _cut_with_tools(source)
    sets, choice = [first], [0]
    for more in THINK[1:]:
        found = first
        if any(name in source.text for name in more):
            try:
                found = _cut_dated(source, more | tools)
            except Refused:
                pass  # it knows some of the words only, in a meaning of its own
        if found not in sets:
            sets.append(found)
        choice.append(sets.index(found))
    return Chat(tuple(sets), (choice[0], choice[1], choice[2]))


def _cut_with_tools(source: TemplateSource) -> tuple[ChatPieces, dict[str, Any]]:
    for tools in TOOLS:
        try:
            return _cut_dated(source, tools), tools
        except Refused:
            if tools == TOOLS[-1]:
                raise
    raise AssertionError


def _cut_dated(source: TemplateSource, more: dict[str, Any]) -> ChatPieces:
    """With dates as marks, where the template does nothing with them but print them."""
    plain = ChatTemplate(source, more, dated=False)
    try:
        dated = ChatTemplate(source, more, dated=True)
        talks = ([Message("user", USER)], [Message("system", SYSTEM), Message("user", USER)])
        texts = [_either(dated, talk) for talk in talks]
        if all("\0" not in DATE_MARK.sub("", text) and filled(text) == _either(plain, talk)
               for text, talk in zip(texts, talks)):
            return _cut(dated, marks_of(source))
    except Refused:
        pass
    return _cut(plain, marks_of(source))


def _either(template: ChatTemplate, talk: list[Message]) -> str:
    try:
        return template.render(talk, asking=True)
    except Refused:
        return ""


def marks_of(source: TemplateSource) -> tuple[tuple[str, str], ...]:
    """What a reply may hold beside its answer, by what the template and the vocabulary know."""
    if "<|channel|>" in source.text and "<|message|>" in source.text:
        return HARMONY
    found = [pair for pair in THOUGHT_PAIRS if pair[1] in source.text or set(pair) <= set(source.tokens)]
    silent = [("-", text) for text in SILENT if text in source.text]
    return (*(mark for opens, closes in found for mark in (("t", opens), ("a", closes))), *silent)


def _cut(template: ChatTemplate, marks: tuple[tuple[str, str], ...]) -> ChatPieces:
    """Render with marks, cut at them, look what is stripped, compare.  Raises Refused."""
    first, reply = template.cut([Message("user", USER)], asking=True)
    if not first and not reply:
        raise Refused("it prints nothing around a text")
    talk = [Message("user", USER), Message("assistant", REPLY), Message("user", USER_AGAIN)]
    _, past, between, reply_again = template.cut(talk, asking=True)
    stays = past.startswith(reply) and not past.removeprefix(reply).strip()
    asks = (stays or not past.startswith(reply) or not _unknown(reply, past, marks)
            or template.render(talk, asking=True) != template.render(talk, asking=False))
    if not asks:
        # Some know nothing of asking for a reply: what they print before one serves.
        reply, stays = past, True
    elif reply_again != reply:
        raise Refused("it asks for a second reply in another way than for the first")
    elif not stays and _unknown(reply, past, marks):
        raise Refused("what it prints before a reply is not what it prints to ask for one")
    plain = ChatPieces("", "", first, between, reply, _after(template, talk[:2], between), past, marks,
                       rewrites=not stays, thinks_at_once=_thinks_at_once(reply, marks))
    plain = replace(plain, keeps_thoughts=stays and _keeps_thoughts(template, marks),
                    strips=sum(_strips_in(template, slot) << 2 * slot for slot in (FIRST, NEXT)))
    _compare(template, plain, ("",), asks)
    return _with_system(template, plain, asks)


def _after(template: ChatTemplate, talk: list[Message], between: str) -> str:
    """What ends a conversation; where that cannot be seen, what stands behind a reply."""
    try:
        return template.cut(talk, asking=False)[-1]
    except Refused:
        return between


def _unknown(reply: str, past: str, marks: tuple[tuple[str, str], ...]) -> str:
    """What stands before an earlier reply that a model would have to write itself, and that is no mark of a thought."""
    for _, text in marks:
        reply, past = reply.replace(text, ""), past.replace(text, "")
    return past.removeprefix(os.path.commonprefix([reply, past])).strip()


def _thinks_at_once(reply: str, marks: tuple[tuple[str, str], ...]) -> bool:
    opened = max((reply.rfind(text) for effect, text in marks if effect == "t"), default=-1)
    return opened > max((reply.rfind(text) for effect, text in marks if effect == "a"), default=-1)


def _keeps_thoughts(template: ChatTemplate, marks: tuple[tuple[str, str], ...]) -> bool:
    """Whether a thought within an earlier reply is printed."""
    if not marks or marks[0][0] != "t":
        return False
    content = f"{marks[0][1]}\n{THOUGHT}\n{marks[1][1]}\n\n{REPLY}"
    talk = [Message("user", USER), Message("assistant", content), Message("user", USER_AGAIN)]
    return THOUGHT in _either(template, talk)


def _with_system(template: ChatTemplate, plain: ChatPieces, asks: bool) -> ChatPieces:
    """The same with a place for a system text, where there is one at the beginning or before the last question."""
    try:
        before, between, reply = template.cut([Message("system", SYSTEM), Message("user", USER)], asking=True)
        if asks and reply != plain.before_reply:
            return plain
        slots = (0, AFTER_SYSTEM)
        strips = plain.strips | sum(_strips_in(template, slot) << 2 * slot for slot in slots)
    except Refused:
        return plain
    takes = replace(plain, before_system=before, system_to_user=between, strips=strips, takes_system=True)
    for pieces in (takes, replace(takes, system_moves=True, rewrites=True)):
        try:
            _compare(template, pieces, SYSTEM_TEXTS, asks)
            return pieces
        except Refused:
            continue
    return plain


def _strips_in(template: ChatTemplate, slot: int) -> int:
    """Two bits: whether a text in this slot loses the white space on its left, on its right."""
    padded, first = PADDING + SYSTEM + PADDING, Message("user", USER)
    mark, talk = {
        0: (SYSTEM, [Message("system", padded), first]),
        AFTER_SYSTEM: (USER, [Message("system", SYSTEM), Message("user", PADDING + USER + PADDING)]),
        FIRST: (USER, [Message("user", PADDING + USER + PADDING)]),
        NEXT: (USER_AGAIN, [first, Message("assistant", REPLY), Message("user", PADDING + USER_AGAIN + PADDING)]),
    }[slot]
    before, _, after = template.render(talk, asking=True).partition(mark)
    return (not before.endswith(PADDING)) | (not after.startswith(PADDING)) << 1


def _compare(template: ChatTemplate, pieces: ChatPieces, systems: tuple[str, ...], asks: bool) -> None:
    """Whether the pieces give what the template gives: one to four turns, with each of the system texts."""
    for n_turns, system, shift in itertools.product(range(1, 5), systems, range(len(USER_TEXTS))):
        users = [USER_TEXTS[(k + shift) % len(USER_TEXTS)] for k in range(n_turns)]
        replies = [REPLY_TEXTS[(k + shift) % len(REPLY_TEXTS)] for k in range(n_turns)]
        talk = [Message("system", system)] if system else []
        for user, reply in zip(users, replies):
            talk += [Message("user", user), Message("assistant", reply)]
        past = [pieces.turn(user, system, first=k == 0, reply=reply)
                for k, (user, reply) in enumerate(zip(users, replies))]
        if asks:
            expected = template.render(talk[:-1], asking=True)
            given = "".join(past[:-1]) + pieces.turn(users[-1], system, first=n_turns == 1)
        else:
            expected = template.render(talk, asking=False)
            given = "".join(past) + pieces.after_reply
        if given != filled(expected):
            raise Refused(f"its output is not made of fixed pieces around the texts (seen in turn {n_turns})")
