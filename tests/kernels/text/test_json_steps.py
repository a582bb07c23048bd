"""JSON byte by byte: every beginning of an object may be, what ends is JSON, what cannot be is refused at once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.serving.json_state import JsonSteps
from barelm.kernels.text import json_steps
from tests.kernels.text.test_json_text import TEXTS, VALUES
from tests.worlds import World, both_worlds, interpreter, jit


def begun(world: World) -> JsonSteps:
    """An object has to come."""
    j = JsonSteps.over(np.full(JsonSteps.BYTES, 255, np.uint8))
    world(json_steps.begin_json_object)(j)
    return j


@given(value=st.dictionaries(TEXTS, VALUES, max_size=4), ascii_only=st.booleans(), cut=st.integers(0, 300),
       spacing=st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 3}]))
@settings(max_examples=80, deadline=None)
def test_every_beginning_of_an_object_may_be(value: Any, ascii_only: bool, cut: int, spacing: dict[str, Any]) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, **spacing).encode()
    for world in (interpreter, jit):
        j = begun(world)
        for k, byte in enumerate(raw):
            assert not world(json_steps.is_whole)(j)
            assert world(json_steps.push_json)(j, byte), raw[:k + 1]
        assert world(json_steps.is_whole)(j)
        j = begun(world)
        data = np.frombuffer(raw + b"?", np.uint8).copy()
        cut = min(cut, len(raw))
        assert int(world(json_steps.push_all)(j, data, 0, cut)) == cut
        before = j.base.tobytes()
        assert world(json_steps.may_follow)(j, data, cut, len(raw))
        assert not world(json_steps.may_follow)(j, data, cut, len(raw) + 1)
        assert j.base.tobytes() == before


@given(choices=st.lists(st.integers(0, 255), min_size=1, max_size=60))
@settings(max_examples=80, deadline=None)
def test_what_may_be_at_every_byte_can_be_ended_and_is_json(choices: list[int]) -> None:
    """A model that writes at random, of what may be; then as short an end as there is."""
    j, raw = begun(jit), bytearray()
    ends = b'"}]:0etrualsn\xbf\x80\x90\xa0\x8f\x9ffd{'
    for choice in choices:
        if jit(json_steps.is_whole)(j):
            break
        may = [byte for byte in range(256) if jit(json_steps.may_follow)(j, np.array([byte], np.uint8), 0, 1)]
        assert may, "there is always a way on"
        raw.append(may[choice % len(may)])
        assert jit(json_steps.push_json)(j, raw[-1])
    while not jit(json_steps.is_whole)(j):
        raw.append(next(byte for byte in ends if jit(json_steps.may_follow)(j, np.array([byte], np.uint8), 0, 1)))
        assert jit(json_steps.push_json)(j, raw[-1])
        assert len(raw) < 2000
    assert isinstance(json.loads(raw.decode()), dict)


@given(value=st.dictionaries(TEXTS, VALUES, max_size=3), cut=st.integers(0, 99), data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_may_follow_is_what_can_be_pushed(value: Any, cut: int, data: st.DataObject) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode()
    raw = raw[:cut] + data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([raw[cut:], raw[cut:cut + 3]])))
    cut = min(cut, len(raw))
    buffer = np.frombuffer(raw + b"?", np.uint8).copy()
    for world in (interpreter, jit):
        j = begun(world)
        if int(world(json_steps.push_all)(j, buffer, 0, cut)) == cut:
            may = bool(world(json_steps.may_follow)(j, buffer, cut, len(raw)))
            assert may == (int(world(json_steps.push_all)(j, buffer, cut, len(raw))) == len(raw))


@both_worlds
def test_only_an_object_and_no_endless_blanks(world: World) -> None:
    for raw, taken in ((b"[", 0), (b'"', 0), (b"1", 0), (b"t", 0), (b"\n {", 3), (b"}", 0), (b"{,", 1), (b'{"a",', 4),
                       (b'{"a":1,}', 7), (b'{"a":[1,]', 8), (b'{"a":01', 6), (b'{"a":1]', 6), (b"{}}", 2), (b"{} ", 3)):
        data = np.frombuffer(raw, np.uint8).copy()
        assert int(world(json_steps.push_all)(begun(world), data, 0, len(raw))) == taken, raw
    blanks = np.full(1000, 32, np.uint8)
    assert int(world(json_steps.push_all)(begun(world), blanks, 0, 1000)) == json_steps.BLANKS_OF_A_MODEL
