"""How time is measured, on a counter of the test's own."""

from __future__ import annotations

import pytest

from barelm.metal.measuring import clock
from tests.metal.fake import FakeFirmware


@pytest.mark.parametrize("waits_us, expected", [
    ((4000, 4000, 4000), 3_000_000), ((4400, 4100, 9000), 3_075_000), ((10**6, 4000, 4000), 3_000_000)])
def test_clock_trusts_the_shortest_of_three_waits(waits_us: tuple[int, ...], expected: int,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    firmware, now, waits = FakeFirmware(), [10**12], list(waits_us)
    monkeypatch.setattr(clock, "cycles", lambda: now[0])

    def stall(microseconds: int) -> int:
        assert microseconds == clock.WAIT_US
        now[0] += waits.pop(0) * 3000
        return 0

    firmware.boot.serve("stall", stall)
    assert clock.cycles_per_ms(firmware.fw) == expected
    assert clock.microseconds(expected * 5, expected) == 5000


@pytest.mark.parametrize("said, expected", [(0, clock.LIKELY), (2_400_000_000, 2_400_000), (9, clock.LIKELY)])
@pytest.mark.parametrize("step", [0, 7, 10**12])
def test_a_wait_that_is_none_is_not_believed(step: int, said: int, expected: int, monkeypatch: pytest.MonkeyPatch
                                             ) -> None:
    """A firmware whose Stall returns at once, or a counter that stands still: what the processor says counts."""
    now = iter(range(5, 10**15, step) if step else [5] * 6)
    monkeypatch.setattr(clock, "cycles", lambda: next(now))
    monkeypatch.setattr(clock, "counter_speed", lambda: said)
    assert clock.cycles_per_ms(FakeFirmware().fw) == expected
