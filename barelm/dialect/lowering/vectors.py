"""`dialect.vectors`, lowered: the same names in the same order, and + - * / between two vectors."""

import operator
from typing import Any

from llvmlite import ir
from numba.core import types

from barelm.dialect import vectors
from barelm.dialect.lowering.emit import F32, F32X16, I32, I32X16, call, place, shuffle, splat
from barelm.dialect.lowering.registering import Definition, Vector, emits, lowers
from barelm.dialect.types import LANES

emits(vectors.load_f32x16)(lambda builder, x, i: builder.load(place(builder, x, i, F32X16), align=4))
emits(vectors.store_f32x16)(lambda builder, x, i, v: builder.store(v, place(builder, x, i, F32X16), align=4))
emits(vectors.splat_f32x16)(lambda builder, s: splat(builder, s, F32X16))


def _chosen(comparison: str) -> Definition:
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(comparison, a, b), a, b)


emits(vectors.max_f32x16)(_chosen(">"))
emits(vectors.min_f32x16)(_chosen("<"))
emits(vectors.to_i32x16)(lambda builder, v: builder.fptosi(v, I32X16))


@emits(vectors.round_i32x16)
def _round_i32x16(builder: Any, v: Any) -> Any:
    magic = ir.Constant(F32X16, [12582912.0] * LANES)
    return builder.fptosi(builder.fsub(builder.fadd(v, magic), magic), I32X16)


@emits(vectors.pow2_f32x16)
def _pow2_f32x16(builder: Any, n: Any) -> Any:
    biased = builder.add(n, ir.Constant(I32X16, [127] * LANES))
    return builder.bitcast(builder.shl(biased, ir.Constant(I32X16, [23] * LANES)), F32X16)


def _halving(combine: Definition) -> Definition:
    def halved(builder: Any, v: Any) -> Any:
        n = LANES
        while n > 1:
            n //= 2
            v = combine(builder, shuffle(builder, v, range(n)), shuffle(builder, v, range(n, 2 * n)))
        return builder.extract_element(v, ir.Constant(I32, 0))

    return halved


emits(vectors.sum_tree)(_halving(lambda builder, a, b: builder.fadd(a, b)))
emits(vectors.max_tree)(_halving(_chosen(">")))
emits(vectors.sqrt_f32)(lambda builder, x: call(builder, "llvm.sqrt.f32", F32, x))


def _operator(model: Any, kind: type, instruction: str) -> None:
    @lowers(model)
    def arithmetic(typing: Any, a: Any, b: Any) -> Any:
        if not (isinstance(a, Vector) and a == b and isinstance(a.dtype, kind)):
            return None
        return a(a, a), lambda context, builder, signature, arguments: getattr(builder, instruction)(*arguments)


_operator(operator.add, types.Float, "fadd")
_operator(operator.sub, types.Float, "fsub")
_operator(operator.mul, types.Float, "fmul")
_operator(operator.truediv, types.Float, "fdiv")
_operator(operator.add, types.Integer, "add")
