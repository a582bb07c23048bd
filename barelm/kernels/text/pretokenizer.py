r"""Text cut into words before byte-level BPE merges inside each: the pre-tokenizers' regular expressions, by hand.

A rule is a few stages, one after another: each cuts what the stage before it left into what its own expression
matches and what lies between the matches, so that every character is in a word.  The stages of each rule are in
`pack.word_rules`; a model brings those of its own in its header, each a number: what kind, and its traits.

RUN       [..]{1,most}, of the characters of some categories; behind a blank, or any white space, where it takes one
NEWLINE   [\r\n]
DIGITS    [0-9][0-9][0-9]
AT_END    \s+$
CJK       [\u0800-\u9fa5\uac00-\ud7ff]+, or [\u3040-\u30ff\u4e00-\u9fa5]+
GPT2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
WORDS     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,most}| ?[^\s\p{L}\p{N}]+[\r\n]*
          |\s*[\r\n]+|\s+(?!\S)|\s+    with every trait of its own an addition or an exception

Categories come from a packed table (`pack.categories`).  Malformed UTF-8 counts as U+FFFD, a character of no category.

Qwen2's own tokenizer normalises to NFC first; here, as in llama.cpp, nobody does: text typed in decomposed form
(letter and combining accent apart) gets other ids than with Hugging Face.
"""

from barelm.dialect.types import I32, I64, U8
from barelm.kernels.text.utf8 import byte_at, decode_character

# Categories, as in the packed table.
OTHER = 0
LETTER = 1
NUMBER = 2
SPACE = 3
MARK = 4
PUNCTUATION = 5
SYMBOL = 6
NOTHING = 7  # behind the end

# A stage: its kind, bits that depend on it, how many characters at most, categories as a bit each.
RUN = 1
NEWLINE = 2
DIGITS = 3
AT_END = 4
CJK = 5
GPT2 = 6
WORDS = 7
KIND = 7
AFTER_BLANK = 1 << 3  # RUN: with a blank in front
AFTER_SPACE = 1 << 4  # RUN: with any white space in front
KANA = 1 << 3  # CJK: the second set
CONTRACTIONS = 1 << 3  # WORDS: 's and the others begin a word
SUFFIXES = 1 << 4  # they end one
MARKS = 1 << 5  # \p{M} is as \p{L}
CASES = 1 << 6  # a word goes from capitals to small letters once; letters outside ASCII are both, as in llama.cpp
LINES = 1 << 7  # the newlines behind punctuation belong to it
SLASHES = 1 << 8  # and slashes too
STRICT = 1 << 9  # [\p{P}\p{S}] for [^\s\p{L}\p{N}], no word begins with one but ASCII's, and these with ASCII alone
MOST_AT, MOST_BITS = 16, 0xFFFF
MASK_AT = 32

LETTERS = 1 << LETTER
NUMBERS = 1 << NUMBER
SPACES = 1 << SPACE
SIGNS = 1 << PUNCTUATION | 1 << SYMBOL
OTHERS = 1 << OTHER | 1 << MARK | SIGNS

CARRIAGE_RETURN = 13
LINE_FEED = 10
BLANK = 32
SLASH = 47


def next_word(stages: I64, cut: I64, table: I32, text: U8, at: int, end: int) -> int:
    """Where the word that begins at `at` ends; at < end, and what lies outside of a text up to `end` is not looked at.

    `cut` is kept from word to word: where what each stage is at ends, at first at or before the beginning of the text.
    """
    limit = end
    for k in range(len(stages)):
        if stages[k] != 0:
            if cut[k] <= at:
                cut[k] = part_end(stages[k], table, text, at, limit)
            limit = cut[k]
    return min(max(limit, at + 1), end)


def part_end(stage: int, table: I32, text: U8, at: int, end: int) -> int:
    """Where a match at `at` ends, or where the next one begins."""
    if stage & KIND == AT_END:
        return ending_spaces(table, text, at, end)
    after = match_end(stage, table, text, at, end)
    while after <= at:
        # What lies between two matches; at is behind the beginning from the second time on.
        at = category_at(table, text, at, end)[1]
        if at >= end or match_end(stage, table, text, at, end) > at:
            return at
    return after


def match_end(stage: int, table: I32, text: U8, at: int, end: int) -> int:
    """Where what a stage's expression matches at `at` ends; `at` where it does not."""
    kind = stage & KIND
    if kind == GPT2:
        return gpt2_word(table, text, at, end)
    if kind == WORDS:
        return word_end(stage, table, text, at, end)
    if kind == RUN:
        begin = at
        if stage & AFTER_SPACE and category_at(table, text, at, end)[0] == SPACE:
            begin = category_at(table, text, at, end)[1]
        elif stage & AFTER_BLANK and byte_at(text, at) == BLANK:
            begin = at + 1
        most = stage >> MOST_AT & MOST_BITS
        after = run_end(table, stage >> MASK_AT, text, begin, end, most if most > 0 else end - begin)
        return after if after > begin else at
    if kind == NEWLINE:
        return at + 1 if is_newline(text, at) else at
    if kind == DIGITS:
        digits = at + 3 <= end and is_digit(text, at) and is_digit(text, at + 1) and is_digit(text, at + 2)
        return at + 3 if digits else at
    return cjk_end(table, text, at, end, stage & KANA != 0)


def category(table: I32, point: int) -> int:
    """The category of a code point: binary search for the range it lies in."""
    lo = 0
    hi = len(table)
    while lo < hi:
        middle = (lo + hi) // 2
        if table[middle] >> 3 <= point:
            lo = middle + 1
        else:
            hi = middle
    if lo == 0:
        return OTHER
    return int(table[lo - 1]) & 7


def category_at(table: I32, text: U8, at: int, end: int) -> tuple[int, int]:
    """The category of the character at `at`, and where the next one begins."""
    if at >= end:
        return NOTHING, end
    point, length = decode_character(text, at, end)
    return category(table, point), at + length


def run_end(table: I32, mask: int, text: U8, at: int, end: int, most: int) -> int:
    """Where a run of characters of the categories in `mask`, at most so many, ends."""
    for _ in range(most):
        found, after = category_at(table, text, at, end)
        if found == NOTHING or mask >> found & 1 == 0:
            return at
        at = after
    return at


def cjk_end(table: I32, text: U8, at: int, end: int, kana: bool) -> int:
    """Where a run of ideographs and syllables ends; white space is none of them, as in llama.cpp."""
    while at < end:
        point, length = decode_character(text, at, end)
        if kana and not (0x3040 <= point <= 0x30FF or 0x4E00 <= point <= 0x9FA5):
            return at
        if not kana and not (0x800 <= point <= 0x9FA5 or 0xAC00 <= point <= 0xD7FF) or category(table, point) == SPACE:
            return at
        at += length
    return at


def gpt2_word(table: I32, text: U8, at: int, end: int) -> int:
    """One word of GPT2."""
    length = contraction(text, at, end, False)
    if length > 0:
        return at + length
    begin = at + 1 if byte_at(text, at) == BLANK else at
    found, after = category_at(table, text, begin, end)
    if found == SPACE or found == NOTHING:
        return spaces_end(table, text, at, end)
    mask = 1 << found if found == LETTER or found == NUMBER else OTHERS
    return run_end(table, mask, text, after, end, end - after)


def word_end(traits: int, table: I32, text: U8, at: int, end: int) -> int:
    """One word of WORDS."""
    if traits & CONTRACTIONS:
        length = contraction(text, at, end, True)
        if length > 0:
            return at + length
    if traits & STRICT and is_sign(text, at) and at + 1 < end and is_letter(text, at + 1):
        return ascii_letters_end(text, at + 1, end)
    found, after = category_at(table, text, at, end)
    if found == NUMBER and not traits & STRICT:
        return run_end(table, NUMBERS, text, at, end, traits >> MOST_AT & MOST_BITS)
    letters = LETTERS | 1 << MARK if traits & MARKS else LETTERS
    begin = at if letters >> found & 1 else after
    alone = is_newline(text, at) or (traits & STRICT and SIGNS >> found & 1)
    if not alone and category_at(table, text, begin, end)[0] != NOTHING:
        stop = letters_end(traits, letters, table, text, begin, end)
        if stop > begin:
            return stop
    begin = after if byte_at(text, at) == BLANK else at
    signs = SIGNS if traits & STRICT else OTHERS & ~letters
    stop = run_end(table, signs, text, begin, end, end - begin)
    if stop == begin:
        return lines_end(table, text, at, end)
    while stop < end and traits & LINES and (is_newline(text, stop)
                                             or (traits & SLASHES and byte_at(text, stop) == SLASH)):
        stop += 1
    return stop


def letters_end(traits: int, letters: int, table: I32, text: U8, at: int, end: int) -> int:
    """Where the letters of a word end, what is cut off at its end in English with them; `at` where there are none."""
    if traits & CASES:
        stop = cased_end(letters, table, text, at, end)
    else:
        stop = run_end(table, letters, text, at, end, end - at)
    if stop > at and traits & SUFFIXES:
        stop += contraction(text, stop, end, True)
    return stop


def cased_end(letters: int, table: I32, text: U8, at: int, end: int) -> int:
    """U*l+|U+l*, where U is a letter outside a-z, l one outside A-Z: capitals, then small letters."""
    both = at  # behind the last letter that is neither of a-z nor of A-Z
    found, after = category_at(table, text, at, end)
    begin = at
    while found != NOTHING and letters >> found & 1 and not 0x61 <= byte_at(text, at) <= 0x7A:
        if byte_at(text, at) >= 0x80:
            both = after
        at = after
        found, after = category_at(table, text, at, end)
    if found == NOTHING or letters >> found & 1 == 0:
        return both if both > begin else at
    while found != NOTHING and letters >> found & 1 and not 0x41 <= byte_at(text, at) <= 0x5A:
        at = after
        found, after = category_at(table, text, at, end)
    return at


def is_newline(text: U8, at: int) -> bool:
    r"""Whether the byte is \r or \n."""
    byte = byte_at(text, at)
    return bool(byte == LINE_FEED or byte == CARRIAGE_RETURN)


def is_digit(text: U8, at: int) -> bool:
    """Whether the byte is one of 0-9."""
    return bool(0x30 <= byte_at(text, at) <= 0x39)


def is_letter(text: U8, at: int) -> bool:
    """Whether the byte is one of A-Z, a-z."""
    return bool(0x61 <= byte_at(text, at) | 0x20 <= 0x7A)


def is_sign(text: U8, at: int) -> bool:
    """Whether the byte is a printed one of ASCII, and no letter, digit or blank."""
    return bool(0x21 <= byte_at(text, at) <= 0x7E and not is_digit(text, at) and not is_letter(text, at))


def ascii_letters_end(text: U8, at: int, end: int) -> int:
    """Where a run of A-Z and a-z ends."""
    while at < end and is_letter(text, at):
        at += 1
    return at


def lines_end(table: I32, text: U8, at: int, end: int) -> int:
    r"""\s*[\r\n]+|\s+(?!\S)|\s+: white space up to its last newline; without one, as `spaces_end`."""
    run = run_end(table, SPACES, text, at, end, end - at)
    for k in range(run - 1, at - 1, -1):
        if is_newline(text, k):
            return k + 1
    return spaces_end(table, text, at, end)


def spaces_end(table: I32, text: U8, at: int, end: int) -> int:
    r"""\s+(?!\S)|\s+: white space, its last character left to the word that follows, unless it is the only one."""
    begin = at
    last = at
    found, after = category_at(table, text, at, end)
    while found == SPACE:
        last = at
        at = after
        found, after = category_at(table, text, at, end)
    if found == NOTHING or last == begin:
        return at
    return last


def ending_spaces(table: I32, text: U8, at: int, end: int) -> int:
    """Where the white space at the end begins; `end` where it begins at `at`, or there is none."""
    begin = at
    spaces = at
    while at < end:
        found, at = category_at(table, text, at, end)
        if found != SPACE:
            spaces = at
    return spaces if spaces > begin else end


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
