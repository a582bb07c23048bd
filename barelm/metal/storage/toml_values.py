"""Values in text: the numbers, strings and names of TOML, read out of bytes.  Knows no keys and no board.

`data[lo:hi]` is where a value stands and all there is behind it: blanks and a comment may follow, nothing else.
"""

from barelm.contract.settings import MOST_TEXT_BYTES, MOST_TEXTS, Text
from barelm.dialect.memory import address_of, bits_of_float, text
from barelm.dialect.types import U8, U16, f32
from barelm.kernels.text.json_text import hexadecimal
from barelm.kernels.text.utf8 import encode_utf8

TAB, LINE_FEED, SPACE, QUOTE, HASH, BACKSLASH = 9, 10, 32, 34, 35, 92
CARRIAGE_RETURN, COMMA, DOT, ZERO, NINE, EQUALS = 13, 44, 46, 48, 57, 61
UPPER_U, LEFT_BRACKET, RIGHT_BRACKET, LOWER_A, LOWER_U, LOWER_Z = 85, 91, 93, 97, 117, 122
ESCAPES, ESCAPED = "btnfr\"\\", "\b\t\n\f\r\"\\"


def skip_blanks(data: U8, lo: int, hi: int) -> int:
    """The first place from lo on that is not blank."""
    while lo < hi and (data[lo] == SPACE or data[lo] == TAB or data[lo] == CARRIAGE_RETURN):
        lo += 1
    return lo


def rest_is_blank(data: U8, at: int, hi: int) -> bool:
    """Whether nothing but blanks and a comment follows."""
    at = skip_blanks(data, at, hi)
    return at >= hi or data[at] == HASH


def word_number(data: U8, lo: int, hi: int, words: U16) -> int:
    """Which of the `words`, one space between two and a zero behind the last, data[lo:hi] is, from 0; -1: none."""
    number = 0
    alike = 0  # letters of the word from its first on; -1: it is another
    for i in range(len(words)):
        if words[i] == SPACE or words[i] == 0:
            if alike == hi - lo:
                return number
            if words[i] == 0:
                return -1
            number += 1
            alike = 0
        elif 0 <= alike < hi - lo and int(data[lo + alike]) == int(words[i]):
            alike += 1
        else:
            alike = -1
    return -1


def parse_whole(data: U8, lo: int, hi: int) -> int:
    """The whole number of at most eighteen digits, not negative, that data[lo:hi] is; -1: none."""
    at = lo
    value = 0
    while at < hi and ZERO <= data[at] <= NINE:
        value = value * 10 + int(data[at]) - ZERO
        at += 1
    if at == lo or at - lo > 18 or not rest_is_blank(data, at, hi):
        return -1
    return value


def parse_real(data: U8, lo: int, hi: int) -> int:
    """The bits of the float32 nearest to the decimal, not negative, that data[lo:hi] is; -1: none.

    It has at most 15 digits from the first that is not 0, and 18 behind the dot.
    """
    seen_digit = False
    seen_dot = False
    digits = 0
    decimals = 0
    scale = 1
    value = 0
    while lo < hi and (ZERO <= data[lo] <= NINE or (data[lo] == DOT and not seen_dot)):
        if data[lo] == DOT:
            seen_dot = True
        else:
            value = value * 10 + int(data[lo]) - ZERO
            seen_digit = True
            digits += int(value > 0)
            if seen_dot:
                scale *= 10
                decimals += 1
        lo += 1
    if not seen_digit or digits > 15 or decimals > 18 or not rest_is_blank(data, lo, hi):
        return -1
    return bits_of_float(f32(float(value) / float(scale)))


def parse_name(data: U8, lo: int, hi: int, quoted: bool, names: U16) -> int:
    """Which of the `names` (as in `word_number`) data[lo:hi] is, in double quotes or of small letters; -1: none."""
    if quoted:
        if lo == hi or data[lo] != QUOTE:
            return -1
        lo += 1
    end = lo
    while end < hi and (data[end] != QUOTE if quoted else LOWER_A <= data[end] <= LOWER_Z):
        end += 1
    if (quoted and end == hi) or not rest_is_blank(data, end + int(quoted), hi):
        return -1
    return word_number(data, lo, end, names)


def unescape(data: U8, lo: int, hi: int, to: int) -> tuple[int, int]:
    """Write what the basic string at data[lo:hi] stands for to data[to:], where to is at most lo + 1.

    Returns the place behind its closing quote, -1 where no string begins at lo or an escape is none, and that behind
    the last byte written, which is never behind what was read.
    """
    at = lo + 1
    if lo >= hi or data[lo] != QUOTE:
        return -1, to
    while at < hi and data[at] != QUOTE:
        if data[at] != BACKSLASH:
            data[to] = data[at]
            to += 1
            at += 1
            continue
        point, at = escaped(data, at + 1, hi)
        if point <= 0 or 0xD800 <= point < 0xE000 or point > 0x10FFFF:
            return -1, to
        to += encode_utf8(data[to:], point)
    if at >= hi:
        return -1, to
    return at + 1, to


def escaped(data: U8, at: int, hi: int) -> tuple[int, int]:
    """The character that a backslash and data[at:] stand for, -1 where for none, and the place behind (TOML 1.0)."""
    letter = int(data[at]) if at < hi else 0
    if letter == LOWER_U:
        return hexadecimal(data, at + 1, hi), at + 5
    if letter == UPPER_U:
        high = hexadecimal(data, at + 1, hi)
        low = hexadecimal(data, at + 5, hi)
        return high << 16 | low if high >= 0 and low >= 0 else -1, at + 9
    for i in range(len(text(ESCAPES)) - 1):
        if letter == int(text(ESCAPES)[i]):
            return int(text(ESCAPED)[i]), at + 1
    return -1, at + 1


def read_string(found: Text, data: U8, lo: int, hi: int) -> bool:
    """A string, unescaped where it stands: its place into `found`."""
    end, to = unescape(data, lo, hi, lo + 1)
    if end < 0 or not rest_is_blank(data, end, hi):
        return False
    found.address = address_of(data) + lo + 1
    found.n_bytes = to - (lo + 1)
    return True


def read_strings(found: Text, data: U8, lo: int, hi: int) -> bool:
    """A short string or an array of some, the same way, each with a zero behind it; empty ones are left out."""
    at = lo
    to = lo
    count = 0
    listed = lo < hi and data[lo] == LEFT_BRACKET
    if listed:
        at = skip_blanks(data, lo + 1, hi)
    while at < hi and data[at] == QUOTE and count < MOST_TEXTS:
        start = to
        at, to = unescape(data, at, hi, start)
        if at < 0 or to - start > MOST_TEXT_BYTES:
            return False
        if to > start:
            data[to] = 0
            to += 1
        count += 1
        at = skip_blanks(data, at, hi)
        if not listed or at == hi or data[at] != COMMA:
            break
        at = skip_blanks(data, at + 1, hi)
    if listed:
        if at == hi or data[at] != RIGHT_BRACKET:
            return False
        at += 1
    elif count == 0:
        return False
    if not rest_is_blank(data, at, hi):
        return False
    found.address = address_of(data) + lo
    found.n_bytes = to - lo
    return True
