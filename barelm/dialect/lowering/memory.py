"""`dialect.memory`, lowered: the same names in the same order."""

from __future__ import annotations

import hashlib
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.np import arrayobj

from barelm.dialect import memory
from barelm.dialect.lowering.emit import F32, I1, I8, I16, I32, I64, VOID, call, data_of, lowers, pointer


def _make_view(context: Any, builder: Any, array_type: Any, data: Any, dims: list[Any]) -> Any:
    element = context.get_data_type(array_type.dtype)
    item = context.get_constant(types.intp, context.get_abi_sizeof(element))
    strides = [item]
    for dim in reversed(dims[1:]):
        strides.insert(0, builder.mul(strides[0], dim))
    array = arrayobj.make_array(array_type)(context, builder)
    arrayobj.populate_array(array, data=builder.bitcast(data, element.as_pointer()), shape=dims, strides=strides,
                            itemsize=item, meminfo=None)
    return array._getvalue()


def _dimensions(context: Any, builder: Any, shape_type: Any, shape: Any) -> list[Any]:
    if isinstance(shape_type, types.BaseTuple):
        parts = cgutils.unpack_tuple(builder, shape, len(shape_type))
        return [context.cast(builder, v, t, types.intp) for v, t in zip(parts, shape_type)]
    return [context.cast(builder, shape, shape_type, types.intp)]


def _view_of(model: Any, dtype: Any) -> None:
    @lowers(model)
    def view(typing: Any, block: Any, offset: Any, shape: Any) -> Any:
        n_dims = len(shape) if isinstance(shape, types.BaseTuple) else 1

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = builder.bitcast(data_of(context, builder, signature.args[0], arguments[0]), I8.as_pointer())
            dims = _dimensions(context, builder, signature.args[2], arguments[2])
            return _make_view(context, builder, signature.return_type, builder.gep(data, [arguments[1]]), dims)

        return types.Array(dtype, n_dims, "C")(block, types.intp, shape), generate


_view_of(memory.u8_array, types.uint8)
_view_of(memory.i8_array, types.int8)
_view_of(memory.u16_array, types.uint16)
_view_of(memory.i32_array, types.int32)
_view_of(memory.i64_array, types.int64)
_view_of(memory.u64_array, types.uint64)
_view_of(memory.f32_array, types.float32)


@lowers(memory.prefetch)
def _prefetch(typing: Any, x: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at = builder.gep(data_of(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        call(builder, "llvm.prefetch.p0", VOID, at, ir.Constant(I32, 0), ir.Constant(I32, 3), ir.Constant(I32, 1))
        return context.get_dummy_value()

    return types.void(x, types.intp), generate


@lowers(memory.float_of_bits)
def _float_of_bits(typing: Any, bits: Any) -> Any:
    return types.float32(types.int64), lambda context, builder, signature, arguments: builder.bitcast(
        builder.trunc(arguments[0], I32), F32)


@lowers(memory.bits_of_float)
def _bits_of_float(typing: Any, x: Any) -> Any:
    return types.int64(types.float32), lambda context, builder, signature, arguments: builder.zext(
        builder.bitcast(arguments[0], I32), I64)


@lowers(memory.memory)
def _memory(typing: Any, address: Any, n_bytes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _make_view(context, builder, signature.return_type, pointer(builder, arguments[0], I8), [arguments[1]])

    return types.Array(types.uint8, 1, "C")(types.int64, types.intp), generate


@lowers(memory.address_of)
def _address_of(typing: Any, array: Any) -> Any:
    return types.int64(array), lambda context, builder, signature, arguments: builder.ptrtoint(
        data_of(context, builder, signature.args[0], arguments[0]), I64)


@lowers(memory.cells, literal=True)
def _cells(typing: Any, n: Any) -> Any:
    count = n.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        stack = cgutils.alloca_once(builder, ir.ArrayType(I64, count))
        builder.store(ir.Constant(ir.ArrayType(I64, count), None), stack)
        return _make_view(context, builder, signature.return_type, stack, [context.get_constant(types.intp, count)])

    return types.Array(types.int64, 1, "C")(n), generate


def _load(model: Any, element: ir.IntType) -> None:
    @lowers(model)
    def load(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(pointer(builder, arguments[0], element), align=1)
            return value if element.width == 64 else builder.zext(value, I64)

        return types.int64(types.int64), generate


_load(memory.load_u8, I8)
_load(memory.load_u16, I16)
_load(memory.load_u32, I32)
_load(memory.load_i64, I64)


@lowers(memory.store_i64)
def _store_i64(typing: Any, address: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], pointer(builder, arguments[0], I64), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _bulk(model: Any, name: str, second_is_pointer: bool) -> None:
    @lowers(model)
    def bulk(typing: Any, target: Any, second: Any, n_bytes: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target, second, n_bytes = arguments
            value = pointer(builder, second, I8) if second_is_pointer else builder.trunc(second, I8)
            call(builder, name, VOID, pointer(builder, target, I8), value, n_bytes, ir.Constant(I1, 0))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate


_bulk(memory.copy_bytes, "llvm.memcpy.p0.p0.i64", True)
_bulk(memory.fill_bytes, "llvm.memset.p0.i64", False)


@lowers(memory.text, literal=True)
def _text(typing: Any, literal: Any) -> Any:
    length = len(memory.text(literal.literal_value))

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = utf16_constant(builder.module, literal.literal_value)
        return _make_view(context, builder, signature.return_type, data, [context.get_constant(types.intp, length)])

    return types.Array(types.uint16, 1, "C")(literal), generate


def utf16_constant(module: Any, literal: str) -> Any:
    """A pointer to `literal` in UTF-16 with its terminating zero, placed once in `module`."""
    units = memory.text(literal)
    name = "text." + hashlib.sha256(units.tobytes()).hexdigest()[:16]
    if name not in module.globals:
        array = ir.ArrayType(I16, len(units))
        constant = ir.GlobalVariable(module, array, name)
        constant.global_constant, constant.linkage, constant.unnamed_addr = True, "internal", True
        constant.initializer = ir.Constant(array, [int(u) for u in units])
    return module.globals[name]


def _word(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return builder.gep(data_of(context, builder, signature.args[0], arguments[0]), [arguments[1]])


@lowers(memory.atomic_load)
def _atomic_load(typing: Any, words: Any, i: Any) -> Any:
    return types.int64(words, types.intp), lambda context, builder, signature, arguments: builder.load_atomic(
        _word(context, builder, signature, arguments), "acquire", 8)


@lowers(memory.atomic_store)
def _atomic_store(typing: Any, words: Any, i: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[2], _word(context, builder, signature, arguments), "release", 8)
        return context.get_dummy_value()

    return types.void(words, types.intp, types.int64), generate


@lowers(memory.atomic_add)
def _atomic_add(typing: Any, words: Any, i: Any, value: Any) -> Any:
    return types.int64(words, types.intp, types.int64), lambda context, builder, signature, arguments: (
        builder.atomic_rmw("add", _word(context, builder, signature, arguments), arguments[2], "acq_rel"))
