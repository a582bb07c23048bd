r"""Text cut into words before byte-level BPE merges inside each: the pre-tokenizers' regular expressions, by hand.

gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
smollm     every number on its own first, then gpt-2 on what lies between
llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
           |\s*[\r\n]+|\s+(?!\S)|\s+
qwen2      llama-bpe with \p{N} in place of \p{N}{1,3}

Each expression matches at every position, so a text is nothing but words.  Categories come from a packed table
(`pack.categories`).  Malformed UTF-8 counts as U+FFFD, a character of no category.

Qwen2's own tokenizer normalises to NFC first; here, as in llama.cpp, nobody does: text typed in decomposed form
(letter and combining accent apart) gets other ids than with Hugging Face.
"""

from barelm.contract import layout
from barelm.dialect.types import I32, U8
from barelm.kernels.text.utf8 import byte_at, decode_character

# Categories, as in the packed table.
OTHER = 0
LETTER = 1
NUMBER = 2
SPACE = 3
NOTHING = 4  # behind the end

CARRIAGE_RETURN = 13
LINE_FEED = 10
BLANK = 32


def next_word(kind: int, table: I32, text: U8, at: int, end: int) -> int:
    """Where the word that begins at `at` ends; at < end, and text[at:end] is looked at alone."""
    if kind == layout.LLAMA_BPE:
        return llama_word(table, text, at, end, 3)
    if kind == layout.QWEN2:
        return llama_word(table, text, at, end, 1)
    return gpt2_word(table, text, at, end, kind == layout.SMOLLM)


def category(table: I32, point: int) -> int:
    """The category of a code point: binary search for the range it lies in."""
    lo = 0
    hi = len(table)
    while lo < hi:
        middle = (lo + hi) // 2
        if table[middle] >> 2 <= point:
            lo = middle + 1
        else:
            hi = middle
    if lo == 0:
        return OTHER
    return int(table[lo - 1]) & 3


def category_at(table: I32, text: U8, at: int, end: int) -> tuple[int, int]:
    """The category of the character at `at`, and where the next one begins."""
    if at >= end:
        return NOTHING, end
    point, length = decode_character(text, at, end)
    return category(table, point), at + length


def run_end(table: I32, wanted: int, text: U8, at: int, end: int, most: int) -> int:
    """Where a run of characters of one category, at most so many, ends."""
    for _ in range(most):
        found, after = category_at(table, text, at, end)
        if found != wanted:
            return at
        at = after
    return at


def gpt2_word(table: I32, text: U8, at: int, end: int, digits_apart: bool) -> int:
    """One word of gpt-2; with `digits_apart` of smollm, where a number ends what lies before it."""
    length = contraction(text, at, end, False)
    if length > 0:
        return at + length
    begin = at + 1 if byte_at(text, at) == BLANK else at
    found, after = category_at(table, text, begin, end)
    if found == NUMBER and digits_apart:
        # A blank before a number is the end of the text before it.
        return after if begin == at else begin
    if found == SPACE or found == NOTHING:
        return spaces_end(table, text, at, end, digits_apart)
    return run_end(table, found, text, after, end, end - after)


def llama_word(table: I32, text: U8, at: int, end: int, most_digits: int) -> int:
    """One word of llama-bpe, or with `most_digits` 1 of qwen2."""
    length = contraction(text, at, end, True)
    if length > 0:
        return at + length
    found, after = category_at(table, text, at, end)
    if found == NUMBER:
        return run_end(table, NUMBER, text, after, end, most_digits - 1)
    letters = at if found == LETTER else after
    if not is_newline(text, at) and category_at(table, text, letters, end)[0] == LETTER:
        return run_end(table, LETTER, text, letters, end, end - letters)
    begin = after if byte_at(text, at) == BLANK else at
    if category_at(table, text, begin, end)[0] != OTHER:
        return lines_end(table, text, at, end)
    at = run_end(table, OTHER, text, begin, end, end - begin)
    while at < end and is_newline(text, at):
        at += 1
    return at


def is_newline(text: U8, at: int) -> bool:
    r"""Whether the byte is \r or \n."""
    byte = byte_at(text, at)
    return bool(byte == LINE_FEED or byte == CARRIAGE_RETURN)


def lines_end(table: I32, text: U8, at: int, end: int) -> int:
    r"""\s*[\r\n]+|\s+(?!\S)|\s+: white space up to its last newline; without one, as `spaces_end`."""
    run = run_end(table, SPACE, text, at, end, end - at)
    for k in range(run - 1, at - 1, -1):
        if is_newline(text, k):
            return k + 1
    return spaces_end(table, text, at, end, False)


def spaces_end(table: I32, text: U8, at: int, end: int, digits_apart: bool) -> int:
    r"""\s+(?!\S)|\s+: white space, its last character left to the word that follows, unless it is the only one."""
    begin = at
    last = at
    found, after = category_at(table, text, at, end)
    while found == SPACE:
        last = at
        at = after
        found, after = category_at(table, text, at, end)
    if found == NOTHING or last == begin or (found == NUMBER and digits_apart):
        return at
    return last


def contraction(text: U8, at: int, end: int, any_case: bool) -> int:
    """Bytes of 's 't 're 've 'm 'll 'd at `at`, or 0.

    Whatever the case, the long s U+017F is an s too: that is how regular expressions fold it.
    """
    if at + 1 >= end or byte_at(text, at) != 0x27:
        return 0
    first = byte_at(text, at + 1)
    second = byte_at(text, at + 2) if at + 2 < end else 0
    if any_case:
        if first == 0xC5 and second == 0xBF:
            return 3
        first |= 0x20
        second |= 0x20
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:
        return 2
    if second == 0x65 and (first == 0x72 or first == 0x76) or first == 0x6C and second == 0x6C:
        return 3
    return 0
