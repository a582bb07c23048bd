"""An answer told to its client: as a stream, piece by piece, or as a whole; and what is said where it cannot be.

    n = put_opening(target, n, t)
    n = put_piece(target, n, t, TEXT, data, told)     # as often as there is something; whole characters
    n = put_call(target, n, t, calls, row)            # a call of a tool is told when all of it is known
    n = put_ending(target, n, t)

or `put_whole`.  `t.terms.api` says in whose form.  Where -1 comes back nothing has changed, and the same may be tried
again with more room.
"""

from typing import NamedTuple

from barelm.contract.serving.answer_state import CALL, PLAIN, TEXT
from barelm.contract.serving.request_state import ANTHROPIC, OPENAI_CHAT
from barelm.dialect.memory import address_of, cells, memory, text
from barelm.dialect.types import I64, U8
from barelm.kernels.text import tool_turns
from barelm.kernels.text.tool_turns import ToolTalk
from barelm.kernels.web.answers import answer_forms
from barelm.kernels.web.answers.answer_fields import (
    FIELD_WORDS,
    AnswerFields,
    Telling,
    answer_fields,
    set_call,
    set_said,
)
from barelm.kernels.web.answers.answer_forms import put_form
from barelm.kernels.web.answers.form_filling import at_address
from barelm.kernels.web.answers.http_heads import (
    BARE,
    CHUNKED,
    JSON,
    SIZED,
    begin_chunk,
    end_chunk,
    end_sized,
    put_head,
    put_last_chunk,
)
from barelm.kernels.web.answers.probabilities import characters_told, put_probabilities
from barelm.kernels.web.answers.status_lines import (
    ANTHROPIC_KIND,
    CODE,
    OPENAI_KIND,
    STATUS_TEXTS,
    STATUS_TEXTS_AT,
    STATUS_WORDS,
    status_row,
)


def put_opening(target: U8, n: int, t: Telling) -> int:
    """The head of a stream, and what comes before the first piece."""
    words = cells(FIELD_WORDS)
    api, connection = t.terms.api, t.answer.connection
    body = BARE if connection == PLAIN else CHUNKED
    n = put_head(target, n, 200, answer_forms.STREAMED_AS[api], body, connection, 0)
    data = begin_chunk(target, n, connection)
    n = put_form(target, data, api, answer_forms.OPENING, answer_fields(words, t))
    return end_chunk(target, data, n, connection)


def put_waiting(target: U8, n: int, t: Telling) -> int:
    """A sign of life of a stream before its next piece, where its form has one."""
    words = cells(FIELD_WORDS)
    data = begin_chunk(target, n, t.answer.connection)
    n = put_form(target, data, t.terms.api, answer_forms.WAITING, answer_fields(words, t))
    return end_chunk(target, data, n, t.answer.connection)


def put_piece(target: U8, n: int, t: Telling, kind: int, said: U8, told: I64) -> int:
    """A piece of a stream, TEXT or THOUGHT: whole characters of it, and the tokens in it (`probabilities`), or none."""
    words = cells(FIELD_WORDS)
    f = answer_fields(words, t)
    data = begin_chunk(target, n, t.answer.connection)
    n = put_block(target, data, t, kind, f)
    set_said(f, said)
    n = put_form(target, n, t.terms.api, answer_forms.PIECE + kind - TEXT, f)
    n = put_probabilities(target, n, t, told)
    n = put_form(target, n, t.terms.api, answer_forms.PIECE_END, f)
    n = end_chunk(target, data, n, t.answer.connection)
    if n >= 0:
        note_piece(t, kind)
        t.answer.n_characters += characters_told(t, told)
    return n


def put_call(target: U8, n: int, t: Telling, calls: ToolTalk, row: int) -> int:
    """A call of a tool in a stream: a row of kind CALL."""
    words, made_up = cells(FIELD_WORDS), cells(2)
    f = answer_fields(words, t)
    set_call(f, t, calls, row, t.answer.n_calls, memory(address_of(made_up), 16))
    data = begin_chunk(target, n, t.answer.connection)
    n = put_block(target, data, t, CALL, f)
    n = put_form(target, n, t.terms.api, answer_forms.PIECE + CALL - TEXT, f)
    n = put_form(target, n, t.terms.api, answer_forms.PIECE_END, f)
    n = end_chunk(target, data, n, t.answer.connection)
    if n >= 0:
        note_piece(t, CALL)
        t.answer.n_calls += 1
    return n


def put_block(target: U8, n: int, t: Telling, kind: int, f: AnswerFields) -> int:
    """What stands between two pieces where the second is of another kind, or a call; sets the number of its block."""
    before = t.answer.block
    f.index = t.answer.n_blocks - 1
    if before == kind and kind != CALL:
        return n
    if before > 0:
        n = put_form(target, n, t.terms.api, answer_forms.BLOCK_END + before - TEXT, f)
    if kind > 0:
        f.index += 1
        n = put_form(target, n, t.terms.api, answer_forms.BLOCK + kind - TEXT, f)
    return n


def note_piece(t: Telling, kind: int) -> None:
    """A piece was told."""
    if t.answer.block != kind or kind == CALL:
        t.answer.n_blocks += 1
    t.answer.block = kind


def put_ending(target: U8, n: int, t: Telling) -> int:
    """The end of a stream: why, what it took, and that nothing comes behind it."""
    words = cells(FIELD_WORDS)
    f = answer_fields(words, t)
    data = begin_chunk(target, n, t.answer.connection)
    n = put_block(target, data, t, 0, f)
    n = put_form(target, n, t.terms.api, answer_forms.ENDING, f)
    if t.terms.include_usage != 0:
        n = put_form(target, n, t.terms.api, answer_forms.USAGE, f)
    n = put_form(target, n, t.terms.api, answer_forms.DONE, f)
    return put_last_chunk(target, end_chunk(target, data, n, t.answer.connection), t.answer.connection)


def put_whole(target: U8, n: int, t: Telling, said: U8, thought: U8, calls: ToolTalk, told: I64) -> int:
    """An answer as a whole, its head included; of `calls` the rows of kind CALL, of `thought` nothing where there is
    none.
    """
    words = cells(FIELD_WORDS)
    f = answer_fields(words, t)
    api = t.terms.api
    set_said(f, said)
    f.thought, f.thought_bytes = at_address(thought), len(thought)
    body = put_head(target, n, 200, JSON, SIZED, t.answer.connection, 0)
    n = put_form(target, body, api, answer_forms.WHOLE, f)
    n_parts = 0
    if len(thought) > 0:
        n = put_form(target, n, api, answer_forms.WHOLE_THOUGHT, f)
        n_parts = 1
    has_calls = tool_turns.row_of(calls, tool_turns.CALL) >= 0
    if len(said) > 0 or api != ANTHROPIC or (n_parts == 0 and not has_calls):
        if len(said) == 0 and has_calls and api == OPENAI_CHAT:
            f.said = 0
        n = put_between(target, n, api, n_parts, f)
        n = put_form(target, n, api, answer_forms.WHOLE_TEXT, f)
        n_parts += 1
    if has_calls:
        n = put_calls(target, put_between(target, n, api, n_parts, f), t, calls, f)
    n = put_form(target, n, api, answer_forms.MESSAGE_END, f)
    n = put_probabilities(target, n, t, told)
    return end_sized(target, body, put_form(target, n, api, answer_forms.WHOLE_END, f))


def put_between(target: U8, n: int, api: int, n_parts: int, f: AnswerFields) -> int:
    """What stands before a part of an answer with so many before it."""
    return put_form(target, n, api, answer_forms.BETWEEN, f) if n_parts > 0 else n


def put_calls(target: U8, n: int, t: Telling, calls: ToolTalk, f: AnswerFields) -> int:
    """Every call of an answer."""
    made_up = cells(2)
    n = put_form(target, n, t.terms.api, answer_forms.CALLS, f)
    f.call = 0
    for row in range(calls.n):
        if tool_turns.kind_of(calls, row) == tool_turns.CALL:
            if f.call > 0:
                n = put_form(target, n, t.terms.api, answer_forms.BETWEEN_CALLS, f)
            set_call(f, t, calls, row, f.call, memory(address_of(made_up), 16))
            n = put_form(target, n, t.terms.api, answer_forms.WHOLE_CALL, f)
            f.call += 1
    return put_form(target, n, t.terms.api, answer_forms.CALLS_END, f)


class Refusal(NamedTuple):
    """What a client is told in place of an answer."""

    api: int  # in whose form
    status: int  # of HTTP, or `status_lines.TOO_LONG`
    retry_s: int  # when to try again; 0: nothing is said of it
    connection: int  # what becomes of it
    message: U8
    field: U8  # of the request, that is to blame; empty: none


def put_refusal(target: U8, n: int, refusal: Refusal) -> int:
    """An error as an answer of its own."""
    words = cells(FIELD_WORDS)
    body = put_head(target, n, refusal.status, JSON, SIZED, refusal.connection, refusal.retry_s)
    f = refusal_fields(words, refusal)
    return end_sized(target, body, put_form(target, body, form_of_error(refusal.api), answer_forms.ERROR, f))


def form_of_error(api: int) -> int:
    """In whose form an error is told: where a form has none of its own, in OpenAI's."""
    return api if api <= ANTHROPIC else OPENAI_CHAT


def put_failure(target: U8, n: int, refusal: Refusal) -> int:
    """An error within a stream, and the end of it."""
    words = cells(FIELD_WORDS)
    data = begin_chunk(target, n, refusal.connection)
    n = put_form(target, data, form_of_error(refusal.api), answer_forms.FAILURE, refusal_fields(words, refusal))
    return put_last_chunk(target, end_chunk(target, data, n, refusal.connection), refusal.connection)


def refusal_fields(words: I64, refusal: Refusal) -> AnswerFields:
    """The fields of an error in FIELD_WORDS zeroed words."""
    f = AnswerFields(address_of(words))
    at = STATUS_WORDS * status_row(refusal.status)
    kind = ANTHROPIC_KIND if refusal.api == ANTHROPIC else OPENAI_KIND
    f.kind = address_of(text(STATUS_TEXTS)[STATUS_TEXTS_AT[at + kind]:])
    f.code = address_of(text(STATUS_TEXTS)[STATUS_TEXTS_AT[at + CODE]:])
    set_said(f, refusal.message)
    if len(refusal.field) > 0:
        f.name, f.name_bytes = address_of(refusal.field), len(refusal.field)
    return f
