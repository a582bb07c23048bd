"""JSON in the forms of chat templates: against Python's `json.dumps`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.kernels.text import json_text
from barelm.pack.chat.chat_pieces import _form_number
from barelm.pack.chat.tool_pieces import FORMS, JsonForm
from tests.kernels.text.bytelevel import ANY, bytes_of
from tests.worlds import World, both_worlds, interpreter, jit

TEXTS = st.text(st.one_of(st.sampled_from("\"\\/\n\r\t\b\f\x00\x1f\x7f\u2028\U0001f600{}[]:, u"), ANY), max_size=8)
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-10**9, 10**9), TEXTS),
                      lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
                      max_leaves=12)


def printed(world: World, source: str | bytes, form: JsonForm, room: int = 1 << 14) -> str | None:
    """What the kernel makes of a text; None where it does not fit."""
    target, given_bytes = np.zeros(room, np.uint8), bytes_of(source)
    n = int(world(json_text.put_json)(target, 0, given_bytes, 0, len(given_bytes) - 1, _form_number(form)))
    return None if n < 0 else target[:n].tobytes().decode()


@given(value=VALUES, form=st.sampled_from(FORMS), ascii_only=st.booleans(),
       spacing=st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 3}, {"indent": "\r\n\t"}]))
@settings(max_examples=300)
def test_a_value_is_printed_as_python_does(value: Any, form: JsonForm, ascii_only: bool,
                                           spacing: dict[str, Any]) -> None:
    assert printed(jit, json.dumps(value, ensure_ascii=ascii_only, **spacing), form) == form.dumps(value)


@given(text=TEXTS)
def test_any_text_as_a_string(text: str) -> None:
    target, raw = np.zeros(1 << 10, np.uint8), bytes_of(text)
    n = int(jit(json_text.put_quoted)(target, 0, raw, 0, len(raw) - 1))
    assert target[:n].tobytes().decode() == json.dumps(text, ensure_ascii=False)


@both_worlds
def test_both_worlds_and_what_does_not_fit(world: World) -> None:
    value = {"a": ["\u00fc\n", {}, [], 2.50e3], "b": {"c": None}}
    source = ' { "a":["\\u00fc\\n", { }, [ ],2.50e3 ] , "b":{"c":null}}'
    for form in FORMS:
        whole = form.dumps(value).replace("2500.0", "2.50e3")
        n = len(whole.encode())
        assert printed(world, source, form, n + json_text.MOST_ESCAPED) == whole
        assert all(printed(world, source, form, room) is None for room in range(0, n, 3))


@both_worlds
@pytest.mark.parametrize(("source", "shown"), [
    ('"\\ud83d\\ude00"', '"\U0001f600"'), ('"\\ud83d"', '"\ufffd"'), ('"\\ude00x"', '"\ufffdx"'), ('"\\/"', '"/"'),
    ('"\\ud83d\\n"', '"\ufffd\\n"')])
def test_escapes(world: World, source: str, shown: str) -> None:
    assert printed(world, source, FORMS[0]) == shown


@given(source=st.one_of(st.binary(max_size=30), st.text("{}[]\"\\u0dD8:, x", max_size=30).map(str.encode)),
       form=st.sampled_from(FORMS))
@settings(max_examples=300)
def test_what_is_no_json_does_no_harm(source: bytes, form: JsonForm) -> None:
    first = printed(interpreter, source, form)
    assert first == printed(jit, source, form)
