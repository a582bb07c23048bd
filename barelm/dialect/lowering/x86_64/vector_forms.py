"""Forms of x86-64's levels: dot products by PMADDUBSW, tables by PSHUFB, float16 by VCVTPH2PS."""

from typing import Any

from llvmlite import ir

from barelm.dialect.lowering.emit import F32X16, I16, I32, call
from barelm.dialect.lowering.forms import GENERIC, Form, constant, in_parts
from barelm.dialect.types import LANES

_SSE = ("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd", "llvm.x86.ssse3.psign.b.128",
        "llvm.x86.ssse3.pshuf.b.128")
_AVX2 = ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx2.psign.b",
         "llvm.x86.avx2.pshuf.b")


def _forms(parts: int, names: tuple[str, str, str, str]) -> dict[str, Form]:
    """PMADDUBSW, PMADDWD, PSIGNB and PSHUFB on registers of 64 / parts bytes (Intel SDM volume 2)."""
    multiply_bytes, multiply_words, sign, choose = names

    def dot2(builder: Any, total: Any, q: Any, x: Any) -> Any:
        return builder.add(total, call(builder, multiply_bytes, total.type, q, x))

    def pairs(builder: Any, v: Any) -> Any:
        return call(builder, multiply_words, ir.VectorType(I32, v.type.count // 2), v, constant(v.type, 1))

    def dot4(builder: Any, total: Any, w: Any, x: Any) -> Any:
        # |w| is unsigned, w's sign goes over to x: 2 * 128 * 127 fits int16, so nothing saturates.
        size = call(builder, f"llvm.abs.v{w.type.count}i8", w.type, w, ir.Constant(ir.IntType(1), 0))
        signed = call(builder, sign, x.type, x, w)
        words = call(builder, multiply_bytes, ir.VectorType(I16, w.type.count // 2), size, signed)
        return builder.add(total, pairs(builder, words))

    def look_up(builder: Any, table: Any, v: Any) -> Any:
        return call(builder, choose, v.type, table, v)  # within every 128 bits: each has the whole table

    return {"dot2_u4": in_parts(parts, dot2), "sum_pairs": in_parts(parts, pairs), "dot4_i8": in_parts(parts, dot4),
            "look_up_i8x64": in_parts(parts, look_up)}


def _convert_f16(builder: Any, bits: Any) -> Any:
    """VCVTPH2PS."""
    return builder.fpext(builder.bitcast(bits, ir.VectorType(ir.HalfType(), LANES)), F32X16)


FORMS: dict[str, dict[str, Form]] = {
    "v2": {**GENERIC, **_forms(4, _SSE)},
    "v3": {**GENERIC, **_forms(2, _AVX2), "widen_f16": _convert_f16},
}
