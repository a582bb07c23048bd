"""`dialect.quants`, lowered: the same names in the same order."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types

from barelm.dialect import quants
from barelm.dialect.lowering import levels
from barelm.dialect.lowering.emit import I8, I32, I64, Vector, call, data_of, lowers, shuffle
from barelm.dialect.lowering.vectors import F32X16, I32X16
from barelm.dialect.types import LANES

I8X64 = Vector(types.int8, 4 * LANES)
I16X32 = Vector(types.int16, 2 * LANES)


def _place(context: Any, builder: Any, signature: Any, arguments: Any, vector: ir.Type) -> Any:
    element = builder.gep(data_of(context, builder, signature.args[0], arguments[0]), [arguments[1]])
    return builder.bitcast(element, vector.as_pointer())


@lowers(quants.load_i8x64)
def _load_i8x64(typing: Any, x: Any, i: Any) -> Any:
    return I8X64(x, types.intp), lambda context, builder, signature, arguments: builder.load(
        _place(context, builder, signature, arguments, levels.I8X64), align=1)


@lowers(quants.bits_i8x64)
def _bits_i8x64(typing: Any, v: Any, down: Any, mask: Any, up: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v, down, mask, up = arguments
        # Processors shift no bytes: pairs of them, and the mask drops what crosses over.
        low = builder.lshr(builder.bitcast(v, levels.I16X32), _splatted(builder, down, levels.I16X32))
        kept = builder.and_(builder.bitcast(low, levels.I8X64), _splatted(builder, mask, levels.I8X64))
        high = builder.shl(builder.bitcast(kept, levels.I16X32), _splatted(builder, up, levels.I16X32))
        return builder.bitcast(high, levels.I8X64)

    return I8X64(I8X64, types.int64, types.int64, types.int64), generate


@lowers(quants.repeat_i8x64)
def _repeat_i8x64(typing: Any, x: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        four = builder.load(_place(context, builder, signature, arguments, I32), align=1)
        lane = builder.insert_element(ir.Constant(levels.I32X16, ir.Undefined), four, ir.Constant(I32, 0))
        return builder.bitcast(shuffle(builder, lane, [0] * LANES), levels.I8X64)

    return I8X64(x, types.intp), generate


def _splatted(builder: Any, s: Any, vector: ir.VectorType) -> Any:
    lane = builder.insert_element(ir.Constant(vector, ir.Undefined), builder.trunc(s, vector.element),
                                  ir.Constant(I32, 0))
    return shuffle(builder, lane, [0] * vector.count)


def _splat(model: Any, vector: Vector, target: ir.VectorType) -> None:
    @lowers(model)
    def splat(typing: Any, s: Any) -> Any:
        return vector(types.int64), lambda context, builder, signature, arguments: _splatted(
            builder, arguments[0], target)


_splat(quants.splat_i16x32, I16X32, levels.I16X32)
_splat(quants.splat_i32x16, I32X16, levels.I32X16)


def _by_level(name: str) -> Any:
    return lambda context, builder, signature, arguments: levels.emit_form(context, builder, name, arguments)


@lowers(quants.dot2_u4)
def _dot2_u4(typing: Any, total: Any, q: Any, x: Any) -> Any:
    return I16X32(I16X32, I8X64, I8X64), _by_level("dot2_u4")


@lowers(quants.sum_pairs)
def _sum_pairs(typing: Any, v: Any) -> Any:
    return I32X16(I16X32), _by_level("sum_pairs")


@lowers(quants.dot4_i8)
def _dot4_i8(typing: Any, total: Any, w: Any, x: Any) -> Any:
    return I32X16(I32X16, I8X64, I8X64), _by_level("dot4_i8")


@lowers(quants.to_f32x16)
def _to_f32x16(typing: Any, v: Any) -> Any:
    return F32X16(I32X16), lambda context, builder, signature, arguments: builder.sitofp(arguments[0], levels.F32X16)


@lowers(quants.load_f16x16)
def _load_f16x16(typing: Any, x: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.load(_place(context, builder, signature, arguments, levels.I16X16), align=1)
        return levels.emit_form(context, builder, "widen_f16", [bits])

    return F32X16(x, types.intp), generate


@lowers(quants.load_i8x16)
def _load_i8x16(typing: Any, x: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        narrow = _place(context, builder, signature, arguments, ir.VectorType(I8, LANES))
        return builder.sext(builder.load(narrow, align=1), levels.I32X16)

    return I32X16(x, types.intp), generate


@lowers(quants.store_i8x16)
def _store_i8x16(typing: Any, x: Any, i: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        narrow = ir.VectorType(I8, LANES)
        builder.store(builder.trunc(arguments[2], narrow), _place(context, builder, signature, arguments, narrow),
                      align=1)
        return context.get_dummy_value()

    return types.void(x, types.intp, I32X16), generate


@lowers(quants.sum_i32x16)
def _sum_i32x16(typing: Any, v: Any) -> Any:
    return types.int64(I32X16), lambda context, builder, signature, arguments: builder.sext(
        call(builder, "llvm.vector.reduce.add.v16i32", I32, arguments[0]), I64)


@lowers(operator.add)
def _add(typing: Any, a: Any, b: Any) -> Any:
    if not (isinstance(a, Vector) and a == b and isinstance(a.dtype, types.Integer)):
        return None
    return a(a, a), lambda context, builder, signature, arguments: builder.add(*arguments)
