"""`dialect.sentences`, lowered: the text is a constant of the program, the values lie on the stack of the caller."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from barelm.dialect import sentences
from barelm.dialect.lowering.emit import I32, I64, data_of
from barelm.dialect.lowering.memory import make_view, utf16_constant
from barelm.dialect.lowering.registering import lowers
from barelm.dialect.sentences import BYTES, QUOTIENT, UNITS, WORDS, Sentence

_RESULT = types.NamedTuple((types.Array(types.uint16, 1, "C"), types.Array(types.int64, 1, "C")), Sentence)


def _kind_of(value: Any) -> str:
    if isinstance(value, types.Array):
        return str(value.dtype)
    if isinstance(value, (types.Integer, types.Boolean, types.IntegerLiteral)):
        return "int"
    return str(value)


@lowers(sentences.sentence, literal=True)
def _sentence(typing: Any, literal: Any, values: Any) -> Any:
    # What is wrong is said by a ValueError: Numba passes it on as it is, and tries no other types.
    kinds = tuple(_kind_of(kind) for kind in values)
    template = sentences.Template.of(literal.literal_value, kinds)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = cgutils.unpack_tuple(builder, arguments[1], len(kinds))
        count = 2 * len(template.places)
        stack = cgutils.alloca_once(builder, ir.ArrayType(I64, max(count, 1)))
        for at, (how, taken) in enumerate(template.places):
            for k, word in enumerate(_words(context, builder, how, values, given, taken)):
                builder.store(word, cgutils.gep_inbounds(builder, stack, 0, 2 * at + k))
        units = utf16_constant(builder.module, template.text)
        n_units = len(template.text.encode("utf-16-le")) // 2 + 1
        views = [make_view(context, builder, _RESULT.types[0], units, [context.get_constant(types.intp, n_units)]),
                 make_view(context, builder, _RESULT.types[1], stack, [context.get_constant(types.intp, count)])]
        return context.make_tuple(builder, _RESULT, views)

    return _RESULT(literal, values), generate


def _words(context: Any, builder: Any, how: int, values: Any, given: Any, taken: int) -> list[Any]:
    """The two words of a place."""
    if how in (BYTES, UNITS, WORDS):
        array = given[taken]
        length = builder.extract_value(context.data_model_manager[values[taken]].get(builder, array, "shape"), 0)
        return [builder.ptrtoint(data_of(context, builder, values[taken], array), I64), length]
    if values[taken] == types.float32:
        return [builder.zext(builder.bitcast(given[taken], I32), I64), ir.Constant(I64, 0)]
    words = [context.cast(builder, given[k], values[k], types.int64)
             for k in range(taken, taken + (2 if how == QUOTIENT else 1))]
    return (words + [ir.Constant(I64, 0)])[:2]
