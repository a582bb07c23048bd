"""Small pieces of IR the lowerings share: types, and what several of them emit."""

from collections.abc import Iterable
from typing import Any, NamedTuple

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


class Extent(NamedTuple):
    """How far an array goes: what is known of the pointer to its first item while accesses are checked."""

    context: Any
    pointer: Any  # which stays the same object as long as this is here
    n_items: Any
    item_bytes: int


_extents: dict[int, Extent] | None = None


def check_accesses() -> None:
    """From here on, whatever is compiled looks whether it stays inside its arrays, and raises IndexError."""
    global _extents
    _extents = {} if _extents is None else _extents


def checks_accesses() -> bool:
    """Whether it does."""
    return _extents is not None


def check_span(context: Any, builder: Any, at: Any, n: Any, most: Any) -> None:
    """Raise unless [at, at + n) lies in [0, most), where accesses are checked."""
    if checks_accesses():
        wrong = builder.icmp_signed(">", builder.add(at, n), most)
        for number in (at, n):
            wrong = builder.or_(wrong, builder.icmp_signed("<", number, number.type(0)))
        with cgutils.if_unlikely(builder, wrong):
            context.call_conv.return_user_exc(builder, IndexError, ("memory outside of an array is used",))


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Pointer to the first element of a Numba array."""
    model = context.data_model_manager[array_type]
    data = model.get(builder, array, "data")
    if _extents is not None:
        _extents[id(data)] = Extent(context, data, model.get(builder, array, "nitems"), array_type.dtype.bitwidth // 8)
    return data


def extent_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """The bytes of a Numba array."""
    n_items = context.data_model_manager[array_type].get(builder, array, "nitems")
    return builder.mul(n_items, n_items.type(array_type.dtype.bitwidth // 8))


def place(builder: Any, array: Any, i: Any, element: ir.Type) -> Any:
    """Pointer to the `element` that begins at item i of an array, given a pointer to its first."""
    extent = _extents.get(id(array)) if _extents is not None else None
    if extent is not None:
        n_bytes = I64(extent.item_bytes)
        size = I64(extent.context.get_abi_sizeof(element))
        check_span(extent.context, builder, builder.mul(i, n_bytes), size, builder.mul(extent.n_items, n_bytes))
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
