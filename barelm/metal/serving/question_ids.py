"""A question as the ids of a prompt: through the model's chat template, turn after turn, or as it stands."""

from barelm.contract.serving.request_state import MOST_ROWS, ROW_WORDS, Question
from barelm.contract.serving.slot_state import ServingSpace
from barelm.dialect.memory import address_of, copy_bytes
from barelm.dialect.types import I64, U8
from barelm.kernels.text.chat_turn import (
    TurnStyle,
    TurnTexts,
    chat_set,
    encode_plain_prompt,
    encode_turn,
    has_chat,
    takes_system,
)
from barelm.kernels.text.tokenizer import Vocabulary
from barelm.kernels.text.tool_turns import (
    KIND,
    QUESTION,
    REPLY,
    SYSTEM,
    TEXT,
    TOOL,
    ToolTalk,
    encode_tool_turns,
    has_tools,
    row_of,
)

NO_CHAT, NO_SYSTEM, NO_TOOLS, BAD_ORDER, TOO_LONG, NOTHING = -1, -2, -3, -4, -5, -6
"""Why there are no ids: the model holds no conversation, its template has no place for a system text, or for tools, or
for what was said in the order it was; it is too long; nothing was asked."""


def question_ids(v: Vocabulary, space: ServingSpace, today: int, system: U8) -> int:
    """The ids of the question in `space`, into its `prompt`; returns how many, or why there are none.

    Where it has no system text it gets this one, the node's.
    """
    terms = space.terms
    q = space.question
    if q.plain != 0:
        return plain_ids(v, space, row_text(q, 0, TEXT))
    if not has_chat(v):
        return NO_CHAT
    if not put_system(q, system):
        return TOO_LONG
    style = TurnStyle(chat_set(v, terms.think), 1, today)
    talk = ToolTalk(q.rows, q.n_rows, q.said)
    if row_of(talk, SYSTEM) >= 0 and not takes_system(v):
        return NO_SYSTEM
    if row_of(talk, TOOL) >= 0:
        if not has_tools(v):
            return NO_TOOLS
        style = TurnStyle(chat_set(v, terms.think), 0, today)
        n = encode_tool_turns(v, style, talk, space.text, space.guards, space.ids, space.ranks)
        return put_ids(space, 0, n) if n >= 0 else BAD_ORDER
    return turns_ids(v, space, style)


def put_system(q: Question, system: U8) -> bool:
    """Put a system text in front of a question that has none; False where there is no room for it."""
    if len(system) == 0 or q.n_rows > 0 and q.rows[KIND] == SYSTEM:
        return True
    end = q.n_said + len(system)
    if q.n_rows >= MOST_ROWS or end > len(q.said):
        return False
    for word in range(ROW_WORDS * q.n_rows - 1, -1, -1):
        q.rows[word + ROW_WORDS] = q.rows[word]
    for word in range(ROW_WORDS):
        q.rows[word] = SYSTEM if word == KIND else q.n_said if word == TEXT else end
    copy_bytes(address_of(q.said) + q.n_said, address_of(system), len(system))
    q.n_said = end
    q.n_rows += 1
    return True


def turns_ids(v: Vocabulary, space: ServingSpace, style: TurnStyle) -> int:
    """The same of questions and replies in turn: all but the last question with the reply it got."""
    q = space.question
    system = q.said[:0]
    row = 0
    if q.n_rows > 0 and q.rows[KIND] == SYSTEM:
        system = row_text(q, 0, TEXT)
        row = 1
    n = 0
    turn = 0
    while row < q.n_rows:
        if q.rows[row * ROW_WORDS + KIND] != QUESTION:
            return BAD_ORDER
        last = row + 1 == q.n_rows
        if not last and q.rows[(row + 1) * ROW_WORDS + KIND] != REPLY:
            return BAD_ORDER
        reply = q.said[:0] if last else row_text(q, row + 1, TEXT)
        how = TurnStyle(style.pieces, 0 if last else 1, style.today)
        made = encode_turn(v, min(turn, 1), how, TurnTexts(system, row_text(q, row, TEXT), reply), space.text,
                           space.guards, space.ids, space.ranks)
        if made < 0:
            return TOO_LONG
        n = put_ids(space, n, made)
        if n < 0:
            return n
        turn += 1
        row += 2
    return n if row == q.n_rows + 1 else BAD_ORDER


def plain_ids(v: Vocabulary, space: ServingSpace, said: U8) -> int:
    """The ids of a text as it stands; a chat model's special tokens count in it."""
    n = encode_plain_prompt(v, said, space.text, space.ids, space.ranks)
    if n < 0:
        return TOO_LONG
    if n == 0 and v.bos_id >= 0:
        space.prompt[0] = v.bos_id
        return 1
    return put_ids(space, 0, n) if n > 0 else NOTHING


def put_ids(space: ServingSpace, n: int, made: int) -> int:
    """Append the ids just made to n of the prompt; returns how many there are, or TOO_LONG."""
    prompt: I64 = space.prompt
    if n + made > len(prompt):
        return TOO_LONG
    copy_bytes(address_of(prompt) + 8 * n, address_of(space.ids), 8 * made)
    return n + made


def row_text(q: Question, row: int, word: int) -> U8:
    """What was said in a row."""
    at = row * ROW_WORDS + word
    return q.said[q.rows[at]:q.rows[at + 1]]
