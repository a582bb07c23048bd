"""`dialect.memory`, lowered: the same names in the same order."""

import functools
import hashlib
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models

from barelm.dialect import memory
from barelm.dialect.lowering import FAMILY
from barelm.dialect.lowering.emit import (
    F32,
    I1,
    I8,
    I16,
    I32,
    I64,
    VOID,
    call,
    check_span,
    data_of,
    extent_of,
    place,
    pointer,
)
from barelm.dialect.lowering.registering import Definition, emits, lowers, lowers_to
from barelm.dialect.rooms import kernel
from barelm.dialect.types import U8, i64

TEXT = types.Array(types.uint16, 1, "C")


def make_view(context: Any, builder: Any, array_type: Any, data: Any, dims: list[Any]) -> Any:
    """A Numba array over `data`, of the sizes `dims`."""
    element = context.get_data_type(array_type.dtype)
    item = context.get_constant(types.intp, context.get_abi_sizeof(element))
    strides = [item]
    for dim in reversed(dims[1:]):
        strides.insert(0, builder.mul(strides[0], dim))
    n_items, nothing = dims[0], cgutils.voidptr_t(None)
    for dim in dims[1:]:
        n_items = builder.mul(n_items, dim)
    return models.ArrayModel.from_argument(
        context.data_model_manager[array_type], builder,
        (nothing, nothing, n_items, item, builder.bitcast(data, element.as_pointer()), tuple(dims), tuple(strides)))


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
            extent = extent_of(context, builder, signature.args[0], arguments[0])
            n_bytes = context.get_constant(types.intp, dtype.bitwidth // 8)
            check_span(context, builder, arguments[1], functools.reduce(builder.mul, dims, n_bytes), extent)
            return make_view(context, builder, signature.return_type, builder.gep(data, [arguments[1]]), dims)

        return types.Array(dtype, n_dims, "C")(block, types.intp, shape), generate


_view_of(memory.u8_array, types.uint8)
_view_of(memory.i8_array, types.int8)
_view_of(memory.u16_array, types.uint16)
_view_of(memory.i32_array, types.int32)
_view_of(memory.i64_array, types.int64)
_view_of(memory.u64_array, types.uint64)
_view_of(memory.f32_array, types.float32)


@emits(memory.prefetch)
def _prefetch(builder: Any, x: Any, i: Any) -> None:
    anywhere = builder.bitcast(builder.gep(x, [i]), I8.as_pointer())
    call(builder, "llvm.prefetch.p0", VOID, anywhere, ir.Constant(I32, 0), ir.Constant(I32, 3),
         ir.Constant(I32, 1))


emits(memory.float_of_bits)(lambda builder, bits: builder.bitcast(builder.trunc(bits, I32), F32))
emits(memory.bits_of_float)(lambda builder, x: builder.zext(builder.bitcast(x, I32), I64))


@lowers(memory.memory)
def _memory(typing: Any, address: Any, n_bytes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return make_view(context, builder, signature.return_type, pointer(builder, arguments[0], I8), [arguments[1]])

    return types.Array(types.uint8, 1, "C")(types.int64, types.intp), generate


emits(memory.address_of)(lambda builder, array: builder.ptrtoint(array, I64))


def _on_stack(model: Any, zeroed: bool) -> None:
    @lowers(model, literal=True)
    def words(typing: Any, n: Any) -> Any:
        count = n.literal_value

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            stack = cgutils.alloca_once(builder, ir.ArrayType(I64, count))
            if zeroed:
                builder.store(ir.Constant(ir.ArrayType(I64, count), None), stack)
            return make_view(context, builder, signature.return_type, stack, [context.get_constant(types.intp, count)])

        return types.Array(types.int64, 1, "C")(n), generate


_on_stack(memory.cells, True)
_on_stack(memory.scratch, False)


def _load(element: ir.IntType) -> Definition:
    return lambda builder, address: builder.zext(builder.load(pointer(builder, address, element), align=1), I64)


emits(memory.load_u8)(_load(I8))
emits(memory.load_u16)(_load(I16))
emits(memory.load_u32)(_load(I32))
emits(memory.load_i64)(_load(I64))
emits(memory.store_i64)(lambda builder, address, value: builder.store(value, pointer(builder, address, I64), align=1))


@emits(memory.copy_bytes)
def _copy_bytes(builder: Any, target: Any, source: Any, n_bytes: Any) -> None:
    call(builder, "llvm.memcpy.p0.p0.i64", VOID, pointer(builder, target, I8), pointer(builder, source, I8), n_bytes,
         ir.Constant(I1, 0))


@emits(memory.fill_bytes)
def _fill_bytes(builder: Any, target: Any, value: Any, n_bytes: Any) -> None:
    call(builder, "llvm.memset.p0.i64", VOID, pointer(builder, target, I8), builder.trunc(value, I8), n_bytes,
         ir.Constant(I1, 0))


@lowers(memory.text, literal=True)
def _text(typing: Any, literal: Any) -> Any:
    return TEXT(literal), lambda context, builder, signature, arguments: constant_text(
        context, builder, literal.literal_value)


def constant_text(context: Any, builder: Any, literal: str) -> Any:
    """An array of TEXT: `literal` in UTF-16 with its terminating zero."""
    length = context.get_constant(types.intp, len(memory.text(literal)))
    return make_view(context, builder, TEXT, utf16_constant(builder.module, literal), [length])


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


emits(memory.atomic_load)(lambda builder, words, i: builder.load_atomic(place(builder, words, i, I64), "acquire", 8))
emits(memory.atomic_store)(lambda builder, words, i, value: builder.store_atomic(
    value, place(builder, words, i, I64), "release", 8))
emits(memory.atomic_add)(lambda builder, words, i, value: builder.atomic_rmw(
    "add", place(builder, words, i, I64), value, "acq_rel"))


@kernel
def plain_crc32c(crc: int, data: U8, n_bytes: int) -> int:
    """Bit by bit."""
    crc ^= 0xFFFFFFFF
    for i in range(n_bytes):
        crc ^= int(data[i])
        for _ in range(8):
            crc = crc >> 1 ^ memory.CRC32C * (crc & 1)
    return crc ^ 0xFFFFFFFF


lowers_to(memory.crc32c, getattr(FAMILY.module("primitives"), "crc32c", plain_crc32c))


@kernel
def first_in_turn(table: Any, column: int, stride: int, least: int, most: int, step: int, low: int, low_most: int
                  ) -> int:
    """One after another."""
    before = i64(least - max(step, 0))
    for at in range(column, len(table), stride):
        value = i64(table[at])
        if not least <= value <= most or value & low > low_most or (step >= 0 and value < before + step):
            return at
        before = value
    return -1


lowers_to(memory.first_senseless, first_in_turn)
