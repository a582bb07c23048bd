"""What was said: turns, each a typed text and a reply, over the token ids of the session.

The ids of turn k are those of its text in the chat template, then those of the reply.  Whatever changes an id says
so (`cores.place`), so that what is still in the key-value cache is not computed again, and all else is.
"""

from barelm.contract.conversation_state import MOST_TURNS, TYPED_BYTES, Conversation
from barelm.dialect.memory import address_of, copy_bytes
from barelm.dialect.types import I64, U8
from barelm.kernels.text.chat_turn import encode_turn, takes_system
from barelm.metal.conversation.talk import Talk, bytes_of, transcript_of, vocabulary_of
from barelm.metal.processors.cores import place


def end_of(c: Conversation, k: int) -> int:
    """How many ids the first k turns are."""
    return c.turns[k - 1].end if k > 0 else 0


def typed_end(c: Conversation, k: int) -> int:
    """How many bytes the texts typed in the first k turns are."""
    return c.turns[k - 1].typed_at + c.turns[k - 1].typed_bytes if k > 0 else 0


def typed_of(c: Conversation, k: int) -> U8:
    """The text typed in turn k."""
    return c.typed[c.turns[k].typed_at:typed_end(c, k + 1)]


def system_of(t: Talk) -> U8:
    """The system text; none where the template has no place for one."""
    system = bytes_of(t.settings.system)
    if len(system) > 0 and not takes_system(vocabulary_of(t)):
        return system[:0]
    return system


def turn_ids(t: Talk, k: int, typed: U8) -> I64:
    """The ids of a text as turn k, until the next text is encoded; empty where it is too long for that."""
    space = t.conversation.encoding
    system = system_of(t)
    n = encode_turn(vocabulary_of(t), min(k, 1), system, len(system), typed, len(typed), space.text, space.guards,
                    space.ids, space.ranks)
    return space.ids[:max(n, 0)]


def add_turn(t: Talk, typed: U8) -> bool:
    """Append a turn; where it does not fit, the oldest turns are dropped.  False: it is too long, nothing changed."""
    c = t.conversation
    seq_len = t.header.seq_len
    n_reply = min(t.settings.tokens if t.settings.tokens > 0 else 256, seq_len // 4)  # that an answer should find free
    n_alone = 0
    if len(typed) <= len(c.encoding.text):
        n_alone = len(turn_ids(t, 0, typed))
    if n_alone == 0 or n_alone > seq_len:
        return False
    while True:
        k = c.n_turns
        start = end_of(c, k)
        at = typed_end(c, k)
        ids = turn_ids(t, k, typed)
        if k == 0 or (start + len(ids) + n_reply <= seq_len and len(ids) > 0
                      and at + len(typed) <= TYPED_BYTES and k < MOST_TURNS):
            break
        drop_oldest(t, max(seq_len // 2 - len(ids), 0))
    tokens = transcript_of(t).tokens
    for i in range(len(ids)):
        place(t.job, tokens, start + i, ids[i])
    copy_bytes(address_of(c.typed) + at, address_of(typed), len(typed))
    turn = c.turns[k]
    turn.typed_at = at
    turn.typed_bytes = len(typed)
    turn.reply = start + len(ids)
    turn.end = start + len(ids)
    c.n_turns = k + 1
    return True


def drop_oldest(t: Talk, most: int) -> None:
    """Forget the oldest turn, and more until what is left are at most `most` ids."""
    c = t.conversation
    n_turns = c.n_turns
    k = 1
    while k < n_turns and not (end_of(c, n_turns) - end_of(c, k) <= most and begin_with(t, k)):
        k += 1
    if k >= n_turns:
        c.n_turns = 0
    c.dropped += k


def begin_with(t: Talk, k: int) -> bool:
    """Let turn k be the first, its ids anew with the system text as it is now; False where that does not fit.

    Rotated keys know their position, so what follows is read again; the system text before it stays cached.
    """
    c = t.conversation
    old = c.turns[k].reply
    n_rest = end_of(c, c.n_turns) - old
    ids = turn_ids(t, 0, typed_of(c, k))
    n = len(ids)
    if n == 0 or n + n_rest > t.header.seq_len:
        return False
    tokens = transcript_of(t).tokens
    for done in range(n_rest):
        i = n_rest - 1 - done if n > old else done
        place(t.job, tokens, n + i, tokens[old + i])
    for i in range(n):
        place(t.job, tokens, i, ids[i])
    move_up(c, k, n - old)
    return True


def move_up(c: Conversation, k: int, shift: int) -> None:
    """Let turn k and those behind it be the first ones, and their replies lie `shift` ids further on."""
    typed = c.typed
    base = c.turns[k].typed_at
    for i in range(typed_end(c, c.n_turns) - base):
        typed[i] = typed[base + i]
    for j in range(k, c.n_turns):
        source = c.turns[j]
        target = c.turns[j - k]
        target.typed_at = source.typed_at - base
        target.typed_bytes = source.typed_bytes
        target.reply = source.reply + shift
        target.end = source.end + shift
    c.n_turns -= k


def forget(c: Conversation) -> None:
    """Begin anew.  What is cached stays where the next text begins alike."""
    c.n_turns = 0
    c.dropped = 0
