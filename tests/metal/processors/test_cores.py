"""The team: who comes, who is done without, and that an order for a few cores is carried out by these alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract import board, uefi
from barelm.contract.board import Board, Job
from barelm.contract.uefi_protocols import MpServices
from barelm.metal.processors import cores, orders
from barelm.metal.processors.cores import (
    command,
    gather_team,
    processors_present,
    rest_team,
    wake_team,
    weigh_cores,
    worker,
)
from tests.metal.fake import ERROR, FakeFirmware, store
from tests.metal.volumes import Table

PER_MS = 10**6


class Crowd:
    """MP Services whose processors are threads of this process."""

    def __init__(self, patch: pytest.MonkeyPatch, n: int, *, starts: bool = True) -> None:
        self.b = Board.over(np.zeros(Board.BYTES, np.uint8))
        self.b.job.team = self.b.job.n_cores = 1
        self.n, self.starts, self.n_started = n, starts, 0
        self.threads: list[threading.Thread] = []
        self.ran: list[tuple[int, int]] = []  # core, command
        self.firmware = FakeFirmware()
        services = Table(MpServices)
        services.serve("get_number_of_processors", self.count)
        services.serve("startup_all_aps", self.start)
        self._services = services
        self.firmware.boot.serve("locate_protocol", self.locate)
        self.events: list[int] = []
        self.firmware.boot.serve("create_event", self.create_event)
        self.firmware.boot.serve("close_event", self.close_event)
        patch.setattr("barelm.metal.uefi.mp_services.worker_entry", lambda: 1)
        patch.setattr(cores, "call_engine", self.engine)
        patch.setattr(cores, "enable_vectors", lambda level: None)
        patch.setattr(cores, "bide", lambda turn, give_way: time.sleep(0.0005) or turn + 1)

    def locate(self, guid: int, key: int, place: int) -> int:
        store(place, self._services.address)
        return 0

    def count(self, this: int, present: int, enabled: int) -> int:
        store(present, self.n + 1)
        store(enabled, self.n)
        return 0

    def close_event(self, event: int) -> int:
        self.events.remove(event)
        return 0

    def create_event(self, kind: int, tpl: int, function: int, context: int, place: int) -> int:
        self.events.append(len(self.events) + 0x100)
        store(place, self.events[-1])
        return 0

    def start(self, this: int, entry: int, single: int, event: int, timeout: int, job: int, failed: int) -> int:
        if not self.starts:
            return ERROR | uefi.EFI_UNSUPPORTED
        if any(thread.is_alive() for thread in self.threads):
            return ERROR | uefi.EFI_NOT_READY
        self.threads = [threading.Thread(target=worker, args=(job,), daemon=True) for _ in range(self.n - 1)]
        for thread in self.threads:
            thread.start()
        self.n_started += 1
        return 0

    def engine(self, level: int, job: int, core: int) -> int:
        if self.b.job.command == board.WEIGH:
            self.b.pace.took[core * board.LINE_WORDS] = 1000 * (core + 1)
        else:
            self.ran.append((core, int(self.b.job.position)))
        return core

    def gather(self, limit: int = 0) -> int:
        """The whole team, on the board."""
        self.b.job.team = gather_team(self.firmware.fw, self.b.job, limit, PER_MS)
        self.b.job.n_cores = self.b.job.team
        return int(self.b.job.team)

    def went_home(self) -> bool:
        """Whether every processor is."""
        for thread in self.threads:
            thread.join(5)
        return not any(thread.is_alive() for thread in self.threads)


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    """What is replaced."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def eventually(crowd: Crowd, expected: list[tuple[int, int]]) -> bool:
    """Whether these and no others run before long."""
    deadline = time.monotonic() + 5
    while len(crowd.ran) < len(expected) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.03)
    return sorted(crowd.ran) == expected


def test_an_order_for_a_few_is_carried_out_by_these_alone(patch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(patch, 5)
    assert crowd.gather() == 5
    for position, n in enumerate([5, 2, 1, 3, 5, 4], 1):
        crowd.b.job.n_cores = n
        crowd.ran.clear()
        assert command(crowd.b.job, board.DECODE, position) == 0
        assert eventually(crowd, [(core, position) for core in range(n)]), crowd.ran
        assert crowd.b.job.cached == position + 1
    crowd.ran.clear()
    command(crowd.b.job, board.CHOOSE, 9)
    assert eventually(crowd, [(0, 9)]), "one core chooses"
    rest_team(crowd.b.job, PER_MS)
    assert crowd.went_home() and cores.all_gone(crowd.b.job)


@pytest.mark.parametrize("limit, team", [(0, 4), (3, 3), (1, 1), (9, 4)])
def test_no_more_than_asked_for(patch: pytest.MonkeyPatch, limit: int, team: int) -> None:
    crowd = Crowd(patch, 4)
    assert crowd.gather(limit) == team
    if team > 1:
        command(crowd.b.job, board.PREFILL, 7)
        assert eventually(crowd, [(core, 7) for core in range(team)])
        assert crowd.b.job.cached == 7
    rest_team(crowd.b.job, PER_MS)
    assert crowd.went_home()


def test_a_crowd_that_does_not_come_is_done_without(patch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(patch, 4, starts=False)
    assert crowd.gather() == 1 and crowd.events == []
    assert command(crowd.b.job, board.DECODE, 0) == 0 and crowd.ran == [(0, 0)]


def test_processors_present(patch: pytest.MonkeyPatch) -> None:
    assert processors_present(FakeFirmware().fw) == (1, 1)
    assert processors_present(Crowd(patch, 4).firmware.fw) == (5, 4)


def test_a_team_rests_and_comes_back(patch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(patch, 4)
    crowd.gather()
    crowd.b.job.n_cores = 3  # as many as the model has room for
    for round_ in range(3):
        command(crowd.b.job, board.DECODE, round_)
        assert eventually(crowd, [(core, round_) for core in range(3)])
        crowd.ran.clear()
        rest_team(crowd.b.job, PER_MS)
        rest_team(crowd.b.job, PER_MS)
        assert crowd.went_home() and crowd.b.job.n_cores == 1
        command(crowd.b.job, board.DECODE, 50)
        assert eventually(crowd, [(0, 50)]), "who rests does nothing"
        crowd.ran.clear()
        wake_team(crowd.firmware.fw, crowd.b.job, 0, PER_MS)
        wake_team(crowd.firmware.fw, crowd.b.job, 0, PER_MS)
        assert (crowd.b.job.team, crowd.b.job.n_cores, crowd.n_started) == (4, 3, round_ + 2)
        assert len(crowd.events) == 1, "the event of the team before is given back"
    rest_team(crowd.b.job, PER_MS)
    assert crowd.went_home()


@pytest.mark.parametrize("threads", [False, True])
def test_whoever_comes_is_weighed_but_for_threads(patch: pytest.MonkeyPatch, threads: bool) -> None:
    crowd = Crowd(patch, 3)
    crowd.b.pace.give_way = threads
    crowd.gather()
    rest_team(crowd.b.job, PER_MS)
    assert crowd.went_home()
    wake_team(crowd.firmware.fw, crowd.b.job, 0, PER_MS)
    assert eventually(crowd, [])
    weigh_cores(crowd.b.job)
    assert crowd.b.pace.edges[:5].tolist() == ([0] * 5 if threads else [0, 1024, 1536, 1877, 0])
    rest_team(crowd.b.job, PER_MS)
    assert crowd.went_home()


@pytest.mark.parametrize("at_once, patience", [(0, 0), (2, 0), (3, orders.PATIENCE), (4, orders.PATIENCE)])
def test_whoever_waits_is_patient_where_all_run_at_once(patch: pytest.MonkeyPatch, at_once: int, patience: int) -> None:
    crowd = Crowd(patch, 3)
    crowd.b.pace.at_once = at_once
    crowd.gather()
    command(crowd.b.job, board.DECODE, 0)
    assert crowd.b.pace.patience == patience
    rest_team(crowd.b.job, PER_MS)
    assert crowd.went_home()


def test_a_single_core_neither_rests_nor_wakes(patch: pytest.MonkeyPatch) -> None:
    crowd = Crowd(patch, 1)
    rest_team(crowd.b.job, PER_MS)
    wake_team(crowd.firmware.fw, crowd.b.job, 0, PER_MS)
    assert (crowd.b.job.team, crowd.b.job.n_cores, crowd.b.job.resting, crowd.n_started) == (1, 1, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 120)), min_size=1, max_size=12), st.booleans())
def test_what_layers_with_a_window_forgot_is_read_again(steps: list[tuple[int, int]], saved: bool) -> None:
    """Some positions are taken back, others read, again and again: what is gone on from is still there."""
    window, slack, batch = 20, 40, 8
    room, job = window + slack, Job.over(np.zeros(Job.BYTES, np.uint8))
    job.slack = slack
    ids: list[int] = []
    ring: dict[int, tuple[int, ...]] = {}
    for number, (back, forward) in enumerate(steps):
        ids = ids[:max(len(ids) - back, 0)]
        job.cached = min(int(job.cached), len(ids))
        start = int(cores.cached_of(job, len(ids)))
        ids += [number] * forward
        job.cached = start
        for at in range(start, len(ids), batch):
            end = min(at + batch, len(ids))
            ring |= {position % room: tuple(ids[:position + 1]) for position in range(at, end)}
            for position in range(at, end):
                seen = range(max(position + 1 - window, 0), position + 1)
                assert all(ring[k % room] == tuple(ids[:k + 1]) for k in seen)
        cores.count_read(job, len(ids))
        if saved:
            kept = int(cores.cached_of(job, len(ids)))
            cores.count_cached(job, kept)
