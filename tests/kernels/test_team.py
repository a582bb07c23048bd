"""How the work is shared among cores of unequal speed, and how they wait for one another."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract.board import LINE_WORDS, Pace
from barelm.kernels import team
from barelm.kernels.team import GATE_WORDS, Team
from tests.worlds import World, both_worlds, equal_parts, jit


def paced(*took: int) -> Pace:
    """The pace of cores that took so many cycles each."""
    pace = equal_parts()
    for core, cycles in enumerate(took):
        pace.took[core * LINE_WORDS] = cycles
    team.set_parts(pace, len(took))
    return pace


def parts(n: int, pace: Pace, n_cores: int) -> list[tuple[int, int]]:
    """What each core has of n."""
    gate = np.zeros(GATE_WORDS, np.int64)
    return [jit(team.share)(n, Team(core, n_cores, gate, pace)) for core in range(n_cores)]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=64), st.integers(0, 5000))
def test_whatever_the_speeds_all_is_done_once_and_in_order(took: list[int], n: int) -> None:
    pace = paced(*took)
    for n_cores in {1, len(took) // 2, len(took)} - {0}:
        assert [i for lo, hi in parts(n, pace, n_cores) for i in range(lo, hi)] == list(range(n))


def test_a_core_half_as_fast_does_half_as_much() -> None:
    sizes = [hi - lo for lo, hi in parts(300, paced(1000, 1000, 2000, 2000), 4)]
    assert sizes == [100, 100, 50, 50]


def test_nearly_equal_cores_do_equally_much() -> None:
    assert not paced(1000, 1100, 1050, 1001).edges.any()
    assert not paced(0, 0).edges.any(), "nothing was measured"
    assert paced(1000, 1200).edges.any()
    pace = paced(1000, 3000)
    pace.took[LINE_WORDS] = 1000
    team.set_parts(pace, 2)
    assert not pace.edges.any(), "what was measured before counts no more"


@both_worlds
def test_a_core_is_timed(world: World) -> None:
    pace = equal_parts()
    world(team.time_core)(Team(0, 1, np.zeros(GATE_WORDS, np.int64), pace))
    assert pace.took[0] > 0 and not pace.took[LINE_WORDS:].any()


@both_worlds
@pytest.mark.parametrize("patience", [0, 3])
def test_whoever_waits_long_gives_way(world: World, patience: int) -> None:
    calls: list[int] = []
    callback = ctypes.CFUNCTYPE(ctypes.c_int64)(lambda: calls.append(1) or 0)
    pace = equal_parts()
    pace.patience = patience
    assert world(team.bide)(7, pace) == 8 and calls == [], "nobody to give way to"
    pace.give_way = ctypes.cast(callback, ctypes.c_void_p).value or 0
    turn = 0
    for _ in range(5):
        turn = world(team.bide)(turn, pace)
    assert turn == 5 and len(calls) == 5 - patience
