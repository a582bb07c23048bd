"""One turn of a conversation as token ids: the pieces of the packed chat template around what was typed.

The pieces' special tokens count, those in the typed text do not.  Words are cut and merged over the whole, borders
between piece and text included, so the ids are those of the template's whole output.
"""

from typing import NamedTuple

from barelm.contract import layout
from barelm.dialect.types import I64, U8
from barelm.kernels.text.dates import MOST_GROWTH, put_date
from barelm.kernels.text.pretokenizer import SPACE, category
from barelm.kernels.text.tokenizer import Vocabulary, clean_prompt, encode, encode_marked
from barelm.kernels.text.utf8 import copy_clean, decode_character

GUARDS = 6
"""Entries of the guards a turn needs: two typed texts, and a reply."""


class TurnStyle(NamedTuple):
    """In which form a turn is written."""

    pieces: int  # the number of a set of them, as `chat_set` gives it
    past: int  # 1: as an earlier turn, its reply included; 0: up to the reply that is asked for
    today: int  # what dates say, as 20261126; 0: the day of packing


class TurnTexts(NamedTuple):
    """What was said in a turn; without a system text it is empty."""

    system: U8
    user: U8
    reply: U8


def has_chat(v: Vocabulary) -> bool:
    """Whether the model can hold a conversation."""
    return bool(len(v.chat_ends) > 0)


def encode_plain_prompt(v: Vocabulary, said: U8, text: U8, ids: I64, ranks: I64) -> int:
    """The ids of a text as it stands, a chat model's special tokens counting in it; how many, or -1 as `clean_prompt`.
    """
    n_bytes = clean_prompt(v, text, said, len(said))
    return encode(v, text, n_bytes, int(has_chat(v)), ids, ranks) if n_bytes >= 0 else -1


def chat_set(v: Vocabulary, think: int) -> int:
    """The set of pieces for a way to think (`settings.think`)."""
    return int(min(v.chat_flags >> (layout.CHAT_CHOICE + 2 * think) & 3, len(v.chat_ends) // layout.CHAT_PIECES - 1))


def chat_flags(v: Vocabulary, pieces: int) -> int:
    """The flags of a set of pieces."""
    return int(v.chat_flags >> (layout.CHAT_FLAG_BITS * pieces))


def takes_system(v: Vocabulary) -> bool:
    """Whether its template has a place for a system text."""
    return bool(has_chat(v) and v.chat_flags & layout.TAKES_SYSTEM != 0)


def chat_piece(v: Vocabulary, pieces: int, k: int) -> tuple[int, int]:
    """Where in `chat_texts` piece k of `layout` of a set begins and ends; the model has a chat."""
    k += layout.CHAT_PIECES * pieces
    if k == 0:
        return 4 * len(v.chat_ends), int(v.chat_ends[0])
    return int(v.chat_ends[k - 1]), int(v.chat_ends[k])


def turn_bytes(v: Vocabulary, n_said: int) -> int:
    """The most bytes the text of a turn can take, so many of them said; its ids, two more."""
    return MOST_GROWTH * len(v.chat_texts) + 3 * n_said


def encode_turn(v: Vocabulary, turn: int, style: TurnStyle, said: TurnTexts, text: U8, guards: I64, ids: I64,
                ranks: I64) -> int:
    """The ids of turn number `turn` (from 0) in a style; returns how many.

    From the second turn on they begin with what ends the reply before, so nothing of it may have been appended.  The
    system text counts where the template puts it.  The beginning of a sequence is there only where the template says
    so.  Working space: `text` of `turn_bytes`, GUARDS, ids and ranks of len(text) + 2.
    Returns -1 where `text` is too small, the template has no place for a system text, or the model no chat.
    """
    n_bytes = write_turn(v, turn, style, said, text, guards)
    if n_bytes < 0:
        return -1
    return encode_marked(v, text, n_bytes, guards[:GUARDS], ids, ranks, 0)


def write_turn(v: Vocabulary, turn: int, style: TurnStyle, said: TurnTexts, text: U8, guards: I64) -> int:
    """The text of a turn, and in `guards` where what was said lies in it; returns its bytes, or -1."""
    for g in range(GUARDS):
        guards[g] = 0
    if not has_chat(v) or (turn == 0 and len(said.system) > 0 and not takes_system(v)):
        return -1
    with_system = len(said.system) > 0 and turn == 0
    if chat_flags(v, style.pieces) & layout.SYSTEM_MOVES:
        with_system = len(said.system) > 0 and style.past == 0
    slot = layout.FIRST_USER if turn == 0 else layout.NEXT_USER
    first = layout.BEFORE_SYSTEM if with_system else layout.BEFORE_FIRST_USER
    n = put_piece(v, style, first if turn == 0 else layout.BEFORE_NEXT_USER, text, 0)
    if with_system:
        slot = layout.USER_AFTER_SYSTEM
        guards[0] = max(n, 0)
        n = put_typed(v, style, layout.SYSTEM, said.system, text, n)
        guards[1] = max(n, 0)
        n = put_piece(v, style, layout.SYSTEM_TO_USER, text, n)
    guards[2] = max(n, 0)
    n = put_typed(v, style, slot, said.user, text, n)
    guards[3] = max(n, 0)
    if style.past == 0:
        return put_piece(v, style, layout.BEFORE_REPLY, text, n)
    n = put_piece(v, style, layout.BEFORE_PAST_REPLY, text, n)
    guards[4] = max(n, 0)
    if n >= 0:
        n = copy_clean(text, n, said.reply, 0, len(said.reply))
    guards[5] = max(n, 0)
    return n


def put_piece(v: Vocabulary, style: TurnStyle, k: int, text: U8, n: int) -> int:
    """Piece k at text[n:], its dates filled in; returns where it ends, or -1 where it does not fit (or n is -1)."""
    lo, hi = chat_piece(v, style.pieces, k)
    return put_text(v.chat_texts, lo, hi, style.today, text, n)


def put_text(texts: U8, at: int, hi: int, today: int, text: U8, n: int) -> int:
    """What stands in texts[at:hi], its dates filled in; returns as `put_piece`."""
    while n >= 0 and at < hi:
        end = at
        while end < hi and texts[end] != 0:
            end += 1
        n = copy_clean(text, n, texts, at, end)
        at = end
        if n >= 0 and at < hi:
            n, at = put_date(text, n, texts, at + 1, hi, today)
    return n


def put_typed(v: Vocabulary, style: TurnStyle, slot: int, typed: U8, text: U8, n: int) -> int:
    """A typed text at text[n:], white space stripped where the template strips it; returns as `put_piece`."""
    return put_stripped(v, chat_flags(v, style.pieces) >> (2 * slot), typed, text, n)


def put_stripped(v: Vocabulary, strips: int, typed: U8, text: U8, n: int) -> int:
    """A text without its white space on the left (`strips` 1), on the right (2); returns as `put_piece`."""
    if n < 0:
        return -1
    lo = 0
    hi = len(typed)
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
