"""A core that stopped answering: the machine goes on without it, and without the others.

What is lost may come back at any time and go on with what it was about.  So this core goes on in a state of its own,
and the old one, as all that a lost core may touch, is given to nobody.
"""

from barelm.contract import board, uefi
from barelm.contract.board import LINE_WORDS, Board, Job
from barelm.contract.layout import Header
from barelm.dialect.memory import address_of, atomic_load, copy_bytes, fill_bytes, memory
from barelm.dialect.processor import call_engine, cycles
from barelm.dialect.rooms import Failure
from barelm.kernels.decoder.state import bind_transcript
from barelm.metal import arena
from barelm.metal.processors.orders import ANSWERED, give_order
from barelm.metal.uefi.boot_services import keep_account, open_firmware

LOST_MS = 15_000
"""How long the others are waited for: longer than a busy host takes a processor away, or firmware of its own."""
REST_OF_PASS_MS = 200


def leave_the_lost(b: Board) -> None:
    """Note which core is lost, send the others home, and have a state of one's own, the session's ids in it."""
    job = b.job
    job.lost = first_silent(b)
    job.command = board.STOP
    give_order(job, job.team)
    job.team = 1
    job.n_cores = 1
    job.cached = 0
    job.reach = 0
    header = Header(b.model.header)
    fw = keep_account(open_firmware(b.image, b.table), b.ledger)
    state = arena.take(fw, b.figures, header.state_bytes)
    if state == 0:
        raise Failure(uefi.EFI_TIMEOUT,
                      "a processor does not answer any more, and there is no memory to go on without it",
                      "Start again with cores = 1 in barelm.toml.")
    fill_bytes(state, 0, header.state_bytes)
    ours = bind_transcript(header, memory(state, header.state_bytes))
    theirs = bind_transcript(header, memory(b.model.state, header.state_bytes))
    copy_bytes(address_of(ours.tokens), address_of(theirs.tokens), 8 * len(ours.tokens))
    ours.rng[0] = theirs.rng[0]
    b.model.state = state


def first_silent(b: Board) -> int:
    """The number of the first core that has not carried the last order out, when the others had time to."""
    order = atomic_load(b.job.order, 0)
    deadline = cycles() + REST_OF_PASS_MS * b.figures.cycles_per_ms
    core = 1
    while core < b.job.n_cores and cycles() < deadline:
        core = 1
        while core < b.job.n_cores and atomic_load(b.pace.took, core * LINE_WORDS + ANSWERED) == order:
            core += 1
    return min(core, b.job.n_cores - 1)


def compute_alone(job: Job, what: int, position: int) -> int:
    """The command that the team did not carry out, by this core; what comes before it is read again."""
    if what == board.DECODE and position > 0:
        job.command = board.PREFILL
        job.position = position
        call_engine(job.level, job.address, 0)
        job.cached = position
    job.command = what
    job.position = position
    return call_engine(job.level, job.address, 0)
