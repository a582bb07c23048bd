"""Fills forms, the texts with fields that `contract.serving.form_language` makes ready: what a node says is rows of
tables, and this is what prints them.
"""

from barelm.contract.serving.form_language import (
    CONSTANT,
    FIELD_BITS,
    HEXADECIMAL,
    MARK,
    MILLIONTHS,
    NUMBER,
    QUOTED,
    THOUSANDTHS,
    TIME,
    TRUTH,
)
from barelm.dialect.memory import address_of, cells, load_i64, load_u16, memory, text
from barelm.dialect.types import U8, U16
from barelm.kernels.text.dates import put_padded
from barelm.kernels.text.json_text import INDENT_BITS, LEVEL_BITS, put_byte, put_json, put_quoted

ON_ONE_LINE = 1 << INDENT_BITS + LEVEL_BITS


def fill(target: U8, n: int, form: U16, fields: int) -> int:
    """A form at target[n:] with the words at `fields`; returns where it ends, or -1 where it does not fit (or n is)."""
    i = 0
    while n >= 0 and form[i] != 0:
        unit = int(form[i]) & 0xFFFF
        if unit < MARK:
            n = put_byte(target, n, unit)
        else:
            word = unit & (1 << FIELD_BITS) - 1
            n = put_field(target, n, unit - MARK >> FIELD_BITS, fields + 8 * word)
        i += 1
    return n


def put_field(target: U8, n: int, way: int, field: int) -> int:
    """What stands at an address, in one of the ways; returns as `fill`."""
    value = load_i64(field)
    if way == NUMBER:
        return put_number(target, n, value)
    if way == THOUSANDTHS:
        return put_parts(target, n, value, 3)
    if way == MILLIONTHS:
        return put_parts(target, n, value, 6)
    if way == HEXADECIMAL:
        return put_hexadecimal(target, n, value, 16)
    if way == CONSTANT:
        return put_constant(target, n, value)
    if way == TIME:
        return put_time(target, n, value)
    if way == TRUTH:
        return put_constant(target, n, address_of(text("true")) if value != 0 else address_of(text("false")))
    n_bytes = load_i64(field + 8)
    if value == 0:
        return put_constant(target, n, address_of(text("null")))
    if way == QUOTED:
        return put_quoted(target, n, memory(value, n_bytes), 0, n_bytes)
    if n_bytes == 0:
        return put_byte(target, put_byte(target, n, 0x7B), 0x7D)
    return put_json(target, n, memory(value, n_bytes), 0, n_bytes, ON_ONE_LINE)


def put_number(target: U8, n: int, value: int) -> int:
    """A whole number above -10^18 in decimal; returns as `fill`."""
    if value < 0:
        n = put_byte(target, n, 45)
        value = -value
    digits = 1
    rest = value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    return put_padded(target, n, value, digits)


def put_parts(target: U8, n: int, value: int, decimals: int) -> int:
    """So many parts of 10^decimals, not negative, as a decimal number; returns as `fill`."""
    whole = 10**6 if decimals == 6 else 1000
    n = put_byte(target, put_number(target, n, value // whole), 46)
    return put_padded(target, n, value % whole, decimals)


def put_hexadecimal(target: U8, n: int, value: int, digits: int) -> int:
    """The last digits of a number, zeros in front; returns as `fill`."""
    for k in range(digits - 1, -1, -1):
        digit = value >> 4 * k & 15
        n = put_byte(target, n, digit + (48 if digit < 10 else 87))
    return n


def put_constant(target: U8, n: int, units: int) -> int:
    """The ASCII of a constant text, given by its address; returns as `fill`."""
    while n >= 0 and load_u16(units) != 0:
        n = put_byte(target, n, load_u16(units))
        units += 2
    return n


def put_time(target: U8, n: int, seconds: int) -> int:
    """A moment in UTC as RFC 3339 has it; returns as `fill`."""
    date = cells(6)
    # Years that begin in March end with the day that may be missing: Hinnant's `civil_from_days`.
    days = seconds // 86400 + 719468
    era = days // 146097
    day = days - 146097 * era
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    date[2] = day - (153 * month + 2) // 5 + 1
    date[1] = month + 3 if month < 10 else month - 9
    date[0] = year + 400 * era + int(month >= 10)
    date[3], date[4], date[5] = seconds // 3600 % 24, seconds // 60 % 60, seconds % 60
    for k in range(6):
        n = put_padded(target, n, date[k], 4 if k == 0 else 2)
        n = put_byte(target, n, 90 if k == 5 else 45 if k < 2 else 84 if k == 2 else 58)
    return n


def zero_in(of: U8) -> int:
    """How many bytes stand before the first zero."""
    n = 0
    while n < len(of) and of[n] != 0:
        n += 1
    return n


def at_address(of: U8) -> int:
    """Where UTF-8 lies, for a field; not 0 where there is none of it, for that is printed as null."""
    return max(address_of(of), 1)
