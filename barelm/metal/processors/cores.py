"""All processors at work: woken once through MP Services, then spinning on the board.  No mathematics here.

Waking is slow and firmware is not re-entrant, so workers are started once, never call a service, and go home at the
end.  The team does without one that does not start within WAIT_MS.
"""

from barelm.contract import board, uefi
from barelm.contract.board import LINE_WORDS, Board, Job, Pace
from barelm.contract.settings import CLOCK_HIGHEST, SettingsView
from barelm.dialect.memory import atomic_add, atomic_load, atomic_store
from barelm.dialect.processor import call_engine, cpu_level, cycles, enable_vectors, raise_clock
from barelm.dialect.rooms import Failure
from barelm.dialect.types import I64
from barelm.kernels.team import bide, set_parts
from barelm.metal.processors.lost_core import compute_alone, leave_the_lost
from barelm.metal.processors.orders import ANSWERED, give_order, pace_of
from barelm.metal.uefi.boot_services import Firmware, stall
from barelm.metal.uefi.handles import locate_protocol
from barelm.metal.uefi.mp_services import count_processors, start_workers
from barelm.metal.uefi.timers import check_event, close_event

WAIT_MS = 500
RETRY_US = 10000
HOME_MS = 5000
"""How long a worker may take to come home: on a PC it takes none, in a process on a busy host it waits its turn."""


def gather_team(fw: Firmware, job: Job, limit: int, per_ms: int) -> int:
    """Wake the other processors, up to `limit` in all (0: no limit); returns how many compute, this one included."""
    mp = locate_protocol(fw, uefi.MP_SERVICES_PROTOCOL)
    if mp == 0 or limit == 1 or job.lost != 0 or not all_gone(job):
        return 1
    _, enabled = count_processors(mp)
    wanted = min(enabled, limit) if limit > 0 else enabled
    if wanted <= 1:
        return 1
    atomic_store(job.order, 0, 0)
    atomic_store(job.claims, 0, 0)
    event = start_workers(fw, mp, job.address)
    if event == 0:
        return 1
    close_event(fw, job.team_event)  # of a team before this one, which is home
    job.team_event = event
    job.started += enabled - 1
    deadline = cycles() + WAIT_MS * per_ms
    turn = 0
    while atomic_load(job.claims, 0) < wanted - 1 and cycles() < deadline:
        turn = bide(turn, pace_of(job))
    came = atomic_add(job.claims, 0, board.CLOSED)
    return 1 + min(came, wanted - 1)


def processors_present(fw: Firmware) -> tuple[int, int]:
    """How many processors there are, and how many of them are enabled; one where nobody says."""
    mp = locate_protocol(fw, uefi.MP_SERVICES_PROTOCOL)
    return count_processors(mp) if mp != 0 else (1, 1)


def worker(address: int) -> int:
    """What another processor runs, given the board's address: claim a number, then work until told to stop.

    One that lacks the level of the team goes home.
    """
    b = Board(address)
    job = b.job
    if cpu_level(job.level) >= job.level:
        core = atomic_add(job.claims, 0, 1) + 1
        if core < board.CLOSED:
            ready_core(job, b.settings)
            work(job, core, pace_of(job))
    atomic_add(job.gone, 0, 1)  # from here on the board may be gone
    return 0


def ready_core(job: Job, settings: SettingsView) -> int:
    """What every core does before it computes: vectors on, the clock up; returns by what that was asked for."""
    enable_vectors(job.level)
    return raise_clock() if settings.clock == CLOCK_HIGHEST else 0


def work(job: Job, core: int, pace: Pace) -> None:
    """Run every command, as core number `core`, until told to stop."""
    done = 0
    turn = 0
    while True:
        order = atomic_load(job.order, 0)
        if order == done:
            turn = bide(turn, pace)
            continue
        done = order
        turn = 0
        if job.command == board.STOP or core >= job.team:
            return
        if core < order & board.ORDER_CORES:
            call_engine(job.level, job.address, core)
            atomic_store(pace.took, core * LINE_WORDS + ANSWERED, order)


def command(job: Job, what: int, position: int) -> int:
    """Run a command on the whole team; returns what this core's engine returned."""
    job.command = what
    job.position = position
    if what == board.PREFILL:
        job.cached = cached_of(job, job.cached)
    if job.n_cores > 1 and what != board.CHOOSE and what != board.CHOOSE_FOR:
        give_order(job, job.n_cores)
    result = call_engine(job.level, job.address, 0)
    if job.n_cores > 1 and atomic_load(pace_of(job).lost, 0) != 0:
        if what == board.PASS:
            raise Failure(uefi.EFI_TIMEOUT, "a processor does not answer any more",
                          "Start the machine again, with cores = 1 in barelm.toml where that does not help.")
        leave_the_lost(Board(job.address))
        result = compute_alone(job, what, position)
    if what == board.PREFILL:
        count_read(job, position)
    elif what == board.DECODE:
        count_read(job, position + 1 + job.guessed)
    return result


def count_read(job: Job, n: int) -> None:
    """The first n positions are cached now."""
    job.reach = max(job.reach, n) if job.cached > 0 else n
    job.cached = n


def cached_of(job: Job, n: int) -> int:
    """How many of the first n positions can be gone on from; 0 where layers with a window have forgotten too much."""
    n = min(n, job.cached)
    return 0 if job.slack > 0 and job.reach - n > job.slack else n


def count_cached(job: Job, n: int) -> None:
    """The first n positions are those of a saved cache, which may have reached as far beyond as is allowed."""
    job.cached = n
    job.reach = n + job.slack


def place(job: Job, tokens: I64, at: int, token: int) -> None:
    """Put an id of the session at a position; from the first that differs on, nothing is cached."""
    if tokens[at] != token:
        job.cached = min(job.cached, at)
    tokens[at] = token


def rest_team(job: Job, per_ms: int) -> None:
    """Send the workers back to the firmware while nobody asks for anything.

    Once they are home none looks at the board or the model's memory any more, as one does that leaves a barrier last.
    """
    if job.team <= 1 or job.resting != 0:
        return
    job.command = board.STOP
    give_order(job, job.team)
    deadline = cycles() + HOME_MS * per_ms
    turn = 0
    while not all_gone(job) and cycles() < deadline:
        turn = bide(turn, pace_of(job))
    job.resting = job.n_cores
    job.n_cores = 1


def all_gone(job: Job) -> bool:
    """Whether every worker that was ever started has left this program, those that came too late among them."""
    return atomic_load(job.gone, 0) == job.started


def send_home(fw: Firmware, job: Job, per_ms: int) -> bool:
    """Send the workers home for good; False where one does not come: then what it may touch must stay.

    The firmware says when all are home; where it cannot be asked, the moment is awaited in which the last one returns.
    """
    rest_team(job, per_ms)
    if job.team_event == 0:
        return True
    deadline = cycles() + HOME_MS * per_ms
    signaled = check_event(fw, job.team_event)
    while cycles() < deadline and (signaled == 0 or not all_gone(job)):
        stall(fw, RETRY_US)
        signaled = check_event(fw, job.team_event) if signaled == 0 else signaled
    return all_gone(job) and signaled != 0


def wake_team(fw: Firmware, job: Job, limit: int, per_ms: int) -> None:
    """Have them back, up to `limit` in all.  The firmware may need a moment to notice that they are home."""
    if job.resting == 0:
        return
    deadline = cycles() + WAIT_MS * per_ms
    job.team = 1
    while job.team == 1 and job.lost == 0 and cycles() < deadline:
        job.team = gather_team(fw, job, limit, per_ms)
        if job.team == 1:
            stall(fw, RETRY_US)
    job.n_cores = min(job.resting, job.team)
    if job.team > 1:
        job.resting = 0  # else they are asked again before the next answer
        weigh_cores(job)


def weigh_cores(job: Job) -> None:
    """Find out how fast the cores that compute are, and share the work among them accordingly.

    Not where they are threads: which processor one runs on changes all the time.
    """
    if job.n_cores > 1 and pace_of(job).give_way == 0:
        command(job, board.WEIGH, 0)
        set_parts(pace_of(job), job.n_cores)
