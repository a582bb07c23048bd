"""What the forms of answers name: the words of an answer, put together anew for each piece of it."""

from typing import NamedTuple

from barelm.contract.serving.answer_state import Answer, NodeNames
from barelm.contract.serving.request_state import Terms
from barelm.dialect.memory import address_of, text
from barelm.dialect.structs import Struct
from barelm.dialect.types import I64, U8
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.kernels.text.tool_turns import ID, NAME, ROW_WORDS, TEXT, ToolTalk
from barelm.kernels.web.answers.form_filling import at_address, put_hexadecimal, zero_in
from barelm.kernels.web.answers.status_lines import REASON_NAMES, REASON_NAMES_AT, REASONS

CALL_ID_DIGITS = 9
"""Of a name made up for a call: so many, for there are templates that take no other."""


class Telling(NamedTuple):
    """An answer, and what is known of it and of the node."""

    names: NodeNames
    terms: Terms
    answer: Answer
    v: Vocabulary


class AnswerFields(Struct):
    """See `contract.serving.form_language`: numbers, texts of two words, constant texts."""

    number: int
    created: int
    index: int  # of the block that a piece belongs to
    call: int  # the number of a call
    n_prompt: int
    n_cached: int
    n_fresh: int
    n_made: int
    n_total: int
    prompt_us: int
    making_us: int
    prompt_ns: int
    making_ns: int
    total_ns: int
    prompt_rate: int  # thousandths of tokens a second
    making_rate: int
    reason: int
    kind: int  # of an error
    code: int
    model: int
    model_bytes: int
    version: int
    version_bytes: int
    said: int
    said_bytes: int
    thought: int
    thought_bytes: int
    name: int  # of a function that is called, or of what in a request is wrong
    name_bytes: int
    arguments: int
    arguments_bytes: int
    call_id: int
    call_id_bytes: int


FIELD_WORDS = 33


def answer_fields(words: I64, t: Telling) -> AnswerFields:
    """The fields in FIELD_WORDS zeroed words, filled as far as the answer knows."""
    f = AnswerFields(address_of(words))
    a = t.answer
    f.number, f.created, f.index, f.call = a.number, a.created, a.n_blocks, a.n_calls
    f.n_prompt, f.n_cached, f.n_fresh, f.n_made = a.n_prompt, a.n_cached, a.n_prompt - a.n_cached, a.n_made
    f.n_total = a.n_prompt + a.n_made
    f.prompt_us, f.making_us = a.prompt_us, a.making_us
    f.prompt_ns, f.making_ns, f.total_ns = 1000 * a.prompt_us, 1000 * a.making_us, 1000 * (a.prompt_us + a.making_us)
    f.prompt_rate, f.making_rate = rate(f.n_fresh, a.prompt_us), rate(a.n_made, a.making_us)
    f.reason = address_of(text(REASON_NAMES)[REASON_NAMES_AT[REASONS * t.terms.api + a.reason]:])
    f.model, f.model_bytes = address_of(t.names.model), zero_in(t.names.model)
    f.version, f.version_bytes = address_of(t.names.version), zero_in(t.names.version)
    return f


def rate(n: int, us: int) -> int:
    """Thousandths of tokens a second; 0 where it took no time."""
    return n * 10**9 // us if us > 0 else 0


def set_said(f: AnswerFields, said: U8) -> None:
    """The text of a piece or of a whole answer."""
    f.said, f.said_bytes = at_address(said), len(said)


def set_call(f: AnswerFields, t: Telling, calls: ToolTalk, row: int, k: int, made_up: U8) -> None:
    """A call from its row, the k-th of the answer; where it has no id, one is made up in CALL_ID_DIGITS bytes."""
    at = ROW_WORDS * row
    name = calls.said[calls.rows[at + NAME]:calls.rows[at + NAME + 1]]
    arguments = calls.said[calls.rows[at + TEXT]:calls.rows[at + TEXT + 1]]
    own = calls.said[calls.rows[at + ID]:calls.rows[at + ID + 1]]
    f.name, f.name_bytes = at_address(name), len(name)
    f.arguments, f.arguments_bytes = at_address(arguments), len(arguments)
    f.call_id, f.call_id_bytes = at_address(own), len(own)
    if len(own) == 0:
        put_hexadecimal(made_up, 0, t.answer.number + k, CALL_ID_DIGITS)
        f.call_id, f.call_id_bytes = address_of(made_up), CALL_ID_DIGITS
