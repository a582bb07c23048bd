"""Dates in chat templates, against `strftime`."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.kernels.text import dates
from barelm.pack.chat.chat_template import DATE_DIRECTIVES
from tests.kernels.agree import agree
from tests.kernels.text.bytelevel import bytes_of

FORMS = st.lists(st.one_of(st.sampled_from(sorted(DATE_DIRECTIVES)), st.text("a, -/.\u00e9", max_size=3)), max_size=6)


@given(FORMS, st.dates(datetime.date(1970, 1, 1)), st.dates(datetime.date(1970, 1, 1)), st.booleans())
def test_a_day_is_written_as_strftime_writes_it(form: list[str], packed: datetime.date, today: datetime.date,
                                                asked: bool) -> None:
    source = bytes_of(f"{packed:%Y%m%d}{''.join(form)}\0behind")[:-1]
    target = np.zeros(400, np.uint8)
    day = today if asked else packed
    n, at = agree(dates.put_date, target, 0, source, 0, len(source), int(f"{today:%Y%m%d}") if asked else 0)
    assert target[:n].tobytes().decode() == day.strftime("".join(form))
    assert source[at:].tobytes() == b"behind" and n <= dates.MOST_GROWTH * at


@pytest.mark.parametrize("room", range(17))
def test_a_day_that_does_not_fit(room: int) -> None:
    source = bytes_of("20260912%d %B %Y!\0")[:-1]
    n, _ = agree(dates.put_date, np.zeros(17, np.uint8)[:room], 0, source, 0, len(source), 0)
    assert n == -1
