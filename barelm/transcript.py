"""What the program reports to another program, read back: token ids as they come, measurements, failures.

`metal.conversation.completion` describes the lines; this is the other end.
"""

import codecs
from dataclasses import dataclass, field

import numpy as np

from barelm.contract.conversation_state import ReplyWatch
from barelm.kernels.text import thoughts
from barelm.kernels.text.tokenizer import Vocabulary, piece

_MARK = "BARELM "
_STOPPED = "barelm stopped: "
_CALL = "(last failed call: "


@dataclass
class Transcript:
    """Everything heard so far; feed it console bytes, it returns the text that became known."""

    vocabulary: Vocabulary
    reply_only: bool = False  # leave the prompt's tokens, which come first, out of the text
    stops: tuple[str, ...] = ()  # generated text ends before the first of these
    pieces: int = -1  # the set of chat pieces by whose marks thoughts are told from the answer; -1: they are not
    text: str = ""
    thought: str = ""
    token_ids: list[int] = field(default_factory=list)
    measured: dict[str, int] = field(default_factory=dict)
    status: int | None = None
    golden: list[int] = field(default_factory=list)  # of the example (see `pack.golden`)
    failure: list[str] = field(default_factory=list)  # message, hint, place, the call of the firmware that failed last
    other: list[str] = field(default_factory=list)  # the last lines that were none of ours

    def __post_init__(self) -> None:
        self._line = ""
        self._console = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # the end of what was generated, which may be the beginning of a stop
        self._stopped = False
        self._thinking = codecs.getincrementaldecoder("utf-8")("replace")
        self._watch = ReplyWatch.over(np.zeros(ReplyWatch.BYTES, np.uint8))
        self._marks = np.zeros(0, np.uint8)
        if self.pieces >= 0:
            thoughts.begin_watch(self._watch, self.vocabulary, self.pieces)
            self._marks = thoughts.marks_of(self.vocabulary, self.pieces)

    def hear(self, console: bytes) -> str:
        """Take more of the console; returns the text of the tokens in it, whole characters only."""
        *lines, self._line = (self._line + self._console.decode(console)).split("\n")
        said = "".join(self._read(line.strip()) for line in lines)
        self.text += said
        return said

    def finish(self) -> str:
        """What was held back, and the text a cut character at the very end stands for."""
        said = self._until_stop(self._text.decode(self._watched(final=True), final=True)) + self._held
        self._held = ""
        self.text += said
        return said

    def _read(self, line: str) -> str:
        if line.startswith(_MARK):
            return self._read_marked(line.removeprefix(_MARK).split())
        if line.startswith(_STOPPED):
            self.failure = [line.removeprefix(_STOPPED)]
        elif self.failure and len(self.failure) < 3 + line.startswith(_CALL):
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
        if kind == "GOLDEN":
            self.golden = [int(number) for number in numbers]
        elif kind == "DONE":
            self.status = int(numbers[0])
        else:
            self.measured[kind] = int(numbers[0])
        return ""

    def _text_of(self, token: int) -> str:
        if token >= len(self.vocabulary.piece_ends):
            return ""
        previous = self.token_ids[-1] if self.token_ids else -1
        self.token_ids.append(token)
        is_prompt = len(self.token_ids) <= self.measured.get("n_prompt", 0)
        if self.reply_only and is_prompt:
            return ""
        if len(self._marks) and not is_prompt:
            thoughts.watch_token(self._watch, self.vocabulary, previous, token)
            return self._until_stop(self._text.decode(self._watched()))
        lo, hi = piece(self.vocabulary, previous, token)
        text = self._text.decode(self.vocabulary.pieces[lo:hi].tobytes())
        return text if is_prompt else self._until_stop(text)

    def _watched(self, final: bool = False) -> bytes:
        """What of the answer is known by now; what is of a thought goes there."""
        watch, answer, length = self._watch, bytearray(), 1
        while length:
            free, length, effect = thoughts.next_free(watch, self._marks, final)
            for k in range(free):
                if thoughts.show_watched(watch, k):
                    if watch.state == thoughts.THOUGHT:
                        self.thought += self._thinking.decode(bytes([watch.text[k]]))
                    else:
                        answer.append(watch.text[k])
            thoughts.pass_over(watch, free + length, effect)
        return bytes(answer)

    def _until_stop(self, text: str) -> str:
        """What of more generated text may be shown: nothing from a stop on, nor what could still become one.

        Of several stops the one that is complete first counts, whatever pieces the text comes in.
        """
        if self._stopped:
            return ""
        text, self._held = self._held + text, ""
        if ends := [(at + len(stop), at) for stop in self.stops if stop and (at := text.find(stop)) >= 0]:
            self._stopped = True
            return text[:min(ends)[1]]
        begun = max((n for stop in self.stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
        self._held = text[len(text) - begun:]
        return text[:len(text) - begun]
