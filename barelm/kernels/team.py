"""Several cores on one forward pass: every core runs the same code, takes its share, and meets the others.

Work is split over rows, heads and tokens, never inside a sum, so the bits do not depend on the number of cores.
"""

from typing import NamedTuple

from barelm.dialect.memory import atomic_add, atomic_load, atomic_store
from barelm.dialect.processor import pause
from barelm.dialect.types import I64

ARRIVED = 0
GENERATION = 8
GATE_WORDS = 16  # the two words lie on cache lines of their own


class Team(NamedTuple):
    """Who this core is, how many there are, and the gate where they meet."""

    core: int
    n_cores: int
    gate: I64  # (GATE_WORDS)


def share(n: int, team: Team) -> tuple[int, int]:
    """The half-open range of 0..n that is this core's."""
    return n * team.core // team.n_cores, n * (team.core + 1) // team.n_cores


def meet(team: Team) -> None:
    """Wait until every core of the team is here; what each wrote before is then seen by all."""
    if team.n_cores == 1:
        return
    generation = atomic_load(team.gate, GENERATION)
    if atomic_add(team.gate, ARRIVED, 1) + 1 == team.n_cores:
        atomic_store(team.gate, ARRIVED, 0)
        atomic_store(team.gate, GENERATION, generation + 1)
    else:
        while atomic_load(team.gate, GENERATION) == generation:
            pause()
