"""A model's chat template, rendered the way Hugging Face's `apply_chat_template` does, in jinja2's sandbox.

It imports neither NumPy nor the rooms below: `pack.chat.chat_cutting` runs it in a process of its own.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 1 << 16
"""Characters of a template, and of what one may print: more is no chat template."""

DATE_DIRECTIVES = frozenset(("%d", "%m", "%Y", "%y", "%b", "%B", "%a", "%A"))
"""What `kernels.text.dates` writes; a form with others keeps the time of packing."""
DATE_MARK = re.compile("\0([0-9]{8})([^\0]*)\0")
"""A date that is filled in when a turn is written: the day of packing, and the form."""
FIXED_DATE = "26 Jul 2024"
"""What Llama 3's template prints where nobody tells it the date."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Refused(Exception):
    """Why a template cannot be used."""


class Message(NamedTuple):
    """One text of a conversation: "system", "user" or "assistant", and what it says."""

    role: str
    content: str


class TemplateSource(NamedTuple):
    """A template and what it is rendered with."""

    text: str
    bos: str
    eos: str
    packed_at: int  # seconds since 1970, UTC
    tokens: tuple[str, ...] = ()  # marks of a thought that are tokens of the vocabulary


class Generation(Extension):
    """`{% generation %}` marks, for training, what a model said: here it prints its body."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The body."""
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class ChatTemplate:
    """A compiled template.  It is foreign code: the sandbox keeps it from everything but its texts.

    `more` are arguments beside the usual ones; with `dated`, dates are DATE_MARKs.
    """

    def __init__(self, source: TemplateSource, more: dict[str, Any], *, dated: bool) -> None:
        if len(source.text) > LONGEST:
            raise Refused(f"it is longer than {LONGEST} characters")
        self._day = time.gmtime(source.packed_at)
        self._dated = dated
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                    extensions=[loopcontrols, Generation])
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_raise_exception, strftime_now=self._strftime)
        self._given = {"bos_token": source.bos, "eos_token": source.eos, "documents": None, **more}
        if dated and "date_string" in source.text and "strftime_now" not in source.text and FIXED_DATE in source.text:
            self._given["date_string"] = "\00020240726%d %b %Y\0"
        try:
            self._template = environment.from_string(source.text)
        except Exception as error:
            raise Refused(_reason(error)) from error

    def render(self, talk: Sequence[Message | dict[str, Any]], *, asking: bool, told: Mapping[str, Any] = NOTHING
               ) -> str:
        """What the template makes of a conversation; `asking` for the reply to come, `told` more.  Raises Refused."""
        messages = [message if isinstance(message, dict) else message._asdict() for message in talk]
        try:
            text = self._template.render(messages=messages, add_generation_prompt=asking, **self._given, **told)
        except MemoryError as error:
            raise Refused("it takes too much memory") from error
        except Exception as error:  # a template can raise whatever Python can
            raise Refused(_reason(error)) from error
        if len(text) > LONGEST:
            raise Refused(f"it prints more than {LONGEST} characters")
        return text

    def cut(self, talk: Sequence[Message], *, asking: bool) -> list[str]:
        """What it prints before, between and after the texts of `talk`, each of which must come once, in order."""
        rest = self.render(talk, asking=asking)
        pieces = []
        for role, content in talk:
            times = rest.count(content)
            if times != 1:
                raise Refused(f"a text of the {role} comes {times} times in its output, not once and in order")
            before, _, rest = rest.partition(content)
            pieces.append(before)
        return [*pieces, rest]

    def _strftime(self, form: str) -> str:
        directives = re.findall("%.", form, re.DOTALL)
        if self._dated and directives and "\0" not in form and DATE_DIRECTIVES.issuperset(directives):
            return f"\0{time.strftime('%Y%m%d', self._day)}{form}\0"
        return time.strftime(form, self._day)


def filled(text: str) -> str:
    """The same with the day of packing where dates are to be."""
    return DATE_MARK.sub(lambda mark: time.strftime(mark[2], time.strptime(mark[1], "%Y%m%d")), text)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None,
             sort_keys: bool = False) -> str:
    # jinja2's own escapes for HTML, which no prompt is.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
