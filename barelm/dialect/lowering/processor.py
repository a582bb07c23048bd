"""`dialect.processor`, lowered for x86-64: the same names in the same order."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types

from barelm.dialect import processor
from barelm.dialect.lowering.emit import I32, I64, VOID, assembly, call, lowers

llvm.initialize_native_asmparser()  # without it LLVM aborts the process where the host's JIT meets inline assembly

DEFAULT_MXCSR = 0x1F80
"""Exceptions masked, round to nearest, no flush to zero (Intel SDM volume 1, section 10.2.3)."""

ENGINE = "barelm_engine_"
WORKER = "barelm_worker_entry"


@lowers(processor.call_efi)
def _call_efi(typing: Any, function: Any, arguments: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args[1]
        parts = cgutils.unpack_tuple(builder, values[1], len(kinds))
        words = [context.cast(builder, v, t, types.int64) for v, t in zip(parts, kinds)]
        service = ir.FunctionType(I64, [I64] * len(words)).as_pointer()
        return builder.call(builder.inttoptr(values[0], service), words)

    return types.int64(types.int64, arguments), generate


@lowers(processor.call_engine)
def _call_engine(typing: Any, level: Any, job: Any, core: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        level, job, core = arguments
        engine = ir.FunctionType(I64, [I64, I64])
        chosen = None
        for number, name in enumerate(processor.LEVELS):
            entry = cgutils.get_or_insert_function(builder.module, engine, ENGINE + name)
            is_level = builder.icmp_signed("==", level, ir.Constant(I64, number))
            chosen = entry if chosen is None else builder.select(is_level, entry, chosen)
        return builder.call(chosen, [job, core])

    return types.int64(types.int64, types.int64, types.int64), generate


@lowers(processor.worker_entry)
def _worker_entry(typing: Any) -> Any:
    return types.int64(), lambda context, builder, signature, arguments: builder.ptrtoint(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(VOID, [I64]), WORKER), I64)


@lowers(processor.cycles)
def _cycles(typing: Any) -> Any:
    return types.int64(), lambda context, builder, signature, arguments: call(builder, "llvm.readcyclecounter", I64)


@lowers(processor.cpuid)
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


@lowers(processor.read_xcr0)
def _read_xcr0(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low = assembly(builder, I32, "xgetbv", "={ax},{cx},~{dx}", [ir.Constant(I32, 0)])
        return builder.zext(low, I64)

    return types.int64(), generate


def _effect(model: Any, code: str, constraints: str) -> None:
    @lowers(model)
    def effect(typing: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            assembly(builder, VOID, code, constraints, [])
            return context.get_dummy_value()

        return types.void(), generate


_effect(processor.enable_xsave, "mov %cr4, %rax; or $$0x40000, %rax; mov %rax, %cr4", "~{rax},~{memory}")


@lowers(processor.write_xcr0)
def _write_xcr0(typing: Any, mask: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        assembly(builder, VOID, "xsetbv", "{ax},{cx},{dx},~{memory}",
                 [builder.trunc(arguments[0], I32), ir.Constant(I32, 0), ir.Constant(I32, 0)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@lowers(processor.set_float_mode)
def _set_float_mode(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = cgutils.alloca_once_value(builder, ir.Constant(I32, DEFAULT_MXCSR))
        call(builder, "llvm.x86.sse.ldmxcsr", VOID, builder.bitcast(word, ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(), generate


@lowers(processor.pause)
def _pause(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        call(builder, "llvm.x86.sse2.pause", VOID)
        return context.get_dummy_value()

    return types.void(), generate
