"""A chat template (jinja2) as pieces to put around a conversation's texts, so that the metal only concatenates.

The template is rendered with marks for texts and cut at them; then what the pieces give is compared with what the
template itself gives, over conversations of several turns.  A template that does anything else with its texts than
print them, whole or stripped, once and in order, cannot be cut: `chat_pieces` returns the reason instead.

Left out on purpose: tools, documents, pictures.  `strftime_now` is the time of packing (SOURCE_DATE_EPOCH, where it
is set): a template that prints the date prints that one for ever.
"""

import itertools
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Vocab
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.pack.chat_template import ChatTemplate, Message, Refused

# Marks: letters and digits only, so that no template sees more in them than a text.
SYSTEM, USER, USER_AGAIN, REPLY = "barelmsystemtext0", "barelmusertext1", "barelmusertext2", "barelmreplytext3"

# Put on either side of a mark to see whether it is stripped; none of it is special to a tokenizer.
PADDING = " \n\t"

SYSTEM_TEXTS = ("You are brief.", " \u00fcber\n\nspaces \n")
USER_TEXTS = ("Hello", "  two lines\nand a space ", "{{ '\u4f60\u597d' }} \U0001f600\n", "\t1 <b> 22</b>")
REPLY_TEXTS = ("Yes.", "A list:\n- \u0444\u044b\u0432\n- b", "{% x %}")


@dataclass(frozen=True)
class ChatPieces:
    """What stands between the texts, and what becomes of them.

    `strips` has two bits for each slot of `layout` (a text in its place): white space is stripped left, right.
    Where `takes_system` is false, `before_system` and `system_to_user` are empty.
    Stripping stops at the pieces: a template that strips a piece and a text in one also strips the piece where the
    text is nothing but white space, which is not followed.
    """

    before_system: str
    system_to_user: str
    before_first_user: str
    before_next_user: str
    before_reply: str
    after_reply: str
    strips: int
    takes_system: bool

    def texts(self) -> tuple[str, ...]:
        """The pieces in the order of `layout`."""
        return astuple(self)[:layout.CHAT_PIECES]

    def turn(self, user: str, system: str = "", *, first: bool = True) -> str:
        """The text of one turn, up to the reply: what `kernels.text.chat_turn.write_turn` writes."""
        if not first:
            return self.before_next_user + self.stripped(layout.NEXT_USER, user) + self.before_reply
        if not system:
            return self.before_first_user + self.stripped(layout.FIRST_USER, user) + self.before_reply
        return (self.before_system + self.stripped(layout.SYSTEM, system) + self.system_to_user
                + self.stripped(layout.USER_AFTER_SYSTEM, user) + self.before_reply)

    def stripped(self, slot: int, text: str) -> str:
        """A text as the template shows it in a slot."""
        strips = self.strips >> 2 * slot
        text = text.lstrip() if strips & 1 else text
        return text.rstrip() if strips & 2 else text


def chat_pieces(vocab: Vocab) -> ChatPieces | str:
    """The pieces of a vocabulary's chat template, or why there are none."""
    if not vocab.chat_template:
        return "the model has no chat template"
    try:
        return _cut(ChatTemplate(vocab))
    except Refused as reason:
        return f"its chat template cannot be used: {reason}"


def stop_ids(vocab: Vocab, pieces: ChatPieces | str) -> tuple[int, ...]:
    """The tokens that end an answer: the model's first, the one its template puts behind a reply, the others."""
    first, rest = vocab.eos_ids[:1], vocab.eos_ids[1:]
    ends = "" if isinstance(pieces, str) else pieces.after_reply.lstrip()
    found = [text for text in vocab.special if text and ends.startswith(text)]
    turn = (vocab.special[max(found, key=len)],) if found else ()
    return tuple(dict.fromkeys((*first, *turn, *rest)))


def chat_section(pieces: ChatPieces | str) -> NDArray[np.uint8]:
    """The section CHAT: the pieces behind their directory, or the reason as text."""
    if isinstance(pieces, str):
        return np.frombuffer(pieces.encode(), np.uint8)
    texts = [text.encode() for text in pieces.texts()]
    ends = 4 * len(texts) + np.cumsum([len(text) for text in texts])
    return np.frombuffer(ends.astype(np.int32).tobytes() + b"".join(texts), np.uint8)


def describe_chat(header: Header, pieces: ChatPieces | str) -> None:
    """Write the chat's words of the header."""
    if isinstance(pieces, ChatPieces):
        header.n_chat_pieces = layout.CHAT_PIECES
        header.chat_flags = pieces.strips | (layout.TAKES_SYSTEM if pieces.takes_system else 0)


def read_chat_section(section: NDArray[np.uint8], header: Header) -> ChatPieces | str:
    """What `chat_section` and `describe_chat` wrote."""
    if header.n_chat_pieces == 0:
        return section.tobytes().rstrip(b"\0").decode(errors="replace")
    ends = [4 * layout.CHAT_PIECES, *map(int, section[:4 * layout.CHAT_PIECES].view(np.int32))]
    texts = [section[lo:hi].tobytes().decode(errors="replace") for lo, hi in itertools.pairwise(ends)]
    before_system, system_to_user, before_first, before_next, before_reply, after_reply = texts
    return ChatPieces(before_system, system_to_user, before_first, before_next, before_reply, after_reply,
                      int(header.chat_flags) & (layout.TAKES_SYSTEM - 1), bool(header.chat_flags & layout.TAKES_SYSTEM))


def _cut(template: ChatTemplate) -> ChatPieces:
    """Render with marks, cut at them, look what is stripped, compare.  Raises Refused."""
    first, reply = template.cut([Message("user", USER)], asking=True)
    if not first and not reply:
        raise Refused("it prints nothing around a text")
    talk = [Message("user", USER), Message("assistant", REPLY), Message("user", USER_AGAIN)]
    _, answered, between, reply_again = template.cut(talk, asking=True)
    _, _, after = template.cut(talk[:2], asking=False)
    lead = answered.removeprefix(reply)
    asks = True
    if not answered.startswith(reply) or lead.strip():
        # Some know nothing of asking for a reply: what they print before one serves.
        asks = template.render(talk, asking=True) != template.render(talk, asking=False)
        if asks:
            raise Refused("what it prints before a reply is not what it prints to ask for one")
        reply, lead = answered, ""
    elif reply_again != reply:
        raise Refused("it asks for a second reply in another way than for the first")
    before_system, system_to_user, takes_system = _system(template, reply if asks else None)
    plain = ChatPieces(before_system, system_to_user, first, between, reply, after, 0, takes_system)
    slots = [slot for slot in range(layout.CHAT_SLOTS)
             if takes_system or slot not in (layout.SYSTEM, layout.USER_AFTER_SYSTEM)]
    pieces = replace(plain, strips=sum(_strips_in(template, slot) << 2 * slot for slot in slots))
    _compare(template, pieces, lead, asks)
    return pieces


def _system(template: ChatTemplate, reply: str | None) -> tuple[str, str, bool]:
    """What stands before and after a system text, and whether there is a place for one at all."""
    try:
        before, between, rest = template.cut([Message("system", SYSTEM), Message("user", USER)], asking=True)
    except Refused:
        return "", "", False
    if reply is not None and rest != reply:
        raise Refused("it asks for a reply in another way where there is a system text")
    return before, between, True


def _strips_in(template: ChatTemplate, slot: int) -> int:
    """Two bits: whether a text in this slot loses the white space on its left, on its right."""
    padded, first = PADDING + SYSTEM + PADDING, Message("user", USER)
    mark, talk = {
        layout.SYSTEM: (SYSTEM, [Message("system", padded), first]),
        layout.USER_AFTER_SYSTEM: (USER, [Message("system", SYSTEM), Message("user", PADDING + USER + PADDING)]),
        layout.FIRST_USER: (USER, [Message("user", PADDING + USER + PADDING)]),
        layout.NEXT_USER: (USER_AGAIN, [first, Message("assistant", REPLY),
                                        Message("user", PADDING + USER_AGAIN + PADDING)]),
    }[slot]
    before, _, after = template.render(talk, asking=True).partition(mark)
    return (not before.endswith(PADDING)) | (not after.startswith(PADDING)) << 1


def _compare(template: ChatTemplate, pieces: ChatPieces, lead: str, asks: bool) -> None:
    """Whether the pieces give what the template gives: one to four turns, with and without a system text."""
    systems = ("", *SYSTEM_TEXTS) if pieces.takes_system else ("",)
    for n_turns, system, shift in itertools.product(range(1, 5), systems, range(len(USER_TEXTS))):
        users = [USER_TEXTS[(k + shift) % len(USER_TEXTS)] for k in range(n_turns)]
        replies = [REPLY_TEXTS[(k + shift) % len(REPLY_TEXTS)] for k in range(n_turns)]
        talk = [Message("system", system)] if system else []
        for user, reply in zip(users, replies):
            talk += [Message("user", user), Message("assistant", reply)]
        turns = [pieces.turn(user, system, first=k == 0) for k, user in enumerate(users)]
        asked = "".join(turn + lead + reply for turn, reply in zip(turns, replies[:-1])) + turns[-1]
        answered = asked + lead + replies[-1] + pieces.after_reply
        if (asks and template.render(talk[:-1], asking=True) != asked
                or template.render(talk, asking=False) != answered):
            raise Refused(f"its output is not made of fixed pieces around the texts (seen in turn {n_turns})")
