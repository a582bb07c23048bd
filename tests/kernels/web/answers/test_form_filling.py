"""Forms: fields in each of their ways, against Python's own; and rows that cannot be."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.serving.form_language import forms
from barelm.dialect.structs import Struct
from barelm.kernels.web.answers import form_filling
from tests.kernels.web.answers.node import u8
from tests.worlds import World, both_worlds, jit


class Things(Struct):
    """What the forms of this file name."""

    a: int
    b: int
    b_bytes: int


def filled(world: World, row: str, a: int = 0, b: bytes | None = None) -> str | None:
    """A row with its fields; None where it does not fit."""
    data = u8(b or b"")
    words = np.array([a, 0 if b is None else max(data.ctypes.data, 1), len(data)], np.int64)
    units, _ = forms([row], Things)
    form = np.frombuffer((units + "\0").encode("utf-16-le"), np.uint16)
    target = np.zeros(200, np.uint8)
    n = int(world(form_filling.fill)(target, 0, form, words.ctypes.data))
    return target[:n].tobytes().decode() if n >= 0 else None


@both_worlds
def test_every_way(world: World) -> None:
    assert filled(world, "{<a>} <a/1000> <a/1000000> <a?>", 1234567) == "{1234567} 1234.567 1.234567 true"
    assert filled(world, "<a> <a?> <a/1000> <a#>", 0) == "0 false 0.000 0000000000000000"
    assert filled(world, "<a> <a#>", -7) == "-7 fffffffffffffff9"
    assert filled(world, '<"b"><b{}>', 0, b' {"x" :\n[1, "\\u0041"]} ') == '" {\\"x\\" :\\n[1, \\"\\\\u0041\\"]} "' \
        '{"x":[1,"A"]}'
    assert filled(world, '<"b"><b{}>', 0, b"") == '""{}'
    assert filled(world, '<"b">') == "null"
    assert filled(world, '<"b">', 0, b"x" * 200) is None


@given(seconds=st.integers(0, 253_402_300_799))
def test_moments(seconds: int) -> None:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    assert filled(jit, "<a@>", seconds) == moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


@given(a=st.integers(-10**17, 10**17))
def test_numbers(a: int) -> None:
    assert json.loads(str(filled(jit, "<a>", a))) == a


@pytest.mark.parametrize("row", ["<c>", "<a", "a > b", "<a/10>", "<\"c\">", "\u00fc"])
def test_what_no_form_can_have_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match="form"):
        forms([row], Things)
