"""`dialect.quants`, lowered: the same names in the same order."""

from typing import Any

from llvmlite import ir

from barelm.dialect import quants
from barelm.dialect.lowering.emit import F32X16, I8, I8X64, I16, I16X16, I16X32, I32, I32X16, I64, call, place, splat
from barelm.dialect.lowering.levels import emit_form
from barelm.dialect.lowering.registering import Definition, emits
from barelm.dialect.types import LANES

_I8X16 = ir.VectorType(I8, LANES)

emits(quants.load_i8x64)(lambda builder, x, i: builder.load(place(builder, x, i, I8X64), align=1))


@emits(quants.bits_i8x64)
def _bits_i8x64(builder: Any, v: Any, down: Any, mask: Any, up: Any) -> Any:
    # Processors shift no bytes: pairs of them, and the mask drops what crosses over.
    low = builder.lshr(builder.bitcast(v, I16X32), splat(builder, builder.trunc(down, I16), I16X32))
    kept = builder.and_(builder.bitcast(low, I8X64), splat(builder, builder.trunc(mask, I8), I8X64))
    high = builder.shl(builder.bitcast(kept, I16X32), splat(builder, builder.trunc(up, I16), I16X32))
    return builder.bitcast(high, I8X64)


@emits(quants.look_up_i8x64)
def _look_up_i8x64(builder: Any, low: Any, high: Any, v: Any) -> Any:
    words = splat(builder, low, ir.VectorType(I64, 8))
    for k in range(1, 8, 2):
        words = builder.insert_element(words, high, ir.Constant(I32, k))
    return emit_form(builder, "look_up_i8x64", builder.bitcast(words, I8X64), v)


emits(quants.splat_i32x16)(lambda builder, s: splat(builder, builder.trunc(s, I32), I32X16))


def _dot16(name: str) -> Definition:
    def emit(builder: Any, *given: Any) -> Any:
        *w, x, i = given[:6]
        fours = [builder.load(place(builder, x, builder.add(i, ir.Constant(I64, 4 * k)), I32), align=1)
                 for k in range(4)]
        repeated = [builder.bitcast(splat(builder, four, I32X16), I8X64) for four in fours]
        return emit_form(builder, name, *w, *repeated, *(builder.trunc(total, I32) for total in given[6:]))

    return emit


emits(quants.dot16_u5)(_dot16("dot16_u5"))
emits(quants.dot16_u6)(_dot16("dot16_u6"))
emits(quants.dot16_i8)(_dot16("dot16_i8"))
emits(quants.to_f32x16)(lambda builder, v: builder.sitofp(v, F32X16))


@emits(quants.load_f16x16)
def _load_f16x16(builder: Any, x: Any, i: Any) -> Any:
    return emit_form(builder, "widen_f16", builder.load(place(builder, x, i, I16X16), align=1))


@emits(quants.load_bf16x16)
def _load_bf16x16(builder: Any, x: Any, i: Any) -> Any:
    upper = builder.zext(builder.load(place(builder, x, i, I16X16), align=1), I32X16)
    return builder.bitcast(builder.shl(upper, ir.Constant(I32X16, [16] * LANES)), F32X16)


@emits(quants.load_i8x16)
def _load_i8x16(builder: Any, x: Any, i: Any) -> Any:
    return builder.sext(builder.load(place(builder, x, i, _I8X16), align=1), I32X16)


@emits(quants.load_bits_i32x16)
def _load_bits_i32x16(builder: Any, x: Any, i: Any, down: Any, mask: Any, up: Any) -> Any:
    wide = builder.zext(builder.load(place(builder, x, i, _I8X16), align=1), I32X16)
    down, mask, up = (splat(builder, builder.trunc(s, I32), I32X16) for s in (down, mask, up))
    return builder.shl(builder.and_(builder.lshr(wide, down), mask), up)


@emits(quants.store_i8x16)
def _store_i8x16(builder: Any, x: Any, i: Any, v: Any) -> None:
    builder.store(builder.trunc(v, _I8X16), place(builder, x, i, _I8X16), align=1)


@emits(quants.sum_i32x16)
def _sum_i32x16(builder: Any, v: Any) -> Any:
    return builder.sext(call(builder, "llvm.vector.reduce.add.v16i32", I32, v), I64)
