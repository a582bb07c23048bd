"""What x86-64 gives: level, vector state, name and features on a processor of the test's own; and on this one."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barelm.dialect import processor
from barelm.dialect.lowering.x86_64 import X86_64
from barelm.dialect.lowering.x86_64 import primitives as x86
from barelm.dialect.lowering.x86_64.instructions import cpuid, enable_xsave, read_xcr0, write_xcr0
from tests.worlds import jit

here_is_x86_64 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="lowered for x86-64 only")

Leaves = dict[int, tuple[int, int, int, int]]

V3_MACHINE: Leaves = {
    0: (13, 0, 0, 0), 1: (0, 0, x86.V3 | x86.OSXSAVE, 0), 7: (0, x86.V3_EXTENDED, 0, 0),
    0x80000001: (0, 0, x86.LZCNT | x86.LAHF, 0)}
V2, V3, V3N, V4 = (X86_64.level_names().index(f"x86-64-{name}") for name in ("v2", "v3", "v3n", "v4"))


def with_leaf(number: int, **registers: int) -> Leaves:
    """The v3 machine with some registers of a leaf changed."""
    names = ("eax", "ebx", "ecx", "edx")
    old = V3_MACHINE.get(number, (0, 0, 0, 0))
    return {**V3_MACHINE, number: tuple(registers.get(n, v) for n, v in zip(names, old))}  # type: ignore[dict-item]


def level_of(leaves: Leaves, monkeypatch: pytest.MonkeyPatch, most: int = processor.N_LEVELS) -> int:
    """What is decided on such a processor, whose leaf 7.1 stands under 71."""
    monkeypatch.setattr(x86, "cpuid", lambda leaf, subleaf: leaves.get(10 * leaf + subleaf if subleaf else leaf,
                                                                       (0, 0, 0, 0)))
    return x86.cpu_level(most)


def without(bits: int, bit: int) -> int:
    """One bit less."""
    return bits & ~bit


@pytest.mark.parametrize("leaves, level", [
    (V3_MACHINE, V3),
    ({}, processor.NO_LEVEL),
    *[(with_leaf(1, ecx=without(x86.V3, bit)), processor.NO_LEVEL)
      for bit in (x86.SSE3, x86.SSSE3, x86.SSE41, x86.SSE42, x86.POPCNT)],
    *[(with_leaf(1, ecx=without(x86.V3, bit)), V2) for bit in (x86.FMA, x86.MOVBE, x86.XSAVE, x86.AVX, x86.F16C)],
    *[(with_leaf(7, ebx=without(x86.V3_EXTENDED, bit)), V2) for bit in (x86.BMI1, x86.AVX2, x86.BMI2)],
    (with_leaf(0x80000001, ecx=0), V2),
    (with_leaf(0, eax=6), V2),
    ({1: (0, 0, x86.V2, 0), 0: (1, 0, 0, 0)}, V2),
])
def test_level_asks_for_everything_the_psabi_does(leaves: Leaves, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert level_of(leaves, monkeypatch) == level


def with_vnni(subleaves: int = 1, ebx: int = x86.V4, ecx: int = x86.AVX512_VNNI, state: int = x86.XCR0_AVX512,
              vex: int = x86.AVX_VNNI, last: int = 13) -> Leaves:
    """The v3 machine with AVX-512, its VNNI, and that of AVX."""
    return {**V3_MACHINE, 0: (last, 0, 0, 0), 7: (subleaves, x86.V3_EXTENDED | ebx, ecx, 0), 71: (vex, 0, 0, 0),
            x86.XSTATE: (state, 0, 0, 0)}


@pytest.mark.parametrize("leaves, level", [
    (with_vnni(), V4), (with_vnni(vex=0), V4), (with_vnni(subleaves=0), V4),
    *[(with_vnni(ebx=without(x86.V4, bit)), V3N)
      for bit in (x86.AVX512F, x86.AVX512DQ, x86.AVX512CD, x86.AVX512BW, x86.AVX512VL)],
    (with_vnni(ecx=0), V3N), (with_vnni(ecx=0, subleaves=0), V3), (with_vnni(ecx=0, vex=0), V3),
    (with_vnni(state=x86.XCR0_AVX), V3N), (with_vnni(last=7), V3N)])
def test_levels_with_vnni_ask_for_all_they_need(leaves: Leaves, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert level_of(leaves, monkeypatch) == level


@pytest.mark.parametrize("most", range(processor.N_LEVELS))
def test_a_level_can_be_held_down(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert level_of(with_vnni(), monkeypatch, most) == most
    assert level_of(with_vnni(vex=0), monkeypatch, most) == (V3 if most == V3N else most), "there is none between"


def test_qemus_emulator_gets_the_lowest(monkeypatch: pytest.MonkeyPatch) -> None:
    hypervisor = with_leaf(1, ecx=x86.V3 | x86.HYPERVISOR)
    assert level_of({**hypervisor, 0x40000000: (0, x86.TCG_EBX, 0, 0)}, monkeypatch) == V2
    assert level_of({**hypervisor, 0x40000000: (0, 0x4B4D564B, 0, 0)}, monkeypatch) == V3, "KVM is no emulator"
    assert level_of({**V3_MACHINE, 0x40000000: (0, x86.TCG_EBX, 0, 0)}, monkeypatch) == V3, "no hypervisor, no leaf"


def test_the_emulators_name_is_what_it_says() -> None:
    assert x86.TCG_EBX.to_bytes(4, "little") == b"TCGT"


@pytest.mark.parametrize("level, osxsave, xcr0, done", [
    (V2, 0, 0, []), (V3, 1, 7, []), (V3, 1, 0xE7, []), (V3, 1, 3, [("xcr0", 7)]), (V3, 1, 1, [("xcr0", 7)]),
    (V3, 0, 1, ["xsave", ("xcr0", 7)]), (V3, 0, 7, ["xsave"]), (V3N, 1, 3, [("xcr0", 7)]), (V4, 1, 0xE7, []),
    (V4, 1, 7, [("xcr0", 0xE7)]), (V4, 0, 1, ["xsave", ("xcr0", 0xE7)])])
def test_vectors_are_switched_on_only_where_they_are_off(level: int, osxsave: int, xcr0: int, done: list[Any],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    leaves = with_leaf(1, ecx=x86.V3 | x86.OSXSAVE * osxsave)
    monkeypatch.setattr(x86, "cpuid", lambda leaf, subleaf: leaves[leaf])
    monkeypatch.setattr(x86, "enable_xsave", lambda: seen.append("xsave"))
    monkeypatch.setattr(x86, "read_xcr0", lambda: xcr0)
    monkeypatch.setattr(x86, "write_xcr0", lambda mask: seen.append(("xcr0", mask)))
    monkeypatch.setattr(x86, "reset_mxcsr", lambda: seen.append("float mode"))
    x86.enable_vectors(level)
    assert seen == ["float mode", *done]


def words_of(ask: Any, n: int) -> bytes:
    """What a primitive writes into n words."""
    words = np.full(n, -1, np.int64)
    ask(words)
    return words.tobytes()


VENDOR = tuple(int.from_bytes(part, "little") for part in (b"Auth", b"enti", b"cAMD"))  # EBX, EDX, ECX


def test_name_and_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    brand = b"An 8-core processor".ljust(48, b"\0")
    words = np.frombuffer(brand, np.uint32)
    leaves = {x86.BRAND + k: tuple(int(word) for word in words[4 * k:4 * k + 4]) for k in range(3)}
    leaves |= {0: (13, VENDOR[0], VENDOR[2], VENDOR[1]), x86.EXTENDED: (x86.BRAND + 2, 0, 0, 0)}
    monkeypatch.setattr(x86, "cpuid", lambda leaf, subleaf: leaves[leaf])
    assert words_of(x86.cpu_name, 6) == brand
    assert words_of(x86.cpu_vendor, 2) == b"AuthenticAMD\0\0\0\0"
    leaves[x86.EXTENDED] = (x86.BRAND + 1, 0, 0, 0)
    assert words_of(x86.cpu_name, 6)[:12] == b"AuthenticAMD", "who has no name has a maker"


@pytest.mark.parametrize("eax, signature", [
    (0x000906EA, (6, 0x9E, 10)), (0x00A20F12, (0x19, 0x21, 2)), (0x00000F29, (15, 2, 9)), (0x00030549, (5, 4, 9))])
def test_family_and_model_as_the_makers_count_them(eax: int, signature: tuple[int, ...],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x86, "cpuid", lambda leaf, subleaf: (eax, 0, 0, 0))
    assert x86.cpu_signature() == signature


def features_of(leaves: dict[tuple[int, int], tuple[int, int, int, int]], monkeypatch: pytest.MonkeyPatch) -> str:
    """The names of the features of such a processor."""
    monkeypatch.setattr(x86, "cpuid", lambda leaf, subleaf: leaves.get((leaf, subleaf), (0, 0, 0, 0)))
    found = x86.cpu_features()
    return " ".join(name for bit, name in enumerate(X86_64.features) if found >> bit & 1)


def test_features_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    one, seven = (0, 0, 1 << 28 | 1 << 12, 0), (0, 1 << 5, 0, 0)
    assert features_of({}, monkeypatch) == ""
    assert features_of({(0, 0): (6, 0, 0, 0), (1, 0): one, (7, 0): seven}, monkeypatch) == "AVX FMA"
    seven_is_known = {(0, 0): (7, 0, 0, 0), (1, 0): one}
    assert features_of({**seven_is_known, (7, 0): seven}, monkeypatch) == "AVX FMA AVX2"
    assert features_of({**seven_is_known, (7, 0): (0, 1 << 16, 1 << 11, 0)}, monkeypatch) == "AVX FMA AVX-512 VNNI"
    with_subleaf = {**seven_is_known, (7, 0): (1, 0, 0, 0), (7, 1): (1 << 4, 0, 0, 0)}
    assert features_of(with_subleaf, monkeypatch) == "AVX FMA VNNI"
    assert features_of({**with_subleaf, (7, 0): (0, 0, 0, 0)}, monkeypatch) == "AVX FMA"


def test_in_the_interpreter_privileged_instructions_do_nothing() -> None:
    enable_xsave()
    write_xcr0(7)
    assert cpuid(0, 0) == cpuid(1, 0) == cpuid(7, 0) == (0, 0, 0, 0)
    assert read_xcr0() == 3


def identify(leaf: int, out: Any) -> None:
    """Four registers of one leaf."""
    out[0], out[1], out[2], out[3] = cpuid(leaf, 0)


def vector_state() -> int:
    """XCR0."""
    return read_xcr0()


@here_is_x86_64
def test_compiled_cpuid_reads_this_processor() -> None:
    out = np.zeros(4, np.int64)
    jit(identify)(0, out)
    assert (out >= 0).all() and (out < 1 << 32).all(), "each register is widened without its sign"
    vendor = b"".join(int(out[i]).to_bytes(4, "little") for i in (1, 3, 2))
    assert vendor.isascii() and len(vendor.strip(b"\0 ")) >= 8
    jit(identify)(1, out)
    assert int(out[3]) & 1 << 26, "every x86-64 has SSE2"


@here_is_x86_64
def test_compiled_xgetbv_says_sse_is_on() -> None:
    out = np.zeros(4, np.int64)
    jit(identify)(1, out)
    if not int(out[2]) & 1 << 27:
        pytest.skip("this processor has no XGETBV")
    assert jit(vector_state)() & 3 == 3


def who(words: Any) -> None:
    """Name, vendor, signature."""
    processor.cpu_name(words)
    processor.cpu_vendor(words[6:])
    words[8], words[9], words[10] = processor.cpu_signature()


@here_is_x86_64
@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux says who the processor is in /proc/cpuinfo")
def test_this_processor_is_who_linux_says() -> None:
    said = dict(line.replace("\t", "").split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0]
                .splitlines())
    words = np.zeros(11, np.int64)
    jit(who)(words)
    assert words[:6].tobytes().split(b"\0")[0].decode().strip() == said["model name"].strip()
    assert words[6:8].tobytes().rstrip(b"\0").decode() == said["vendor_id"].strip()
    assert words[8:].tolist() == [int(said[name]) for name in ("cpu family", "model", "stepping")]
