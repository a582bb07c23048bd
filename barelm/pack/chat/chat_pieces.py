"""What a packed model has of its chat template: pieces to put around a conversation's texts, so that the metal only
concatenates.  `pack.chat.chat_cutting` cuts them, in a process that is ended where a template never ends.

Left out on purpose: tools, documents, pictures.
"""

import functools
import itertools
import json
import os
import re
import subprocess
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Vocab
from barelm.child_python import child_command, child_environment
from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.pack.chat.chat_cutting import THOUGHT_PAIRS, Chat, ChatPieces
from barelm.pack.chat.chat_template import TemplateSource

MOST_WALL_S = 10.0
"""How long cutting a template may take; on a busy host its limit of CPU time can lie beyond."""

TOO_MUCH = "it takes too long, or too much memory"
REFUSED = "its chat template cannot be used:"
"""How the reason begins where there is a template."""

_TEXTS = ("before_system", "system_to_user", "before_first_user", "before_next_user", "before_reply", "after_reply",
          "before_past_reply")
"""The pieces in the order of `layout`; the marks follow."""
_FLAGS = {"takes_system": layout.TAKES_SYSTEM, "system_moves": layout.SYSTEM_MOVES, "rewrites": layout.REWRITES,
          "keeps_thoughts": layout.KEEPS_THOUGHTS, "thinks_at_once": layout.THINKS_AT_ONCE}


def chat_of(vocab: Vocab) -> Chat | str:
    """The pieces of a vocabulary's chat template, or why there are none."""
    if not vocab.chat_template:
        return "the model has no chat template"
    day = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()) // 86400
    known = frozenset(vocab.pieces)
    tokens = tuple(mark for pair in THOUGHT_PAIRS for mark in pair if mark.encode() in known)
    found = _cut(TemplateSource(vocab.chat_template, _token_text(vocab, vocab.bos_id),
                                _token_text(vocab, vocab.eos_ids[0] if vocab.eos_ids else -1), 86400 * day, tokens))
    return found if isinstance(found, Chat) else f"{REFUSED} {found}"


@functools.lru_cache(64)
def _cut(source: TemplateSource) -> Chat | str:
    """The pieces, or why there are none, from a process of its own."""
    try:
        child = subprocess.run(child_command("barelm.pack.chat.chat_cutting"), input=json.dumps(source), text=True,
                               capture_output=True, timeout=MOST_WALL_S, env=child_environment(), check=False)
    except subprocess.TimeoutExpired:
        return TOO_MUCH
    if child.returncode < 0:
        return TOO_MUCH
    if child.returncode > 0:
        return f"rendering it fails: {(child.stderr.splitlines() or ['?'])[-1]:.200}"
    said = json.loads(child.stdout)
    if isinstance(said, str):
        return said
    sets = (ChatPieces(**{**pieces, "marks": tuple(map(tuple, pieces["marks"]))}) for pieces in said["sets"])
    return Chat(tuple(sets), tuple(said["choice"]))


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
    ends = 4 * len(texts) + np.cumsum([len(text) for text in texts])
    return np.frombuffer(ends.astype(np.int32).tobytes() + b"".join(texts), np.uint8)


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
        return section.tobytes().rstrip(b"\0").decode(errors="replace")
    ends = [4 * n, *map(int, section[:4 * n].view(np.int32))]
    texts = [section[lo:hi].tobytes().decode(errors="replace") for lo, hi in itertools.pairwise(ends)]
    sets = [_pieces_of(texts[layout.CHAT_PIECES * k:layout.CHAT_PIECES * (k + 1)],
                       int(header.chat_flags) >> layout.CHAT_FLAG_BITS * k) for k in range(n // layout.CHAT_PIECES)]
    auto, on, off = (int(header.chat_flags) >> layout.CHAT_CHOICE + 2 * think & 3 for think in range(3))
    return Chat(tuple(sets), (auto, on, off))


def _pieces_of(texts: list[str], flags: int) -> ChatPieces:
    marks = tuple((mark[0], mark[1]) for mark in re.findall("(.)([^\0]*)\0", texts[layout.MARKS], re.DOTALL))
    told: dict[str, Any] = {**dict(zip(_TEXTS, texts)), **{name: bool(flags & flag) for name, flag in _FLAGS.items()}}
    return ChatPieces(marks=marks, strips=flags & layout.STRIPS, **told)
