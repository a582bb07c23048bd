"""What the processor can do: its level, and the vector registers switched on, on every core that computes."""

from __future__ import annotations

from barelm.dialect.processor import cpuid, enable_xsave, read_xcr0, set_float_mode, write_xcr0
from barelm.dialect.rooms import metal

# CPUID bits (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E)
SSE3, SSSE3, SSE41, SSE42, POPCNT = 1 << 0, 1 << 9, 1 << 19, 1 << 20, 1 << 23  # leaf 1, ECX
FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C = 1 << 12, 1 << 22, 1 << 26, 1 << 27, 1 << 28, 1 << 29
HYPERVISOR = 1 << 31
LAHF, LZCNT = 1 << 0, 1 << 5  # leaf 0x80000001, ECX
BMI1, AVX2, BMI2 = 1 << 3, 1 << 5, 1 << 8  # leaf 7, EBX

# Together what the x86-64 psABI asks of each level.
V2 = SSE3 | SSSE3 | SSE41 | SSE42 | POPCNT
V3 = V2 | FMA | MOVBE | XSAVE | AVX | F16C
V3_EXTENDED = BMI1 | AVX2 | BMI2

XCR0_AVX = 0x7

TCG_EBX = 0x54474354  # "TCGT", the beginning of what QEMU's emulator calls itself
NO_LEVEL = -1


@metal
def cpu_level() -> int:
    """The highest level of `dialect.processor.LEVELS` this processor runs, or NO_LEVEL.

    Under QEMU's emulator the lowest: there wide registers are several narrow ones in a loop, and slower.
    """
    ecx = cpuid(1, 0)[2]
    if ecx & V2 != V2:
        return NO_LEVEL
    if ecx & HYPERVISOR and cpuid(0x40000000, 0)[1] == TCG_EBX:
        return 0
    if ecx & V3 != V3 or cpuid(0, 0)[0] < 7:
        return 0
    if cpuid(7, 0)[1] & V3_EXTENDED != V3_EXTENDED or cpuid(0x80000001, 0)[2] & LZCNT == 0:
        return 0
    return 1


@metal
def enable_vectors(level: int) -> None:
    """Switch on the registers of a level where nobody has, and set the mode floats are computed in.

    Firmware often leaves XCR0 as it came out of reset, and wakes every other processor that way.  In a process of
    an operating system all is on already and nothing privileged is done.
    """
    set_float_mode()
    if level <= 0:
        return
    if cpuid(1, 0)[2] & OSXSAVE == 0:
        enable_xsave()
    enabled = read_xcr0()
    if enabled & XCR0_AVX != XCR0_AVX:
        write_xcr0(enabled | XCR0_AVX)
