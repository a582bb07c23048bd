"""The table of docs/CONFIGURATION.md, out of the rows of `barelm.contract.settings`.

    python -m tools.settings_table

writes it anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from barelm.contract.settings import FLAG, REAL, TEXT, TEXTS, WHOLE, AnySetting, grouped

DOCUMENT = Path(__file__).parents[1] / "docs" / "CONFIGURATION.md"
HEAD = "| key | value | default | meaning |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def table() -> str:
    """A line for every row, in the order of their groups."""
    return HEAD + "".join(f"| `{row.name}` | {value_of(row)} | {default_of(row)} | {row.meaning} |\n"
                          for row in grouped())


def value_of(row: AnySetting) -> str:
    """What may be written."""
    return {TEXT: "string", TEXTS: f"string, or array of at most {row.most}", WHOLE: "whole number",
            REAL: "decimal, not negative", FLAG: "flag"}.get(row.kind) or ", ".join(f'`"{name}"`' for name in row.names)


def default_of(row: AnySetting) -> str:
    """What holds where nothing is."""
    if row.kind in (TEXT, TEXTS):
        return "empty" if row.kind == TEXT else "none"
    return str(row.default).lower() if row.kind in (WHOLE, REAL, FLAG) else f'`"{row.default}"`'


def renewed(document: str) -> str:
    """The document with its table made anew."""
    return _TABLE.sub(lambda found: table(), document)


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
