"""The real program with strings lost on their way: one is shown at a second try, all from some one on are an error."""

from __future__ import annotations

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
MOST = 8
"""More strings than so short a story is shown in."""


def told(stories: Packed, *faults: Fault) -> Outcome:
    """A short story."""
    order = Order(str(stories.path), settings=Settings("Once upon", 0.0, tokens=24, seed=7))
    return run(order, Hosted(faults), Quiet(), lambda text: None)


def test_any_one_string_refused_is_shown_at_a_second_try(stories: Packed) -> None:
    program()
    whole = told(stories)
    assert len(whole.token_ids) == whole.n_prompt + whole.n_generated and whole.n_generated == 24
    for call in range(1, MOST):
        found = told(stories, Fault(OUTPUT, EFI.DEVICE_ERROR, call))
        assert (found.text, found.token_ids) == (whole.text, whole.token_ids)


def test_one_string_refused_twice_is_an_error_or_none_that_matters(stories: Packed) -> None:
    program()
    whole = told(stories)
    refused = 0
    for call in range(1, MOST):
        try:
            found = told(stories, *(Fault(OUTPUT, EFI.DEVICE_ERROR, call + again) for again in (0, 1)))
        except BarelmError as error:
            assert error.hint
            refused += 1
        else:
            assert (found.text, found.token_ids) == (whole.text, whole.token_ids)
    assert refused > 3


@pytest.mark.parametrize("call", [1, 3, 5])
def test_all_lost_from_some_string_on_is_an_error(stories: Packed, call: int) -> None:
    with pytest.raises(BarelmError):
        told(stories, Fault(OUTPUT, EFI.DEVICE_ERROR, call, lasting=True))
