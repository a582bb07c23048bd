"""Forms: texts with fields in them, filled from a struct.  What a node says is rows of tables.

    <n_made>       a number                          <"model">      UTF-8 as a JSON string, quotes included
    <us/1000>      with three decimals               <arguments{}>  UTF-8 that is JSON, on one line; of nothing, {}
    <us/1000000>   with six                          <reason=>      a constant text
    <number#>      sixteen hexadecimal digits        <created@>     seconds since 1970 as 2026-11-26T18:52:14Z
    <busy?>        true or false

A field is an `int` of the struct.  Of UTF-8 it is the address, and the next one the number of bytes; the address 0
is null.  Of a constant text it is the address of its units.  `forms` makes a table ready when it is imported, and
`kernels.web.answers.form_filling` fills it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from barelm.contract.settings import joined
from barelm.dialect.structs import Struct

NUMBER, THOUSANDTHS, MILLIONTHS, HEXADECIMAL, QUOTED, JSON, CONSTANT, TIME, TRUTH = range(9)
_WAYS = {"": NUMBER, "/1000": THOUSANDTHS, "/1000000": MILLIONTHS, "#": HEXADECIMAL, "{}": JSON, "=": CONSTANT,
         "@": TIME, "?": TRUTH}
MARK, FIELD_BITS = 0xE000, 6
"""In the units of a form, MARK + (a way << FIELD_BITS) + a word of the struct stands for a field."""

_FIELD = re.compile(r'<(?:"(\w+)"|(\w+)(/1000000|/1000|#|\{\}|=|@|\?|))>|[<>]')


def forms(rows: Iterable[str], struct: type[Struct]) -> tuple[str, tuple[int, ...]]:
    """A table for `fill`, as `joined` makes one; raises ValueError where a row has no such field."""
    def mark(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        word = struct.FIELDS[name].offset // 8 if name in struct.FIELDS else -1
        if not 0 <= word < 1 << FIELD_BITS:
            raise ValueError(f"no form can have {found[0]!r}")
        return chr(MARK + ((QUOTED if found[1] else _WAYS[found[3]]) << FIELD_BITS) + word)

    rows = list(rows)
    if not all(row.isascii() for row in rows):
        raise ValueError("the text of a form is ASCII")
    return joined(_FIELD.sub(mark, row) for row in rows)
