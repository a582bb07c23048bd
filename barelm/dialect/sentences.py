"""A sentence with values in it, seen whole: `sentence("turns {}, {} of {} tokens\\n", (n_turns, n, seq_len))`.

What stands in braces takes the next value:

    {}      an int in decimal; a float32 with one to three decimals; bytes as UTF-8; UTF-16 up to its zero; int64 words
            as the zero-padded UTF-8 they hold
    {:3}    an int, its last three digits, zeros in front
    {:x16}  an int, its last sixteen digits in hexadecimal
    {:c}    an int as the character of that code point
    {:MB}   an int, a number of bytes, in MB or GB
    {:/}    two ints, as the quotient: one decimal below a hundred, none above, - where the second is not positive

`{{` and `}}` stand for a brace.  The compiler refuses a literal whose braces do not fit the values.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from barelm.dialect.memory import bits_of_float
from barelm.dialect.types import I64, U16

DECIMAL, FLOAT, BYTES, UNITS, WORDS, CHARACTER, MEGABYTES, QUOTIENT = range(8)
"""How a value is shown; PADDED and HEXADECIMAL are followed by the number of digits."""
PADDED, HEXADECIMAL = 0x20, 0x40

MARK = 0xE000
"""In the units of a sentence, MARK and a way of showing stand for a value: Unicode leaves these to private use."""

_PLACE = re.compile(r"\{\{|\}\}|\{(?::(\d+|x\d+|c|MB|/))?\}|[{}]")
_OF_TYPE = {"int": DECIMAL, "float32": FLOAT, "uint8": BYTES, "uint16": UNITS, "int64": WORDS}


class Sentence(NamedTuple):
    """UTF-16 with a zero at its end, and two words for each of its values."""

    units: U16
    words: I64  # a number and 0, two numbers, or an address and a count


def sentence(literal: str, values: tuple[Any, ...]) -> Sentence:
    """The sentence for `put`; the literal is one, and what the values view must last as long."""
    kinds = tuple(_kind_of(value) for value in values)
    template = Template.of(literal, kinds)
    units = np.frombuffer((template.text + "\0").encode("utf-16-le"), np.uint16)
    words = np.zeros(2 * len(template.places), np.int64)
    for place, (how, taken) in enumerate(template.places):
        for k, value in enumerate(values[taken:taken + (2 if how == QUOTIENT else 1)]):
            number = bits_of_float(value) if kinds[taken] == "float32" else value
            words[2 * place + k] = value.ctypes.data if isinstance(value, np.ndarray) else number
        if how in (BYTES, UNITS, WORDS):
            words[2 * place + 1] = len(values[taken])
    return Sentence(units, words)


def _kind_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.dtype)
    return "int" if isinstance(value, (int, np.integer, np.bool_)) else type(value).__name__


class Template(NamedTuple):
    """A literal made ready for values, whose kinds are "int", "float32", or the type of an array's elements."""

    text: str  # with a mark for each value
    places: tuple[tuple[int, int], ...]  # of each value that is shown: how, and the number of the (first) one it takes

    @classmethod
    def of(cls, literal: str, kinds: tuple[str, ...]) -> Template:
        """Raises ValueError where the braces of the literal do not fit."""
        text, at, taken, places = "", 0, 0, []
        for place in _PLACE.finditer(literal):
            text, at = text + literal[at:place.start()], place.end()
            if place[0] in ("{{", "}}"):
                text += place[0][0]
                continue
            if place[0] in ("{", "}"):
                raise ValueError(f"a brace alone in {literal!r}: two are one")
            n = 2 if place[1] == "/" else 1
            if taken + n > len(kinds):
                raise ValueError(f"{literal!r} has more braces than values")
            how = _way(literal, place[1], kinds[taken:taken + n])
            text += chr(MARK + how)
            places.append((how, taken))
            taken += n
        if taken != len(kinds):
            raise ValueError(f"{literal!r} takes {taken} values, not {len(kinds)}")
        return cls(text + literal[at:], tuple(places))


def _way(literal: str, asked: str | None, kinds: tuple[str, ...]) -> int:
    if asked is None:
        if kinds[0] not in _OF_TYPE:
            raise ValueError(f"a {kinds[0]} cannot be shown in {literal!r}")
        return _OF_TYPE[kinds[0]]
    if any(kind != "int" for kind in kinds):
        raise ValueError(f"{{:{asked}}} takes an int in {literal!r}")
    if asked in ("c", "MB", "/"):
        return {"c": CHARACTER, "MB": MEGABYTES, "/": QUOTIENT}[asked]
    digits = int(asked.lstrip("x"))
    if not 1 <= digits <= 18:
        raise ValueError(f"{{:{asked}}} asks for {digits} digits in {literal!r}")
    return (HEXADECIMAL if asked[0] == "x" else PADDED) + digits
