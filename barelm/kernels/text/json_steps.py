"""JSON (RFC 8259) byte by byte: which byte may come next, and whether all is there.

    begin_json(j) or begin_json_object(j)
    push_json(j, byte)  # False: no JSON goes on so; the state is of no use then
    may_follow(j, data, lo, hi)  # whether bytes may come next; nothing changes
    is_whole(j)

It is a machine with a stack of bits, for both ways: a text that came is checked by it, and one that a model makes is
held to it.  Strings are UTF-8, strictly; names of members may be there twice, and half a surrogate pair may be escaped,
as in Python's `json`.
"""

from barelm.contract.serving.json_state import MOST_DEPTH, JsonSteps
from barelm.dialect.memory import address_of, cells
from barelm.dialect.types import U8
from barelm.kernels.text.json_text import BACKSLASH, COLON, COMMA, QUOTE
from barelm.kernels.text.utf8 import byte_at, lead

VALUE, OBJECT, FIRST_VALUE, FIRST_KEY, KEY, BEFORE_COLON, BEHIND = range(7)
"""Between the words of JSON, by what may come: a value, an object, a value or the end of a list, ..."""
IN_STRING, IN_ESCAPE, IN_HEX, IN_CHARACTER, IN_WORD = range(7, 12)
MINUS, ZERO, DIGITS, DOT, FRACTION, LETTER_E, SIGN, EXPONENT = range(12, 20)
"""Within a number, by what it ends with so far."""
NUMBER_CLASSES = 6
NUMBER_STEPS = (  # by what comes: 0, 1 to 9, a dot, an e, a minus, a plus
    ZERO, DIGITS, -1, -1, -1, -1,
    -1, -1, DOT, LETTER_E, -1, -1,
    DIGITS, DIGITS, DOT, LETTER_E, -1, -1,
    FRACTION, FRACTION, -1, -1, -1, -1,
    FRACTION, FRACTION, -1, LETTER_E, -1, -1,
    EXPONENT, EXPONENT, -1, -1, SIGN, SIGN,
    EXPONENT, EXPONENT, -1, -1, -1, -1,
    EXPONENT, EXPONENT, -1, -1, -1, -1)
TRUE, FALSE, NULL = (int.from_bytes(word, "little") for word in (b"rue", b"alse", b"ull"))
ESCAPED = sum(1 << byte - 64 for byte in b"\\bfnrt")
OUTSIDE = tuple(sum(1 << byte - base for byte in b'\t\n\r "+,-.0123456789:E[]eftn{}' if 0 <= byte - base < 64)
                for base in (0, 64))
OUTSIDE_LOW, OUTSIDE_HIGH = OUTSIDE
"""Bytes that may stand outside of strings, but for what ends a word: a bit each, those below 64 and those above."""
LARGEST_BLANKS = 1 << 40
BLANKS_OF_A_MODEL = 256
"""In a row: a model that finds no end writes blanks for ever."""


def begin_json(j: JsonSteps) -> None:
    """Any value may come."""
    j.mode = VALUE
    j.depth = 0
    j.kinds = 0
    j.is_key = 0
    j.rest = 0
    j.blanks = 0
    j.most_blanks = LARGEST_BLANKS


def begin_json_object(j: JsonSteps) -> None:
    """An object has to come, made by a model."""
    begin_json(j)
    j.mode = OBJECT
    j.most_blanks = BLANKS_OF_A_MODEL


def is_whole(j: JsonSteps) -> bool:
    """Whether all of the value is there; behind a number more of it may come still."""
    return bool(j.depth == 0 and (j.mode == BEHIND or ends_number(j.mode)))


def may_follow(j: JsonSteps, data: U8, lo: int, hi: int) -> bool:
    """Whether data[lo:hi] may come next; asked of every token, so most are told by a look."""
    if j.mode == IN_STRING:
        while lo < hi and is_plain(byte_at(data, lo)):
            lo += 1
    elif lo < hi and (j.mode <= BEHIND or j.mode >= MINUS):
        byte = byte_at(data, lo)
        if byte >= 128 or (OUTSIDE_LOW if byte < 64 else OUTSIDE_HIGH) >> (byte & 63) & 1 == 0:
            return False
    if lo == hi:
        return True
    words = cells(7)
    trial = JsonSteps(address_of(words))
    copy_steps(trial, j)
    return push_all(trial, data, lo, hi) == hi


def is_plain(byte: int) -> bool:
    """Whether a byte within a string says itself alone."""
    return 0x20 <= byte < 0x80 and byte != QUOTE and byte != BACKSLASH


def copy_steps(target: JsonSteps, source: JsonSteps) -> None:
    """The state of another."""
    target.mode = source.mode
    target.depth = source.depth
    target.kinds = source.kinds
    target.is_key = source.is_key
    target.rest = source.rest
    target.blanks = source.blanks
    target.most_blanks = source.most_blanks


def push_all(j: JsonSteps, data: U8, lo: int, hi: int) -> int:
    """Take data[lo:hi]; returns `hi`, or where the first byte stands that cannot be."""
    for at in range(lo, hi):
        if not push_json(j, byte_at(data, at)):
            return at
    return hi


def check_json(data: U8, lo: int, hi: int) -> int:
    """Where in data[lo:hi] the first byte stands that is wrong, `hi` where it only ends too early; -1: it is JSON."""
    words = cells(7)
    j = JsonSteps(address_of(words))
    begin_json(j)
    at = push_all(j, data, lo, hi)
    return -1 if at == hi and is_whole(j) else at


def push_json(j: JsonSteps, byte: int) -> bool:
    """Take a byte; False: it cannot be."""
    if j.mode >= MINUS:
        step = NUMBER_STEPS[(j.mode - MINUS) * NUMBER_CLASSES + number_class(byte)] if number_class(byte) >= 0 else -1
        if step >= 0 or not ends_number(j.mode):
            j.mode = step
            return step >= 0
        j.mode = BEHIND
    if j.mode > BEHIND:
        return push_within(j, byte)
    if byte == 32 or byte == 10 or byte == 13 or byte == 9:
        j.blanks += 1
        return bool(j.blanks <= j.most_blanks)
    j.blanks = 0
    if j.mode == BEFORE_COLON:
        j.mode = VALUE
        return byte == COLON
    if j.mode == BEHIND or byte == 0x7D or byte == 0x5D:
        return push_behind(j, byte)
    if byte == QUOTE and j.mode != OBJECT:
        j.is_key = int(j.mode == FIRST_KEY or j.mode == KEY)
        j.mode = IN_STRING
        return True
    if j.mode == FIRST_KEY or j.mode == KEY or (j.mode == OBJECT and byte != 0x7B):
        return False
    return begin_value(j, byte)


def number_class(byte: int) -> int:
    """The column of NUMBER_STEPS for a byte, or -1."""
    if byte == 48:
        return 0
    if 49 <= byte <= 57:
        return 1
    if byte == 46:
        return 2
    if byte | 32 == 101:
        return 3
    return 4 if byte == 45 else 5 if byte == 43 else -1


def ends_number(mode: int) -> bool:
    """Whether a number may end here."""
    return mode == ZERO or mode == DIGITS or mode == FRACTION or mode == EXPONENT


def begin_value(j: JsonSteps, byte: int) -> bool:
    """The first byte of a value that is no string."""
    if byte == 0x7B or byte == 0x5B:
        j.kinds = j.kinds << 1 | int(byte == 0x7B)
        j.depth += 1
        j.mode = FIRST_KEY if byte == 0x7B else FIRST_VALUE
        return bool(j.depth <= MOST_DEPTH)
    if byte == 45 or 48 <= byte <= 57:
        j.mode = MINUS if byte == 45 else ZERO if byte == 48 else DIGITS
        return True
    j.mode = IN_WORD
    j.rest = TRUE if byte == 116 else FALSE if byte == 102 else NULL if byte == 110 else 0
    return j.rest != 0


def push_behind(j: JsonSteps, byte: int) -> bool:
    """What follows a value, or ends a list or an object that has none."""
    if j.depth == 0:
        return False
    of_object = j.kinds & 1
    if byte == COMMA:
        j.mode = KEY if of_object else VALUE
        return True
    empty = FIRST_KEY if of_object else FIRST_VALUE
    if (j.mode != BEHIND and j.mode != empty) or byte != (0x7D if of_object else 0x5D):
        return False
    j.kinds >>= 1
    j.depth -= 1
    j.mode = BEHIND
    return True


def push_within(j: JsonSteps, byte: int) -> bool:
    """A byte of a string or a word."""
    if j.mode == IN_STRING:
        return push_string(j, byte)
    if j.mode == IN_WORD:
        if byte != j.rest & 0xFF:
            return False
        j.rest >>= 8
        if j.rest == 0:
            j.mode = BEHIND
        return True
    if j.mode == IN_ESCAPE:
        j.mode = IN_HEX if byte == 117 else IN_STRING
        j.rest = 4
        return byte == QUOTE or byte == 47 or byte == 117 or (64 <= byte < 128 and ESCAPED >> (byte - 64) & 1 == 1)
    if j.mode == IN_HEX:
        j.rest -= 1
        if j.rest == 0:
            j.mode = IN_STRING
        return 48 <= byte <= 57 or 97 <= byte | 32 <= 102
    low = j.rest >> 8 & 0xFF
    high = j.rest >> 16
    j.rest = (j.rest & 0xFF) - 1 | 0xBF8000
    if j.rest & 0xFF == 0:
        j.mode = IN_STRING
    return bool(low <= byte <= high)


def push_string(j: JsonSteps, byte: int) -> bool:
    """A byte of a string, at the beginning of a character."""
    if byte == QUOTE:
        j.mode = BEFORE_COLON if j.is_key != 0 else BEHIND
    elif byte == BACKSLASH:
        j.mode = IN_ESCAPE
    elif byte >= 0x80:
        left = lead(byte)[0]
        low = 0xA0 if byte == 0xE0 else 0x90 if byte == 0xF0 else 0x80
        high = 0x9F if byte == 0xED else 0x8F if byte == 0xF4 else 0xBF
        j.mode = IN_CHARACTER
        j.rest = left | low << 8 | high << 16
        return left > 0
    return byte >= 0x20
