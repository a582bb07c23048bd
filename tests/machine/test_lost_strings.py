"""The real program with any one string lost on its way: the whole text, or an error, and never another text."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm.errors import BarelmError
from barelm.machine.firmware.faults import Fault
from barelm.machine.hosted import Hosted
from barelm.outcome import Outcome
from barelm.pack.reader import Packed
from barelm.pipeline import Order, run
from barelm.settings import Settings
from tests.built import program
from tests.machine.firmware.program import EFI
from tests.quiet import Quiet

OUTPUT = "EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.OutputString"
MOST = 24


def told(stories: Packed, *faults: Fault) -> Outcome:
    """A short story."""
    order = Order(str(stories.path), settings=Settings("Once upon", 0.0, tokens=24, seed=7))
    return run(order, Hosted(faults), Quiet(), lambda text: None)


def test_any_string_lost_is_an_error_or_none_that_matters(stories: Packed, tmp_path: Path) -> None:
    program()
    whole = told(stories)
    assert len(whole.token_ids) == whole.n_prompt + whole.n_generated and whole.n_generated == 24
    refused = 0
    for call in range(1, MOST):
        try:
            found = told(stories, Fault(OUTPUT, EFI.DEVICE_ERROR, call))
        except BarelmError as error:
            assert error.hint
            refused += 1
        else:
            assert (found.text, found.token_ids) == (whole.text, whole.token_ids)
    assert refused > 3


def test_all_lost_from_some_string_on_is_an_error(stories: Packed) -> None:
    with pytest.raises(BarelmError):
        told(stories, Fault(OUTPUT, EFI.DEVICE_ERROR))
