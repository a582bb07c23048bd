"""JSON that came, read against Python's `json`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.dialect.memory import text
from barelm.kernels.text.json_steps import check_json
from barelm.kernels.web import json_reading as reading
from tests.kernels.text.test_json_text import TEXTS
from tests.worlds import World, both_worlds, interpreter, jit

NUMBERS = st.one_of(st.integers(-10**20, 10**20), st.floats(allow_nan=False, allow_infinity=False, width=32))
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
                      lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
                      max_leaves=12)
SPACINGS = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 3}, {"indent": "\r\n\t"}])


def bytes_behind(source: str | bytes) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], int]:
    """The bytes with others behind them, and how many they are."""
    raw = source if isinstance(source, bytes) else source.encode()
    return np.frombuffer(raw + b'"}]1', np.uint8).copy(), len(raw)


def read(world: World, data: Any, at: int, hi: int) -> Any:
    """A value, as Python has it."""
    kind = int(world(reading.kind_at)(data, at))
    if kind == reading.STRING:
        target = np.zeros(300, np.uint8)
        return target[:int(world(reading.copy_string)(target, 0, data, at, hi))].tobytes().decode()
    if kind == reading.NUMBER:
        return json.loads(data[at:int(world(reading.value_end)(data, at, hi))].tobytes())
    if kind in (reading.OBJECT, reading.LIST):
        found: list[Any] = []
        item = int(world(reading.first_item)(data, at, hi))
        while item >= 0:
            value = int(world(reading.value_of)(data, item, hi)) if kind == reading.OBJECT else item
            found.append((read(world, data, item, hi), read(world, data, value, hi)) if value != item
                         else read(world, data, item, hi))
            item = int(world(reading.item_after)(data, value, hi))
        return dict(found) if kind == reading.OBJECT else found
    return {reading.TRUE: True, reading.FALSE: False, reading.NULL: None}[kind]


@given(value=VALUES, ascii_only=st.booleans(), spacing=SPACINGS, world=st.sampled_from([interpreter, jit]))
@settings(max_examples=300, deadline=None)
def test_values_are_found_where_they_are(value: Any, ascii_only: bool, spacing: dict[str, Any], world: World) -> None:
    data, hi = bytes_behind(" " + json.dumps(value, ensure_ascii=ascii_only, **spacing))
    assert int(jit(check_json)(data, 0, hi)) == -1
    assert read(world, data, 1, hi) == value


def of_python(raw: bytes) -> bool:
    """Whether it is JSON."""
    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(raw.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


PIECES = st.sampled_from([b"{", b"}", b"[", b"]", b'"', b":", b",", b"1", b"0", b"-", b".", b"e", b"E+", b"true",
                          b"false", b"null", b"nul", b" ", b"\n", b"\\", b"\\u12aF", b"\\ud800", b"\xc3\xbc",
                          b"\xed\xa0", b"\xf4\x90", b"\xff", b"\x00", b"\x1f", b"\x7f", b'"a":', b"NaN",
                          b"\xef\xbb\xbf", b"\x0c"])


@given(raw=st.one_of(st.lists(PIECES, max_size=9).map(b"".join), st.binary(max_size=6)))
@settings(max_examples=2000)
def test_what_is_json_python_says(raw: bytes) -> None:
    data, hi = bytes_behind(raw)
    found = int(jit(check_json)(data, 0, hi))
    assert (found == -1) == of_python(raw)
    assert found == int(interpreter(check_json)(data, 0, hi))


@given(value=VALUES, at=st.integers(0, 200), byte=st.integers(0, 255), spacing=SPACINGS)
@settings(max_examples=1000)
def test_a_damaged_text_is_what_python_says(value: Any, at: int, byte: int, spacing: dict[str, Any]) -> None:
    raw = bytearray(json.dumps(value, ensure_ascii=False, **spacing).encode())
    raw[at % len(raw)] = byte
    data, hi = bytes_behind(bytes(raw))
    assert (int(jit(check_json)(data, 0, hi)) == -1) == of_python(bytes(raw))


@both_worlds
def test_depth_is_bounded(world: World) -> None:
    for opens, closes in (("[", "]"), ('{"a":', "}")):
        data, hi = bytes_behind(opens * 60 + "1" + closes * 60)
        assert int(world(check_json)(data, 0, hi)) == -1
        data, hi = bytes_behind(opens * 61 + "1" + closes * 61)
        assert int(world(check_json)(data, 0, hi)) >= 60
    assert int(world(check_json)(*bytes_behind("[" * 5000)[:1], 0, 5000)) == 60


@both_worlds
@pytest.mark.parametrize(("source", "number"), [
    ('"role"', 1), ('"r\\u006fle"', 1), ('"rol"', -1), ('"roles"', -1), ('""', -1), ('"id"', 0), ('"\\u0000"', -1),
    ('"\\n"', 2)])
def test_names(world: World, source: str, number: int) -> None:
    data, hi = bytes_behind(source)
    assert int(world(reading.find_text)(data, 0, hi, text("id\0role\0\n"))) == number


@both_worlds
@pytest.mark.parametrize(("source", "value", "whole"), [
    ("0", 0, True), ("-7", -7, True), ("5.0", 5, True), ("5.5", 5, False), ("1e3", 1000, True), ("1500e-2", 15, True),
    ("0.0e-99999999", 0, True), ("1e-3", 1, False), ("1e999999999999", 10**18 - 1, True),
    ("-1e20", 1 - 10**18, True), ("123456789012345678", 123456789012345678, True), ("9" * 300, 10**18 - 1, True)])
def test_whole_numbers(world: World, source: str, value: int, whole: bool) -> None:
    found = world(reading.whole_at)(bytes_behind(source + ",")[0], 0, len(source))
    assert bool(found[1]) == whole
    assert not whole or int(found[0]) == value


@given(value=st.floats(0, 1e6, width=32), digits=st.integers(0, 12), form=st.sampled_from("feg"))
@settings(max_examples=500)
def test_decimals_are_the_nearest(value: float, digits: int, form: str) -> None:
    source = format(value, f".{digits}{form}")
    data, hi = bytes_behind(source + ",")
    for world in (interpreter, jit):
        assert np.float32(world(reading.real_at)(data, 0, hi)) == np.float32(float(source))


@pytest.mark.parametrize(("source", "value"), [
    ("1e99", np.inf), ("-1e9999999", -np.inf), ("1e-99", 0), ("0e9999", 0), ("1" + "0" * 37, 1e37),
    ("0." + "0" * 30 + "1", 1e-31), ("0.1000000000000000055511151231257827", 0.1), ("3.4028235e38", 3.4028235e38)])
def test_decimals_far_off(source: str, value: float) -> None:
    data, hi = bytes_behind(source)
    for world in (interpreter, jit):
        with np.errstate(all="ignore"):
            assert np.float32(world(reading.real_at)(data, 0, hi)) == np.float32(value)


@both_worlds
def test_a_string_too_long_is_refused(world: World) -> None:
    data, hi = bytes_behind('"a\\ud83d\\ude00\\ud800x"')
    for room in range(12):
        n = int(world(reading.copy_string)(np.zeros(room, np.uint8), 0, data, 0, hi))
        assert n == (9 if room >= 12 else -1)
    target = np.zeros(16, np.uint8)
    assert target[:int(world(reading.copy_string)(target, 0, data, 0, hi))].tobytes().decode() == "a\U0001f600\ufffdx"


def test_a_hostile_body_is_gone_over_a_few_times_only() -> None:
    body = b"[" + b",".join([b'{"role":"user","content":[{"type":"text"}]}'] * 4000) + b"]"
    data, hi = bytes_behind(body)
    looked, at = 0, int(jit(reading.first_item)(data, 0, hi))
    while at >= 0:
        end = int(jit(reading.value_end)(data, at, hi))
        looked += end - at
        at = int(jit(reading.item_after)(data, at, hi))
    assert looked < hi
