"""What a packed model has of its chat template: pieces to put around a conversation's texts, and around tools, so that
the metal only concatenates.  `pack.chat.cutting_process` cuts them, and is ended where a template never ends.

Left out on purpose: documents, pictures.
"""

import functools
import itertools
import json
import os
import re
import subprocess
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Vocab
from barelm.child_python import bare_environment, child_command
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.errors import BarelmError
from barelm.kernels.text.json_text import INDENT_BITS, LEVEL_BITS
from barelm.pack.chat.chat_cutting import THOUGHT_PAIRS, Chat, ChatPieces
from barelm.pack.chat.chat_template import TemplateSource
from barelm.pack.chat.tool_pieces import JsonForm, ToolPieces, Tools
from barelm.printed import printable

MOST_WALL_S = 10.0
"""How long cutting a template may take; on a busy host its limit of CPU time can lie beyond."""

SAFE_JINJA = (3, 1, 6)
"""The first whose sandbox has none of the known holes (CVE-2024-56326, CVE-2025-27516)."""

TOO_MUCH = "it takes too long, or too much memory"
NO_CHAT = "the model has no chat"
REFUSED = "its chat template cannot be used:"
"""How the reason begins where there is a template."""

_TEXTS = ("before_system", "system_to_user", "before_first_user", "before_next_user", "before_reply", "after_reply",
          "before_past_reply")
"""The pieces in the order of `layout`; the marks follow."""
_FLAGS = {"takes_system": layout.TAKES_SYSTEM, "system_moves": layout.SYSTEM_MOVES, "rewrites": layout.REWRITES,
          "keeps_thoughts": layout.KEEPS_THOUGHTS, "thinks_at_once": layout.THINKS_AT_ONCE}
_TOOL_FLAGS = {"bare": layout.BARE_TOOLS, "one_call": layout.ONE_CALL, "quotes_results": layout.QUOTES_RESULTS}


def chat_of(vocab: Vocab) -> Chat | str:
    """The pieces of a vocabulary's chat template, or why there are none."""
    found = _found(vocab)[0]
    return found if isinstance(found, Chat) or not vocab.chat_template else f"{REFUSED} {found}"


def tools_of(vocab: Vocab) -> Tools | str:
    """The pieces around tools, or why there are none."""
    return _found(vocab)[1]


def packed_at() -> int:
    """Now in seconds since 1970, or what SOURCE_DATE_EPOCH says, so that the same model packs to the same bytes."""
    said = os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time()))
    if not re.fullmatch("[0-9]{1,11}", said):
        raise BarelmError(f"SOURCE_DATE_EPOCH is {said[:40]!r}, which is no number of seconds since 1970",
                          "Set it to one, such as 1767225600, or unset it.")
    return int(said)


def _found(vocab: Vocab) -> tuple[Chat | str, Tools | str]:
    if not vocab.chat_template:
        return "the model has no chat template", NO_CHAT
    if tuple(map(int, re.findall("[0-9]+", version("jinja2"))[:3])) < SAFE_JINJA:
        raise BarelmError(f"jinja2 {version('jinja2')} is installed, and its sandbox is known to leak",
                          "Run `pip install -U jinja2`: a model's chat template is a stranger's program.")
    day = packed_at() // 86400
    known = frozenset(vocab.pieces)
    tokens = tuple(mark for pair in THOUGHT_PAIRS for mark in pair if mark.encode() in known)
    return _cut(TemplateSource(vocab.chat_template, _token_text(vocab, vocab.bos_id),
                               _token_text(vocab, vocab.eos_ids[0] if vocab.eos_ids else -1), 86400 * day, tokens))


@functools.lru_cache(64)
def _cut(source: TemplateSource) -> tuple[Chat | str, Tools | str]:
    """The pieces, or why there are none, from a process of its own."""
    ended = TOO_MUCH
    try:
        child = subprocess.run(child_command("barelm.pack.chat.cutting_process"), input=json.dumps(source).encode(),
                               capture_output=True, timeout=MOST_WALL_S, env=bare_environment(), check=False)
        said = child.stdout
        if child.returncode > 0:
            last = (child.stderr.decode(errors="replace").splitlines() or ["?"])[-1]
            ended = f"rendering it fails: {last:.200}"
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
    lines = [json.loads(line) for line in said.rpartition(b"\n")[0].splitlines()]
    try:
        json.dumps(lines, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "it makes halves of characters", NO_CHAT
    chat, tools = (*lines, ended, ended)[:2]
    if isinstance(chat, str):
        return chat, NO_CHAT
    sets = (ChatPieces(**{**pieces, "marks": tuple(map(tuple, pieces["marks"]))}) for pieces in chat["sets"])
    if not isinstance(tools, str):
        forms = {name: JsonForm(*tools[name]) for name in ("form", "arguments")}
        tools = Tools(**{**tools, **forms, "sets": tuple(ToolPieces(**pieces) for pieces in tools["sets"])})
    return Chat(tuple(sets), tuple(chat["choice"])), tools


def _token_text(vocab: Vocab, token: int) -> str:
    return vocab.pieces[token].decode(errors="replace") if 0 <= token < len(vocab.pieces) else ""


def stop_ids(vocab: Vocab, chat: Chat | str) -> tuple[int, ...]:
    """The tokens that end an answer: the model's first, the one its template puts behind a reply, the others.

    What ends a thought ends no answer, whatever the model says of it.
    """
    if isinstance(chat, str):
        return vocab.eos_ids
    first, rest = vocab.eos_ids[:1], vocab.eos_ids[1:]
    within = "".join(text for _, text in chat.sets[0].marks)
    found = [text for text in vocab.special if text and chat.sets[0].after_reply.lstrip().startswith(text)]
    turn = (vocab.special[max(found, key=len)],) if found else ()
    return tuple(token for token in dict.fromkeys((*first, *turn, *rest))
                 if not (text := _token_text(vocab, token)) or text not in within or token in first)


def chat_section(chat: Chat | str) -> NDArray[np.uint8]:
    """The section CHAT: the pieces behind their directory, or the reason as text."""
    if isinstance(chat, str):
        return np.frombuffer(chat.encode(), np.uint8)
    texts = [text.encode() for pieces in chat.sets for text in (
        *(getattr(pieces, name) for name in _TEXTS), "".join(f"{effect}{text}\0" for effect, text in pieces.marks))]
    return _joined(texts)


def tools_section(tools: Tools | str) -> NDArray[np.uint8]:
    """The section TOOL_TEXTS: the pieces behind their directory, or the reason as text."""
    if isinstance(tools, str):
        return np.frombuffer(tools.encode(), np.uint8)
    return _joined([text.encode() for pieces in tools.sets for text in vars(pieces).values()])


def _joined(texts: list[bytes]) -> NDArray[np.uint8]:
    """Texts behind the places where each of them ends."""
    ends = 4 * len(texts) + np.cumsum([len(text) for text in texts])
    return np.frombuffer(ends.astype(np.int32).tobytes() + b"".join(texts), np.uint8)


def _apart(section: NDArray[np.uint8], n: int) -> list[str]:
    """What `_joined` put together."""
    ends = [4 * n, *map(int, section[:4 * n].view(np.int32))]
    return [section[lo:hi].tobytes().decode(errors="replace") for lo, hi in itertools.pairwise(ends)]


def describe_tools(header: Header, tools: Tools | str) -> None:
    """Write the tools' words of the header."""
    if not isinstance(tools, str):
        header.n_tool_pieces = layout.TOOL_PIECES * len(tools.sets)
        header.tool_flags = (
            _form_number(tools.form) | _form_number(tools.arguments) << layout.ARGUMENTS_FORM
            | sum(flag for name, flag in _TOOL_FLAGS.items() if getattr(tools, name))
            | tools.strips << layout.RESULT_STRIPS)


def read_tools_section(section: NDArray[np.uint8], header: Header) -> Tools | str:
    """What `tools_section` and `describe_tools` wrote."""
    n, flags = header.n_tool_pieces, int(header.tool_flags)
    if n == 0:
        return _reason_in(section) or "it was packed without"
    texts = _apart(section, n)
    told: dict[str, Any] = {name: bool(flags & flag) for name, flag in _TOOL_FLAGS.items()}
    return Tools(tuple(ToolPieces(*texts[k:k + layout.TOOL_PIECES]) for k in range(0, n, layout.TOOL_PIECES)),
                 form=_form_of(flags), arguments=_form_of(flags >> layout.ARGUMENTS_FORM),
                 strips=flags >> layout.RESULT_STRIPS & 3, **told)


def _reason_in(section: NDArray[np.uint8]) -> str:
    return printable(section.tobytes().rstrip(b"\0").decode(errors="replace"))


def _form_number(form: JsonForm) -> int:
    """A form as `kernels.text.json_text` takes it."""
    return form.indent | form.level << INDENT_BITS | form.compact << INDENT_BITS + LEVEL_BITS


def _form_of(number: int) -> JsonForm:
    return JsonForm(number & (1 << INDENT_BITS) - 1, number >> INDENT_BITS & (1 << LEVEL_BITS) - 1,
                    bool(number >> INDENT_BITS + LEVEL_BITS & 1))


def describe_chat(header: Header, chat: Chat | str) -> None:
    """Write the chat's words of the header."""
    if isinstance(chat, str):
        return
    header.n_chat_pieces = layout.CHAT_PIECES * len(chat.sets)
    flags = 0
    for k, pieces in enumerate(chat.sets):
        told = pieces.strips | sum(flag for name, flag in _FLAGS.items() if getattr(pieces, name))
        flags |= told << layout.CHAT_FLAG_BITS * k
    for think, number in enumerate(chat.choice):
        flags |= number << layout.CHAT_CHOICE + 2 * think
    header.chat_flags = flags


def read_chat_section(section: NDArray[np.uint8], header: Header) -> Chat | str:
    """What `chat_section` and `describe_chat` wrote."""
    n = header.n_chat_pieces
    if n == 0:
        return _reason_in(section)
    texts = _apart(section, n)
    sets = [_pieces_of(texts[layout.CHAT_PIECES * k:layout.CHAT_PIECES * (k + 1)],
                       int(header.chat_flags) >> layout.CHAT_FLAG_BITS * k) for k in range(n // layout.CHAT_PIECES)]
    auto, on, off = (int(header.chat_flags) >> layout.CHAT_CHOICE + 2 * think & 3 for think in range(3))
    return Chat(tuple(sets), (auto, on, off))


def _pieces_of(texts: list[str], flags: int) -> ChatPieces:
    marks = tuple((mark[0], mark[1]) for mark in re.findall("(.)([^\0]*)\0", texts[layout.MARKS], re.DOTALL))
    told: dict[str, Any] = {**dict(zip(_TEXTS, texts)), **{name: bool(flags & flag) for name, flag in _FLAGS.items()}}
    return ChatPieces(marks=marks, strips=flags & layout.STRIPS, **told)
