"""A sample of the sweep over failing firmware calls: the same words or a sentence, and all is given back."""

from __future__ import annotations

import argparse

import pytest

from barelm.contract import uefi
from barelm.machine.firmware.faults import Fault
from barelm.machine.firmware.tables import ERROR
from barelm.machine.hosted import Hosted
from tests.built import program
from tools import sweep

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))


@pytest.mark.parametrize("only", ["story", "report", "screen", "talk"])
def test_a_sample_goes_well(only: str) -> None:
    assert program().is_file()
    verdicts = sweep.sweep(argparse.Namespace(sample=8, seed=14, only=only, jobs=1))
    assert len(verdicts) == 8
    assert [verdict for verdict in verdicts if verdict.outcome not in sweep.GOOD] == []


def test_every_call_is_failed_in_every_way() -> None:
    faults = list(sweep.faults_of({"EFI_FILE_PROTOCOL.Read": 30, "EFI_BOOT_SERVICES.Stall": 1}))
    assert Fault("EFI_BOOT_SERVICES.Stall", ERROR | uefi.EFI_DEVICE_ERROR, 1, True) in faults
    reads = [fault for fault in faults if fault.service.endswith("Read")]
    assert {fault.call for fault in reads} == set(range(1, 31, 3))
    assert {fault.effect for fault in reads} == {"", "half", "none", "more", "flipped", "stale", "slow", "nothing"}
    assert {fault.lasting for fault in reads} == {False, True}


def test_what_went_wrong_is_told_apart() -> None:
    scene = sweep.Scene("story", None, 1)  # type: ignore[arg-type]
    fault = Fault("EFI_BOOT_SERVICES.Stall", 1, 1)
    good = sweep.Ran("Once upon\n8 tokens, 5 a second\n", 0)

    def outcome(ran: sweep.Ran) -> str:
        return sweep.judge(scene, fault, ran, good).outcome

    assert outcome(sweep.Ran("Once upon\n8 tokens, 77.5 a second\n", 0)) == sweep.SAME
    assert outcome(sweep.Ran("Once there\n8 tokens, 5 a second\n", 0)) == sweep.WRONG
    assert outcome(sweep.Ran("Once upon\n", 0)) == sweep.LOST
    assert outcome(sweep.Ran("barelm stopped: the disk fails\n", 7)) == sweep.SAID
    assert outcome(sweep.Ran(good.text, 0, left={"files": 1})) == sweep.LEFT
    assert outcome(sweep.Ran("Once", None, "the program said nothing for 40 s")) == sweep.HANG
    assert outcome(sweep.Ran("Once", None, "the program, at its byte 0x1, touched memory")) == sweep.CRASH
