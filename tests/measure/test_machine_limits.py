"""The limits are measured, on one core and on two."""

from __future__ import annotations

import pytest

from barelm.measure import machine_limits
from barelm.measure.machine_limits import LimitsMeasured


def test_every_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_limits, "READ_BYTES", 1 << 20)
    monkeypatch.setattr(machine_limits, "LOOP_S", 0.002)
    measured = LimitsMeasured([1, 2])
    measured.measure()
    before = dict(measured.best)
    measured.measure()
    for n, limit in measured.best.items():
        assert limit.cores == n and min(limit.read_bytes_s, limit.float_ops_s, limit.int8_ops_s) > 0
        assert limit == limit.better(before[n]), "what was reached once stays reached"
