"""How time is measured, on a counter of the test's own."""

from __future__ import annotations

import pytest

from barelm.metal.measuring import clock
from tests.metal.fake import FakeFirmware


@pytest.mark.parametrize("waits_us, expected", [
    ((4000, 4000, 4000), 3000), ((4400, 4100, 9000), 3075), ((10**6, 4000, 4000), 3000)])
def test_clock_trusts_the_shortest_of_three_waits(waits_us: tuple[int, ...], expected: int,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    firmware, now, waits = FakeFirmware(), [10**12], list(waits_us)
    monkeypatch.setattr(clock, "cycles", lambda: now[0])

    def stall(microseconds: int) -> int:
        assert microseconds == clock.WAIT_US
        now[0] += waits.pop(0) * 3
        return 0

    firmware.boot.serve("stall", stall)
    assert clock.cycles_per_ms(firmware.fw) == expected
    assert clock.microseconds(expected * 5, expected) == 5000


def test_a_counter_that_stands_still_divides_nothing_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "cycles", lambda: 5)
    assert clock.cycles_per_ms(FakeFirmware().fw) == 1
