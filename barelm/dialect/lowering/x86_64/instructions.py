"""Instructions of x86-64 that no expression stands for: each as a primitive of this folder, model and lowering.

The models are those of a processor that knows no leaf of CPUID.
"""

import time
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from barelm.dialect.lowering.emit import I8, I32, I64, VOID, assembly, call
from barelm.dialect.lowering.registering import emits
from barelm.dialect.lowering.x86_64.sha256_code import CLOBBERED, SHA256_CODE
from barelm.dialect.memory import CRC32C
from barelm.dialect.processor import SHA256_CONSTANTS
from barelm.dialect.types import I32 as WORDS

llvm.initialize_native_asmparser()  # without it LLVM aborts the process where the host's JIT meets inline assembly

DEFAULT_MXCSR = 0x1F80
"""Exceptions masked, round to nearest, no flush to zero (Intel SDM volume 1, section 10.2.3)."""


def rdtsc() -> int:
    """The time stamp counter (in the interpreter: nanoseconds)."""
    return time.perf_counter_ns()


def spin_hint() -> None:
    """PAUSE."""


def cpuid(leaf: int, subleaf: int) -> tuple[int, int, int, int]:
    """EAX, EBX, ECX, EDX of CPUID, each widened."""
    return 0, 0, 0, 0


def enable_xsave() -> None:
    """Set CR4.OSXSAVE: the first step to wide registers, where nobody has taken it yet."""


def read_xcr0() -> int:
    """XGETBV(0): which register states the system has enabled.  Faults unless CR4.OSXSAVE is set."""
    return 3


def write_xcr0(mask: int) -> None:
    """XSETBV(0): enable the register states of `mask` (1 x87, 2 SSE, 4 AVX, 0xE0 AVX-512)."""


def reset_mxcsr() -> None:
    """MXCSR = DEFAULT_MXCSR."""


def ring() -> int:
    """How privileged this code is: 0 most, as firmware and its programs are; 3 in a process of an operating system."""
    return 3


def read_msr(register: int) -> int:
    """RDMSR.  Faults where there is no such register, and outside ring 0."""
    return 0


def write_msr(register: int, value: int) -> None:
    """WRMSR.  Faults too where a reserved bit is set."""


def crc_of_byte(crc: int, byte: int) -> int:
    """CRC32 of a byte: a step of CRC-32C, whose state is not inverted."""
    crc ^= byte
    for _ in range(8):
        crc = crc >> 1 ^ CRC32C * (crc & 1)
    return crc


def crc_of_word(crc: int, word: int) -> int:
    """CRC32 of eight bytes, the lowest first."""
    for k in range(8):
        crc = crc_of_byte(crc, int(word) >> 8 * k & 0xFF)
    return crc


def dependent_adds(n: int) -> int:
    """8 n additions, each of the sum of the one before: a clock each, on any processor; returns how many these are."""
    return 8 * n


def sha256_blocks(words: WORDS, address: int, n: int) -> None:
    """SHA-256's words over n > 0 blocks.  Faults where CPUID announces no SHA."""
    raise RuntimeError("this model of a processor has no such instructions")


emits(rdtsc)(lambda builder: call(builder, "llvm.readcyclecounter", I64))
emits(spin_hint)(lambda builder: call(builder, "llvm.x86.sse2.pause", VOID))


@emits(cpuid)
def _cpuid(builder: Any, leaf: Any, subleaf: Any) -> Any:
    # RBX may be the frame's base pointer: it is swapped out, never clobbered.
    registers = assembly(builder, ir.LiteralStructType([I32] * 4), "xchgq %rbx, %rsi; cpuid; xchgq %rbx, %rsi",
                         "={ax},={si},={cx},={dx},{ax},{cx}", [builder.trunc(leaf, I32), builder.trunc(subleaf, I32)])
    return [builder.zext(builder.extract_value(registers, k), I64) for k in range(4)]


emits(enable_xsave)(lambda builder: assembly(
    builder, VOID, "mov %cr4, %rax; or $$0x40000, %rax; mov %rax, %cr4", "~{rax},~{memory}", []))
emits(read_xcr0)(lambda builder: builder.zext(
    assembly(builder, I32, "xgetbv", "={ax},{cx},~{dx}", [ir.Constant(I32, 0)]), I64))
emits(write_xcr0)(lambda builder, mask: assembly(
    builder, VOID, "xsetbv", "{ax},{cx},{dx},~{memory}",
    [builder.trunc(mask, I32), ir.Constant(I32, 0), ir.Constant(I32, 0)]))


emits(ring)(lambda builder: builder.zext(
    builder.and_(assembly(builder, I32, "mov %cs, $0", "=r", []), ir.Constant(I32, 3)), I64))
emits(crc_of_byte)(lambda builder, crc, byte: builder.zext(assembly(
    builder, I32, "crc32b $2, $0", "=r,0,q", [builder.trunc(crc, I32), builder.trunc(byte, I8)]), I64))
emits(crc_of_word)(lambda builder, crc, word: assembly(builder, I64, "crc32q $2, $0", "=r,0,r", [crc, word]))
emits(dependent_adds)(lambda builder, n: assembly(
    builder, I64, "xor %eax, %eax; 2: " + "add %rdx, %rax; " * 8 + "dec %rcx; jnz 2b",
    "=&{ax},{cx},{dx},~{cx},~{flags}", [n, ir.Constant(I64, 1)]))


@emits(read_msr)
def _read_msr(builder: Any, register: Any) -> Any:
    halves = assembly(builder, ir.LiteralStructType([I32] * 2), "rdmsr", "={ax},={dx},{cx}",
                      [builder.trunc(register, I32)])
    low, high = (builder.zext(builder.extract_value(halves, k), I64) for k in range(2))
    return builder.or_(low, builder.shl(high, ir.Constant(I64, 32)))


@emits(write_msr)
def _write_msr(builder: Any, register: Any, value: Any) -> None:
    high = builder.trunc(builder.lshr(value, ir.Constant(I64, 32)), I32)
    assembly(builder, VOID, "wrmsr", "{cx},{ax},{dx},~{memory}",
             [builder.trunc(register, I32), builder.trunc(value, I32), high])


@emits(reset_mxcsr)
def _reset_mxcsr(builder: Any) -> None:
    word = cgutils.alloca_once_value(builder, ir.Constant(I32, DEFAULT_MXCSR))
    call(builder, "llvm.x86.sse.ldmxcsr", VOID, builder.bitcast(word, I8.as_pointer()))


@emits(sha256_blocks)
def _sha256_blocks(builder: Any, words: Any, address: Any, n: Any) -> None:
    table = builder.module.globals.get("sha256.constants")
    if table is None:
        table = ir.GlobalVariable(builder.module, ir.ArrayType(I32, 64), "sha256.constants")
        table.global_constant, table.linkage, table.align = True, "internal", 16
        table.initializer = ir.Constant(table.type.pointee, list(SHA256_CONSTANTS))
    assembly(builder, VOID, SHA256_CODE, f"{{di}},{{si}},{{cx}},{{dx}},{CLOBBERED}",
             [words, address, n, builder.bitcast(table, I8.as_pointer())])
