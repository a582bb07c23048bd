"""What a program does all the time, in fewer instructions than Numba's: items of vectors, and loops over ranges.

Numba sets up a whole array to read one item, and a hundred instructions to count to n; LLVM makes the same of both in
the end, but they have to be typed, written, read and simplified first.

Part of `target`: private surface of Numba is used here too.
"""

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, imputils, types
from numba.cpython import rangeobj
from numba.np import arrayobj

from barelm.aot.large_tuples import on_stack
from barelm.dialect.lowering.emit import check_span

METAL_IMPLEMENTATIONS = imputils.Registry("metal")

_RANGE, _STEPS = rangeobj.range_impl_map[types.int64]
_ONE = cgutils.intp_t(1)


def _item(context: Any, builder: Any, array_type: Any, array: Any, index_type: Any, index: Any) -> Any:
    model = context.data_model_manager[array_type]
    size = builder.extract_value(model.get(builder, array, "shape"), 0)
    at = arrayobj.fix_integer_index(context, builder, index_type, index, size)
    check_span(context, builder, at, at.type(1), size)
    return builder.gep(model.get(builder, array, "data"), [at])


def _is_plain(array: Any) -> bool:
    return bool(array.ndim == 1 and array.layout == "C")


@METAL_IMPLEMENTATIONS.lower(operator.getitem, types.Array, types.Integer)  # type: ignore[untyped-decorator]
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array_type, index_type = sig.args
    if not _is_plain(array_type):
        return arrayobj.getitem_arraynd_intp(context, builder, sig, args)
    return arrayobj.load_item(context, builder, array_type,
                              _item(context, builder, array_type, args[0], index_type, args[1]))


@METAL_IMPLEMENTATIONS.lower(operator.setitem, types.Array, types.Integer, types.Number)  # type: ignore[untyped-decorator]
def _setitem(context: Any, builder: Any, sig: Any, args: Any) -> None:
    array_type, index_type, value_type = sig.args
    if not _is_plain(array_type):
        arrayobj.setitem_array(context, builder, sig, args)
        return
    value = context.cast(builder, args[2], value_type, array_type.dtype)
    arrayobj.store_item(context, builder, array_type, value,
                        _item(context, builder, array_type, args[0], index_type, args[1]))


@METAL_IMPLEMENTATIONS.lower(len, types.Array)  # type: ignore[untyped-decorator]
def _len(context: Any, builder: Any, sig: Any, args: Any) -> ir.Value:
    shape = context.data_model_manager[sig.args[0]].get(builder, args[0], "shape")
    return builder.extract_value(shape, 0)


@METAL_IMPLEMENTATIONS.lower(range, types.int64)  # type: ignore[untyped-decorator]
def _range_to(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _put_together(builder, sig.return_type, context, (cgutils.intp_t(0), args[0], _ONE))


@METAL_IMPLEMENTATIONS.lower(range, types.int64, types.int64)  # type: ignore[untyped-decorator]
def _range_from_to(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _put_together(builder, sig.return_type, context, (*args, _ONE))


@METAL_IMPLEMENTATIONS.lower("getiter", _RANGE)  # type: ignore[untyped-decorator]
def _steps(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Where the next number is kept, and how many are left; of a range made just before, it is known how it steps."""
    (made,) = args
    if not (isinstance(made, ir.InsertValue) and made.indices == [2] and made.operands[1] is _ONE):
        numbas = next(numbas for numbas, what, kinds in imputils.builtin_registry.functions
                      if what == "getiter" and kinds == (_RANGE,))
        return numbas(context, builder, sig, args)
    start, stop = (builder.extract_value(made, k) for k in (0, 1))
    at, left = (on_stack(builder, start.type) for _ in range(2))
    builder.store(start, at)
    builder.store(builder.sub(stop, start), left)
    return _put_together(builder, sig.return_type, context, (at, stop, _ONE, left))


@METAL_IMPLEMENTATIONS.lower("iternext", _STEPS)  # type: ignore[untyped-decorator]
def _next_step(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """The next number, and whether there is one."""
    at, step, left = (builder.extract_value(args[0], k) for k in (0, 2, 3))
    n, number = builder.load(left), builder.load(at)
    is_there = builder.icmp_signed(">", n, n.type(0))
    builder.store(builder.sub(n, _ONE), left)
    builder.store(builder.add(number, step), at)
    return _put_together(builder, sig.return_type, context, (number, is_there))


def _put_together(builder: Any, numba_type: Any, context: Any, values: tuple[Any, ...]) -> Any:
    whole = context.get_value_type(numba_type)(ir.Undefined)
    for k, value in enumerate(values):
        whole = builder.insert_value(whole, value, k)
    return whole
