"""Every processor on the work: woken once through MP Services, then spinning on the board.  Knows no mathematics.

Waking is slow and firmware is not re-entrant, so workers are started once, never call a service, and go home at the
end.  One that does not come within WAIT_MS is done without.
"""

from __future__ import annotations

from barelm.contract import uefi
from barelm.dialect.memory import address_of, atomic_add, atomic_load, atomic_store, i64_array, memory
from barelm.dialect.processor import call_engine, cycles, enable_vectors, pause
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64
from barelm.metal import board
from barelm.metal.uefi.boot_services import Firmware, count_processors, locate_protocol, stall, start_workers
from barelm.metal.uefi.device_protocols import close_event

WAIT_MS = 500
RETRY_US = 10000
HOME_MS = 5000
"""How long a worker may take to come home: on a PC it takes none, in a process on a busy host it waits its turn."""


@metal
def gather_team(fw: Firmware, b: I64, limit: int, per_ms: int) -> int:
    """Wake the other processors, up to `limit` in all (0: no limit); returns how many compute, this one included."""
    mp = locate_protocol(fw, uefi.MP_SERVICES_PROTOCOL)
    if mp == 0 or limit == 1:
        return 1
    wanted = count_processors(mp)[1]
    if limit > 0 and limit < wanted:
        wanted = limit
    if wanted <= 1:
        return 1
    status, event = start_workers(fw, mp, address_of(b))
    if status < 0:
        close_event(fw, event)
        return 1
    close_event(fw, b[board.TEAM_EVENT])  # of a team before this one, which is home
    b[board.TEAM_EVENT] = event
    deadline = cycles() + WAIT_MS * per_ms
    while atomic_load(b, board.CLAIMS) < wanted - 1 and cycles() < deadline:
        pause()
    came = atomic_add(b, board.CLAIMS, board.CLOSED)
    return 1 + min(came, wanted - 1)


@metal
def processors_present(fw: Firmware) -> tuple[int, int]:
    """How many processors there are, and how many of them are enabled; one where nobody says."""
    mp = locate_protocol(fw, uefi.MP_SERVICES_PROTOCOL)
    if mp == 0:
        return 1, 1
    return count_processors(mp)


@metal
def worker(job: int) -> int:
    """The life of another processor: claim a number, then run every command until told to stop."""
    b = i64_array(memory(job, board.BYTES), 0, board.WORDS)
    core = atomic_add(b, board.CLAIMS, 1) + 1
    if core < board.CLOSED:
        work(b, job, core)
    atomic_add(b, board.CLAIMS, -1)  # from here on the board may be gone
    return 0


@metal
def work(b: I64, job: int, core: int) -> None:
    """Run every command, as core number `core`, until told to stop."""
    enable_vectors(b[board.LEVEL])
    done = 0
    while True:
        order = atomic_load(b, board.ORDER)
        if order == done:
            pause()
            continue
        done = order
        if b[board.COMMAND] == board.STOP or core >= b[board.TEAM]:
            return
        if core < order & board.ORDER_CORES:
            call_engine(b[board.LEVEL], job, core)


@metal
def command(b: I64, what: int, position: int) -> int:
    """Run a command on the whole team; returns what this core's engine returned."""
    b[board.COMMAND] = what
    b[board.POSITION] = position
    if b[board.N_CORES] > 1 and what != board.CHOOSE:
        give_order(b, b[board.N_CORES])
    result = call_engine(b[board.LEVEL], address_of(b), 0)
    if what == board.PREFILL:
        b[board.CACHED] = position
    elif what == board.DECODE:
        b[board.CACHED] = position + 1
    return result


@metal
def give_order(b: I64, n_cores: int) -> None:
    """Have the first cores of the team do what stands on the board; the others must not even look at it."""
    count = (atomic_load(b, board.ORDER) >> board.ORDER_BITS) + 1
    atomic_store(b, board.ORDER, count << board.ORDER_BITS | n_cores)


@metal
def dismiss_team(b: I64) -> None:
    """Send the workers back to the firmware, and wait until none needs the board: it is given back next."""
    if b[board.RESTING] != 0:
        return
    b[board.COMMAND] = board.STOP
    give_order(b, b[board.TEAM])
    deadline = cycles() + HOME_MS * b[board.CYCLES_PER_MS]
    while atomic_load(b, board.CLAIMS) & (board.CLOSED - 1) > 0 and cycles() < deadline:
        pause()


@metal
def rest_team(b: I64) -> None:
    """Send the workers home while nobody asks for anything: they would spin, and warm the room.

    Once they are home none looks at the model's memory any more, as one does that leaves a barrier last.
    """
    if b[board.TEAM] <= 1 or b[board.RESTING] != 0:
        return
    dismiss_team(b)
    b[board.RESTING] = b[board.N_CORES]
    b[board.N_CORES] = 1
    if atomic_load(b, board.CLAIMS) == board.CLOSED:
        atomic_store(b, board.ORDER, 0)
        atomic_store(b, board.CLAIMS, 0)


@metal
def wake_team(fw: Firmware, b: I64) -> None:
    """Have them back.  The firmware may need a moment to notice that they are home."""
    if b[board.RESTING] == 0:
        return
    deadline = cycles() + WAIT_MS * b[board.CYCLES_PER_MS]
    b[board.TEAM] = 1
    while atomic_load(b, board.CLAIMS) == 0 and b[board.TEAM] == 1 and cycles() < deadline:
        b[board.TEAM] = gather_team(fw, b, b[board.CORES], b[board.CYCLES_PER_MS])
        if b[board.TEAM] == 1:
            stall(fw, RETRY_US)
    b[board.N_CORES] = min(b[board.RESTING], b[board.TEAM])
    b[board.RESTING] = 0
