"""Instructions of their own for a CPU level: the dot products and conversions LLVM does not find by itself.

Each form is one function that emits IR for one level.  The host's JIT emits the form of this host in place.  The
metal's engine is lowered once and compiled for every level: there a call stands in its place, and `level_module`
defines what is called, level by level.  A further level (VNNI, AVX-512, NEON) is one more column of FORMS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from barelm.dialect.lowering.emit import F32, I8, I16, I32, call, pick
from barelm.dialect.types import LANES

Form = Callable[..., Any]

F32X16, I32X16 = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
I16X32, I8X64 = ir.VectorType(I16, 2 * LANES), ir.VectorType(I8, 4 * LANES)
I16X16 = ir.VectorType(I16, LANES)


def _constant(vector: ir.VectorType, value: int) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def _even_odd(builder: Any, v: Any) -> tuple[Any, Any]:
    n = v.type.count
    return pick(builder, v, range(0, n, 2)), pick(builder, v, range(1, n, 2))


def dot2_u4(builder: Any, total: Any, q: Any, x: Any) -> Any:
    """For any target: products in int16, neighbours added."""
    products = builder.mul(builder.zext(q, ir.VectorType(I16, 64)), builder.sext(x, ir.VectorType(I16, 64)))
    even, odd = _even_odd(builder, products)
    return builder.add(total, builder.add(even, odd))


def sum_pairs(builder: Any, v: Any) -> Any:
    """For any target."""
    even, odd = _even_odd(builder, builder.sext(v, ir.VectorType(I32, 32)))
    return builder.add(even, odd)


def dot4_i8(builder: Any, total: Any, w: Any, x: Any) -> Any:
    """For any target: products in int16, sums in int32."""
    products = builder.mul(builder.sext(w, ir.VectorType(I16, 64)), builder.sext(x, ir.VectorType(I16, 64)))
    even, odd = _even_odd(builder, builder.sext(products, ir.VectorType(I32, 64)))
    even, odd = _even_odd(builder, builder.add(even, odd))
    return builder.add(total, builder.add(even, odd))


def widen_f16(builder: Any, bits: Any) -> Any:
    """For any target: shift exponent and mantissa into place, and correct the bias by an exact multiplication."""
    wide = builder.shl(builder.sext(bits, I32X16), _constant(I32X16, 13))
    small = builder.and_(wide, _constant(I32X16, -0x70002000))
    return builder.fmul(builder.bitcast(small, F32X16), ir.Constant(F32X16, [2.0 ** 112] * LANES))


def _in_parts(parts: int, form: Form) -> Form:
    """A form for vectors of a machine, applied to each of the `parts` a vector of the dialect consists of."""
    def whole(builder: Any, *arguments: Any) -> Any:
        pieces = []
        for part in range(parts):
            slices = [pick(builder, a, range(part * (a.type.count // parts), (part + 1) * (a.type.count // parts)))
                      for a in arguments]
            pieces.append(form(builder, *slices))
        while len(pieces) > 1:
            pieces = [_joined(builder, a, b) for a, b in zip(pieces[0::2], pieces[1::2])]
        return pieces[0]

    return whole


def _joined(builder: Any, a: Any, b: Any) -> Any:
    lanes = list(range(2 * a.type.count))
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))



_SSE = ("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd", "llvm.x86.ssse3.psign.b.128")
_AVX2 = ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx2.psign.b")


def _x86_forms(parts: int, names: tuple[str, str, str]) -> dict[str, Form]:
    """PMADDUBSW, PMADDWD and PSIGNB on registers of 64 / parts bytes (Intel SDM volume 2)."""
    multiply_bytes, multiply_words, sign = names

    def dot2(builder: Any, total: Any, q: Any, x: Any) -> Any:
        return builder.add(total, call(builder, multiply_bytes, total.type, q, x))

    def pairs(builder: Any, v: Any) -> Any:
        return call(builder, multiply_words, ir.VectorType(I32, v.type.count // 2), v, _constant(v.type, 1))

    def dot4(builder: Any, total: Any, w: Any, x: Any) -> Any:
        # |w| is unsigned, w's sign goes over to x: 2 * 128 * 127 fits int16, so nothing saturates.
        size = call(builder, f"llvm.abs.v{w.type.count}i8", w.type, w, ir.Constant(ir.IntType(1), 0))
        signed = call(builder, sign, x.type, x, w)
        words = call(builder, multiply_bytes, ir.VectorType(I16, w.type.count // 2), size, signed)
        return builder.add(total, pairs(builder, words))

    return {"dot2_u4": _in_parts(parts, dot2), "sum_pairs": _in_parts(parts, pairs), "dot4_i8": _in_parts(parts, dot4)}


def _convert_f16(builder: Any, bits: Any) -> Any:
    """VCVTPH2PS."""
    return builder.fpext(builder.bitcast(bits, ir.VectorType(ir.HalfType(), LANES)), F32X16)


GENERIC: dict[str, Form] = {"dot2_u4": dot2_u4, "sum_pairs": sum_pairs, "dot4_i8": dot4_i8, "widen_f16": widen_f16}
FORMS: dict[str, dict[str, Form]] = {
    "generic": GENERIC,
    "v2": {**GENERIC, **_x86_forms(4, _SSE)},
    "v3": {**GENERIC, **_x86_forms(2, _AVX2), "widen_f16": _convert_f16},
}
SIGNATURES: dict[str, tuple[ir.Type, list[ir.Type]]] = {
    "dot2_u4": (I16X32, [I16X32, I8X64, I8X64]),
    "sum_pairs": (I32X16, [I16X32]),
    "dot4_i8": (I32X16, [I32X16, I8X64, I8X64]),
    "widen_f16": (F32X16, [I16X16]),
}


def emit_form(context: Any, builder: Any, name: str, arguments: Any) -> Any:
    """What `name` of FORMS does: in place for the host, by a call for the metal (see above)."""
    if getattr(context, "many_levels", False):
        return call(builder, "barelm_" + name, SIGNATURES[name][0], *arguments)
    return FORMS[host_level()][name](builder, *arguments)


@cache
def host_level() -> str:
    """The level of the processor this process runs on."""
    features = llvm.get_host_cpu_features()
    if features.get("avx2") and features.get("f16c"):
        return "v3"
    return "v2" if features.get("ssse3") else "generic"


def level_module(level: str) -> str:
    """LLVM IR that defines every form for a level, to be inlined."""
    module = ir.Module("level." + level)
    for name, form in FORMS[level].items():
        result, parameters = SIGNATURES[name]
        function = ir.Function(module, ir.FunctionType(result, parameters), "barelm_" + name)
        function.attributes.add("alwaysinline")
        builder = ir.IRBuilder(function.append_basic_block())
        builder.ret(form(builder, *function.args))
    return str(module)
