"""JSON as a chat template prints it: the same values, white space and escapes as Python's `json.dumps` has them.

A form is `indent | level << INDENT_BITS | compact << INDENT_BITS + LEVEL_BITS`: blanks a step (0: all on one line), how
many steps further in the lines are than they would be, and that no blanks follow commas and colons.  Numbers stay as
they came.  Whether a text is JSON at all its caller knows; of any other the output is of no use, but as safe.
"""

from barelm.dialect.types import U8
from barelm.kernels.text.utf8 import REPLACEMENT, byte_at, copy_clean, decode_character, encode_utf8

INDENT_BITS, LEVEL_BITS = 3, 2
QUOTE, BACKSLASH, COMMA, COLON = 0x22, 0x5C, 0x2C, 0x3A
MOST_ESCAPED = 6
"""Bytes of a character as it is printed."""
SHORT_ESCAPES, THEIR_LETTERS = (8, 9, 10, 12, 13), (98, 116, 110, 102, 114)


def put_json(target: U8, n: int, source: U8, lo: int, hi: int, form: int) -> int:
    """The JSON source[lo:hi] at target[n:], in a form; returns where it ends, or -1 where it does not fit (or n is)."""
    indent = form & (1 << INDENT_BITS) - 1
    depth = form >> INDENT_BITS & (1 << LEVEL_BITS) - 1
    at = next_solid(source, lo, hi)
    while n >= 0 and at < hi:
        byte = byte_at(source, at)
        if byte == QUOTE:
            n, at = put_string(target, n, source, at, hi)
        elif byte == 0x7B or byte == 0x5B:
            n = put_byte(target, n, byte)
            following = next_solid(source, at + 1, hi)
            if following < hi and byte_at(source, following) == byte + 2:
                n = put_byte(target, n, byte + 2)
                at = following + 1
            else:
                depth += 1
                n = put_line(target, n, indent, depth)
                at += 1
        elif byte == 0x7D or byte == 0x5D:
            depth -= 1
            n = put_byte(target, put_line(target, n, indent, depth), byte)
            at += 1
        else:
            n, at = put_other(target, n, source, at, hi)
            blank = byte == COLON or (byte == COMMA and indent == 0)
            if byte == COMMA:
                n = put_line(target, n, indent, depth)
            if blank and form >> (INDENT_BITS + LEVEL_BITS) == 0:
                n = put_byte(target, n, 0x20)
        at = next_solid(source, at, hi)
    return n


def put_other(target: U8, n: int, source: U8, at: int, hi: int) -> tuple[int, int]:
    """One character as it is; returns as `put_string`."""
    length = decode_character(source, at, hi)[1]
    return copy_clean(target, n, source, at, at + length), at + length


def put_string(target: U8, n: int, source: U8, at: int, hi: int) -> tuple[int, int]:
    """The string that begins at source[at], with Python's escapes; where it ends, or -1, and where `source` goes on."""
    n = put_byte(target, n, QUOTE)
    at += 1
    while n >= 0 and at < hi and byte_at(source, at) != QUOTE:
        point, length = read_character(source, at, hi)
        n = put_escaped(target, n, point)
        at += length
    return put_byte(target, n, QUOTE), at + 1


def put_quoted(target: U8, n: int, source: U8, lo: int, hi: int) -> int:
    """Any text source[lo:hi] as a JSON string; returns as `put_json`."""
    n = put_byte(target, n, QUOTE)
    at = lo
    while n >= 0 and at < hi:
        point, length = decode_character(source, at, hi)
        n = put_escaped(target, n, point)
        at += length
    return put_byte(target, n, QUOTE)


def put_escaped(target: U8, n: int, point: int) -> int:
    """A character within a string; returns as `put_json`."""
    if n < 0 or n + MOST_ESCAPED > len(target):
        return -1
    if point == QUOTE or point == BACKSLASH:
        return put_byte(target, put_byte(target, n, BACKSLASH), point)
    if point >= 0x20:
        return n + encode_utf8(target[n:], point)
    n = put_byte(target, n, BACKSLASH)
    for k in range(len(SHORT_ESCAPES)):
        if SHORT_ESCAPES[k] == point:
            return put_byte(target, n, THEIR_LETTERS[k])
    target[n] = 117
    for k in range(4):
        digit = point >> (12 - 4 * k) & 15
        target[n + 1 + k] = digit + (48 if digit < 10 else 87)
    return n + 5


def read_character(source: U8, at: int, hi: int) -> tuple[int, int]:
    """A character of a string and its bytes, an escape among them; half a surrogate pair is REPLACEMENT."""
    if byte_at(source, at) != BACKSLASH or at + 1 >= hi:
        return decode_character(source, at, hi)
    letter = byte_at(source, at + 1)
    for k in range(len(THEIR_LETTERS)):
        if THEIR_LETTERS[k] == letter:
            return SHORT_ESCAPES[k], 2
    if letter != 117:
        point, length = decode_character(source, at + 1, hi)
        return point, 1 + length
    high = hexadecimal(source, at + 2, hi)
    low = hexadecimal(source, at + 8, hi) if at + 7 < hi and byte_at(source, at + 7) == 117 else -1
    if 0xD800 <= high < 0xDC00 and 0xDC00 <= low < 0xE000 and byte_at(source, at + 6) == BACKSLASH:
        return 0x10000 + ((high - 0xD800) << 10) + low - 0xDC00, 12
    return (REPLACEMENT if high < 0 or 0xD800 <= high < 0xE000 else high), min(6, hi - at)


def hexadecimal(source: U8, at: int, hi: int) -> int:
    """Four hexadecimal digits as a number, or -1."""
    value = 0
    for k in range(4):
        byte = byte_at(source, at + k) if at + k < hi else 0
        letter = byte | 32
        if 48 <= byte <= 57:
            value = 16 * value + byte - 48
        elif 97 <= letter <= 102:
            value = 16 * value + letter - 87
        else:
            return -1
    return value


def put_line(target: U8, n: int, indent: int, depth: int) -> int:
    """A new line, `depth` steps in, or nothing where all is on one line; returns as `put_json`."""
    if indent == 0:
        return n
    n = put_byte(target, n, 10)
    for _ in range(indent * depth):
        n = put_byte(target, n, 0x20)
    return n


def put_byte(target: U8, n: int, byte: int) -> int:
    """One byte; returns as `put_json`."""
    if n < 0 or n >= len(target):
        return -1
    target[n] = byte
    return n + 1


def next_solid(source: U8, at: int, hi: int) -> int:
    """Where the next byte that is no white space stands, or `hi`."""
    while at < hi and (byte_at(source, at) == 0x20 or 0x09 <= byte_at(source, at) <= 0x0D):
        at += 1
    return at
