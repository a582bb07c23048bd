"""How much memory a model takes at a context, and which context suits it: known before anything is packed."""

from barelm.contract.layout import DEFAULT_BATCH, PAGE, Header
from barelm.contract.sections import SECTIONS
from barelm.dialect.types import LANES, padded
from barelm.kernels.decoder.cache_plan import cache_bytes
from barelm.kernels.decoder.model import read_config
from barelm.kernels.decoder.state import state_bytes

LEAST_CONTEXT = 4096
LEAST_SHARE = 256 << 20
"""Bytes the state may take in any case; above, it is a quarter of what the weights take."""

LOW_BYTES = 2 << 30, 3 << 30
"""What of a PC's memory lies below 4 GiB, from the least to the most."""


def needs_at(header: Header, seq_len: int) -> tuple[int, int]:
    """Bytes a planned model takes in all, and those of its state, with another context than its own."""
    other = Header.over(header.base.copy())
    other.seq_len, other.batch = seq_len, min(DEFAULT_BATCH, seq_len)
    if other.window_room >= seq_len:
        other.n_windowed = other.window_room = 0
    whole = int(header.memory_bytes) - int(header.state_bytes) + (state := state_bytes(other))
    for number, row in enumerate(SECTIONS):
        if row.rows == "seq_len":
            n_bytes = int(header.sections[number].n_bytes)
            whole += padded(n_bytes // int(header.seq_len) * seq_len, PAGE) - padded(n_bytes, PAGE)
    return whole, int(state)


def slots_bytes(header: Header, n_slots: int, positions: int) -> int:
    """Bytes a node takes at most for caches and ids of its slots (`metal.serving.slots`): the first is in the
    state, and one for short requests comes to them.
    """
    n_bytes = cache_bytes(read_config(header), padded(positions)) + 8 * (padded(positions) + LANES)
    return n_slots * (int(padded(n_bytes, PAGE)) + PAGE)


def suiting_context(header: Header) -> int:
    """The context of a model that nobody asked for another: its own where the state then takes no more than its share.

    Else the largest power of two with which it does; but LEAST_CONTEXT in any case, where the model's own is not less.
    """
    own = int(header.seq_len)
    growing = sum(int(header.sections[number].n_bytes) for number, row in enumerate(SECTIONS) if row.rows == "seq_len")
    share = max((int(header.weights_bytes) - growing) // 4, LEAST_SHARE)
    shorter = [1 << k for k in range(own.bit_length() - 1, -1, -1) if LEAST_CONTEXT <= 1 << k < own]
    for seq_len in (own, *shorter):
        if needs_at(header, seq_len)[1] <= share:
            return seq_len
    return min(own, LEAST_CONTEXT)


def machine_holds(header: Header, n_bytes: int, firmware_bytes: int) -> bool:
    """Whether a model finds room in a PC with so much memory, some of it taken by its firmware.

    The memory of a PC is in two pieces: some lies below the devices under 4 GiB, the rest above, and no section of a
    model is in both.  How much lies below differs: it has to fit with either of LOW_BYTES.
    """
    taken = [int(header.sections[number].n_bytes) for number in range(header.n_sections)]
    taken += [int(header.state_bytes), int(header.workspace_bytes)]
    return all(_find_room(taken, [min(n_bytes, low) - firmware_bytes, n_bytes - low]) for low in LOW_BYTES)


def _find_room(taken: list[int], pieces: list[int]) -> bool:
    """What `metal.arena` does: the largest first, each into the smallest piece of memory it fits into."""
    for n_bytes in sorted((padded(n, PAGE) for n in taken), reverse=True):
        fitting = [k for k, piece in enumerate(pieces) if piece >= n_bytes]
        if not fitting:
            return False
        pieces[min(fitting, key=lambda k: pieces[k])] -= n_bytes
    return True
