"""The clock of x86-64: asked for what CPUID announces, where the registers are ours, and nothing else is touched.

No processor of our own runs these tests: a model of its registers does, which faults as the manuals say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.dialect.lowering.x86_64 import X86_64
from barelm.dialect.lowering.x86_64 import primitives as x86

INTEL, AMD = (6, x86.GENU, 0, 0), (16, x86.AUTH, 0, 0)
SKYLAKE, HASWELL, SILVERMONT, ZEN = 0x000506E3, 0x000306C3, 0x00030678, 0x00A20F12  # leaf 1, EAX
WORDS = st.integers(0, (1 << 64) - 1)


class Fault(Exception):
    """#GP."""


@dataclass
class Processor:
    """CPUID and the registers it announces; everything else faults, and so do reserved bits that change."""

    leaves: dict[int, tuple[int, int, int, int]]
    registers: dict[int, int] = field(default_factory=dict)
    writable: dict[int, int] = field(default_factory=dict)  # register: the bits that are not reserved
    stuck: set[int] = field(default_factory=set)  # keep what they have
    ring: int = 0
    written: list[int] = field(default_factory=list)
    touched: list[int] = field(default_factory=list)

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        """A leaf; zeros where there is none."""
        return self.leaves.get(leaf, (0, 0, 0, 0))

    def read(self, register: int) -> int:
        """RDMSR."""
        self.touched.append(register)
        if self.ring or register not in self.registers:
            raise Fault(hex(register))
        value = self.registers[register]
        return value - (1 << 64) if value >> 63 else value

    def write(self, register: int, value: int) -> None:
        """WRMSR."""
        self.touched.append(register)
        changed = (self.registers.get(register, 0) ^ value) & (1 << 64) - 1
        if self.ring or register not in self.writable or changed & ~self.writable[register]:
            raise Fault(f"{register:#x} {changed:#x}")
        self.written.append(register)
        if register not in self.stuck:
            self.registers[register] = value & (1 << 64) - 1

    def raised(self, patch: pytest.MonkeyPatch) -> int:
        """What `raise_clock` answers here."""
        patch.setattr(x86, "cpuid", self.cpuid)
        patch.setattr(x86, "read_msr", self.read)
        patch.setattr(x86, "write_msr", self.write)
        patch.setattr(x86, "ring", lambda: self.ring)
        return x86.raise_clock()


def hwp(request: int = 0x80002E08, *, preference: bool = True, package: bool = False) -> Processor:
    """An Intel that steers itself, with requests as firmware left them."""
    power = x86.HAS_HWP | x86.TURBO | (x86.HWP_PREFERENCE if preference else 0)
    fields = 0xFFFFFF | (0xFF << 24 if preference else 0) | (x86.PACKAGE_CONTROL if package else 0)
    return Processor({0: INTEL, 1: (SKYLAKE, 0, x86.EIST, 0), 6: (power, 0, 1, 0)},
                     {x86.PM_ENABLE: 0, x86.HWP_CAPABILITIES: 0x01081B2E, x86.HWP_REQUEST: request},
                     {x86.PM_ENABLE: 1, x86.HWP_REQUEST: fields})


def stepped(model: int = HASWELL, turbo: bool = True) -> Processor:
    """An Intel that is told a ratio."""
    power = x86.TURBO if turbo else 0
    return Processor({0: INTEL, 1: (model, 0, x86.EIST, 0), 6: (power, 0, 0, 0)},
                     {x86.PLATFORM_INFO: 0x80838F3012200, x86.TURBO_RATIO_LIMIT: 0x24252627, x86.PERF_CTL: 0x1800},
                     {x86.PERF_CTL: 0xFFFF | (x86.TURBO_OFF if turbo else 0)})


def cppc(enabled: int = 0) -> Processor:
    """An AMD that steers itself."""
    return Processor({0: AMD, 1: (ZEN, 0, 0, 0), 0x80000000: (0x80000028, 0, 0, 0),
                      0x80000007: (0, 0, 0, x86.P_STATES), 0x80000008: (0, x86.HAS_CPPC, 0, 0)},
                     {x86.CPPC_CAPABILITY: 0xE67B3E12, x86.CPPC_ENABLE: enabled, x86.CPPC_REQUEST: 0xFF000012,
                      x86.P_STATE_CONTROL: 2},
                     {x86.CPPC_ENABLE: 1, x86.CPPC_REQUEST: 0xFFFFFFFF, x86.P_STATE_CONTROL: 7})


def test_hwp_is_asked_for_its_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    p = hwp()
    assert p.raised(monkeypatch) == x86.BY_HWP
    assert p.registers[x86.HWP_REQUEST] == 0x00002E2E and p.registers[x86.PM_ENABLE] == 1


@given(WORDS, st.booleans(), st.booleans())
def test_what_is_not_announced_stays_as_it_was(before: int, preference: bool, package: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        before &= -1 if package else ~x86.PACKAGE_CONTROL
        p = hwp(before, preference=preference, package=package)
        assert p.raised(patch) == x86.BY_HWP
        kept = ~(0xFFFFFF | x86.PACKAGE_CONTROL | (0xFF << 24 if preference else 0))
        assert p.registers[x86.HWP_REQUEST] == before & kept | 0x2E2E
        assert set(p.touched) == {x86.PM_ENABLE, x86.HWP_CAPABILITIES, x86.HWP_REQUEST}


@pytest.mark.parametrize("turbo, expected", [(True, 0x2700), (False, 0x2200)])
def test_perf_ctl_is_told_the_highest_ratio(monkeypatch: pytest.MonkeyPatch, turbo: bool, expected: int) -> None:
    p = stepped(turbo=turbo)
    if not turbo:
        del p.registers[x86.TURBO_RATIO_LIMIT]
    assert p.raised(monkeypatch) == x86.BY_PERF_CTL and p.registers[x86.PERF_CTL] == expected
    p = stepped()
    p.registers[x86.PERF_CTL] |= x86.TURBO_OFF
    assert p.raised(monkeypatch) == x86.BY_PERF_CTL and p.registers[x86.PERF_CTL] == 0x2700


@pytest.mark.parametrize("enabled", [0, 1])
def test_cppc_is_asked_for_its_highest(monkeypatch: pytest.MonkeyPatch, enabled: int) -> None:
    p = cppc(enabled)
    assert p.raised(monkeypatch) == x86.BY_CPPC
    assert p.registers[x86.CPPC_REQUEST] == 0xE6E6 and p.registers[x86.CPPC_ENABLE] == 1
    assert p.registers[x86.P_STATE_CONTROL] == 2


def test_without_cppc_an_amd_goes_to_its_first_state(monkeypatch: pytest.MonkeyPatch) -> None:
    p = cppc()
    p.leaves[0x80000008] = (0, 0, 0, 0)
    assert p.raised(monkeypatch) == x86.BY_P_STATES and p.registers[x86.P_STATE_CONTROL] == 0
    assert p.written == [x86.P_STATE_CONTROL]


@pytest.mark.parametrize("make, way, register", [
    (hwp, x86.BY_HWP, x86.PM_ENABLE), (hwp, x86.BY_HWP, x86.HWP_REQUEST), (stepped, x86.BY_PERF_CTL, x86.PERF_CTL),
    (cppc, x86.BY_CPPC, x86.CPPC_ENABLE), (cppc, x86.BY_CPPC, x86.CPPC_REQUEST)])
def test_what_does_not_read_back_is_told(monkeypatch: pytest.MonkeyPatch, make: type[Processor], way: int,
                                         register: int) -> None:
    p = make()  # type: ignore[call-arg]
    p.stuck.add(register)
    assert p.raised(monkeypatch) == -way and 0 < way < len(X86_64.clocks)


@pytest.mark.parametrize("make", [hwp, stepped, cppc])
def test_under_a_hypervisor_and_in_a_process_nothing_is_touched(monkeypatch: pytest.MonkeyPatch,
                                                               make: type[Processor]) -> None:
    for ring, bit in ((0, x86.HYPERVISOR), (3, 0), (3, x86.HYPERVISOR)):
        p = make()  # type: ignore[call-arg]
        a, b, c, d = p.leaves[1]
        p.leaves[1], p.ring = (a, b, c | bit, d), ring
        p.leaves[6] = (p.leaves.get(6, (0, 0, 0, 0))[0], 0, x86.COUNTERS, 0)
        assert p.raised(monkeypatch) == 0 and x86.core_speed() > 0 and p.touched == []


def test_a_processor_that_announces_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for p in (Processor({}), Processor({0: INTEL, 1: (SKYLAKE, 0, 0, 0)}),
              Processor({0: AMD, 1: (ZEN, 0, x86.EIST, 0)}),
              Processor({0: (5, x86.GENU, 0, 0), 1: (0x5F, 0, 0, 0), 6: (x86.HAS_HWP, 0, 1, 0)}),
              Processor({0: INTEL, 1: (SILVERMONT, 0, x86.EIST, 0)}), Processor({0: INTEL, 1: (0xF43, 0, x86.EIST, 0)}),
              Processor({0: AMD, 0x80000000: (0x80000006, 0, 0, 0), 0x80000007: (0, 0, 0, x86.P_STATES),
                         0x80000008: (0, x86.HAS_CPPC, 0, 0)})):
        assert p.raised(monkeypatch) == 0 and p.touched == []


@pytest.mark.parametrize("counts, speed", [((0, 0, 300, 200), 1500), ((5, 7, 5, 7), 0), ((0, 0, 100, 400), 250)])
def test_the_clock_is_measured_by_the_counters(monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int, int, int],
                                               speed: int) -> None:
    p = hwp()
    p.leaves[6] = (x86.HAS_HWP, 0, x86.COUNTERS, 0)
    p.raised(monkeypatch)
    actual, most = iter(counts[::2]), iter(counts[1::2])
    monkeypatch.setattr(x86, "read_msr", lambda register: next(actual if register == x86.APERF else most))
    assert x86.core_speed() == speed


def test_without_counters_it_is_measured_by_additions(monkeypatch: pytest.MonkeyPatch) -> None:
    p, times = Processor({}), iter((100, 100 + 4 * x86.ROUNDS))
    p.raised(monkeypatch)
    monkeypatch.setattr(x86, "rdtsc", lambda: next(times))
    assert x86.core_speed() == 2000
