"""Forms of x86-64's levels: dot products by PMADDUBSW or VPDPBUSD, tables by PSHUFB, float16 by VCVTPH2PS.

Each takes the vectors of the dialect apart into registers (Intel SDM volume 2).
"""

from typing import Any

from llvmlite import ir

from barelm.dialect.lowering.emit import F32X16, I16, I32, I32X16, call, splat
from barelm.dialect.lowering.forms import GENERIC, Form, constant, in_parts
from barelm.dialect.types import LANES

_SSE = ("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd", "llvm.x86.ssse3.psign.b.128",
        "llvm.x86.ssse3.pshuf.b.128")
_AVX2 = ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx2.psign.b",
         "llvm.x86.avx2.pshuf.b")


def _byte_forms(parts: int, names: tuple[str, str, str, str]) -> dict[str, Form]:
    """PMADDUBSW, PMADDWD, PSIGNB and PSHUFB on registers of 64 / parts bytes."""
    multiply_bytes, multiply_words, sign, choose = names

    def words(builder: Any, q: Any, x: Any) -> Any:
        return call(builder, multiply_bytes, ir.VectorType(I16, q.type.count // 2), q, x)

    def pairs(builder: Any, v: Any) -> Any:
        return call(builder, multiply_words, ir.VectorType(I32, v.type.count // 2), v, constant(v.type, 1))

    def two(builder: Any, *v: Any) -> Any:
        return builder.add(words(builder, v[0], v[2]), words(builder, v[1], v[3]))

    def five_bits(builder: Any, *v: Any) -> Any:
        return pairs(builder, builder.add(two(builder, *v[:2], *v[4:6]), two(builder, *v[2:4], *v[6:8])))

    def six_bits(builder: Any, *v: Any) -> Any:
        first, last = two(builder, *v[:2], *v[4:6]), two(builder, *v[2:4], *v[6:8])
        return builder.add(pairs(builder, first), pairs(builder, last))

    def signed(builder: Any, *v: Any) -> Any:
        # |w| is unsigned, w's sign goes over to x: 2 * 128 * 127 fits int16, so nothing saturates.
        total = None
        for w, x in zip(v[:4], v[4:]):
            size = call(builder, f"llvm.abs.v{w.type.count}i8", w.type, w, ir.Constant(ir.IntType(1), 0))
            four = pairs(builder, words(builder, size, call(builder, sign, x.type, x, w)))
            total = four if total is None else builder.add(total, four)
        return total

    return {"dot16_u5": in_parts(parts, five_bits), "dot16_u6": in_parts(parts, six_bits),
            "dot16_i8": lambda builder, *v: in_parts(parts, signed)(builder, *v[:8]),
            "look_up_i8x64": _look_up(parts, choose)}


def _look_up(parts: int, choose: str) -> Form:
    """PSHUFB, within every 128 bits: each has the whole table."""
    return in_parts(parts, lambda builder, table, v: call(builder, choose, v.type, table, v))


def _dot_forms(parts: int, name: str) -> dict[str, Form]:
    """VPDPBUSD on registers of 64 / parts bytes: unsigned times signed bytes, four products added to an int32."""
    def dots(builder: Any, *v: Any) -> Any:
        total = v[8]
        for u, x in zip(v[:4], v[4:8]):
            total = call(builder, name, total.type, total, *(builder.bitcast(each, total.type) for each in (u, x)))
        return total

    def unsigned(builder: Any, *v: Any) -> Any:
        return in_parts(parts, dots)(builder, *v, constant(I32X16, 0))

    def signed(builder: Any, *v: Any) -> Any:
        # w xor 0x80 is w + 128 as unsigned; 128 Σ x comes off first.
        shifted = [builder.xor(w, constant(w.type, -128)) for w in v[:4]]
        start = splat(builder, builder.mul(v[8], ir.Constant(I32, -128)), I32X16)
        return in_parts(parts, dots)(builder, *shifted, *v[4:8], start)

    return {"dot16_u5": unsigned, "dot16_u6": unsigned, "dot16_i8": signed}


def _convert_f16(builder: Any, bits: Any) -> Any:
    """VCVTPH2PS."""
    return builder.fpext(builder.bitcast(bits, ir.VectorType(ir.HalfType(), LANES)), F32X16)


_V3: dict[str, Form] = {**_byte_forms(2, _AVX2), "widen_f16": _convert_f16}
FORMS: dict[str, dict[str, Form]] = {
    "v2": {**GENERIC, **_byte_forms(4, _SSE)},
    "v3": _V3,
    "v3n": {**_V3, **_dot_forms(2, "llvm.x86.avx512.vpdpbusd.256")},
    "v4": {**_V3, **_dot_forms(1, "llvm.x86.avx512.vpdpbusd.512"),
           "look_up_i8x64": _look_up(1, "llvm.x86.avx512.pshuf.b.512")},
}
