"""Values within a text that `json_steps.check_json` has found to be JSON.

There is no index: a value is where its first byte stands, and what follows it is found by going over it once more.
So every byte is looked at a few times for each level that its reader goes down, of which a request has five, however
many members or messages there are; an index of a hostile body would take more room than the body.

    at = first_item(data, at, hi)  # of a list or an object; -1: it is empty
    while at >= 0:
        value = value_of(data, at, hi)  # of a member; find_text(data, at, hi, names) says which it is
        at = item_after(data, value, hi)
"""

from barelm.dialect.types import U8, U16, Real, f32
from barelm.kernels.text.json_text import BACKSLASH, COMMA, QUOTE, next_solid, read_character
from barelm.kernels.text.utf8 import byte_at, encode_utf8
from barelm.kernels.web.request_names import is_digit

STRING, NUMBER, OBJECT, LIST, TRUE, FALSE, NULL = range(7)
LARGEST = 10**17
MOST_DIGITS, MOST_EXPONENT = 18, 10_000
LARGEST_POWER = 80  # of ten: beyond, a float32 is zero or infinite


def kind_at(data: U8, at: int) -> int:
    """Of which kind the value is that begins here."""
    byte = byte_at(data, at)
    if byte == QUOTE:
        return STRING
    if byte == 0x7B:
        return OBJECT
    if byte == 0x5B:
        return LIST
    if byte == 116:
        return TRUE
    if byte == 102:
        return FALSE
    return NULL if byte == 110 else NUMBER


def value_end(data: U8, at: int, hi: int) -> int:
    """Where the value that begins here ends."""
    depth = 0
    while at < hi:
        byte = byte_at(data, at)
        if byte == QUOTE:
            at = string_end(data, at, hi)
        elif byte == 0x7B or byte == 0x5B:
            depth += 1
            at += 1
        elif byte == 0x7D or byte == 0x5D:
            depth -= 1
            at += 1
        elif depth > 0:
            at += 1
        else:
            return plain_end(data, at, hi)
        if depth <= 0:
            return at
    return at


def string_end(data: U8, at: int, hi: int) -> int:
    """Where the string that begins here ends, its quotes included."""
    at += 1
    while at < hi and byte_at(data, at) != QUOTE:
        at += 2 if byte_at(data, at) == BACKSLASH else 1
    return min(at + 1, hi)


def plain_end(data: U8, at: int, hi: int) -> int:
    """Where the number or word that begins here ends."""
    while at < hi and byte_at(data, at) > 32 and byte_at(data, at) != COMMA and byte_at(data, at) | 32 != 0x7D:
        at += 1
    return at


def first_item(data: U8, at: int, hi: int) -> int:
    """The first value of a list, or the first name of an object, that begins here; -1: it is empty."""
    at = next_solid(data, at + 1, hi)
    return -1 if at >= hi or byte_at(data, at) | 32 == 0x7D else at


def item_after(data: U8, at: int, hi: int) -> int:
    """What follows the value that begins here in its list or object, or -1."""
    at = next_solid(data, value_end(data, at, hi), hi)
    return next_solid(data, at + 1, hi) if at < hi and byte_at(data, at) == COMMA else -1


def value_of(data: U8, at: int, hi: int) -> int:
    """The value of the member whose name begins here."""
    return next_solid(data, next_solid(data, string_end(data, at, hi), hi) + 1, hi)


def find_text(data: U8, at: int, hi: int, names: U16) -> int:
    """Which of the `names`, in ASCII and a zero behind each, the string that begins here is, from 0; -1: none."""
    number = 0
    place = at + 1
    alike = True
    for i in range(len(names)):
        wanted = int(names[i])
        ended = byte_at(data, place) == QUOTE
        if wanted == 0 and alike and ended:
            return number
        if wanted == 0:
            number += 1
            place = at + 1
            alike = True
        elif alike:
            alike = not ended
            point, length = read_character(data, place, hi)
            alike = alike and point == wanted
            place += length
    return -1


def copy_string(target: U8, n: int, data: U8, at: int, hi: int) -> int:
    """What the string that begins here says, at target[n:]; where it ends, or -1 where it does not fit (or n is -1)."""
    at += 1
    while n >= 0 and at < hi and byte_at(data, at) != QUOTE:
        byte = byte_at(data, at)
        if n + 4 > len(target):
            return -1
        if byte < 0x80 and byte != BACKSLASH:
            target[n] = byte
            n += 1
            at += 1
        else:
            point, length = read_character(data, at, hi)
            n += encode_utf8(target[n:], point)
            at += length
    return n


def decimal_at(data: U8, at: int, hi: int) -> tuple[int, int]:
    """The number that begins here as a whole one of at most 18 digits and a power of ten; what is beyond is dropped."""
    negative = byte_at(data, at) == 45
    at += int(negative)
    value = 0
    power = 0
    behind = 0
    while at < hi and (is_digit(byte_at(data, at)) or byte_at(data, at) == 46):
        if byte_at(data, at) == 46:
            behind = 1
        elif value < LARGEST:
            value = 10 * value + byte_at(data, at) - 48
            power -= behind
        else:
            power += 1 - behind
        at += 1
    if at < hi and byte_at(data, at) | 32 == 101:
        power += exponent_at(data, at + 1, hi)
    return -value if negative else value, power


def exponent_at(data: U8, at: int, hi: int) -> int:
    """What stands behind the e of a number."""
    negative = byte_at(data, at) == 45
    if negative or byte_at(data, at) == 43:
        at += 1
    power = 0
    while at < hi and is_digit(byte_at(data, at)):
        power = min(10 * power + byte_at(data, at) - 48, MOST_EXPONENT)
        at += 1
    return -power if negative else power


def whole_at(data: U8, at: int, hi: int) -> tuple[int, bool]:
    """The number that begins here, of beyond eighteen digits the largest; and whether it is a whole one, as 5.0 is."""
    value, power = decimal_at(data, at, hi)
    while power < 0 and value % 10 == 0 and value != 0:
        value //= 10
        power += 1
    whole = power >= 0 or value == 0
    while power > 0 and -LARGEST < value < LARGEST and value != 0:
        value *= 10
        power -= 1
    if power > 0 and value != 0:
        value = 10 * LARGEST - 1 if value > 0 else 1 - 10 * LARGEST
    return value, whole


def real_at(data: U8, at: int, hi: int) -> Real:
    """The number that begins here: the nearest float32 where it has at most 15 digits and a power up to 22."""
    value, power = decimal_at(data, at, hi)
    scale = float(1)
    for _ in range(min(abs(power), LARGEST_POWER)):
        scale *= float(10)
    return f32(float(value) / scale) if power < 0 else f32(float(value) * scale)
