"""A conversation with tools as token ids: the pieces of the packed chat template around tools, calls and results.

Whoever serves a conversation notes its parts as rows, in order, and gets the ids up to the reply that is asked for:

    if has_tools(v):
        talk = ToolTalk(rows, n_rows, said)  # SYSTEM, each TOOL, then QUESTION, REPLY, CALL and RESULT as they came
        n = encode_tool_turns(v, style, talk, text, guards, ids, ranks)

`layout.BARE_TOOLS` says what of a tool is noted: its entry in a list like OpenAI's, or the "function" in it.  As in
`kernels.text.chat_turn` special tokens count in the pieces alone.
"""

from typing import NamedTuple

from barelm.contract import layout
from barelm.dialect.types import I64, U8
from barelm.kernels.text.chat_turn import TurnStyle, chat_flags, put_piece, put_stripped, put_text
from barelm.kernels.text.json_text import put_json, put_quoted
from barelm.kernels.text.tokenizer import Vocabulary, encode_marked
from barelm.kernels.text.utf8 import copy_clean

SYSTEM, TOOL, QUESTION, REPLY, CALL, RESULT = range(6)
"""Kinds of parts.  The text of a TOOL is JSON, and so is that of a CALL, its arguments.  Calls follow the REPLY that
came with them, if any; only calls and results have a name and an id."""
KIND, TEXT, NAME, ID, ROW_WORDS = 0, 1, 3, 5, 7
"""Words of a row: its kind; where in the bytes that were said its text begins and ends, its name, its id."""
ROW_GUARDS = 6
"""Entries of the guards that each row needs."""


class ToolTalk(NamedTuple):
    """A conversation as rows of ROW_WORDS."""

    rows: I64
    n: int
    said: U8


def has_tools(v: Vocabulary) -> bool:
    """Whether the model's template has a place for tools."""
    return bool(len(v.tool_ends) > 0)


def encode_tool_turns(v: Vocabulary, style: TurnStyle, talk: ToolTalk, text: U8, guards: I64, ids: I64, ranks: I64
                      ) -> int:
    """The ids of a conversation with tools, from its beginning to the reply that is asked for; returns how many.

    Working space: `text` for all of it, ROW_GUARDS for each row, ids and ranks of len(text) + 2.
    Returns -1 where `text` is too small, or the template has no place for what was said in the order it was.
    """
    n_bytes = write_tool_turns(v, style, talk, text, guards)
    if n_bytes < 0:
        return -1
    return encode_marked(v, text, n_bytes, guards[:ROW_GUARDS * talk.n], ids, ranks, 0)


def write_tool_turns(v: Vocabulary, style: TurnStyle, talk: ToolTalk, text: U8, guards: I64) -> int:
    """The text of a conversation with tools, and in `guards` where what was said lies in it; its bytes, or -1."""
    for g in range(ROW_GUARDS * talk.n):
        guards[g] = 0
    if not has_tools(v) or row_of(talk, TOOL) < 0:
        return -1
    n = 0
    before = -1
    for row in range(talk.n):
        kind = kind_of(talk, row)
        if n >= 0 and kind > TOOL:
            n = put_between(v, style, talk, row, before, text, n, guards)
            if kind == CALL:
                n = put_pattern(v, style, layout.CALL, talk, row, text, n, guards)
            elif kind == RESULT:
                n = put_pattern(v, style, layout.RESULT, talk, row, text, n, guards)
            before = kind
        elif before >= 0:
            return -1
    if before == QUESTION:
        return put_piece(v, style, layout.BEFORE_REPLY, text, n)
    return put_pattern(v, style, layout.RESULTS_TO_REPLY, talk, 0, text, n, guards) if before == RESULT else -1


def put_between(v: Vocabulary, style: TurnStyle, talk: ToolTalk, row: int, before: int, text: U8, n: int, guards: I64
                ) -> int:
    """What stands between a part of kind `before` (-1: none) and that of a row, a question and a reply included."""
    kind = kind_of(talk, row)
    calls = kind == REPLY and kind_of(talk, row + 1) == CALL
    if before == REPLY and kind == CALL:
        return n
    if before == REPLY and kind == QUESTION:
        n = put_piece(v, style, layout.BEFORE_NEXT_USER, text, n)
        return put_said(v, style, layout.QUESTION, talk, row, text, n, guards)
    if before == QUESTION and kind == REPLY and not calls:
        n = put_piece(v, style, layout.BEFORE_PAST_REPLY, text, n)
        return put_said(v, style, layout.CONTENT, talk, row, text, n, guards)
    piece = piece_between(before, kind, calls)
    if piece == layout.OPENING and row_of(talk, SYSTEM) >= 0:
        piece = layout.OPENING_WITH_SYSTEM
    several = piece == layout.BETWEEN_CALLS or piece == layout.BETWEEN_RESULTS
    if piece < 0 or (several and v.tool_flags & layout.ONE_CALL):
        return -1
    if piece == layout.OPENING_WITH_SYSTEM and not has_piece(v, style, piece):
        return -1
    return put_pattern(v, style, piece, talk, row, text, n, guards)


def piece_between(before: int, kind: int, calls: bool) -> int:
    """The piece between parts of two kinds, or -1; `calls`: the second is a reply that calls follow."""
    if before < 0 and kind == QUESTION:
        return layout.OPENING
    if before == QUESTION and (kind == CALL or calls):
        return layout.BEFORE_CALLS_AND_CONTENT if calls else layout.BEFORE_CALLS
    if before == CALL and kind == CALL:
        return layout.BETWEEN_CALLS
    if before == CALL and kind == RESULT:
        return layout.CALLS_TO_RESULTS
    if before == RESULT and kind == RESULT:
        return layout.BETWEEN_RESULTS
    if before == RESULT and (kind == CALL or calls):
        return layout.RESULTS_TO_CALLS_AND_CONTENT if calls else layout.RESULTS_TO_CALLS
    return layout.RESULTS_TO_PAST_REPLY if before == RESULT and kind == REPLY else -1


def kind_of(talk: ToolTalk, row: int) -> int:
    """The kind of a row, or -1 behind the last."""
    return int(talk.rows[ROW_WORDS * row + KIND]) if row < talk.n else -1


def row_of(talk: ToolTalk, kind: int) -> int:
    """The first row of a kind, or -1."""
    for row in range(talk.n):
        if kind_of(talk, row) == kind:
            return row
    return -1


def tool_piece(v: Vocabulary, pieces: int, k: int) -> tuple[int, int]:
    """Where in `tool_texts` piece k of a set begins and ends; the model has tools."""
    k += layout.TOOL_PIECES * pieces
    return int(v.tool_ends[k - 1]) if k > 0 else 4 * len(v.tool_ends), int(v.tool_ends[k])


def has_piece(v: Vocabulary, style: TurnStyle, k: int) -> bool:
    """Whether a piece is more than nothing."""
    lo, hi = tool_piece(v, style.pieces, k)
    return hi > lo


def put_pattern(v: Vocabulary, style: TurnStyle, k: int, talk: ToolTalk, row: int, text: U8, n: int, guards: I64
                ) -> int:
    """Piece k at text[n:], its slots filled from a row; where it ends, or -1 where it does not fit (or n is -1)."""
    at, hi = tool_piece(v, style.pieces, k)
    while n >= 0 and at < hi:
        end = at
        while end < hi and not 0 < v.tool_texts[end] <= layout.RESULT_TEXT:
            end += 1
        n = put_text(v.tool_texts, at, end, style.today, text, n)
        if end < hi:
            slot = int(v.tool_texts[end])
            if slot == layout.TOOLS:
                n = put_tools(v, style, talk, text, n, guards)
            else:
                n = put_said(v, style, slot, talk, row_of(talk, SYSTEM) if slot == layout.SYSTEM_TEXT else row, text, n,
                             guards)
        at = end + 1
    return n


def put_tools(v: Vocabulary, style: TurnStyle, talk: ToolTalk, text: U8, n: int, guards: I64) -> int:
    """Every tool, with what stands between two; returns as `put_pattern`."""
    first = row_of(talk, TOOL)
    lo, hi = tool_piece(v, style.pieces, layout.BETWEEN_TOOLS)
    for row in range(first, talk.n):
        if kind_of(talk, row) == TOOL:
            if row > first:
                n = put_text(v.tool_texts, lo, hi, style.today, text, n)
            n = put_said(v, style, layout.TOOLS, talk, row, text, n, guards)
    return n


def put_said(v: Vocabulary, style: TurnStyle, slot: int, talk: ToolTalk, row: int, text: U8, n: int, guards: I64
             ) -> int:
    """The text of a row that goes into a slot, as the template prints it there; returns as `put_pattern`."""
    if n < 0:
        return -1
    word = NAME if slot == layout.NAME else ID if slot == layout.ID else TEXT
    lo = int(talk.rows[ROW_WORDS * row + word])
    hi = int(talk.rows[ROW_WORDS * row + word + 1])
    guard = ROW_GUARDS * row + word - 1
    guards[guard] = n
    if slot == layout.TOOLS:
        n = put_json(text, n, talk.said, lo, hi, v.tool_flags & (1 << layout.JSON_FORM_BITS) - 1)
    elif slot == layout.ARGUMENTS:
        form = v.tool_flags >> layout.ARGUMENTS_FORM & (1 << layout.JSON_FORM_BITS) - 1
        n = put_json(text, n, talk.said, lo, hi, form)
    elif slot == layout.SYSTEM_TEXT:
        n = put_stripped(v, chat_flags(v, style.pieces), talk.said[lo:hi], text, n)
    elif slot == layout.QUESTION:
        first = layout.USER_AFTER_SYSTEM if row_of(talk, SYSTEM) >= 0 else layout.FIRST_USER
        place = first if row == row_of(talk, QUESTION) else layout.NEXT_USER
        n = put_stripped(v, chat_flags(v, style.pieces) >> 2 * place, talk.said[lo:hi], text, n)
    elif slot == layout.RESULT_TEXT and v.tool_flags & layout.QUOTES_RESULTS:
        n = put_quoted(text, n, talk.said, lo, hi)
    elif slot == layout.RESULT_TEXT:
        n = put_stripped(v, v.tool_flags >> layout.RESULT_STRIPS, talk.said[lo:hi], text, n)
    else:
        n = copy_clean(text, n, talk.said, lo, hi)
    guards[guard + 1] = max(n, 0)
    return n
