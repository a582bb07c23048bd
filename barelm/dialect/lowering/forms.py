"""Forms: functions that emit IR for one primitive where LLVM does not find the best instructions by itself.

These run on any processor; a family's `vector_forms` has better ones for its levels (see `levels`).
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from barelm.dialect.lowering.emit import F32X16, I8X64, I16, I16X16, I32, I32X16, shuffle, splat
from barelm.dialect.types import LANES

Form = Callable[..., Any]


def constant(vector: ir.VectorType, value: int) -> ir.Constant:
    """A vector of nothing but `value`."""
    return ir.Constant(vector, [value] * vector.count)


def _even_odd(builder: Any, v: Any) -> tuple[Any, Any]:
    n = v.type.count
    return shuffle(builder, v, range(0, n, 2)), shuffle(builder, v, range(1, n, 2))


def dot16(builder: Any, *v: Any) -> Any:
    """For any target: products in int16, sums in int32."""
    total = constant(I32X16, 0)
    for w, x in zip(v[:4], v[4:8]):
        products = builder.mul(builder.sext(w, ir.VectorType(I16, 64)), builder.sext(x, ir.VectorType(I16, 64)))
        even, odd = _even_odd(builder, builder.sext(products, ir.VectorType(I32, 64)))
        even, odd = _even_odd(builder, builder.add(even, odd))
        total = builder.add(total, builder.add(even, odd))
    return total


def look_up_i8x64(builder: Any, table: Any, v: Any) -> Any:
    """For any target: one comparison for each entry."""
    found = ir.Constant(v.type, None)
    for k in range(16):
        entry = splat(builder, builder.extract_element(table, ir.Constant(I32, k)), v.type)
        found = builder.select(builder.icmp_unsigned("==", v, constant(v.type, k)), entry, found)
    return found


def widen_f16(builder: Any, bits: Any) -> Any:
    """For any target: shift exponent and mantissa into place, and correct the bias by an exact multiplication."""
    wide = builder.shl(builder.sext(bits, I32X16), constant(I32X16, 13))
    small = builder.and_(wide, constant(I32X16, -0x70002000))
    return builder.fmul(builder.bitcast(small, F32X16), ir.Constant(F32X16, [2.0 ** 112] * LANES))


def in_parts(parts: int, form: Form) -> Form:
    """A form for vectors of a machine, applied to each of the `parts` a vector of the dialect consists of."""
    def whole(builder: Any, *arguments: Any) -> Any:
        pieces = []
        for part in range(parts):
            slices = [shuffle(builder, a, range(part * (a.type.count // parts), (part + 1) * (a.type.count // parts)))
                      for a in arguments]
            pieces.append(form(builder, *slices))
        while len(pieces) > 1:
            pieces = [_joined(builder, a, b) for a, b in zip(pieces[0::2], pieces[1::2])]
        return pieces[0]

    return whole


def _joined(builder: Any, a: Any, b: Any) -> Any:
    lanes = list(range(2 * a.type.count))
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


GENERIC: dict[str, Form] = {"dot16_u5": dot16, "dot16_u6": dot16, "dot16_i8": dot16, "look_up_i8x64": look_up_i8x64,
                            "widen_f16": widen_f16}
SIGNATURES: dict[str, tuple[ir.Type, list[ir.Type]]] = {
    "dot16_u5": (I32X16, [I8X64] * 8),
    "dot16_u6": (I32X16, [I8X64] * 8),
    "dot16_i8": (I32X16, [*[I8X64] * 8, I32]),
    "look_up_i8x64": (I8X64, [I8X64, I8X64]),
    "widen_f16": (F32X16, [I16X16]),
}
