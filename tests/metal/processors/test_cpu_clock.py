"""Which CPU level is taken, what is switched on, and how time is measured, with a processor of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from barelm.dialect.processor import LEVELS
from barelm.dialect.rooms import Failure
from barelm.metal import main
from barelm.metal.measuring import clock
from barelm.metal.processors import cpu
from tests.metal.fake import FakeFirmware

Leaves = dict[int, tuple[int, int, int, int]]

V3_MACHINE: Leaves = {
    0: (13, 0, 0, 0), 1: (0, 0, cpu.V3 | cpu.OSXSAVE, 0), 7: (0, cpu.V3_EXTENDED, 0, 0),
    0x80000001: (0, 0, cpu.LZCNT | cpu.LAHF, 0)}
V2, V3 = LEVELS.index("v2"), LEVELS.index("v3")


def with_leaf(number: int, **registers: int) -> Leaves:
    """The v3 machine with some registers of a leaf changed."""
    names = ("eax", "ebx", "ecx", "edx")
    old = V3_MACHINE.get(number, (0, 0, 0, 0))
    return {**V3_MACHINE, number: tuple(registers.get(n, v) for n, v in zip(names, old))}  # type: ignore[dict-item]


def level_of(leaves: Leaves, monkeypatch: pytest.MonkeyPatch) -> int:
    """What is decided on such a processor."""
    monkeypatch.setattr(cpu, "cpuid", lambda leaf, subleaf: leaves.get(leaf, (0, 0, 0, 0)))
    return cpu.cpu_level()


def without(bits: int, bit: int) -> int:
    """One bit less."""
    return bits & ~bit


@pytest.mark.parametrize("leaves, level", [
    (V3_MACHINE, V3),
    ({}, cpu.NO_LEVEL),
    *[(with_leaf(1, ecx=without(cpu.V3, bit)), cpu.NO_LEVEL)
      for bit in (cpu.SSE3, cpu.SSSE3, cpu.SSE41, cpu.SSE42, cpu.POPCNT)],
    *[(with_leaf(1, ecx=without(cpu.V3, bit)), V2) for bit in (cpu.FMA, cpu.MOVBE, cpu.XSAVE, cpu.AVX, cpu.F16C)],
    *[(with_leaf(7, ebx=without(cpu.V3_EXTENDED, bit)), V2) for bit in (cpu.BMI1, cpu.AVX2, cpu.BMI2)],
    (with_leaf(0x80000001, ecx=0), V2),
    (with_leaf(0, eax=6), V2),
    ({1: (0, 0, cpu.V2, 0), 0: (1, 0, 0, 0)}, V2),
])
def test_level_asks_for_everything_the_psabi_does(leaves: Leaves, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert level_of(leaves, monkeypatch) == level


def test_qemus_emulator_gets_the_lowest(monkeypatch: pytest.MonkeyPatch) -> None:
    hypervisor = with_leaf(1, ecx=cpu.V3 | cpu.HYPERVISOR)
    assert level_of({**hypervisor, 0x40000000: (0, cpu.TCG_EBX, 0, 0)}, monkeypatch) == V2
    assert level_of({**hypervisor, 0x40000000: (0, 0x4B4D564B, 0, 0)}, monkeypatch) == V3, "KVM is no emulator"
    assert level_of({**V3_MACHINE, 0x40000000: (0, cpu.TCG_EBX, 0, 0)}, monkeypatch) == V3, "no hypervisor, no leaf"


def test_the_emulators_name_is_what_it_says() -> None:
    assert cpu.TCG_EBX.to_bytes(4, "little") == b"TCGT"


@pytest.mark.parametrize("level, osxsave, xcr0, done", [
    (V2, 0, 0, []), (V3, 1, 7, []), (V3, 1, 0xE7, []), (V3, 1, 3, [("xcr0", 7)]), (V3, 1, 1, [("xcr0", 7)]),
    (V3, 0, 1, ["xsave", ("xcr0", 7)]), (V3, 0, 7, ["xsave"])])
def test_vectors_are_switched_on_only_where_they_are_off(level: int, osxsave: int, xcr0: int, done: list[Any],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    leaves = with_leaf(1, ecx=cpu.V3 | cpu.OSXSAVE * osxsave)
    monkeypatch.setattr(cpu, "cpuid", lambda leaf, subleaf: leaves[leaf])
    monkeypatch.setattr(cpu, "enable_xsave", lambda: seen.append("xsave"))
    monkeypatch.setattr(cpu, "read_xcr0", lambda: xcr0)
    monkeypatch.setattr(cpu, "write_xcr0", lambda mask: seen.append(("xcr0", mask)))
    monkeypatch.setattr(cpu, "set_float_mode", lambda: seen.append("float mode"))
    cpu.enable_vectors(level)
    assert seen == ["float mode", *done]


def test_a_processor_too_old_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "cpu_level", lambda: cpu.NO_LEVEL)
    with pytest.raises(Failure, match="lacks SSE4.2 or POPCNT"):
        main.find_level()


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
