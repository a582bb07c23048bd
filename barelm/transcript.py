"""What the program says to a program, read back: token ids as they come, measurements, failures.

`metal.story` describes the lines; this is the other end.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from barelm.kernels.tokenizer import Vocabulary, piece

_MARK = "BARELM "
_STOPPED = "barelm stopped: "


@dataclass
class Transcript:
    """Everything heard so far; feed it console bytes, it returns the text that became known."""

    vocabulary: Vocabulary
    reply_only: bool = False  # leave the prompt's tokens, which come first, out of the text
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    measured: dict[str, int] = field(default_factory=dict)
    status: int | None = None
    failure: list[str] = field(default_factory=list)  # message, hint, place
    other: list[str] = field(default_factory=list)  # the last lines that were none of ours

    def __post_init__(self) -> None:
        self._line = ""
        self._console = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def hear(self, console: bytes) -> str:
        """Take more of the console; returns the text of the tokens in it, whole characters only."""
        said = ""
        *lines, self._line = (self._line + self._console.decode(console)).split("\n")
        for line in lines:
            said += self._read(line.strip())
        self.text += said
        return said

    def finish(self) -> str:
        """The text a cut character at the very end stands for."""
        said = self._text.decode(b"", final=True)
        self.text += said
        return said

    def _read(self, line: str) -> str:
        if line.startswith(_MARK):
            return self._read_marked(line.removeprefix(_MARK).split())
        if line.startswith(_STOPPED):
            self.failure = [line.removeprefix(_STOPPED)]
        elif self.failure and len(self.failure) < 3:
            self.failure.append(line)
        elif line:
            self.other = [*self.other[-9:], line]
        return ""

    def _read_marked(self, words: list[str]) -> str:
        kind, numbers = words[0], words[1:]
        if not all(number.isdecimal() and len(number) < 20 for number in numbers) or not numbers:
            return ""
        if kind == "IDS":
            return "".join(self._text_of(int(number)) for number in numbers)
        if kind == "DONE":
            self.status = int(numbers[0])
        else:
            self.measured[kind] = int(numbers[0])
        return ""

    def _text_of(self, token: int) -> str:
        if token >= len(self.vocabulary.piece_ends):
            return ""
        previous = self.token_ids[-1] if self.token_ids else -1
        self.token_ids.append(token)
        if self.reply_only and len(self.token_ids) <= self.measured.get("n_prompt", 0):
            return ""
        lo, hi = piece(self.vocabulary, previous, token)
        return self._text.decode(self.vocabulary.pieces[lo:hi].tobytes())
