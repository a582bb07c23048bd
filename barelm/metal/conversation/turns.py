"""What was said: turns, each a typed text and a reply, over the token ids of the session.

The ids of turn k are those of its text in the chat template, then those of the reply.  Whatever changes an id says
so (`place`), so that what is still in the key-value cache is never computed again, and what is not always is.
"""

from __future__ import annotations

from barelm.contract import layout
from barelm.dialect.memory import address_of, i64_array, memory
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64, U8
from barelm.kernels.text.chat_turn import GUARDS, encode_turn, takes_system
from barelm.metal import arena
from barelm.metal.conversation.talk import Talk, place, transcript_of, vocabulary_of

N_TURNS = 0  # words of `turns_of`
DROPPED = 1  # turns that were forgotten since somebody was told
TURNS = 8  # the first turn
TURN_WORDS = 4
TYPED_AT = 0  # a turn: its text, in arena.TYPED
TYPED_BYTES = 1
REPLY = 2  # the first id of its reply
END = 3  # and the first one behind it
MOST_TURNS = (arena.CHAT_BYTES // 8 - TURNS) // TURN_WORDS

ADDED, TOO_LONG = 0, 1


@metal
def turns_of(t: Talk) -> I64:
    """The words of the conversation."""
    return i64_array(memory(t.workspace.address + arena.CHAT, arena.CHAT_BYTES), 0, arena.CHAT_BYTES // 8)


@metal
def end_of(t: Talk, k: int) -> int:
    """How many ids the first k turns are."""
    if k == 0:
        return 0
    return turns_of(t)[TURNS + (k - 1) * TURN_WORDS + END]


@metal
def typed_of(t: Talk, k: int) -> U8:
    """The text typed in turn k."""
    at = TURNS + k * TURN_WORDS
    return memory(t.workspace.address + arena.TYPED + turns_of(t)[at + TYPED_AT], turns_of(t)[at + TYPED_BYTES])


@metal
def system_of(t: Talk) -> U8:
    """The system text; none where the template has no place for one."""
    n = t.b.settings.system.n_bytes
    if n > 0 and not takes_system(vocabulary_of(t)):
        n = 0
    return memory(t.b.settings.system.address, n)


@metal
def turn_ids(t: Talk, k: int, typed: U8) -> I64:
    """The ids of a text as turn k, in the scratch; empty where it is too long to be encoded."""
    system = system_of(t)
    text = memory(t.workspace.address + arena.SCRATCH, layout.TEXT_BYTES)
    most = layout.TEXT_BYTES + 2
    scratch = memory(t.workspace.address + arena.SCRATCH + layout.TEXT_BYTES, 16 * most + 8 * GUARDS)
    ids = i64_array(scratch, 0, most)
    n = encode_turn(vocabulary_of(t), min(k, 1), system, len(system), typed, len(typed), text,
                    i64_array(scratch, 16 * most, GUARDS), ids, i64_array(scratch, 8 * most, most))
    return ids[:max(n, 0)]


@metal
def room_for_reply(t: Talk) -> int:
    """How many tokens an answer should find free."""
    wanted = t.b.settings.tokens
    if wanted == 0:
        wanted = 256
    return min(wanted, t.header.seq_len // 4)


@metal
def add_turn(t: Talk, typed: U8) -> int:
    """Append a turn; where it does not fit, the oldest turns are dropped.  ADDED, or TOO_LONG and nothing changed."""
    turns = turns_of(t)
    seq_len = t.header.seq_len
    n_alone = 0
    if len(typed) <= layout.TEXT_BYTES:
        n_alone = len(turn_ids(t, 0, typed))
    if n_alone == 0 or n_alone > seq_len:
        return TOO_LONG
    while True:
        k = turns[N_TURNS]
        start = end_of(t, k)
        ids = turn_ids(t, k, typed)
        at = 0
        if k > 0:
            at = turns[TURNS + (k - 1) * TURN_WORDS + TYPED_AT] + turns[TURNS + (k - 1) * TURN_WORDS + TYPED_BYTES]
        if k == 0 or (start + len(ids) + room_for_reply(t) <= seq_len and len(ids) > 0
                      and at + len(typed) <= arena.TYPED_BYTES and k < MOST_TURNS):
            break
        drop_oldest(t, max(seq_len // 2 - len(ids), 0))
    for i in range(len(ids)):
        place(t, start + i, ids[i])
    text = memory(t.workspace.address + arena.TYPED + at, len(typed))
    for i in range(len(typed)):
        text[i] = typed[i]
    turn = TURNS + k * TURN_WORDS
    turns[turn + TYPED_AT] = at
    turns[turn + TYPED_BYTES] = len(typed)
    turns[turn + REPLY] = start + len(ids)
    turns[turn + END] = start + len(ids)
    turns[N_TURNS] = k + 1
    return ADDED


@metal
def drop_oldest(t: Talk, most: int) -> None:
    """Forget the oldest turn, and more until what is left are at most `most` ids."""
    n_turns = turns_of(t)[N_TURNS]
    k = 1
    while k < n_turns and not (end_of(t, n_turns) - end_of(t, k) <= most and begin_with(t, k)):
        k += 1
    if k >= n_turns:
        turns_of(t)[N_TURNS] = 0
    turns_of(t)[DROPPED] += k


@metal
def begin_with(t: Talk, k: int) -> bool:
    """Let turn k be the first, its ids anew with the system text as it is now; False where that does not fit.

    Rotated keys know their position, so what follows is read again; the system text before it stays cached.
    """
    turns = turns_of(t)
    n_turns = turns[N_TURNS]
    old = TURNS + k * TURN_WORDS
    reply = turns[old + REPLY]
    n_rest = end_of(t, n_turns) - reply
    ids = turn_ids(t, 0, typed_of(t, k))
    n = len(ids)
    if n == 0 or n + n_rest > t.header.seq_len:
        return False
    tokens = transcript_of(t).tokens
    if n > reply:
        for i in range(n_rest - 1, -1, -1):
            place(t, n + i, tokens[reply + i])
    else:
        for i in range(n_rest):
            place(t, n + i, tokens[reply + i])
    for i in range(n):
        place(t, i, ids[i])
    base = turns[old + TYPED_AT]
    for j in range(k, n_turns):
        source = TURNS + j * TURN_WORDS
        target = TURNS + (j - k) * TURN_WORDS
        typed = memory(t.workspace.address + arena.TYPED + turns[source + TYPED_AT] - base, turns[source + TYPED_BYTES])
        move_down(typed, t.workspace.address + arena.TYPED + turns[source + TYPED_AT])
        turns[target + TYPED_AT] = turns[source + TYPED_AT] - base
        turns[target + TYPED_BYTES] = turns[source + TYPED_BYTES]
        turns[target + REPLY] = turns[source + REPLY] + n - reply
        turns[target + END] = turns[source + END] + n - reply
    turns[N_TURNS] = n_turns - k
    return True


@metal
def move_down(target: U8, source: int) -> None:
    """Copy to an address not above the source's; the two may overlap."""
    if address_of(target) != source:
        bytes_there = memory(source, len(target))
        for i in range(len(target)):
            target[i] = bytes_there[i]


@metal
def forget(t: Talk) -> None:
    """Begin anew.  What is cached stays where the next text begins alike."""
    turns_of(t)[N_TURNS] = 0
    turns_of(t)[DROPPED] = 0
