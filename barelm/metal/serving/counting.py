"""What a node counts of itself."""

from barelm.contract.serving.node_state import WAITING
from barelm.contract.serving.slot_state import FREE
from barelm.metal.serving.node_views import Node, exchange_at


def count_slots(node: Node) -> None:
    """Bring the figures that change all the time up to date."""
    figures = node.state.figures
    slots = node.state.slots
    theirs = node.state.slot_figures
    theirs.n = slots.n
    figures.n_running = 0
    figures.n_held = 0
    figures.n_room = 0
    for k in range(slots.n):
        slot = slots.slots[k]
        own = theirs.slots[k]
        own.number = k
        own.context = min(slot.positions, node.state.context)
        own.busy = int(slot.stage != FREE)
        own.n_prompt = slot.answer.n_prompt
        own.n_cached = slot.answer.n_cached
        own.n_made = slot.answer.n_made
        own.n_held = slot.cached
        figures.n_running += own.busy
        figures.n_held += own.n_held
        figures.n_room += own.context
    figures.n_waiting = count_waiting(node)


def count_waiting(node: Node) -> int:
    """How many requests wait for a slot."""
    n = 0
    for k in range(node.net.state.n_places):
        n += int(node.net.state.in_use[k] != 0 and exchange_at(node, k).stage == WAITING)
    return n
