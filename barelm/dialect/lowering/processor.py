"""`dialect.processor`, lowered: what is the same for every family, and the names of what each has in its folder."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from barelm.dialect import processor
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.emit import I1, I64, VOID
from barelm.dialect.lowering.memory import TEXT, constant_text, utf16_constant
from barelm.dialect.lowering.registering import emits, lowers, lowers_to
from barelm.dialect.lowering.structs import ServiceType

ENGINE = "barelm_engine_"
WORKER = "barelm_worker_entry"
FAILED = "barelm_failed_call"


@lowers(processor.call_efi)
def _call_efi(typing: Any, function: Any, arguments: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args[1]
        parts = cgutils.unpack_tuple(builder, values[1], len(kinds))
        words = [context.cast(builder, v, t, types.int64) for v, t in zip(parts, kinds)]
        service = ir.FunctionType(I64, [I64] * len(words)).as_pointer()
        status = builder.call(builder.inttoptr(values[0], service), words)
        if not isinstance(function, ServiceType) or function.service == processor.QUESTION:
            return status
        name = builder.ptrtoint(utf16_constant(builder.module, function.service), I64)
        return builder.call(_noting(builder.module), [name, status])

    return types.int64(function if isinstance(function, ServiceType) else types.int64, arguments), generate


def _failed_call(module: Any) -> Any:
    """The two words; they are one thing, in whichever objects they are referred to."""
    if FAILED not in module.globals:
        words = ir.GlobalVariable(module, ir.ArrayType(I64, 2), FAILED)
        words.linkage, words.initializer = "common", ir.Constant(words.value_type, None)
    return module.globals[FAILED]


def _noting(module: Any) -> Any:
    """A function of a service's name and a status, which it returns: how a call ended is looked at in one place."""
    noting = cgutils.get_or_insert_function(module, ir.FunctionType(I64, [I64, I64]), "barelm_noted")
    if noting.is_declaration:
        noting.linkage = "linkonce_odr"
        noting.attributes.add("noinline")
        builder = ir.IRBuilder(noting.append_basic_block())
        name, status = noting.args
        bit = builder.lshr(I64(processor.EXPECTED), builder.and_(status, I64(63)))
        failed = builder.and_(builder.icmp_signed("<", status, I64(0)), builder.not_(builder.trunc(bit, I1)))
        with builder.if_then(failed):
            for k, word in enumerate((name, status)):
                builder.store(word, builder.gep(_failed_call(module), [I64(0), I64(k)]))
        builder.ret(status)
    return noting


emits(processor.failed_call)(lambda builder: builder.ptrtoint(_failed_call(builder.module), I64))


def _by_number(builder: Any, number: Any, values: list[Any]) -> Any:
    """values[number]; any of them where there is no such."""
    chosen = values[0]
    for k, value in enumerate(values[1:], 1):
        chosen = builder.select(builder.icmp_signed("==", number, ir.Constant(I64, k)), value, chosen)
    return chosen


@emits(processor.call_engine)
def _call_engine(builder: Any, level: Any, job: Any, core: Any) -> Any:
    engine = ir.FunctionType(I64, [I64, I64])
    entries = [cgutils.get_or_insert_function(builder.module, engine, ENGINE + each.name) for each in FAMILY.levels]
    return builder.call(_by_number(builder, level, entries), [job, core])


@emits(processor.worker_entry)
def _worker_entry(builder: Any) -> Any:
    entry = ir.FunctionType(VOID, [I64])
    return builder.ptrtoint(cgutils.get_or_insert_function(builder.module, entry, WORKER), I64)


def _name(model: Any, names: tuple[str, ...]) -> None:
    @lowers(model)
    def constant(typing: Any, number: Any) -> Any:
        return TEXT(types.int64), lambda context, builder, signature, arguments: _by_number(
            builder, arguments[0], [constant_text(context, builder, name) for name in names])


_name(processor.level_name, FAMILY.level_names())
_name(processor.feature_name, FAMILY.features)
_name(processor.clock_name, FAMILY.clocks)


def _of_family(model: Any) -> None:
    lowers_to(model, getattr(FAMILY.module("primitives"), model.__name__))


_of_family(processor.cycles)
_of_family(processor.pause)
_of_family(processor.cpu_level)
_of_family(processor.enable_vectors)
_of_family(processor.raise_clock)
_of_family(processor.counter_speed)
_of_family(processor.core_speed)
_of_family(processor.cpu_name)
_of_family(processor.cpu_vendor)
_of_family(processor.cpu_signature)
_of_family(processor.cpu_features)
_of_family(processor.hash_blocks)
