"""Text that others chose, made fit for a terminal: names in files, what a model says, what a firmware calls itself."""

import json
import re
from typing import Any

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNSEEN_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


def printable(text: str, besides: str = "") -> str:
    """Without controls, escapes, and what turns a line around or is not seen at all, but for the characters `besides`.

    What cannot be encoded is taken out too.  This is what every message, and every name on a line, goes through.
    """
    return "".join(c if c.isprintable() or c in besides else "\N{REPLACEMENT CHARACTER}" for c in text)


def spoken(text: str) -> str:
    """What a model says: all but controls, of which lines and tabs stay; scripts need characters that are not seen."""
    return _CONTROLS.sub("", text)


def json_text(value: Any) -> str:
    """A value as JSON in the script it is in, escaped where a terminal would act on it."""
    return _UNSEEN_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
