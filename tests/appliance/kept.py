"""What a saved conversation holds, and what a fresh conversation with the same turns would say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barelm.contract.conversation_state import Turn as KeptTurn
from barelm.contract.layout import PAGE
from barelm.contract.session_file import SESSION_MAGIC, SessionHeader
from barelm.dialect.types import f32
from barelm.disk import open_volume
from barelm.kernels import session
from barelm.pack.reader import Packed
from tests.worlds import alone, jit, spared

GREEDY = session.Sampling(f32(0.0), f32(1.0), 0, f32(0.0), f32(1.0))


@dataclass(frozen=True)
class Turn:
    """A text somebody typed, and where the reply to it begins and ends among the ids."""

    typed: str
    reply: int
    end: int


@dataclass(frozen=True)
class Kept:
    """A conversation as `sessions/NAME.session` has it."""

    ids: list[int]
    cached: int
    turns: list[Turn]
    system: str

    def reply(self, k: int) -> list[int]:
        """The ids of the reply of turn k."""
        turn = self.turns[k]
        return self.ids[turn.reply:turn.end]

    def same_text(self, other: Kept) -> bool:
        """Whether the same was said."""
        return (self.ids, self.turns, self.system) == (other.ids, other.turns, other.system)


def kept_in(image: Path, name: str) -> Kept:
    """The session of that name on an image."""
    with open_volume(image) as volume:
        entry = volume.lookup(f"sessions/{name}.session")
        assert entry is not None, [found.path for found in volume.files()]
        return read_kept(volume.read(entry, 0, entry.size))


def read_kept(content: bytes) -> Kept:
    """A session out of its bytes."""
    whole = np.frombuffer(content, np.uint8).copy()
    head = SessionHeader.over(whole)
    assert head.magic == SESSION_MAGIC
    n_ids, n_turns, n_system = int(head.n_tokens), int(head.n_turns), int(head.system_bytes)
    ids = np.frombuffer(content, np.int64, n_ids, PAGE).tolist()
    at = PAGE + 8 * n_ids
    kept = [KeptTurn.over(whole[at + k * KeptTurn.BYTES:]) for k in range(n_turns)]
    at += n_turns * KeptTurn.BYTES
    system = content[at:at + n_system].decode()
    at += -(-n_system // 8) * 8
    turns = []
    for turn in kept:
        typed_at = at + turn.typed_at
        turns.append(Turn(content[typed_at:typed_at + turn.typed_bytes].decode(), int(turn.reply), int(turn.end)))
    return Kept(ids, int(head.n_cached), turns, system)


def fresh_reply(packed: Packed, ids: list[int], n_tokens: int) -> list[int]:
    """What the most likely ids behind some are, all of them read anew under the JIT."""
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    s.tokens[:len(ids)] = ids
    jit(session.prefill)(c, w, s, 0, len(ids), alone())
    said: list[int] = []
    while len(said) < n_tokens:
        at = len(ids) + len(said)
        token = int(jit(session.choose)(c, s, GREEDY, at, 0, spared(packed)))
        if session.ends(packed.header, token):
            break
        s.tokens[at] = token
        said.append(token)
        if len(said) < n_tokens:
            jit(session.decode)(c, w, s, at, 1, alone())
    return said


def asked_ids(packed: Packed, kept: Kept) -> list[int]:
    """The ids of a conversation up to its last reply: the template around its texts, its replies as they are."""
    from tests.test_same_bits import encoded

    assert packed.chat is not None
    ids: list[int] = []
    for k, turn in enumerate(kept.turns):
        said = packed.chat.turn(turn.typed, kept.system if k == 0 else "", first=k == 0)
        ids += encoded(packed, said, special=1)
        if k + 1 < len(kept.turns):
            ids += kept.reply(k)
    return ids


def check_last_reply(packed: Packed, kept: Kept) -> None:
    """A fresh conversation with the same turns has the same ids, and its last reply the same bits."""
    last = kept.turns[-1]
    assert kept.ids[:last.reply] == asked_ids(packed, kept)
    assert kept.reply(-1) == fresh_reply(packed, kept.ids[:last.reply], last.end - last.reply)
