"""What a node counts of itself, for whoever asks how it does."""

from barelm.contract.serving.slot_state import MOST_SLOTS
from barelm.dialect.structs import Array, Struct, room


class NodeFigures(Struct):
    """Since the node began, but for what is."""

    n_read: int  # ids of prompts that were read,
    read_us: int  # and how long that took
    n_made: int  # ids of answers,
    made_us: int  # and how long these took
    n_passes: int  # over the weights,
    n_passed: int  # and the answers that took part in them, added up
    n_answered: int  # requests that got all of their answer,
    n_refused: int  # and those that were told to come again
    n_running: int  # requests that are answered now,
    n_waiting: int  # and that wait
    n_held: int  # ids that the caches hold now,
    n_room: int  # and can hold


class SlotFigures(Struct):
    """A place for one answer."""

    number: int
    context: int
    busy: int
    n_prompt: int  # of the request it has, or had
    n_cached: int
    n_made: int
    n_held: int  # ids in its cache


class SlotsOfNode(Struct):
    """All of them."""

    n: int
    slots: Array[SlotFigures] = room(MOST_SLOTS)
