"""A question as ids: a node's own system text stands in front where a request has none."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.contract.serving.request_state import MOST_ROWS, ROW_WORDS, Question
from barelm.kernels.text.tool_turns import KIND, QUESTION, SYSTEM, TEXT
from barelm.metal.serving.question_ids import put_system, row_text


def question(*rows: tuple[int, bytes]) -> Question:
    """One with these rows."""
    q = Question.over(np.zeros(Question.BYTES, np.uint8))
    for kind, said in rows:
        at = ROW_WORDS * q.n_rows
        q.rows[at:at + ROW_WORDS] = q.n_said
        q.rows[at + KIND] = kind
        q.said[q.n_said:q.n_said + len(said)] = np.frombuffer(said, np.uint8)
        q.n_said += len(said)
        q.rows[at + TEXT + 1] = q.n_said
        q.n_rows += 1
    return q


def texts(q: Question) -> list[tuple[int, bytes]]:
    """The rows it has."""
    return [(int(q.rows[ROW_WORDS * row + KIND]), row_text(q, row, TEXT).tobytes()) for row in range(q.n_rows)]


@pytest.mark.parametrize("rows, system, expected", [
    ([(QUESTION, b"why")], b"be brief", [(SYSTEM, b"be brief"), (QUESTION, b"why")]),
    ([(SYSTEM, b"mine"), (QUESTION, b"why")], b"be brief", [(SYSTEM, b"mine"), (QUESTION, b"why")]),
    ([(QUESTION, b"why")], b"", [(QUESTION, b"why")])])
def test_a_nodes_system_text(rows: list[tuple[int, bytes]], system: bytes, expected: list[tuple[int, bytes]]) -> None:
    q = question(*rows)
    for _ in range(2):  # a request that waits is looked at again
        assert put_system(q, np.frombuffer(system, np.uint8)) and texts(q) == expected


def test_no_room_for_a_system_text_is_told() -> None:
    full = question(*[(QUESTION, b"x")] * MOST_ROWS)
    assert not put_system(full, np.frombuffer(b"be brief", np.uint8)) and full.n_rows == MOST_ROWS
    long = question((QUESTION, b"x"))
    long.n_said = len(long.said) - 3
    assert not put_system(long, np.frombuffer(b"be brief", np.uint8))
