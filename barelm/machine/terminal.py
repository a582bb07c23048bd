"""What a serial terminal would show, as plain text: escape sequences out, UTF-8 whole, however it was cut."""

import codecs
import re

# ECMA-48, section 5.4: parameters, intermediates, final.  Bounded, so that an endless sequence is not kept for ever.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}(?P<csi>[@-~])?|[ -/]{0,8}(?P<other>[0-Z\\-~])?)")
_DROPPED = {ord("\r"): None, 0: None}


class PlainText:
    """A filter for the bytes of one console: `feed` gives the text in them.

    Cutting the bytes elsewhere gives the same text in the end.  Bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes, final: bool = False) -> str:
        """The text of the next bytes; an escape or a character cut at their end is kept for the next call."""
        text = self._pending + self._decoder.decode(data, final)
        self._pending = ""
        for match in _ESCAPE.finditer(text):
            if match.end() == len(text) and not (match["csi"] or match["other"]):
                self._pending = match[0]
        return _ESCAPE.sub("", text).translate(_DROPPED)
