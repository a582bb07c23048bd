"""A sample of the sweep over failing firmware calls: the same words or a sentence, and all is given back."""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from barelm.contract import uefi
from barelm.kernels.session import sum_with
from barelm.machine.firmware.faults import Fault, parse_fault
from barelm.machine.firmware.tables import ERROR
from barelm.machine.hosted import Hosted
from tests.appliance.chatty import Chatty
from tests.built import program
from tools import sweep, sweep_node

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))


@pytest.mark.parametrize("only", ["story", "report", "screen", "talk"])
def test_a_sample_goes_well(only: str) -> None:
    assert program().is_file()
    verdicts = sweep.sweep(argparse.Namespace(sample=8, seed=14, only=only, jobs=1, json=None))
    assert len(verdicts) == 8
    assert [verdict for verdict in verdicts if verdict.outcome not in sweep.GOOD] == []


TCP = "EFI_TCP4_PROTOCOL."
FAULTS = {TCP + "Receive=ends_long@1": sweep.SAID, TCP + "Receive=EFI_CONNECTION_RESET@1": sweep.AGAIN,
          "DestroyChild=EFI_ACCESS_DENIED@1": sweep.SAME, "HandleProtocol=EFI_DEVICE_ERROR@4+": sweep.SAID}


def test_a_node_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program().is_file()
    faults = [*map(parse_fault, FAULTS)]
    monkeypatch.setattr(sweep, "faults_of", lambda calls, serves: faults)
    verdicts = sweep.sweep(argparse.Namespace(sample=0, only="node", jobs=1, json=None))
    assert [(verdict.fault, verdict.outcome) for verdict in verdicts] == [*zip(map(str, faults), FAULTS.values())]


@pytest.mark.parametrize("line, outcome", [
    ("Not written: the volume is full.  Delete something on it, or write an image wit\nwith --free.", sweep.SAID),
    ("model.blm: the disk reports an error while the model is read.", sweep.SAID),
    ("▶ model.blm     1 MB   chatty5, context 512, takes 6 MB", sweep.SAME), ("> typed", sweep.SAME),
    ("other words", sweep.WRONG), ("", sweep.SAME)])
def test_what_counts_as_said(line: str, outcome: str) -> None:
    scene = sweep.Scene("talk", Path("an.img"), Path("a.blm"), 1, ("hello",))
    good = sweep.Ran("words\nBARELM DONE 0\n", status=0)
    ran = sweep.Ran(f"words\n{line}\nBARELM DONE 0\n", status=0)
    assert sweep.judge(scene, Fault("EFI_FILE_PROTOCOL.Read", 1, 1), ran, good).outcome == outcome


def test_every_call_is_failed_in_every_way() -> None:
    faults = list(sweep.faults_of({"EFI_FILE_PROTOCOL.Read": 30, "EFI_BOOT_SERVICES.Stall": 1}))
    assert Fault("EFI_BOOT_SERVICES.Stall", ERROR | uefi.EFI_DEVICE_ERROR, 1, True) in faults
    reads = [fault for fault in faults if fault.service.endswith("Read")]
    assert {fault.call for fault in reads} == set(range(1, 31, 3))
    assert {fault.effect for fault in reads} == {"", "half", "none", "more", "flipped", "stale", "slow", "nothing"}
    assert {fault.lasting for fault in reads} == {False, True}


def test_of_a_node_its_own_calls_are_failed() -> None:
    faults = [*sweep.faults_of({TCP + "Receive": 11, "EFI_FILE_PROTOCOL.Read": 30}, True)]
    assert {fault.service for fault in faults} == {TCP + "Receive"}
    assert {fault.call for fault in faults} == {1, 4, 7, 10} and {fault.lasting for fault in faults} == {False, True}
    assert {fault.effect for fault in faults} == {"", "nothing", "slow", *(f"ends_{how}" for how in (
        "failed", "aborted", "warned", "closed", "empty", "long"))}


def test_what_became_of_a_node_is_told_apart() -> None:
    scene = sweep.Scene("node", None, None, 1, serves=True)  # type: ignore[arg-type]
    good = sweep.Ran("Serving\n", sweep_node.Answers(["one", "two"]), 0)

    def outcome(text: str, *answers: str, fault: str = "Poll=3@1", status: int = 0, **more: list[str]) -> str:
        ran = sweep.Ran(text, sweep_node.Answers([*answers], **more), status)
        return sweep.judge(scene, parse_fault(TCP + fault), ran, good).outcome

    assert outcome("Serving\n", "one", "two") == sweep.SAME
    assert outcome("Serving\n", "one", "two", lost=["reset"]) == sweep.AGAIN
    assert outcome("Serving\n", "one", "three") == sweep.WRONG
    assert outcome("Serving\n", "one", "") == sweep.DEAF
    assert outcome("Serving\n", "one", "", refused=["503 No slot is free."]) == sweep.SAID
    assert outcome("Serving\nNetwork: no cable is in.\n", "", "") == sweep.SAID
    assert outcome("Serving\n", "", "", fault="Accept=nothing@1+") == sweep.WAITS
    assert outcome("Serving\n", "", "", fault="Receive=EFI_CONNECTION_RESET@1+") == sweep.WAITS
    assert outcome("Serving\n", "", "", fault="Accept=ends_failed@1+") == sweep.DEAF
    assert outcome("", "one", "two") == sweep.LOST
    assert outcome("Serving\nxyzzy\n", "one", "two") == outcome("Serving\n", "one", "two", status=7) == sweep.WRONG


def test_texts_of_answers() -> None:
    told: list[Any] = [{"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in ("a ", "b")]
    told.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in told)
    assert sweep_node.text_of(stream + "data: [DONE]\n\n") == "a b (stop)"
    assert sweep_node.text_of(stream) == stream and sweep_node.text_of("{}") == "{}"
    whole: Any = {"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}]}
    assert sweep_node.text_of(json.dumps(whole)) == "a b (stop)"


def test_what_went_wrong_is_told_apart() -> None:
    scene = sweep.Scene("story", None, None, 1)  # type: ignore[arg-type]
    fault = Fault("EFI_BOOT_SERVICES.Stall", 1, 1)
    good = sweep.Ran("Once upon\n8 tokens, 5 a second\n", status=0)

    def outcome(ran: sweep.Ran) -> str:
        return sweep.judge(scene, fault, ran, good).outcome

    assert outcome(sweep.Ran("Once upon\n8 tokens, 77.5 a second\n", status=0)) == sweep.SAME
    assert outcome(sweep.Ran("Once there\n8 tokens, 5 a second\n", status=0)) == sweep.WRONG
    assert outcome(sweep.Ran("Once upon\n", status=0)) == sweep.LOST
    assert outcome(sweep.Ran("barelm stopped: the disk fails\n", status=7)) == sweep.SAID
    assert outcome(sweep.Ran(good.text, status=0, left={"files": 1})) == sweep.LEFT
    assert outcome(sweep.Ran("Once", trouble="the program said nothing for 40 s")) == sweep.HANG
    assert outcome(sweep.Ran("Once", trouble="the program, at its byte 0x1, touched memory")) == sweep.CRASH


TOLD = """BARELM n_prompt 1
BARELM IDS 65 66 67

BARELM n_generated 2
BARELM n_guessed 0
BARELM n_right 0
BARELM prefill_us 136
BARELM decode_us 372
BARELM load_us 2323
BARELM load_bytes 532480
BARELM memory_bytes 5664768
BARELM cores 1
BARELM seed 7
BARELM ids_sum {}
BARELM DONE 0
"""


def test_a_program_that_listens_notices_what_is_missing(tmp_path: Path) -> None:
    model = Chatty(5, 512).write(tmp_path / "5.blm").path
    told = TOLD.format(functools.reduce(sum_with, (65, 66, 67), 0))
    assert sweep.refusal(model, told) == ""
    for piece in ("BARELM DONE 0", "BARELM n_prompt 1", " 66", "BARELM cores 1"):
        assert sweep.refusal(model, told.replace(piece, "")), piece
    scene = sweep.Scene("report", tmp_path, model, 1, reports=True)
    fault = Fault("EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.OutputString", 1, 4)
    good = sweep.Ran(told, status=0)
    assert sweep.judge(scene, fault, good, good).outcome == sweep.SAME
    cut = sweep.Ran(told.replace("BARELM DONE 0", ""), status=0)
    assert sweep.judge(scene, fault, cut, good).outcome == sweep.NOTICED
