"""Passes over the weights for all answers at a time.

Every pass makes the next token of each answer, and reads of the prompts as much as fits beside: the shortest rest
first, so that a tiny request waits for a pass and not for a long prompt.
"""

from barelm.contract import board
from barelm.contract.board import Batch
from barelm.contract.serving.slot_state import MAKING, READING, Slot, Slots
from barelm.dialect.processor import cycles
from barelm.metal.conversation.talk import Talk
from barelm.metal.processors.cores import command
from barelm.metal.serving.slots import count_read


def run_pass(t: Talk, slots: Slots, batch: Batch) -> bool:
    """One pass; afterwards `row` of a slot says where the logits for its next token are.  False: nothing is to do."""
    plan_pass(t, slots, batch)
    if batch.n_runs == 0:
        return False
    command(t.job, board.PASS, 0)
    slots.passes += 1
    return True


def plan_pass(t: Talk, slots: Slots, batch: Batch) -> None:
    """Which tokens are read in the next pass."""
    batch.n_runs = 0
    left = t.header.batch
    n_rows = 0
    for k in range(slots.n):
        slot = slots.slots[k]
        slot.row = -1
        if slot.stage == MAKING and slot.paused == 0:
            slot.row = n_rows
            n_rows += 1
            left -= 1
            add_run(batch, slot, 1)
    while left > 0 and batch.n_runs < board.MOST_RUNS:
        shortest = -1
        for k in range(slots.n):
            slot = slots.slots[k]
            if slot.stage == READING and slot.cached < slot.n and slot.planned == 0 and (
                    shortest < 0 or slot.n - slot.cached < slots.slots[shortest].n - slots.slots[shortest].cached):
                shortest = k
        if shortest < 0:
            break
        slot = slots.slots[shortest]
        slot.planned = 1
        n = min(slot.n - slot.cached, left)
        left -= n
        if slot.cached + n == slot.n:
            slot.row = n_rows
            n_rows += 1
        add_run(batch, slot, n)
    for k in range(slots.n):
        slots.slots[k].planned = 0


def add_run(batch: Batch, slot: Slot, n: int) -> None:
    """Read the next n ids of a slot."""
    run = batch.runs[batch.n_runs]
    run.tokens = slot.tokens
    run.cache = slot.cache
    run.positions = slot.positions
    run.first = slot.cached
    run.n = n
    run.n_logits = int(slot.row >= 0)
    batch.n_runs += 1
    count_read(slot, n)


def choose_token(t: Talk, slot: Slot) -> int:
    """The next token of a slot, from the logits of the pass before."""
    slot.choice.n = slot.n
    t.job.choice = slot.choice.address
    t.job.row = slot.row
    token = command(t.job, board.CHOOSE_FOR, 0)
    t.job.row = 0
    if slot.stage == READING:
        slot.stage = MAKING
        slot.read = cycles()
    return token
