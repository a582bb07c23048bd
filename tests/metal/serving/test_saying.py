"""What an answer says: of tokens that print nothing those that stand around calls."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.contract.serving.slot_state import Slot
from barelm.kernels.text.tokenizer import piece
from barelm.kernels.text.tool_calls import find_calls
from barelm.kernels.text.tool_turns import NAME, ROW_WORDS, TEXT
from barelm.metal.serving import saying
from tests.kernels.text.bytelevel import SPECIAL, Twins, twins
from tests.pack.chat.tool_templates import CUT
from tests.worlds import World, both_worlds

MARKS = ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]")


def marked() -> Twins:
    """A vocabulary whose calls are marked by special tokens."""
    return twins("qwen2", (*SPECIAL, *MARKS), CUT["mistral"])


def said(world: World, text: str, tools: int) -> Slot:
    """A slot whose answer is the tokens of a text."""
    both = marked()
    ids = np.array([0, *both.oracle.encode(text).ids], np.int64)
    slot = Slot.over(np.zeros(Slot.BYTES, np.uint8))
    slot.tokens, slot.positions, slot.most, slot.terms.tools = ids.ctypes.data, len(ids), 10**6, tools
    world(saying.begin_saying)(slot, both.v)
    for n in range(2, len(ids) + 1):
        slot.n = n
        assert int(world(saying.say_token)(slot, both.v)) == saying.GOES_ON
    return slot


@both_worlds
@pytest.mark.parametrize("tools", [0, 1])
def test_special_tokens_around_calls_are_read_where_there_are_tools(world: World, tools: int) -> None:
    v, rows = marked().v, np.zeros(4 * ROW_WORDS, np.int64)
    slot = said(world, 'Yes[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{"a": 1}<|im_start|>', tools)
    text = slot.text.text[:slot.text.n].tobytes()
    n, before = world(find_calls)(v, 0, slot.text.text, slot.text.n, rows)
    assert int(n) == tools and b"im_start" not in text and (b"[ARGS]" in text) == bool(tools)
    if tools:
        assert text[:before] == b"Yes"
        assert text[rows[NAME]:rows[NAME + 1]] == b"now" and text[rows[TEXT]:rows[TEXT + 1]] == b'{"a": 1}'


def test_the_marks_print_nothing() -> None:
    both = marked()
    for mark in MARKS:
        lo, hi = piece(both.v, 0, both.vocab.special[mark])
        assert lo == hi
