"""Every processor on the work: woken once through MP Services, then spinning on the board.  Knows no mathematics.

Waking is slow and firmware is not re-entrant, so workers are started once, never call a service, and go home at the
end.  One that does not come within WAIT_MS is done without.
"""

from __future__ import annotations

from barelm.contract import board, uefi
from barelm.contract.board import Board
from barelm.dialect.memory import atomic_add, atomic_load, atomic_store
from barelm.dialect.processor import call_engine, cycles, pause
from barelm.dialect.rooms import metal
from barelm.metal.processors.cpu import enable_vectors
from barelm.metal.uefi.boot_services import Firmware, stall
from barelm.metal.uefi.handles import locate_protocol
from barelm.metal.uefi.mp_services import count_processors, start_workers
from barelm.metal.uefi.timers import close_event

WAIT_MS = 500
RETRY_US = 10000
HOME_MS = 5000
"""How long a worker may take to come home: on a PC it takes none, in a process on a busy host it waits its turn."""


@metal
def gather_team(fw: Firmware, b: Board, limit: int, per_ms: int) -> int:
    """Wake the other processors, up to `limit` in all (0: no limit); returns how many compute, this one included."""
    mp = locate_protocol(fw, uefi.MP_SERVICES_PROTOCOL)
    if mp == 0 or limit == 1:
        return 1
    wanted = count_processors(mp)[1]
    if limit > 0 and limit < wanted:
        wanted = limit
    if wanted <= 1:
        return 1
    status, event = start_workers(fw, mp, b.address)
    if status < 0:
        close_event(fw, event)
        return 1
    close_event(fw, b.job.team_event)  # of a team before this one, which is home
    b.job.team_event = event
    deadline = cycles() + WAIT_MS * per_ms
    while atomic_load(b.job.claims, 0) < wanted - 1 and cycles() < deadline:
        pause()
    came = atomic_add(b.job.claims, 0, board.CLOSED)
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
    b = Board(job)
    core = atomic_add(b.job.claims, 0, 1) + 1
    if core < board.CLOSED:
        work(b, job, core)
    atomic_add(b.job.claims, 0, -1)  # from here on the board may be gone
    return 0


@metal
def work(b: Board, job: int, core: int) -> None:
    """Run every command, as core number `core`, until told to stop."""
    enable_vectors(b.job.level)
    done = 0
    while True:
        order = atomic_load(b.job.order, 0)
        if order == done:
            pause()
            continue
        done = order
        if b.job.command == board.STOP or core >= b.job.team:
            return
        if core < order & board.ORDER_CORES:
            call_engine(b.job.level, job, core)


@metal
def command(b: Board, what: int, position: int) -> int:
    """Run a command on the whole team; returns what this core's engine returned."""
    b.job.command = what
    b.job.position = position
    if b.job.n_cores > 1 and what != board.CHOOSE:
        give_order(b, b.job.n_cores)
    result = call_engine(b.job.level, b.address, 0)
    if what == board.PREFILL:
        b.job.cached = position
    elif what == board.DECODE:
        b.job.cached = position + 1
    return result


@metal
def give_order(b: Board, n_cores: int) -> None:
    """Have the first cores of the team do what stands on the board; the others must not even look at it."""
    count = (atomic_load(b.job.order, 0) >> board.ORDER_BITS) + 1
    atomic_store(b.job.order, 0, count << board.ORDER_BITS | n_cores)


@metal
def dismiss_team(b: Board) -> None:
    """Send the workers back to the firmware, and wait until none needs the board: it is given back next."""
    if b.job.resting != 0:
        return
    b.job.command = board.STOP
    give_order(b, b.job.team)
    deadline = cycles() + HOME_MS * b.figures.cycles_per_ms
    while atomic_load(b.job.claims, 0) & (board.CLOSED - 1) > 0 and cycles() < deadline:
        pause()


@metal
def rest_team(b: Board) -> None:
    """Send the workers home while nobody asks for anything: they would spin, and warm the room.

    Once they are home none looks at the model's memory any more, as one does that leaves a barrier last.
    """
    if b.job.team <= 1 or b.job.resting != 0:
        return
    dismiss_team(b)
    b.job.resting = b.job.n_cores
    b.job.n_cores = 1
    if atomic_load(b.job.claims, 0) == board.CLOSED:
        atomic_store(b.job.order, 0, 0)
        atomic_store(b.job.claims, 0, 0)


@metal
def wake_team(fw: Firmware, b: Board) -> None:
    """Have them back.  The firmware may need a moment to notice that they are home."""
    if b.job.resting == 0:
        return
    deadline = cycles() + WAIT_MS * b.figures.cycles_per_ms
    b.job.team = 1
    while atomic_load(b.job.claims, 0) == 0 and b.job.team == 1 and cycles() < deadline:
        b.job.team = gather_team(fw, b, b.settings.cores, b.figures.cycles_per_ms)
        if b.job.team == 1:
            stall(fw, RETRY_US)
    b.job.n_cores = min(b.job.resting, b.job.team)
    b.job.resting = 0
