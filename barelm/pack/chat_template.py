"""A model's chat template, rendered the way Hugging Face's `apply_chat_template` does, in jinja2's sandbox."""

import json
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from barelm.checkpoint.checkpoint import Vocab

LONGEST = 1 << 16
"""Characters of a template, and of what one may print: more is no chat template."""


class Refused(Exception):
    """Why a template cannot be used."""


class Message(NamedTuple):
    """One text of a conversation: "system", "user" or "assistant", and what it says."""

    role: str
    content: str


class ChatTemplate:
    """A compiled template.  It is foreign code: the sandbox keeps it from everything but its texts."""

    def __init__(self, vocab: Vocab) -> None:
        # Imported late: models without a template need no jinja2.
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        if len(vocab.chat_template) > LONGEST:
            raise Refused(f"it is longer than {LONGEST} characters")
        packed_at = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH") or time.time()))
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_raise_exception,
                                   strftime_now=lambda form: time.strftime(form, packed_at))
        self._tokens = {"bos_token": _token_text(vocab, vocab.bos_id),
                        "eos_token": _token_text(vocab, vocab.eos_ids[0] if vocab.eos_ids else -1)}
        try:
            self._template = environment.from_string(vocab.chat_template)
        except Exception as error:
            raise Refused(_reason(error)) from error

    def render(self, talk: Sequence[Message], *, asking: bool) -> str:
        """What the template makes of a conversation; `asking` for the reply to come.  Raises Refused."""
        messages = [message._asdict() for message in talk]
        try:
            text = self._template.render(messages=messages, add_generation_prompt=asking, tools=None,
                                         documents=None, **self._tokens)
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


def _token_text(vocab: Vocab, token: int) -> str:
    return vocab.pieces[token].decode(errors="replace") if 0 <= token < len(vocab.pieces) else ""


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _raise_exception(message: str) -> NoReturn:
    import jinja2

    raise jinja2.TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None,
             sort_keys: bool = False) -> str:
    # jinja2's own escapes for HTML, which no prompt is.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
