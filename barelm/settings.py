"""What the program on the volume is asked to do: `barelm.toml`, written here, read by `metal.storage`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from barelm.contract import layout
from barelm.errors import BarelmError

AT_END = ("return", "shutdown", "restart")
STORY_TEMPERATURE = 1.0  # llama2.c's
CHAT_TEMPERATURE = 0.2  # what SmolLM2's authors use
NO_PENALTY = 1.0
CONVERSATION_REPEAT = 1.1  # what keeps small models from going round in circles
LARGEST_SEED = 10**18 - 1
LARGEST_REAL = 1000.0
"""Above this a temperature is as good as infinite."""
MOST_STOPS = 8
MOST_STOP_BYTES = 256

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


@dataclass(frozen=True)
class Settings:
    """The keys of `barelm.toml`, with the defaults the metal has too.

    prompt       what the text begins with; of a chat model, what is asked
    system       the system text of a chat
    temperature  0: always the most likely token; above: the flatter, the higher; None: what suits the model
    top_p        draw from the smallest set of tokens whose probabilities exceed this; 0 or 1: from all
    seed         of the generator; 0: a fresh one every time
    tokens       to generate; 0: 256, or as many as the context holds
    cores        the most to use; 0: all
    at_end       "return" to the firmware, "shutdown" or "restart"
    wait         seconds the last screen waits for a key
    template     put the prompt through the model's chat template, where it has one
    chat         hold a conversation with whoever is at the keyboard
    report       speak to a program (see `metal.conversation.completion`) rather than to a person
    top_k        draw from so many most likely tokens; 0: from all
    min_p        draw from tokens at least so likely, as a share of the most likely one's probability; 0: from all
    repeat       what makes the last 64 tokens less likely to come again, the more above 1; 0 or 1: nothing; None: what
                 suits the model and a conversation
    stop         texts that end an answer where one appears, themselves left out
    model        the file to load, where the volume has several
    countdown    seconds the menu waits before it takes that one
    keyboard     what is printed on the keys: one of `contract.layout.KEYBOARDS`
    selftest     compute the packed example at every start
    prefix       compute the beginning of every conversation, write it as `session_file.PREFIX_PATH`, and end
    screen       draw on the screen; without, the firmware's console writes
    """

    prompt: str = ""
    temperature: float | None = None
    top_p: float = 0.9
    seed: int = 0
    tokens: int = 0
    cores: int = 0
    at_end: str = "return"
    wait: int = 30
    system: str = ""
    template: bool = True
    chat: bool = False
    report: bool = False
    top_k: int = 0
    min_p: float = 0.0
    repeat: float | None = None
    stop: tuple[str, ...] = ()
    model: str = ""
    countdown: int = 5
    keyboard: str = "us"
    selftest: bool = False
    screen: bool = True
    prefix: bool = False

    def __post_init__(self) -> None:
        _check_real("temperature", self.temperature or 0.0, LARGEST_REAL)
        _check_real("top-p", self.top_p, 1.0)
        _check_whole("the seed", self.seed, LARGEST_SEED)
        _check_whole("the number of tokens", self.tokens, 1 << 24)
        _check_whole("the number of cores", self.cores, 4096)
        _check_whole("the wait", self.wait, 10**6)
        _check_whole("the countdown", self.countdown, 10**6)
        _check_whole("top-k", self.top_k, 1 << 24)
        _check_real("min-p", self.min_p, 1.0)
        _check_real("the repetition penalty", self.repeat or 0.0, LARGEST_REAL)
        _check_name("the machine cannot {} at the end", self.at_end, AT_END)
        _check_name("there is no keyboard {}", self.keyboard, layout.KEYBOARDS)
        if len(self.stop) > MOST_STOPS:
            raise BarelmError(f"{len(self.stop)} stops are too many", f"Give at most {MOST_STOPS}.")
        _check_text("the prompt", self.prompt)
        _check_text("the system text", self.system)
        _check_text("a stop", "".join(self.stop))
        _check_text("the model's name", self.model)
        if long := next((stop for stop in self.stop if len(stop.encode()) > MOST_STOP_BYTES), ""):
            raise BarelmError(f"the stop {long[:20]!r}... is too long", f"Give one of at most {MOST_STOP_BYTES} bytes.")
        if len(self.toml()) > layout.TEXT_BYTES:
            raise BarelmError(f"the prompt is longer than the {layout.TEXT_BYTES:,} bytes a configuration may have",
                              "Shorten it, or the system text or a stop.")

    def suited(self, to_chat: bool) -> Settings:
        """The same with a temperature and a repetition penalty: where none was asked for, those that suit a model that
        chats, or one that does not.
        """
        temperature, repeat = self.temperature, self.repeat
        if temperature is None:
            temperature = CHAT_TEMPERATURE if to_chat and self.template else STORY_TEMPERATURE
        if repeat is None:
            repeat = CONVERSATION_REPEAT if to_chat and self.chat else NO_PENALTY
        return replace(self, temperature=temperature, repeat=repeat)

    def toml(self) -> bytes:
        """The file."""
        lines = [
            f"prompt = {_quoted(self.prompt)}",
            f"system = {_quoted(self.system)}",
            f"temperature = {_decimal(STORY_TEMPERATURE if self.temperature is None else self.temperature)}",
            f"top_p = {_decimal(self.top_p)}",
            f"seed = {self.seed}",
            f"tokens = {self.tokens}",
            f"cores = {self.cores}",
            f'at_end = "{self.at_end}"',
            f"wait = {self.wait}",
            f"template = {str(self.template).lower()}",
            f"chat = {str(self.chat).lower()}",
            f"report = {str(self.report).lower()}",
            f"top_k = {self.top_k}",
            f"min_p = {_decimal(self.min_p)}",
            f"repeat = {_decimal(NO_PENALTY if self.repeat is None else self.repeat)}",
            f"stop = [{', '.join(map(_quoted, self.stop))}]",
            f"model = {_quoted(self.model)}",
            f"countdown = {self.countdown}",
            f'keyboard = "{self.keyboard}"',
            f"selftest = {str(self.selftest).lower()}",
            f"screen = {str(self.screen).lower()}",
            f"prefix = {str(self.prefix).lower()}",
        ]
        return ("\n".join(lines) + "\n").encode()


def _check_real(what: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise BarelmError(f"{what} cannot be {value:g}", f"Give a number from 0 to {most:g}.")


def _check_whole(what: str, value: int, most: int) -> None:
    if not 0 <= value <= most:
        raise BarelmError(f"{what} cannot be {value}", f"Give a whole number from 0 to {most}.")


def _check_name(sentence: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise BarelmError(sentence.format(repr(name)), f"Choose one of {', '.join(names)}.")


def _check_text(what: str, text: str) -> None:
    if bad := next((c for c in text if c == "\0" or "\ud800" <= c <= "\udfff"), None):
        raise BarelmError(f"{what} holds the character U+{ord(bad):04X}, which is no text", "Leave it out.")


def _decimal(value: float) -> str:
    """The shortest decimal that is this float32, without an exponent."""
    return str(np.format_float_positional(np.float32(value), unique=True, trim="0", precision=18))


def _quoted(text: str) -> str:
    """A basic string of TOML; other controls than the common ones in their \\u form."""
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else c) for c in text) + '"'
