"""Instructions of x86-64 that no expression stands for: each as a primitive of this folder, model and lowering.

The models are those of a processor that knows no leaf of CPUID.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from barelm.dialect.lowering.emit import I8, I32, I64, VOID, assembly, call, lowers

llvm.initialize_native_asmparser()  # without it LLVM aborts the process where the host's JIT meets inline assembly

DEFAULT_MXCSR = 0x1F80
"""Exceptions masked, round to nearest, no flush to zero (Intel SDM volume 1, section 10.2.3)."""


def rdtsc() -> int:
    """The time stamp counter (in the interpreter: nanoseconds)."""
    return time.perf_counter_ns()


def cpuid(leaf: int, subleaf: int) -> tuple[int, int, int, int]:
    """EAX, EBX, ECX, EDX of CPUID, each widened."""
    return 0, 0, 0, 0


def read_xcr0() -> int:
    """XGETBV(0): which register states the system has enabled.  Faults unless CR4.OSXSAVE is set."""
    return 3


def write_xcr0(mask: int) -> None:
    """XSETBV(0): enable the register states of `mask` (1 x87, 2 SSE, 4 AVX, 0xE0 AVX-512)."""


def enable_xsave() -> None:
    """Set CR4.OSXSAVE: the first step to wide registers, where nobody has taken it yet."""


def reset_mxcsr() -> None:
    """MXCSR = DEFAULT_MXCSR."""


def spin_hint() -> None:
    """PAUSE."""


@lowers(rdtsc)
def _rdtsc(typing: Any) -> Any:
    return types.int64(), lambda context, builder, signature, arguments: call(builder, "llvm.readcyclecounter", I64)


@lowers(cpuid)
def _cpuid(typing: Any, leaf: Any, subleaf: Any) -> Any:
    quad = types.UniTuple(types.int64, 4)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # RBX may be the frame's base pointer: it is swapped out, never clobbered.
        registers = assembly(builder, ir.LiteralStructType([I32] * 4),
                             "xchgq %rbx, %rsi; cpuid; xchgq %rbx, %rsi", "={ax},={si},={cx},={dx},{ax},{cx}",
                             [builder.trunc(a, I32) for a in arguments])
        words = [builder.zext(builder.extract_value(registers, k), I64) for k in range(4)]
        return context.make_tuple(builder, quad, words)

    return quad(types.int64, types.int64), generate


@lowers(read_xcr0)
def _read_xcr0(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low = assembly(builder, I32, "xgetbv", "={ax},{cx},~{dx}", [ir.Constant(I32, 0)])
        return builder.zext(low, I64)

    return types.int64(), generate


@lowers(write_xcr0)
def _write_xcr0(typing: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        assembly(builder, VOID, "xsetbv", "{ax},{cx},{dx},~{memory}",
                 [builder.trunc(arguments[0], I32), ir.Constant(I32, 0), ir.Constant(I32, 0)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _effect(model: Any, emit: Callable[[Any], None]) -> None:
    """Lower a primitive that takes and returns nothing to what `emit` emits."""
    @lowers(model)
    def effect(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit(builder)
            return context.get_dummy_value()

        return types.void(), generate


def _load_mxcsr(builder: Any) -> None:
    word = cgutils.alloca_once_value(builder, ir.Constant(I32, DEFAULT_MXCSR))
    call(builder, "llvm.x86.sse.ldmxcsr", VOID, builder.bitcast(word, I8.as_pointer()))


_effect(enable_xsave, lambda builder: assembly(
    builder, VOID, "mov %cr4, %rax; or $$0x40000, %rax; mov %rax, %cr4", "~{rax},~{memory}", []))
_effect(reset_mxcsr, _load_mxcsr)
_effect(spin_hint, lambda builder: call(builder, "llvm.x86.sse2.pause", VOID))
