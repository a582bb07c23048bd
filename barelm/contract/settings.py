"""Every setting, one row each; the host's `settings` hold a value for every row.

From a row come a line of `barelm.toml`, read and written, with its limits; a field of the metal's `SettingsView` and
of the host's `Settings`; where it says so an option of the command line and a command of a conversation; and a line of
docs/CONFIGURATION.md.  docs/ADDING.md shows how to add one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload

import numpy as np

from barelm.contract.layout import KEYBOARDS
from barelm.dialect.lowering import FAMILY
from barelm.dialect.memory import bits_of_float
from barelm.dialect.structs import Struct, room
from barelm.dialect.types import Real

LARGEST_WHOLE = 10**18 - 1
"""The eighteen digits a whole number may have in the file."""
LARGEST_REAL = 1000.0
"""Above this a temperature is as good as infinite."""
MOST_TEXTS, MOST_TEXT_BYTES = 8, 256
"""Of a setting of several texts."""

TEXT, TEXTS, WHOLE, REAL, FLAG, NAME = range(6)
"""What a setting is: a string, several, a whole number, a decimal, true or false, one of some names."""
CONVERSATION, CHOICE, AMOUNT, IMAGE, NETWORK, FILE = range(6)
"""What settings are about, in the order they are shown: those in FILE are for programs, or for the file alone."""

AT_END = ("return", "shutdown", "restart")
AT_END_RETURN, AT_END_SHUTDOWN, AT_END_RESTART = range(len(AT_END))

CLOCKS = ("highest", "firmware")
CLOCK_HIGHEST, CLOCK_FIRMWARE = range(len(CLOCKS))

THINKS = ("auto", "on", "off")
DATES = ("packed", "clock")

HELP_COLUMNS = 72

Value = TypeVar("Value")
View = TypeVar("View")


class Text(Struct):
    """UTF-8 somewhere in memory."""

    address: int
    n_bytes: int


@dataclass(frozen=True)
class Option:
    """How a setting is asked for on the command line."""

    help: str
    short: str = ""  # "-t"
    closed: bool = False  # only its names are taken as arguments; else the host's `Settings` refuses others


@dataclass(frozen=True)
class Command:
    """How a number is set in a conversation, `/temp 0.7`, and said, `/temp`."""

    word: str
    title: str  # what it is called where it is said
    example: str
    takes: str  # what it has to be, {} for the command with its example
    positive: bool = False  # 0 is refused
    most: float | None = None  # where not the most of the file

    @property
    def limits(self) -> str:
        """What is said where it is not what it has to be."""
        return f"/{self.word} takes {self.takes.format(f'/{self.word} {self.example}')}"


OF_CONTEXT = -1
"""As the most of a command: what the context holds."""


@dataclass(eq=False)
class Setting(Generic[Value, View]):
    """One setting: in the host's `Settings` it is a `Value`, in the metal's `SettingsView` a `View`."""

    kind: int
    default: Value  # what holds where the file is silent
    group: int
    about: str  # what a refusal calls it; of a NAME the refusal, {} for what was asked
    meaning: str  # as documented
    most: float = 0  # that the host lets through; of TEXTS, how many
    names: tuple[str, ...] = ()  # of a NAME, in the order of their numbers
    suited: bool = False  # where the host is not asked for one, it takes what suits the model
    option: Option | None = None
    command: Command | None = None
    name: str = field(init=False)  # its key

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, owner: None, kind: Any) -> Setting[Value, View]: ...
    @overload
    def __get__(self, owner: Struct, kind: Any) -> View: ...
    @overload
    def __get__(self, owner: EverySetting, kind: Any) -> Value: ...
    def __get__(self, owner: Any, kind: Any) -> Any:
        """For mypy: of an object its own value is found, before this is asked."""
        return self

    @property
    def unasked(self) -> Value | None:
        """What the host begins with; None: what suits the model."""
        return None if self.suited else self.default

    def word(self, value: Any) -> int:
        """A value as the metal keeps it, in 64 bits; 0 for texts, which are two words."""
        if self.kind == REAL:
            return bits_of_float(np.float32(value))
        if self.kind == NAME:
            return self.names.index(value)
        return 0 if self.kind in (TEXT, TEXTS) else int(value)


class EverySetting:
    """The rows, in the order of the file."""

    prompt = Setting[str, Text](
        TEXT, "", CONVERSATION, "the prompt",
        "what the text begins with; of a chat model, what is asked; with `chat`, the first question")
    system = Setting[str, Text](
        TEXT, "", CONVERSATION, "the system text",
        "the system text of a chat; empty: the template's own, if it has one",
        option=Option("The system text of a chat model."))
    temperature = Setting[float | None, Real](
        REAL, 1.0, CHOICE, "temperature", "0: always the most likely token; the higher, the flatter the choice",
        most=LARGEST_REAL, suited=True,
        option=Option("0: always the most likely token.  Default: 0.2 where a chat model answers, else 1.", "-t"),
        command=Command("temp", "temperature", "0.7",
                        "a number from 0 (always the most likely word) to 1000, as in {}."))
    top_p = Setting[float, Real](
        REAL, 0.9, CHOICE, "top-p",
        "draw from the smallest set of tokens whose probabilities exceed this; 0, or 1 and above: from all", most=1.0,
        option=Option("Draw from the most likely tokens that exceed this; 0 or 1: from all.", "-p"),
        command=Command("topp", "top-p", "0.9", "a number from 0 to 1, as in {}; 1 draws from all words."))
    seed = Setting[int, int](
        WHOLE, 0, AMOUNT, "the seed", "of the generator; 0: a fresh one every time, shown at the end",
        most=LARGEST_WHOLE, option=Option("The same seed draws the same; 0: a fresh one.", "-s"),
        command=Command("seed", "seed", "42", "a whole number from 1 on, as in {}.", positive=True))
    tokens = Setting[int, int](
        WHOLE, 0, AMOUNT, "the number of tokens",
        "how many to generate, in a conversation for each answer; 0: 256, in a conversation as many as fit",
        most=1 << 24, option=Option("To generate; 0: up to 256, as the context allows.", "-n"),
        command=Command("tokens", "tokens an answer may have", "200", most=OF_CONTEXT,
                        takes="a whole number that the context can hold, as in {}; 0: as many as fit."))
    cores = Setting[int, int](
        WHOLE, 0, IMAGE, "the number of cores", "the most processors to use; 0: all", most=4096,
        option=Option("The most to use; 0: all."))
    cpu = Setting[str, int](
        NAME, "auto", IMAGE, "there is no level {} of processors",
        "the highest CPU level to compute at; auto: what the processor has; all give the same bits",
        names=("auto", *(level.name for level in FAMILY.levels)),
        option=Option("The highest CPU level to compute at.", closed=True))
    at_end = Setting[str, int](
        NAME, "return", IMAGE, "the machine cannot {} at the end",
        "what the machine does after the last word; return is to the firmware", names=AT_END,
        option=Option("What the machine does after the last word.", closed=True))
    wait = Setting[int, int](
        WHOLE, 30, IMAGE, "the wait", "seconds the last screen waits for a key; 0: not at all", most=10**6,
        option=Option("Seconds the last screen waits for a key."))
    template = Setting[bool, int](
        FLAG, True, CONVERSATION, "", "put the prompt through the model's chat template, where it has one")
    chat = Setting[bool, int](
        FLAG, False, CONVERSATION, "", "hold a conversation with whoever is at the keyboard",
        option=Option("Hold a conversation with whoever is at the keyboard."))
    report = Setting[bool, int](
        FLAG, False, FILE, "",
        "speak to a program instead of a person: token ids and measurements (`metal/conversation/completion.py`)")
    top_k = Setting[int, int](
        WHOLE, 0, CHOICE, "top-k", "draw from so many most likely tokens; 0: from all", most=1 << 24,
        option=Option("Draw from so many most likely tokens; 0: from all.", "-k"),
        command=Command("topk", "top-k", "40", "a whole number, as in {}; 0 draws from all words.", most=LARGEST_WHOLE))
    min_p = Setting[float, Real](
        REAL, 0.0, CHOICE, "min-p",
        "draw from tokens whose probability is at least this share of the most likely one's; 0: from all; 1 and above: "
        "only the most likely", most=1.0,
        option=Option("Leave out tokens less likely than this share of the best one."),
        command=Command("minp", "min-p", "0.05", "a number from 0 to 1, as in {}; 0 draws from all words."))
    repeat = Setting[float | None, Real](
        REAL, 1.0, CHOICE, "the repetition penalty",
        "the penalty for repetition: above 1 the last 64 tokens become less likely, below it more; of a chat only "
        "those of the answer; 0 or 1: none", most=LARGEST_REAL, suited=True,
        option=Option("The penalty for repetition; 1: none.  Default: 1.1 in a conversation, else 1."),
        command=Command("repeat", "repetition penalty", "1.1", "a number above 0, as in {}; 1 is no penalty.",
                        positive=True))
    stop = Setting[tuple[str, ...], Text](  # on the metal each with a zero behind it
        TEXTS, (), CHOICE, "a stop",
        f"an answer ends where one of these texts appears in it, and is shown without it; each at most "
        f"{MOST_TEXT_BYTES} bytes, empty ones do not count", most=MOST_TEXTS,
        option=Option("End where this text appears; may be given several times."))
    model = Setting[str, Text](TEXT, "", FILE, "the model's name", "the file to load where there are several")
    countdown = Setting[int, int](
        WHOLE, 5, IMAGE, "the countdown", "seconds the menu of several models waits before it takes the marked one",
        most=10**6, option=Option("Seconds the menu of several models waits."))
    keyboard = Setting[str, int](
        NAME, "us", IMAGE, "there is no keyboard {}", "what is printed on the keys", names=KEYBOARDS,
        option=Option(f"Printed on its keys: {', '.join(KEYBOARDS)}."))
    selftest = Setting[bool, int](
        FLAG, False, IMAGE, "", "compute the packed example at every start, and compare",
        option=Option("Check the machine's results at every start."))
    screen = Setting[bool, int](
        FLAG, True, IMAGE, "", "draw on the screen; false: leave it to the firmware's console",
        option=Option("Draw on the screen; without, its firmware writes."))
    prefix = Setting[bool, int](
        FLAG, False, FILE, "",
        "compute what every conversation begins with, write it as `prefix.session`, and end: `barelm image` does")
    think = Setting[str, int](
        NAME, "auto", CHOICE, "a model cannot think {}",
        "whether a model that thinks writes its thoughts down first; auto: as its template has it; of one that always "
        "thinks, on and off are much and little where it knows them", names=THINKS,
        option=Option("Whether a model that can think does so first.", closed=True))
    date = Setting[str, int](
        NAME, "packed", CHOICE, "there is no date {}",
        "the date in templates that print one: of the day the model was packed, or by the machine's clock",
        names=DATES, option=Option("The date that a template prints.", closed=True))
    lookup = Setting[bool, int](
        FLAG, True, IMAGE, "",
        "guess what comes next from what was said before, and read several guesses at once where that is faster; the "
        "text is the same", option=Option("Guess from what was said before, where that is faster."))
    clock = Setting[str, int](
        NAME, "highest", IMAGE, "there is no clock {}",
        "the clock of the processor: the highest it may have is asked for, or it stays as the firmware left it",
        names=CLOCKS, option=Option("The processor's: the highest, or the firmware's.", closed=True))
    serial = Setting[bool, int](
        FLAG, True, IMAGE, "",
        "speak on the serial lines that carry the firmware's console too; false: leave them to the firmware",
        option=Option("Speak on the firmware's serial line too."))

    receipt = Setting[bool, int](
        FLAG, False, AMOUNT, "",
        "write a receipt: model, settings, ids and the hash of the logits at every token, for `barelm verify`; of a "
        "prompt into `receipt.json`, in a conversation by `/receipt`",
        option=Option("Write a receipt, which `barelm verify` computes again."))
    measure = Setting[bool, int](
        FLAG, True, IMAGE, "",
        "put the hashes of configuration and model into the TPM's register 12, where there is one",
        option=Option("Measure model and configuration into a TPM."))
    replay = Setting[bool, int](
        FLAG, False, FILE, "",
        "compute the answer of `replay.bin` again, with a receipt, and end: `barelm verify` does")
    serve = Setting[bool, int](
        FLAG, False, NETWORK, "", "serve the model over the network, to browsers and to programs",
        option=Option("Serve the model over the network."))
    port = Setting[int, int](
        WHOLE, 8080, NETWORK, "the port", "where the node listens", most=65535,
        option=Option("Where the node listens."))
    ip = Setting[str, Text](
        TEXT, "", NETWORK, "the address of the node",
        "the node's own, as `192.168.1.5/24`, with `via 192.168.1.1` behind it where others are to be reached; empty: "
        "asked for by DHCP", option=Option("The node's own, as 192.168.1.5/24; none: by DHCP."))
    key = Setting[str, Text](
        TEXT, "", NETWORK, "the key", "what clients have to show as their bearer token; empty: anybody is served",
        option=Option("What clients have to show as their bearer token."))
    slots = Setting[int, int](
        WHOLE, 0, NETWORK, "the number of slots",
        "answers that are made at a time, up to 7; 0: four, or what the memory holds", most=7,
        option=Option("Answers made at a time, up to 7."))
    slot_context = Setting[int, int](
        WHOLE, 0, NETWORK, "the context of a slot",
        "ids that prompt and answer may have together; 0: the model's context",
        most=1 << 24, option=Option("Ids that prompt and answer may have together."))


AnySetting = Setting[Any, Any]
ROWS: dict[str, AnySetting] = {name: row for name, row in vars(EverySetting).items() if isinstance(row, Setting)}


class SettingsView(EverySetting, Struct):
    """What the configuration asks for, where the metal keeps it: a field for every row, from a multiple of eight bytes
    on.  A flag is 0 or 1, a name its number.
    """

    __annotations__ = {name: {TEXT: Text, TEXTS: Text, REAL: Real}.get(row.kind, int) for name, row in ROWS.items()}
    locals().update({name: room(align=8, note=row) for name, row in ROWS.items()})


def grouped() -> list[AnySetting]:
    """The rows in the order they are shown in."""
    return sorted(ROWS.values(), key=lambda row: row.group)


def joined(texts: Iterable[str]) -> tuple[str, tuple[int, ...]]:
    """One text for `text(...)`, and where in it each of these begins: compiled code cannot choose among constants, but
    up to its zero `text(ALL)[AT[k]:]` is the k-th.
    """
    texts = list(texts)
    return "\0".join(texts), tuple(sum(len(text) + 1 for text in texts[:k]) for k in range(len(texts)))


def usages() -> str:
    """The commands of the rows as the help of a conversation shows them."""
    examples = (f"/{row.command.word}\xa0{row.command.example}" for row in grouped() if row.command)
    return textwrap.fill("  ".join(examples), HELP_COLUMNS).replace("\xa0", " ")
