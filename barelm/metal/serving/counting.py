"""What a node counts of itself."""

from barelm.contract.serving.node_state import WAITING
from barelm.contract.serving.slot_state import FREE
from barelm.contract.uefi_protocols import Time
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import cycles
from barelm.metal.serving.node_views import NodeViews, exchange_at
from barelm.metal.serving.slots import n_told
from barelm.metal.uefi.runtime_services import get_time


def count_slots(node: NodeViews) -> None:
    """Bring the figures that change all the time up to date."""
    figures = node.state.figures
    slots = node.state.slots
    theirs = node.state.slot_figures
    theirs.n = n_told(slots)
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


def count_pass(node: NodeViews) -> None:
    """Count a pass, and the answers that took part in it."""
    node.state.figures.n_passes += 1
    node.state.figures.n_passed += node.batch.n_runs


def count_waiting(node: NodeViews) -> int:
    """How many requests wait for a slot."""
    n = 0
    for k in range(node.net.state.n_places):
        n += int(node.net.state.in_use[k] != 0 and exchange_at(node, k).stage == WAITING)
    return n


def begin_counting(node: NodeViews) -> None:
    """Note when the node began, by both clocks."""
    now = cells(2)
    node.state.began = cycles()
    node.state.clock = 0
    if get_time(node.t.con.fw, now) == 0:
        time = Time(address_of(now))
        node.state.clock = (days_to(time.year, time.month, time.day) * 86400 + time.hour * 3600 + time.minute * 60
                            + time.second)


def days_to(year: int, month: int, day: int) -> int:
    """Days from the first of 1970 to a day: the months are counted from March on, so that a leap day is the last."""
    year -= int(month <= 2)
    month = (month + 9) % 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469


def seconds_now(node: NodeViews) -> int:
    """Seconds since 1970; 0 where the machine has no clock."""
    if node.state.clock == 0:
        return 0
    return node.state.clock + (cycles() - node.state.began) // (1000 * max(node.t.figures.cycles_per_ms, 1))
