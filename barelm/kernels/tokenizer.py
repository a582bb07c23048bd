"""Text to token ids and back over the packed tables: byte-pair encoding by lowest rank first (Sennrich et al. 2016).

SentencePiece's scores and byte-level BPE's merge list are both turned into ranks when the model is packed, so one
loop serves both.
"""

from __future__ import annotations

from typing import NamedTuple

from barelm.dialect.memory import i32_array, i64_array
from barelm.dialect.rooms import kernel
from barelm.dialect.types import I32, I64, U8
from barelm.pack import layout

NO_RANK = 1 << 40


class Vocabulary(NamedTuple):
    """The tokenizer's tables; see `pack.layout` for each."""

    kind: int
    bos_id: int
    add_bos: int
    add_space: int
    n_chars: int
    n_merges: int
    pieces: U8
    piece_ends: I32
    chars: I64
    byte_tokens: I32
    merges: I64


@kernel
def bind_vocabulary(header: I64, sections: tuple[U8, ...]) -> Vocabulary:
    """Views of the sections as a tokenizer."""
    n_chars = header[layout.N_CHARS]
    n_merges = header[layout.N_MERGES]
    return Vocabulary(
        header[layout.TOKENIZER_KIND], header[layout.BOS_ID], header[layout.ADD_BOS], header[layout.ADD_SPACE],
        n_chars, n_merges, sections[layout.PIECES],
        i32_array(sections[layout.PIECE_ENDS], 0, header[layout.VOCAB_SIZE]),
        i64_array(sections[layout.CHARS], 0, 2 * n_chars),
        i32_array(sections[layout.BYTE_TOKENS], 0, 256),
        i64_array(sections[layout.MERGES], 0, 2 * n_merges))


@kernel
def lookup(table: I64, n: int, key: int) -> int:
    """The value beside `key` in a sorted table of n pairs, or -1: binary search."""
    lo = 0
    hi = n
    while lo < hi:
        middle = (lo + hi) // 2
        if table[2 * middle] < key:
            lo = middle + 1
        else:
            hi = middle
    if lo < n and table[2 * lo] == key:
        return table[2 * lo + 1]
    return -1


@kernel
def encode(v: Vocabulary, text: U8, n_bytes: int, ids: I64, ranks: I64) -> int:
    """The token ids of a text, into `ids`; returns how many.

    `ids` and `ranks` need n_bytes + 2 entries: both are the working space too.  As in llama2.c: the beginning of
    the sequence, a space before the text, then the text, its characters merged.
    """
    n = 0
    if v.add_bos:
        ids[0] = v.bos_id
        n = 1
    start = n
    if v.add_space and n_bytes > 0:
        n = put_character(v, ids, n, 0x20, 1)
    at = 0
    while at < n_bytes:
        length = character_length(text, at, n_bytes)
        key = 0
        for k in range(length):
            key = key << 8 | int(text[at + k])
        n = put_character(v, ids, n, key, length)
        at += length
    return start + merge(v, ids, ranks, start, n)


@kernel
def character_length(text: U8, at: int, n_bytes: int) -> int:
    """Bytes of the UTF-8 character at `at`: one, and the continuation bytes behind it, at most four in all."""
    length = 1
    while length < 4 and at + length < n_bytes and (int(text[at + length]) & 0xC0) == 0x80:
        length += 1
    return length


@kernel
def put_character(v: Vocabulary, ids: I64, n: int, key: int, length: int) -> int:
    """Append the token of one character, or the tokens of its bytes where it has none; returns the new count."""
    token = lookup(v.chars, v.n_chars, key)
    if token >= 0:
        ids[n] = token
        return n + 1
    for k in range(length):
        fallback = v.byte_tokens[(key >> (8 * (length - 1 - k))) & 0xFF]
        if fallback >= 0:
            ids[n] = fallback
            n += 1
    return n


@kernel
def merge(v: Vocabulary, ids: I64, ranks: I64, start: int, end: int) -> int:
    """Merge ids[start:end] until no pair has a rank, lowest rank first, leftmost of equals; returns the count left.

    ranks[i] holds the rank and the result of merging ids[i] with its right neighbour, so a merge looks up only
    the two pairs it changes.
    """
    for i in range(start, end - 1):
        ranks[i] = pair(v, ids, i)
    while True:
        best = -1
        lowest = NO_RANK
        for i in range(start, end - 1):
            if ranks[i] >= 0 and ranks[i] >> 32 < lowest:
                lowest = ranks[i] >> 32
                best = i
        if best < 0:
            return end - start
        ids[best] = ranks[best] & 0xFFFFFFFF
        end -= 1
        for i in range(best + 1, end):
            ids[i] = ids[i + 1]
            ranks[i] = ranks[i + 1]
        if best > start:
            ranks[best - 1] = pair(v, ids, best - 1)
        if best < end - 1:
            ranks[best] = pair(v, ids, best)


@kernel
def pair(v: Vocabulary, ids: I64, i: int) -> int:
    """rank << 32 | merged for the neighbours i and i + 1, or -1 where they do not merge."""
    return lookup(v.merges, v.n_merges, ids[i] << 32 | ids[i + 1])


@kernel
def piece(v: Vocabulary, previous: int, token: int) -> tuple[int, int]:
    """Where in `pieces` the bytes that `token` prints begin and end.

    SentencePiece puts a space before the text; the one right after the beginning of a sequence is not printed.
    """
    lo = 0
    if token > 0:
        lo = int(v.piece_ends[token - 1])
    hi = int(v.piece_ends[token])
    if previous == v.bos_id and v.kind == layout.SENTENCEPIECE and hi > lo and v.pieces[lo] == 0x20:
        lo += 1
    return lo, hi
