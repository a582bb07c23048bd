"""Orders to the team: what stands on the board, and the word that says so."""

from barelm.contract import board
from barelm.contract.board import Board, Job, Pace
from barelm.dialect.memory import atomic_load, atomic_store

PATIENCE = 100
"""Turns, together some thousands of cycles: cores that all run wait no longer for each other."""
ANSWERED = 2
"""The word of a core's line (`Pace.took`) where it notes which order it has carried out."""


def pace_of(job: Job) -> Pace:
    """That of the board the job is on."""
    return Board(job.address).pace


def give_order(job: Job, n_cores: int) -> None:
    """Have the first cores of the team do what stands on the board; the others must not even look at it."""
    pace = pace_of(job)
    pace.patience = PATIENCE if n_cores <= pace.at_once else 0
    count = (atomic_load(job.order, 0) >> board.ORDER_BITS) + 1
    atomic_store(job.order, 0, count << board.ORDER_BITS | n_cores)
