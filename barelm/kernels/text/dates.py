"""Dates as a chat template prints them: `strftime` for days, in English."""

from barelm.contract.settings import joined
from barelm.dialect.memory import text
from barelm.dialect.types import U8, U16
from barelm.kernels.text.utf8 import byte_at

MOST_GROWTH = 5
"""How many times as long as its form a date can be: two characters of it become nine at most."""

MONTHS, MONTHS_AT = joined(("January", "February", "March", "April", "May", "June", "July", "August", "September",
                            "October", "November", "December"))
DAYS, DAYS_AT = joined(("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"))
SHORT = 3
MONTH_SHIFTS = (0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4)


def put_date(target: U8, n: int, source: U8, at: int, end: int, today: int) -> tuple[int, int]:
    """A day at target[n:], in a form; returns where it ends, or -1 where it does not fit, and where `source` goes on.

    At source[at:end] stand the day of packing in eight digits, taken where `today` (as 20261126) is 0, and the form:
    %d %m %Y %y %b %B %a %A, and a zero.
    """
    packed = 0
    for _ in range(8):
        if at < end:
            packed = 10 * packed + byte_at(source, at) - 48
            at += 1
    day = today if today > 0 else packed
    while at < end and source[at] != 0:
        if source[at] == 37 and at + 1 < end:
            n = put_directive(target, n, byte_at(source, at + 1), day)
            at += 2
        elif 0 <= n < len(target):
            target[n] = source[at]
            n += 1
            at += 1
        else:
            return -1, end
    return n, at + 1


def put_directive(target: U8, n: int, letter: int, day: int) -> int:
    """One part of a day; returns as `put_date`."""
    month = min(max(day // 100 % 100, 1), 12)
    if letter == 100:
        return put_padded(target, n, day % 100, 2)
    if letter == 109:
        return put_padded(target, n, month, 2)
    if letter == 89:
        return put_padded(target, n, day // 10000, 4)
    if letter == 121:
        return put_padded(target, n, day // 10000 % 100, 2)
    most = SHORT if letter == 98 or letter == 97 else 9
    if letter == 98 or letter == 66:
        return put_name(target, n, text(MONTHS)[MONTHS_AT[month - 1]:], most)
    return put_name(target, n, text(DAYS)[DAYS_AT[weekday(day)]:], most)


def weekday(day: int) -> int:
    """0 for a Sunday: Sakamoto's method."""
    month = min(max(day // 100 % 100, 1), 12)
    year = day // 10000 - int(month < 3)
    return (year + year // 4 - year // 100 + year // 400 + MONTH_SHIFTS[month - 1] + day % 100) % 7


def put_padded(target: U8, n: int, value: int, digits: int) -> int:
    """A number with zeros in front; returns as `put_date`."""
    if n < 0 or n + digits > len(target):
        return -1
    for k in range(digits):
        target[n + digits - 1 - k] = 48 + value % 10
        value //= 10
    return n + digits


def put_name(target: U8, n: int, name: U16, most: int) -> int:
    """At most so many letters of a name; returns as `put_date`."""
    k = 0
    while k < most and name[k] != 0:
        if n < 0 or n >= len(target):
            return -1
        target[n] = name[k]
        n += 1
        k += 1
    return n
