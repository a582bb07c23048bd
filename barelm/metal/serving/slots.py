"""Slots: memory for them, and which of them a question goes to.

What slots have read stays in their caches.  A question goes where most of its beginning has been read; where another
slot has read more of it, that is copied, which takes far less time than to read it.
"""

from barelm.contract.serving.slot_state import FREE, MOST_SLOTS, READING, USUAL_SLOTS, Slot, Slots
from barelm.dialect.memory import address_of, copy_bytes, i64_array, memory
from barelm.dialect.processor import cycles
from barelm.dialect.types import I64, LANES, padded, u64
from barelm.kernels.decoder.cache_plan import cache_bytes, copy_cache
from barelm.kernels.decoder.model import layers_of, read_config
from barelm.kernels.decoder.state import session_cache
from barelm.metal import arena
from barelm.metal.conversation.talk import Talk, transcript_of

SHORT_POSITIONS = 512
"""Ids of a short request, its answer among them: these have a slot of their own."""
WORTH_COPYING = 16


def open_slots(t: Talk, slots: Slots) -> int:
    """As many slots as are wanted and the memory holds, and one for short requests; returns the context of each.

    The first has the session's own ids and cache.
    """
    seq_len = t.header.seq_len
    context = min(t.settings.slot_context, seq_len) if t.settings.slot_context > 0 else seq_len
    wanted = min(t.settings.slots if t.settings.slots > 0 else USUAL_SLOTS, MOST_SLOTS - 1)
    first = slots.slots[0]
    first.tokens = address_of(transcript_of(t).tokens)
    first.cache = t.model.state + session_cache(t.header)
    first.positions = seq_len
    slots.n = 1
    while slots.n < wanted and add_slot(t, slots, padded(context)):
        pass
    add_slot(t, slots, padded(min(context, SHORT_POSITIONS)))
    return context


def n_told(slots: Slots) -> int:
    """How many clients are told of: all but the one for short requests."""
    return max(slots.n - 1, 1)


def add_slot(t: Talk, slots: Slots, positions: int) -> bool:
    """One more, for so many ids; False where there is no memory for it."""
    n_bytes = padded(cache_bytes(read_config(t.header), positions), 64)
    block = arena.take(t.con.fw, t.figures, n_bytes + 8 * (positions + LANES))
    if block == 0:
        return False
    slot = slots.slots[slots.n]
    slot.cache = block
    slot.tokens = block + n_bytes
    slot.positions = positions
    slots.n += 1
    return True


def slot_for(t: Talk, slots: Slots, ids: I64, n: int, n_more: int) -> int:
    """The number of a free slot for a prompt of n ids and an answer of n_more; -1: there is none now.

    The last one is taken for short requests alone, and only where no other is free.
    """
    best = -1
    longest = -1
    for k in range(slots.n):
        slot = slots.slots[k]
        if is_open(slots, k, n, n_more):
            alike = known_of(t, slot, ids, n) if k != short_slot(slots) else -1
            if best < 0 or alike > longest or (alike == longest and slot.turn < slots.slots[best].turn):
                best = k
                longest = alike
    return best


def short_slot(slots: Slots) -> int:
    """The number of the slot for short requests alone; -1: memory was too short for one."""
    return slots.n - 1 if slots.n > 1 else -1


def is_open(slots: Slots, k: int, n: int, n_more: int) -> bool:
    """Whether slot k is free for a prompt of n ids and an answer of n_more (0: of any length)."""
    slot = slots.slots[k]
    if k == short_slot(slots):
        return bool(slot.stage == FREE and n_more > 0 and n + n_more <= slot.positions)
    return bool(slot.stage == FREE and n < slot.positions)


def has_slot(slots: Slots, n: int, n_more: int) -> bool:
    """Whether any is."""
    for k in range(slots.n):
        if is_open(slots, k, n, n_more):
            return True
    return False


def known_of(t: Talk, slot: Slot, ids: I64, n: int) -> int:
    """How many ids of a prompt a slot has read and can go on from: all but its last at most."""
    read = min(slot.cached, n - 1)
    tokens = tokens_of(slot)
    alike = 0
    while alike < read and tokens[alike] == ids[alike]:
        alike += 1
    return alike if t.job.slack == 0 or slot.reach - alike <= t.job.slack else 0


def tokens_of(slot: Slot) -> I64:
    """The ids of a slot, and room for more."""
    return i64_array(memory(slot.tokens, 8 * (slot.positions + 1)), 0, slot.positions + 1)


def take_slot(t: Talk, slots: Slots, k: int, ids: I64, n: int) -> None:
    """Let a prompt of n ids be the one of slot k; what any slot has read of it need not be read again."""
    slot = slots.slots[k]
    known = known_of(t, slot, ids, n)
    source = -1
    for j in range(slots.n):
        theirs = known_of(t, slots.slots[j], ids, n)
        if j != k and theirs >= known + WORTH_COPYING:
            source = j
            known = theirs
    if source >= 0:
        other = slots.slots[source]
        copy_cache(read_config(t.header), layers_of(t.header, t.model.sections), slot.cache, slot.positions,
                   other.cache, other.positions, known)
        slot.reach = other.reach
    if known == 0:
        slot.reach = 0
    copy_bytes(slot.tokens, address_of(ids), 8 * n)
    slot.stage = READING
    slot.n = n
    slot.cached = known
    slot.turn = slots.passes
    slot.began = cycles()
    slot.answer.n_prompt = n
    slot.answer.n_cached = known
    slot.answer.n_made = 0


def take_terms(t: Talk, slot: Slot, most: int) -> None:
    """Make the answer as its `terms` say, until there are `most` ids."""
    terms = slot.terms
    slot.most = most
    choice = slot.choice
    choice.tokens = slot.tokens
    choice.spared = slot.answer.n_prompt
    choice.top_k = terms.top_k
    choice.temperature = terms.temperature
    choice.top_p = terms.top_p
    choice.min_p = terms.min_p
    choice.repeat = terms.repeat
    slot.answer.seed = terms.seed if terms.seed != 0 else (cycles() >> 1) & ((1 << 53) - 1) | 1
    choice.rng[0] = u64(slot.answer.seed)


def count_read(slot: Slot, n: int) -> None:
    """n ids more are read."""
    slot.cached += n
    slot.reach = max(slot.reach, slot.cached)


def free_slot(slot: Slot) -> None:
    """Nobody waits for its answer any more; what it has read stays."""
    slot.stage = FREE


def count_busy(slots: Slots) -> int:
    """How many answers are made."""
    n = 0
    for k in range(slots.n):
        n += int(slots.slots[k].stage != FREE)
    return n
