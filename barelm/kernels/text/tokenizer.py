"""Text to token ids and back over the packed tables: byte-pair encoding by lowest rank first (Sennrich et al. 2016).

SentencePiece's scores and byte-level BPE's merge list are both turned into ranks when the model is packed, so one
loop serves both.  Byte-level BPE looks pairs up, and merges only inside the words of `kernels.text.pretokenizer`;
SentencePiece merges whatever two pieces make a third, and looks that up.
"""

from typing import NamedTuple

from barelm.contract import layout, sections
from barelm.contract.layout import Header, SpecialToken
from barelm.dialect.memory import cells, i32_array, i64_array
from barelm.dialect.types import I32, I64, U8
from barelm.kernels.decoder.model import section
from barelm.kernels.text.pretokenizer import next_word
from barelm.kernels.text.utf8 import byte_at, copy_clean

NO_RANK = 1 << 40
STAGES = layout.MOST_STAGES


class Vocabulary(NamedTuple):
    """The tokenizer's tables; see `contract.sections` for each."""

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
    stages: I64  # how text is cut into words
    categories: I32
    words: I32
    ranks: I32  # of the words, where SentencePiece makes them
    n_specials: int
    specials: int  # where their directory begins
    special_texts: U8
    chat_flags: int
    chat_ends: I32
    chat_texts: U8
    tool_flags: int
    tool_ends: I32
    tool_texts: U8


def bind_vocabulary(header: Header, addresses: I64) -> Vocabulary:
    """Views of the sections as a tokenizer."""
    n_chars = header.n_chars
    n_merges = header.n_merges
    ranks = section(header, addresses, sections.RANKS)
    tools = section(header, addresses, sections.TOOL_TEXTS)
    return Vocabulary(
        header.tokenizer_kind, header.bos_id, header.add_bos, header.add_space,
        n_chars, n_merges, section(header, addresses, sections.PIECES),
        i32_array(section(header, addresses, sections.PIECE_ENDS), 0, header.vocab_size),
        i64_array(section(header, addresses, sections.CHARS), 0, 2 * n_chars),
        i32_array(section(header, addresses, sections.BYTE_TOKENS), 0, 256),
        i64_array(section(header, addresses, sections.MERGES), 0, 2 * n_merges),
        header.stages,
        i32_array(section(header, addresses, sections.CATEGORIES), 0, header.n_categories),
        i32_array(section(header, addresses, sections.WORDS), 0, header.n_words),
        i32_array(ranks, 0, header.n_words if len(ranks) > 0 else 0),
        header.n_specials, addresses[sections.SPECIALS], section(header, addresses, sections.SPECIALS),
        header.chat_flags, i32_array(section(header, addresses, sections.CHAT), 0, header.n_chat_pieces),
        section(header, addresses, sections.CHAT),
        header.tool_flags, i32_array(tools, 0, header.n_tool_pieces if len(tools) > 0 else 0), tools)


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


def encode(v: Vocabulary, text: U8, n_bytes: int, special: int, ids: I64, ranks: I64) -> int:
    """The token ids of a text, into `ids`; returns how many.  With `special`, the special tokens' texts in it count.

    `ids` and `ranks` need n_bytes + 2 entries: both are the working space too.  First comes the beginning of the
    sequence, where the model wants one and the text does not have it itself, then the text.
    """
    guards = cells(2)
    guards[0] = 0
    guards[1] = 0 if special else n_bytes
    n = 0
    if v.add_bos and not (n_bytes > 0 and is_bos(v, special_at(v, text, 0, n_bytes, guards))):
        ids[0] = v.bos_id
        n = 1
    return encode_marked(v, text, n_bytes, guards, ids, ranks, n)


def is_bos(v: Vocabulary, k: int) -> bool:
    """Whether special token number k (-1: none) is the beginning of a sequence."""
    return bool(k >= 0 and special_token(v, k).id == v.bos_id)


def clean_prompt(v: Vocabulary, target: U8, text: U8, n_bytes: int) -> int:
    """A prompt as `encode` wants it, into `target`; returns its bytes, or -1 where they do not fit.

    Byte-level BPE takes UTF-8 only, its malformed parts replaced (`kernels.text.utf8`); SentencePiece has a token for
    every byte and takes text as it is.
    """
    if v.kind == layout.BYTELEVEL:
        return copy_clean(target, 0, text, 0, n_bytes)
    if n_bytes > len(target):
        return -1
    for i in range(n_bytes):
        target[i] = text[i]
    return n_bytes


def encode_marked(v: Vocabulary, text: U8, n_bytes: int, guards: I64, ids: I64, ranks: I64, n: int) -> int:
    """Append to n ids those of a text whose special tokens count; returns how many there are now.

    `guards` are ranges of it, lo and hi in turn, where control tokens do not: what a person typed stays text.  The
    longest of the texts that match at a place is taken, and what lies between is cut into words as if it stood alone.
    """
    starts = cells(8)  # a bit for each byte a special token's text begins with
    for k in range(v.n_specials):
        first = byte_at(v.special_texts, special_token(v, k).begin)
        starts[first >> 5] |= 1 << (first & 31)
    begin = 0
    at = 0
    while at < n_bytes:
        first = byte_at(text, at)
        k = special_at(v, text, at, n_bytes, guards) if starts[first >> 5] >> (first & 31) & 1 else -1
        if k < 0:
            at += 1
        else:
            n = encode_plain(v, text, begin, at, ids, ranks, n)
            found = special_token(v, k)
            ids[n] = found.id
            n += 1
            at += found.end - found.begin
            while at < n_bytes and found.traits & layout.STRIPS_AFTER and is_space(byte_at(text, at)):
                at += 1
            begin = at
    return encode_plain(v, text, begin, n_bytes, ids, ranks, n)


def is_space(byte: int) -> bool:
    """Whether a byte is white space in ASCII."""
    return bool(byte == 0x20 or 0x09 <= byte <= 0x0D)


def special_token(v: Vocabulary, k: int) -> SpecialToken:
    """Row k of the special tokens' directory."""
    return SpecialToken(v.specials + k * SpecialToken.BYTES)


def special_at(v: Vocabulary, text: U8, at: int, n_bytes: int, guards: I64) -> int:
    """The number of the longest special token whose text stands at `at`, or -1; they are sorted by their bytes."""
    best = -1
    lo = 0
    hi = v.n_specials
    length = 0
    while lo < hi and at + length < n_bytes:
        # Of those that begin with the bytes so far, the ones that go on with the next.
        byte = byte_at(text, at + length)
        lo = first_special(v, lo, hi, length, byte)
        hi = first_special(v, lo, hi, length, byte + 1)
        length += 1
        if lo < hi:
            found = special_token(v, lo)
            if found.end - found.begin == length and counts_at(found, at, length, guards):
                best = lo
    return best


def first_special(v: Vocabulary, lo: int, hi: int, k: int, byte: int) -> int:
    """The first of the special tokens lo to hi whose text has `byte` or a higher one at k; shorter ones sort first."""
    while lo < hi:
        middle = (lo + hi) // 2
        found = special_token(v, middle)
        if k >= found.end - found.begin or byte_at(v.special_texts, found.begin + k) < byte:
            lo = middle + 1
        else:
            hi = middle
    return lo


def counts_at(token: SpecialToken, at: int, length: int, guards: I64) -> bool:
    """Whether a special token whose text stands at `at` counts there."""
    if token.traits & layout.IN_ANY_TEXT:
        return True
    for g in range(0, len(guards), 2):
        if at < guards[g + 1] and at + length > guards[g]:
            return False
    return True


def compare(a: U8, a_at: int, a_length: int, b: U8, b_at: int, b_length: int) -> int:
    """Below, at or above zero as the bytes of a sort before, are, or sort behind those of b."""
    for k in range(min(a_length, b_length)):
        difference = byte_at(a, a_at + k) - byte_at(b, b_at + k)
        if difference != 0:
            return difference
    return a_length - b_length


def encode_plain(v: Vocabulary, text: U8, begin: int, end: int, ids: I64, ranks: I64, n: int) -> int:
    """Append to n ids those of text[begin:end], nothing in it special; returns how many there are now.

    SentencePiece as in llama2.c: a space before the text, then the text, its characters merged; with special tokens
    as in llama.cpp: a space before each text between them.
    """
    if begin >= end:
        return n
    if v.kind == layout.BYTELEVEL:
        cut = cells(STAGES)
        while begin < end:
            after = next_word(v.stages, cut, v.categories, text, begin, end)
            n = encode_word(v, text, begin, after, ids, ranks, n)
            begin = after
        return n
    start = n
    if v.add_space and n + end - begin < len(ids):
        n = put_character(v, ids, n, 0x20, 1)
    while begin < end:
        length = character_length(text, begin, end)
        key = 0
        for k in range(length):
            key = key << 8 | byte_at(text, begin + k)
        n = put_character(v, ids, n, key, length)
        begin += length
    return start + merge(v, ids, ranks, start, n)


def encode_word(v: Vocabulary, text: U8, begin: int, end: int, ids: I64, ranks: I64, n: int) -> int:
    """Append the ids of one word of byte-level BPE: the word itself where `words` has it, else its bytes merged."""
    whole = whole_word(v, text, begin, end)
    if whole >= 0:
        ids[n] = whole
        return n + 1
    start = n
    for k in range(begin, end):
        token = v.byte_tokens[byte_at(text, k)]
        if token >= 0:
            ids[n] = token
            n += 1
    return start + merge(v, ids, ranks, start, n)


def whole_word(v: Vocabulary, text: U8, begin: int, end: int) -> int:
    """The token whose piece is text[begin:end], or -1: binary search, where the model has the table."""
    lo = 0
    hi = len(v.words)
    while lo < hi:
        middle = (lo + hi) // 2
        token = int(v.words[middle])
        first = piece_begin(v, token)
        order = compare(v.pieces, first, int(v.piece_ends[token]) - first, text, begin, end - begin)
        if order == 0:
            return token
        if order < 0:
            lo = middle + 1
        else:
            hi = middle
    return -1


def character_length(text: U8, at: int, n_bytes: int) -> int:
    """Bytes of the UTF-8 character at `at`: one, and the continuation bytes behind it, at most four in all."""
    length = 1
    while length < 4 and at + length < n_bytes and (int(text[at + length]) & 0xC0) == 0x80:
        length += 1
    return length


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


def merge(v: Vocabulary, ids: I64, ranks: I64, start: int, end: int) -> int:
    """Merge ids[start:end] until no pair has a rank, lowest rank first, leftmost of equals; returns the count left.

    ranks[i] holds the rank and the result of merging ids[i] with its right neighbour, so a merge looks up only
    the two pairs it changes.
    """
    for i in range(start, end - 1):
        ranks[i] = pair(v, ids[i], ids[i + 1])
    while True:
        lowest = NO_RANK
        for i in range(start, end - 1):
            if ranks[i] >= 0 and ranks[i] >> 32 < lowest:
                lowest = ranks[i] >> 32
        if lowest == NO_RANK:
            return end - start
        end = merge_rank(v, ids, ranks, start, end, lowest)


def merge_rank(v: Vocabulary, ids: I64, ranks: I64, start: int, end: int, lowest: int) -> int:
    """Merge the pairs of one rank from left to right while they are what comes next; returns the new end.

    One pass for all of a rank: a long text of few different pairs is not quadratic.  Where a merge makes a pair that
    would have to go before those further right, the rest of the pass only moves ids together.
    """
    to = start
    at = start
    in_order = True
    while at < end:
        ids[to] = ids[at]
        ranks[to] = ranks[at]
        at += 1
        while in_order and at < end and ranks[to] >= 0 and ranks[to] >> 32 == lowest:
            ids[to] = ranks[to] & 0xFFFFFFFF
            at += 1
            if at < end:
                ranks[to] = pair(v, ids[to], ids[at])
                in_order = ranks[to] < 0 or ranks[to] >> 32 >= lowest
            if to > start:
                ranks[to - 1] = pair(v, ids[to - 1], ids[to])
                in_order = in_order and (ranks[to - 1] < 0 or ranks[to - 1] >> 32 > lowest)
        to += 1
    return to


def pair(v: Vocabulary, left: int, right: int) -> int:
    """rank << 32 | merged for two neighbours, or -1 where they do not merge."""
    if v.kind == layout.BYTELEVEL:
        return lookup(v.merges, v.n_merges, left << 32 | right)
    return joined(v, left, right)


def joined(v: Vocabulary, left: int, right: int) -> int:
    """SentencePiece's `pair`: binary search for the piece that is the one and then the other; bytes do not merge."""
    a = piece_begin(v, left)
    n_a = int(v.piece_ends[left]) - a
    b = piece_begin(v, right)
    n_b = int(v.piece_ends[right]) - b
    if is_byte_token(v, left, a, n_a) or is_byte_token(v, right, b, n_b):
        return -1
    lo = 0
    hi = len(v.ranks)
    while lo < hi:
        middle = (lo + hi) // 2
        token = int(v.words[middle])
        first = piece_begin(v, token)
        length = int(v.piece_ends[token]) - first
        order = compare(v.pieces, first, min(length, n_a), v.pieces, a, n_a)
        if order == 0:
            order = compare(v.pieces, first + n_a, length - n_a, v.pieces, b, n_b)
        if order == 0:
            return int(v.ranks[middle]) << 32 | token
        if order < 0:
            lo = middle + 1
        else:
            hi = middle
    return -1


def is_byte_token(v: Vocabulary, token: int, begin: int, length: int) -> bool:
    """Whether a token, whose piece is given, stands for a byte."""
    return bool(length == 1 and v.byte_tokens[byte_at(v.pieces, begin)] == token)


def piece(v: Vocabulary, previous: int, token: int) -> tuple[int, int]:
    """Where in `pieces` the bytes that `token` prints begin and end.

    SentencePiece puts a space before the text; the one right after the beginning of a sequence is not printed.
    """
    token = min(max(token, 0), len(v.piece_ends) - 1)
    lo = piece_begin(v, token)
    hi = int(v.piece_ends[token])
    if previous == v.bos_id and v.kind == layout.SENTENCEPIECE and hi > lo and v.pieces[lo] == 0x20:
        lo += 1
    return lo, hi


def piece_begin(v: Vocabulary, token: int) -> int:
    """Where in `pieces` the bytes of `token` begin."""
    return int(v.piece_ends[token - 1]) if token > 0 else 0
