"""Slots: where answers are made, each with ids and a cache of its own; and what a node works in beside them."""

from barelm.contract.board import MOST_RUNS, Choice
from barelm.contract.conversation_state import ReplyWatch
from barelm.contract.serving.answer_state import Answer
from barelm.contract.serving.json_state import JsonSteps
from barelm.contract.serving.request_fields import RequestReading
from barelm.contract.serving.request_state import BODY_BYTES, MOST_ROWS, Question, Terms
from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I64, U8

MOST_SLOTS = MOST_RUNS
USUAL_SLOTS = 4
FREE, READING, MAKING = range(3)
"""What goes on in a slot: nothing, its prompt is read, its answer is made."""

SAID_BYTES = 1 << 16
"""Of an answer that is told as a whole; a longer one ends there."""
PAIR_WORDS = 1 << 14


class SaidText(Struct):
    """Text of an answer, and how much of it is told."""

    n: int
    told: int
    text: U8 = room(SAID_BYTES)


class Slot(Struct):
    """One of them.  What its cache holds stays when it is free, for whoever begins alike."""

    stage: int
    connection: int  # whose answer is made, where it is not free
    tokens: int  # where its ids lie (address)
    cache: int  # and keys and values of the first `cached` of them
    positions: int  # as many as they have room for
    n: int  # ids there are: the prompt and what is made
    cached: int
    reach: int  # how far layers with a window may have written since they began anew
    most: int  # ids at which the answer ends
    row: int  # of the logits of this pass; -1: none
    planned: int  # 1: the pass being planned reads of its prompt
    paused: int  # 1: its client takes nothing at the moment
    turn: int  # counts passes: the slot that was used longest ago is taken first
    began: int  # cycles when it was asked,
    read: int  # and when the prompt was read
    choice: Choice
    terms: Terms
    answer: Answer
    json: JsonSteps
    signed: int  # cycles when its client last had a sign of life
    watch: ReplyWatch
    watches: int  # 1: marks of thoughts are looked for
    n_held: int
    held_back: U8 = room(1024)  # of an answer, what may yet turn out to be one of its stops
    text: SaidText
    thought: SaidText
    n_pairs: int  # words of `pairs`: of tokens that are not told yet, how probable they were
    pairs: I64 = room(PAIR_WORDS)


class ServingSpace(Struct):
    """Where questions are taken apart and encoded, one at a time."""

    terms: Terms
    question: Question
    reading: RequestReading
    text: U8 = room(BODY_BYTES + (1 << 16))
    guards: I64 = room(6 * MOST_ROWS)
    ids: I64 = room(BODY_BYTES + (1 << 16) + 2)
    ranks: I64 = room(BODY_BYTES + (1 << 16) + 2)
    prompt: I64 = room(BODY_BYTES + (1 << 16) + 2)  # the ids of the whole question


class Slots(Struct):
    """All of them; the last is for short requests alone, so that none of these waits for a long one to end."""

    n: int
    passes: int  # there were so far
    slots: Array[Slot] = room(MOST_SLOTS)
