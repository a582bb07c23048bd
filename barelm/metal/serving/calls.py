"""Calls of tools in an answer."""

from barelm.contract.serving.slot_state import Slot
from barelm.kernels.text.tool_turns import ToolTalk
from barelm.metal.serving.node_views import Node


def free_of_calls(node: Node, slot: Slot) -> int:
    """How much of the text is certainly no beginning of a call."""
    return slot.text.n


def calls_in(node: Node, slot: Slot) -> tuple[ToolTalk, int]:
    """The calls in the whole text of an answer, and where the text before them ends."""
    return no_calls(node), slot.text.n


def no_calls(node: Node) -> ToolTalk:
    """None."""
    q = node.state.space.question
    return ToolTalk(q.rows, 0, q.said)
