"""`dialect.processor`, lowered: what is the same for every family, and the names of what each has in its folder."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from barelm.dialect import processor
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.emit import I64, VOID
from barelm.dialect.lowering.memory import TEXT, constant_text
from barelm.dialect.lowering.registering import emits, lowers, lowers_to

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
