"""Several cores on one forward pass: every core runs the same code, takes its share, and meets the others.

Work is split over rows, heads and tokens, never inside a sum, so the bits do not depend on the number of cores, nor on
who does how much.
"""

from typing import NamedTuple

from barelm.contract.board import LINE_WORDS, Pace
from barelm.dialect.memory import atomic_add, atomic_load, atomic_store
from barelm.dialect.processor import call_efi, cycles, pause
from barelm.dialect.types import I64, f32
from barelm.kernels.limits import multiply_floats

ARRIVED = 0
GENERATION = 8
ROUNDS = 200
WEIGHING_CYCLES = 50_000_000
"""Some twenty milliseconds: a core that slept takes a while to be as fast as it can."""
NEARLY = 8
"""Cores within an eighth of the fastest get equal parts."""
WHOLE_PART = 1024

GATE_WORDS = 16  # the two words lie on cache lines of their own


class Team(NamedTuple):
    """Who this core is, how many there are, the gate where they meet, and the pace they keep."""

    core: int
    n_cores: int
    gate: I64  # (GATE_WORDS)
    pace: Pace


def share(n: int, team: Team) -> tuple[int, int]:
    """The half-open range of 0..n that is this core's."""
    edges = team.pace.edges
    whole = edges[team.n_cores]
    if whole == 0:
        return n * team.core // team.n_cores, n * (team.core + 1) // team.n_cores
    return n * edges[team.core] // whole, n * edges[team.core + 1] // whole


def meet(team: Team) -> None:
    """Wait until every core of the team is here; what each wrote before is then seen by all.

    Once core 0 has waited for longer than the limit, nobody waits any more: `Pace.lost` says that what is computed is
    nothing.
    """
    if team.n_cores == 1:
        return
    lost = team.pace.lost
    generation = atomic_load(team.gate, GENERATION)
    if atomic_add(team.gate, ARRIVED, 1) + 1 == team.n_cores:
        atomic_store(team.gate, ARRIVED, 0)
        atomic_store(team.gate, GENERATION, generation + 1)
    else:
        turn = 0
        began = cycles()
        while atomic_load(team.gate, GENERATION) == generation and atomic_load(lost, 0) == 0:
            turn = bide(turn, team.pace)
            if team.core == 0 and team.pace.limit > 0 and cycles() - began > team.pace.limit:
                atomic_store(lost, 0, 1)


def bide(turn: int, pace: Pace) -> int:
    """A turn of waiting, counted from 0; returns the next.

    Where processors are threads of a busy host, whoever is waited for may wait for this one's processor.
    """
    if pace.give_way == 0 or turn < pace.patience:
        pause()
    else:
        call_efi(pace.give_way, ())
    return turn + 1


def time_core(team: Team) -> None:
    """Note how many cycles a piece of work takes this core while the others do the same: the fewest of many times."""
    at = team.core * LINE_WORDS
    meet(team)
    result = f32(1)
    best = -1
    start = cycles()
    began = start
    while began - start < WEIGHING_CYCLES:
        result = multiply_floats(ROUNDS, result)
        now = cycles()
        best = now - began if best < 0 else min(best, now - began)
        began = now
    team.pace.took[at] = best
    team.pace.took[at + 1] = int(result)  # what nobody asks for is not computed
    meet(team)


def set_parts(pace: Pace, n_cores: int) -> None:
    """Give each core as much to do as it is fast, by what `time_core` noted; the same to all that nearly are."""
    fastest = pace.took[0]
    slowest = fastest
    for core in range(n_cores):
        fastest = min(fastest, pace.took[core * LINE_WORDS])
        slowest = max(slowest, pace.took[core * LINE_WORDS])
    alike = fastest <= 0 or slowest * NEARLY <= fastest * (NEARLY + 1)
    for core in range(len(pace.edges) - 1):
        pace.edges[core + 1] = 0
        if core < n_cores and not alike:
            part = fastest * WHOLE_PART // pace.took[core * LINE_WORDS]
            pace.edges[core + 1] = pace.edges[core] + max(part, 1)
