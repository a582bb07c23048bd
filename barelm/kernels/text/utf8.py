"""UTF-8, read strictly.  The only place that decides what becomes of malformed bytes.

Well-formed is what the Unicode standard's table 3-7 says: no overlong forms, no surrogates, nothing above U+10FFFF.
Every malformed part counts as one U+FFFD, where a part is the longest beginning of a character found (the standard's
"maximal subpart"): exactly what Python's `bytes.decode("utf-8", "replace")` makes of it.
"""

from barelm.dialect.types import U8

REPLACEMENT = 0xFFFD


def byte_at(text: U8, at: int) -> int:
    """One byte, widened."""
    return int(text[at]) & 0xFF


def decode_character(text: U8, at: int, end: int) -> tuple[int, int]:
    """The code point at `at` and its length in bytes; REPLACEMENT and the length of a malformed part.  at < end."""
    first = byte_at(text, at)
    if first < 0x80:
        return first, 1
    rest, point = lead(first)
    if rest == 0:
        return REPLACEMENT, 1
    # Only the second byte has narrower bounds, and only behind these four.
    lo = 0x80
    hi = 0xBF
    if first == 0xE0:
        lo = 0xA0
    elif first == 0xED:
        hi = 0x9F
    elif first == 0xF0:
        lo = 0x90
    elif first == 0xF4:
        hi = 0x8F
    for k in range(1, rest + 1):
        if at + k >= end:
            return REPLACEMENT, k
        byte = byte_at(text, at + k)
        if byte < lo or byte > hi:
            return REPLACEMENT, k
        lo = 0x80
        hi = 0xBF
        point = point << 6 | (byte & 0x3F)
    return point, rest + 1


def lead(first: int) -> tuple[int, int]:
    """How many bytes follow the first byte of a character, and the bits it holds itself; 0 where none may begin so."""
    if 0xC2 <= first <= 0xDF:
        return 1, first & 0x1F
    if 0xE0 <= first <= 0xEF:
        return 2, first & 0x0F
    if 0xF0 <= first <= 0xF4:
        return 3, first & 0x07
    return 0, 0


def copy_clean(target: U8, n: int, text: U8, lo: int, hi: int) -> int:
    """Write text[lo:hi] at target[n:], malformed parts replaced; returns where it ends, or -1 where it does not fit.

    It may take three times the room: one malformed byte becomes the three of U+FFFD.
    """
    at = lo
    while at < hi:
        point, length = decode_character(text, at, hi)
        if n + (3 if point == REPLACEMENT else length) > len(target):
            return -1
        n += encode_utf8(target[n:], point)
        at += length
    return n


def encode_utf8(out: U8, code_point: int) -> int:
    """A character as UTF-8; returns its bytes, at most 4."""
    if code_point < 0x80:
        out[0] = code_point
        return 1
    n = 2
    if code_point >= 0x800:
        n = 3
    if code_point >= 0x10000:
        n = 4
    for k in range(n - 1, 0, -1):
        out[k] = 0x80 | (code_point & 0x3F)
        code_point >>= 6
    out[0] = (0xF00 >> n & 0xFF) | code_point  # as many ones as there are bytes, then a zero
    return n
