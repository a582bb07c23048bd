"""Calls of tools in an answer."""

from barelm.contract.serving.slot_state import Slot
from barelm.kernels.text.chat_turn import chat_set
from barelm.kernels.text.tool_calls import find_calls, free_of_calls
from barelm.kernels.text.tool_turns import ToolTalk, has_tools
from barelm.metal.serving.node_views import NodeViews


def told_free(node: NodeViews, slot: Slot) -> int:
    """How much of the text is certainly no beginning of a call."""
    text = slot.text
    if slot.terms.tools == 0 or not has_tools(node.v):
        return text.n
    return free_of_calls(node.v, chat_set(node.v, slot.terms.think), text.text, text.told, text.n)


def calls_in(node: NodeViews, slot: Slot) -> tuple[ToolTalk, int]:
    """The calls in the whole text of an answer, and where the text before them ends."""
    text = slot.text
    if slot.terms.tools == 0 or not has_tools(node.v):
        return no_calls(node), text.n
    rows = node.state.space.question.rows
    n, before = find_calls(node.v, chat_set(node.v, slot.terms.think), text.text, text.n, rows)
    return ToolTalk(rows, min(n, 1) if slot.terms.one_call != 0 else n, text.text), before


def no_calls(node: NodeViews) -> ToolTalk:
    """None."""
    q = node.state.space.question
    return ToolTalk(q.rows, 0, q.said)
