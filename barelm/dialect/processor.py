"""Primitives of the processor: firmware calls, cycle counter, identification, vector state, spinning.

The interpreter's models answer as a processor of the baseline level would; `call_efi` really calls, so metal code
can be run against a table of callbacks.
"""

from __future__ import annotations

import ctypes
import time

LEVELS = ("v2", "v3")
"""The CPU levels the engine is compiled for, lowest first; on x86-64 the psABI's microarchitecture levels."""


def call_efi(function: int, arguments: tuple[int, ...]) -> int:
    """Call the firmware function at address `function` with integer arguments; returns its EFI status."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(arguments))
    return int(prototype(int(function))(*map(int, arguments)))


def call_engine(level: int, job: int, core: int) -> int:
    """Run the engine compiled for LEVELS[level] on the job at address `job`, as core number `core`."""
    raise RuntimeError("the engine is compiled once per CPU level: only a program on the metal has it")


def worker_entry() -> int:
    """Address of the procedure a woken processor starts in (EFI_AP_PROCEDURE)."""
    raise RuntimeError("worker processors start in compiled code: only a program on the metal has it")


def cycles() -> int:
    """The processor's time stamp counter (in the interpreter: nanoseconds)."""
    return time.perf_counter_ns()


def cpuid(leaf: int, subleaf: int) -> tuple[int, int, int, int]:
    """EAX, EBX, ECX, EDX of CPUID, each widened (in the interpreter: a processor that knows no leaf)."""
    return 0, 0, 0, 0


def read_xcr0() -> int:
    """XGETBV(0): which register states the system has enabled.  Faults unless CR4.OSXSAVE is set."""
    return 3


def enable_xsave() -> None:
    """Set CR4.OSXSAVE: the first step to wide registers, where nobody has taken it yet."""


def write_xcr0(mask: int) -> None:
    """XSETBV(0): enable the register states of `mask` (1 x87, 2 SSE, 4 AVX, 0xE0 AVX-512)."""


def set_float_mode() -> None:
    """Every exception masked, round to nearest, denormals kept: the mode the interpreter computes in."""


def pause() -> None:
    """Tell the processor that this is a spin loop."""
