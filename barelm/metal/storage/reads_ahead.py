"""Reads of the model that are under way while an earlier part is summed (UEFI 13.5.8): two at a time, of one size.

Not every firmware has them, and it may refuse one at any time: then the part is read as all are without, and no other
is asked for ahead.  What is under way is always waited for, since nothing takes a read back.
"""

from barelm.contract import uefi
from barelm.contract.storage_state import ModelParts, ReadsAhead
from barelm.dialect.processor import cycles
from barelm.dialect.rooms import Failure
from barelm.metal.storage.model_parts import start_part
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.timers import check_event, close_event, create_event

MOST_AHEAD = 2
PATIENCE_MS = 20_000
"""How long a read may take; the slowest sticks give a megabyte, which is a read, in two seconds."""


def open_ahead(fw: Firmware, ahead: ReadsAhead, cycles_per_ms: int) -> None:
    """Have an event for each read, where the firmware gives them."""
    ahead.on = 1
    ahead.patience = PATIENCE_MS * cycles_per_ms
    for k in range(MOST_AHEAD):
        ahead.tokens[k].event = create_event(fw)
        if ahead.tokens[k].event == 0:
            ahead.on = 0


def close_ahead(fw: Firmware, ahead: ReadsAhead) -> None:
    """Give the events back; every file is closed, or nothing is under way."""
    ahead.on = 0
    for k in range(MOST_AHEAD):
        close_event(fw, ahead.tokens[k].event)
        ahead.tokens[k].event = 0


def start_ahead(ahead: ReadsAhead, parts: ModelParts, offset: int, target: int, end: int, size: int) -> None:
    """Start what can be of the reads of `size` up to `end` of a section at `offset` of the model, for an address."""
    status = uefi.EFI_SUCCESS
    while ahead.on != 0 and ahead.asked < end and status == 0:
        token = ahead.tokens[ahead.asked // size % MOST_AHEAD]
        token.status = 0
        token.buffer_size = min(size, end - ahead.asked)
        token.buffer = target + ahead.asked
        n = token.buffer_size
        status = start_part(parts, offset + ahead.asked, token)
        if status == 0:
            ahead.asked += n
        elif status != uefi.EFI_ABORTED:
            ahead.on = 0


def came_ahead(fw: Firmware, ahead: ReadsAhead, done: int, n_bytes: int, size: int) -> bool:
    """Wait for the read at `done` of the section; False where there is none, or it failed and nothing is under way."""
    if done >= ahead.asked:
        return False
    token = ahead.tokens[done // size % MOST_AHEAD]
    wait_for(fw, ahead, token.event)
    if token.status == 0 and token.buffer_size == n_bytes:
        return True
    ahead.on = 0
    if done + n_bytes < ahead.asked:
        wait_for(fw, ahead, ahead.tokens[(done // size + 1) % MOST_AHEAD].event)
    ahead.asked = done
    return False


def wait_for(fw: Firmware, ahead: ReadsAhead, event: int) -> None:
    """Until a read is done; raises where that takes too long."""
    began = cycles()
    signaled = check_event(fw, event)
    while signaled != 1:
        if signaled < 0 or cycles() - began > ahead.patience:
            raise Failure(uefi.EFI_TIMEOUT, "the disk does not answer while the model is read",
                          "Switch the machine off and on, or try another stick or port.")
        signaled = check_event(fw, event)
