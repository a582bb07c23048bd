"""What the program on the volume is asked to do: `barelm.toml`, written here, read by `metal.storage`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from barelm.contract.layout import TEXT_BYTES
from barelm.contract.settings import MOST_TEXT_BYTES, NAME, REAL, ROWS, TEXT, TEXTS, WHOLE, AnySetting, EverySetting
from barelm.errors import BarelmError

CHAT_TEMPERATURE = 0.2  # what SmolLM2's authors use
CONVERSATION_REPEAT = 1.1  # what keeps small models from going round in circles

IN_ORDER = ("prompt", "temperature", "top_p", "seed", "tokens")
"""What `Settings` takes without its name too."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Settings(EverySetting):
    """A value for every row of `contract.settings`, its default where none is given.  It never changes.

    Raises BarelmError where the metal could not read it.
    """

    def __init__(self, *first: Any, **asked: Any) -> None:
        asked |= zip(IN_ORDER[:len(first)], first, strict=True)
        if unknown := asked.keys() - ROWS.keys():
            raise TypeError(f"there is no setting {', '.join(sorted(unknown))}")
        vars(self).update({name: asked.get(name, row.unasked) for name, row in ROWS.items()})
        for name, row in ROWS.items():
            if vars(self)[name] is not None and row.kind in _CHECKS:
                _CHECKS[row.kind](row, vars(self)[name])
        if len(self.toml()) > TEXT_BYTES:
            raise BarelmError(f"the prompt is longer than the {TEXT_BYTES:,} bytes a configuration may have",
                              "Shorten it, or the system text or a stop.")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} stays what it is: `but` makes other settings")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        said = (f"{name}={vars(self)[name]!r}" for name, row in ROWS.items() if vars(self)[name] != row.unasked)
        return f"Settings({', '.join(said)})"

    def but(self, **changed: Any) -> Settings:
        """The same but for some.  Raises as the class does."""
        return Settings(**{**vars(self), **changed})

    def suited(self, to_chat: bool) -> Settings:
        """The same with a temperature and a repetition penalty: where none was asked for, those that suit a model that
        chats, or one that does not.
        """
        temperature, repeat = self.temperature, self.repeat
        if temperature is None:
            temperature = CHAT_TEMPERATURE if to_chat and self.template else EverySetting.temperature.default
        if repeat is None:
            repeat = CONVERSATION_REPEAT if to_chat and self.chat else EverySetting.repeat.default
        return self.but(temperature=temperature, repeat=repeat)

    def toml(self) -> bytes:
        """The file."""
        values = {name: row.default if vars(self)[name] is None else vars(self)[name] for name, row in ROWS.items()}
        return "".join(f"{name} = {_WRITTEN.get(ROWS[name].kind, lambda plain: str(plain).lower())(value)}\n"
                       for name, value in values.items()).encode()


def _check_number(row: AnySetting, value: float) -> None:
    if not 0 <= value <= row.most:
        form, whole = ("g", "") if row.kind == REAL else ("d", "whole ")
        raise BarelmError(f"{row.about} cannot be {value:{form}}",
                          f"Give a {whole}number from 0 to {row.most:{form}}.")


def _check_name(row: AnySetting, value: str) -> None:
    if value not in row.names:
        raise BarelmError(row.about.format(repr(value)), f"Choose one of {', '.join(row.names)}.")


def _check_text(row: AnySetting, value: str) -> None:
    if bad := next((c for c in value if c == "\0" or "\ud800" <= c <= "\udfff"), None):
        raise BarelmError(f"{row.about} holds the character U+{ord(bad):04X}, which is no text", "Leave it out.")


def _check_texts(row: AnySetting, values: tuple[str, ...]) -> None:
    if len(values) > row.most:
        raise BarelmError(f"{len(values)} {row.name}s are too many", f"Give at most {row.most}.")
    _check_text(row, "".join(values))
    if long := next((value for value in values if len(value.encode()) > MOST_TEXT_BYTES), ""):
        raise BarelmError(f"the {row.name} {long[:20]!r}... is too long",
                          f"Give one of at most {MOST_TEXT_BYTES} bytes.")


def _decimal(value: float) -> str:
    """The shortest decimal that is this float32, without an exponent."""
    return str(np.format_float_positional(np.float32(value), unique=True, trim="0", precision=18))


def _quoted(text: str) -> str:
    """A basic string of TOML; other controls than the common ones in their \\u form."""
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else c) for c in text) + '"'


_CHECKS: dict[int, Callable[[AnySetting, Any], None]] = {
    TEXT: _check_text, TEXTS: _check_texts, WHOLE: _check_number, REAL: _check_number, NAME: _check_name}
_WRITTEN: dict[int, Callable[[Any], str]] = {TEXT: _quoted, REAL: _decimal, NAME: _quoted,
                                             TEXTS: lambda texts: f"[{', '.join(map(_quoted, texts))}]"}
