"""One turn of a conversation as token ids: the pieces of the packed chat template around what was typed.

The pieces' special tokens count, those in the typed text do not.  Words are cut and merged over the whole, borders
between piece and text included, so the ids are those of the template's whole output.
"""

from barelm.contract import layout
from barelm.dialect.types import I64, U8
from barelm.kernels.text.pretokenizer import SPACE, category
from barelm.kernels.text.tokenizer import Vocabulary, encode_marked
from barelm.kernels.text.utf8 import copy_clean, decode_character

GUARDS = 4
"""Entries of the guards a turn needs: two typed texts."""


def has_chat(v: Vocabulary) -> bool:
    """Whether the model can hold a conversation."""
    return bool(len(v.chat_ends) > 0)


def takes_system(v: Vocabulary) -> bool:
    """Whether its template has a place for a system text."""
    return bool(has_chat(v) and v.chat_flags & layout.TAKES_SYSTEM != 0)


def chat_piece(v: Vocabulary, k: int) -> tuple[int, int]:
    """Where in `chat_texts` piece k of `layout` begins and ends; the model has a chat."""
    if k == 0:
        return 4 * layout.CHAT_PIECES, int(v.chat_ends[0])
    return int(v.chat_ends[k - 1]), int(v.chat_ends[k])


def turn_bytes(v: Vocabulary, n_system: int, n_user: int) -> int:
    """The most bytes the text of a turn can take; its ids, two more."""
    return len(v.chat_texts) + 3 * (n_system + n_user)


def encode_turn(v: Vocabulary, turn: int, system: U8, n_system: int, user: U8, n_user: int,
                text: U8, guards: I64, ids: I64, ranks: I64) -> int:
    """The ids to append before the reply of turn number `turn` (from 0); returns how many.

    From the second turn on they begin with what ends the reply before, so nothing of it may have been appended.  The
    system text counts in the first turn only; n_system 0 is none given.  The beginning of a sequence is there only
    where the template says so.  Working space: `text` of `turn_bytes`, GUARDS, ids and ranks of len(text) + 2.
    Returns -1 where `text` is too small, the template has no place for a system text, or the model no chat.
    """
    n_bytes = write_turn(v, turn, system, n_system, user, n_user, text, guards)
    if n_bytes < 0:
        return -1
    return encode_marked(v, text, n_bytes, guards[:GUARDS], ids, ranks, 0)


def write_turn(v: Vocabulary, turn: int, system: U8, n_system: int, user: U8, n_user: int, text: U8,
               guards: I64) -> int:
    """The text of a turn, and in `guards` where the system's and the user's lie in it; returns its bytes, or -1."""
    for g in range(GUARDS):
        guards[g] = 0
    if not has_chat(v) or (turn == 0 and n_system > 0 and not takes_system(v)):
        return -1
    slot = layout.NEXT_USER
    if turn > 0:
        n = put_piece(v, layout.BEFORE_NEXT_USER, text, 0)
    elif n_system == 0:
        slot = layout.FIRST_USER
        n = put_piece(v, layout.BEFORE_FIRST_USER, text, 0)
    else:
        slot = layout.USER_AFTER_SYSTEM
        n = put_piece(v, layout.BEFORE_SYSTEM, text, 0)
        guards[0] = max(n, 0)
        n = put_typed(v, layout.SYSTEM, system, n_system, text, n)
        guards[1] = max(n, 0)
        n = put_piece(v, layout.SYSTEM_TO_USER, text, n)
    guards[2] = max(n, 0)
    n = put_typed(v, slot, user, n_user, text, n)
    guards[3] = max(n, 0)
    return put_piece(v, layout.BEFORE_REPLY, text, n)


def put_piece(v: Vocabulary, k: int, text: U8, n: int) -> int:
    """Piece k at text[n:]; returns where it ends, or -1 where it does not fit (or n is -1 already)."""
    if n < 0:
        return -1
    lo, hi = chat_piece(v, k)
    return copy_clean(text, n, v.chat_texts, lo, hi)


def put_typed(v: Vocabulary, slot: int, typed: U8, n_typed: int, text: U8, n: int) -> int:
    """A typed text at text[n:], white space stripped where the template strips it; returns as `put_piece`."""
    if n < 0:
        return -1
    lo = 0
    hi = n_typed
    strips = v.chat_flags >> (2 * slot)
    if strips & 1:
        length = white_at(v, typed, lo, hi)
        while length > 0:
            lo += length
            length = white_at(v, typed, lo, hi)
    if strips & 2:
        last = last_character(typed, lo, hi)
        while lo < hi and last + white_at(v, typed, last, hi) == hi:
            hi = last
            last = last_character(typed, lo, hi)
    return copy_clean(text, n, typed, lo, hi)


def white_at(v: Vocabulary, text: U8, at: int, end: int) -> int:
    """Bytes of the character at `at` if Python's `str.strip`, which templates call, takes it away, else 0."""
    if at >= end:
        return 0
    point, length = decode_character(text, at, end)
    if 0x1C <= point <= 0x1F or category(v.categories, point) == SPACE:
        return length
    return 0


def last_character(text: U8, lo: int, hi: int) -> int:
    """Where the last character of text[lo:hi] begins."""
    at = hi
    while at > lo:
        at -= 1
        if int(text[at]) & 0xC0 != 0x80:
            return at
    return at
