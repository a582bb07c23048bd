"""`dialect.vectors`, lowered: the same names in the same order, and + - * / between two vectors."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types

from barelm.dialect import vectors
from barelm.dialect.lowering.emit import F32, I32, Vector, call, data_of, lowers, shuffle
from barelm.dialect.types import LANES

F32X16 = Vector(types.float32, LANES)
I32X16 = Vector(types.int32, LANES)
_f32x16 = ir.VectorType(F32, LANES)
_i32x16 = ir.VectorType(I32, LANES)


def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    element = builder.gep(data_of(context, builder, signature.args[0], arguments[0]), [arguments[1]])
    return builder.bitcast(element, context.get_value_type(F32X16).as_pointer())


@lowers(vectors.load_f32x16)
def _load_f32x16(typing: Any, x: Any, i: Any) -> Any:
    return F32X16(x, types.intp), lambda context, builder, signature, arguments: builder.load(
        _place(context, builder, signature, arguments), align=4)


@lowers(vectors.store_f32x16)
def _store_f32x16(typing: Any, x: Any, i: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(context, builder, signature, arguments), align=4)
        return context.get_dummy_value()

    return types.void(x, types.intp, F32X16), generate


@lowers(vectors.splat_f32x16)
def _splat_f32x16(typing: Any, s: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lane = builder.insert_element(ir.Constant(_f32x16, ir.Undefined), arguments[0], ir.Constant(I32, 0))
        return shuffle(builder, lane, [0] * LANES)

    return F32X16(types.float32), generate


def _chosen(model: Any, comparison: str) -> None:
    @lowers(model)
    def chosen(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, b = arguments
            return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)

        return F32X16(F32X16, F32X16), generate


_chosen(vectors.max_f32x16, ">")
_chosen(vectors.min_f32x16, "<")


@lowers(vectors.to_i32x16)
def _to_i32x16(typing: Any, v: Any) -> Any:
    return I32X16(F32X16), lambda context, builder, signature, arguments: builder.fptosi(arguments[0], _i32x16)


@lowers(vectors.round_i32x16)
def _round_i32x16(typing: Any, v: Any) -> Any:
    magic = ir.Constant(_f32x16, [12582912.0] * LANES)
    return I32X16(F32X16), lambda context, builder, signature, arguments: builder.fptosi(
        builder.fsub(builder.fadd(arguments[0], magic), magic), _i32x16)


@lowers(vectors.pow2_f32x16)
def _pow2_f32x16(typing: Any, n: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], ir.Constant(_i32x16, [127] * LANES))
        return builder.bitcast(builder.shl(biased, ir.Constant(_i32x16, [23] * LANES)), _f32x16)

    return F32X16(I32X16), generate


def _halving(model: Any, combine: Any) -> None:
    @lowers(model)
    def halving(typing: Any, v: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value, n = arguments[0], LANES
            while n > 1:
                n //= 2
                low, high = shuffle(builder, value, list(range(n))), shuffle(builder, value, list(range(n, 2 * n)))
                value = combine(builder, low, high)
            return builder.extract_element(value, ir.Constant(I32, 0))

        return types.float32(F32X16), generate


_halving(vectors.sum_tree, lambda builder, a, b: builder.fadd(a, b))
_halving(vectors.max_tree, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


@lowers(vectors.sqrt_f32)
def _sqrt_f32(typing: Any, x: Any) -> Any:
    return types.float32(types.float32), lambda context, builder, signature, arguments: call(
        builder, "llvm.sqrt.f32", F32, arguments[0])


def _operator(model: Any, instruction: str) -> None:
    @lowers(model)
    def arithmetic(typing: Any, a: Any, b: Any) -> Any:
        if not (isinstance(a, Vector) and a == b and isinstance(a.dtype, types.Float)):
            return None
        return a(a, a), lambda context, builder, signature, arguments: getattr(builder, instruction)(*arguments)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")
