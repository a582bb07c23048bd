"""Small pieces of IR the lowerings share: types, and what several of them emit."""

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from barelm.dialect.types import LANES

I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
F32 = ir.FloatType()
VOID = ir.VoidType()
F32X16, I32X16, I16X16 = (ir.VectorType(item, LANES) for item in (F32, I32, I16))
I16X32, I8X64 = ir.VectorType(I16, 2 * LANES), ir.VectorType(I8, 4 * LANES)


def call(builder: Any, name: str, result: ir.Type, *arguments: Any) -> Any:
    """Call the LLVM intrinsic (or external function) `name`."""
    signature = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def pointer(builder: Any, address: Any, element: ir.Type) -> Any:
    """An address as a pointer to `element`."""
    return builder.inttoptr(address, element.as_pointer())


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Pointer to the first element of a Numba array."""
    return context.data_model_manager[array_type].get(builder, array, "data")


def place(builder: Any, array: Any, i: Any, element: ir.Type) -> Any:
    """Pointer to the `element` that begins at item i of an array, given a pointer to its first."""
    return builder.bitcast(builder.gep(array, [i]), element.as_pointer())


def splat(builder: Any, value: Any, vector: ir.VectorType) -> Any:
    """`value` in every lane."""
    lane = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(I32, 0))
    return shuffle(builder, lane, [0] * vector.count)


def shuffle(builder: Any, a: Any, lanes: Iterable[int]) -> Any:
    """The named lanes of `a`."""
    lanes = list(lanes)
    return builder.shuffle_vector(a, a, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def assembly(builder: Any, result: ir.Type, code: str, constraints: str, arguments: list[Any]) -> Any:
    """Inline assembly with side effects."""
    signature = ir.FunctionType(result, [a.type for a in arguments])
    return builder.asm(signature, code, constraints, arguments, True)
