"""How a lowering is registered, and the types of what it takes and gives."""

import inspect
import re
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import infer, infer_global, make_intrinsic_template
from numba.extending import overload

from barelm.dialect.lowering.emit import data_of


class Vector(types.Type):  # type: ignore[misc]
    """Numba's name for a vector of `lanes` values of `dtype`."""

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"{dtype}x{lanes}")


@register_default(Vector)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is held in one LLVM vector value."""

    def __init__(self, dmm: Any, vector: Vector) -> None:
        element = dmm.lookup(vector.dtype).get_value_type()
        super().__init__(dmm, vector, ir.VectorType(element, vector.lanes))


Definition = Callable[..., Any]

# NumPy's rules for division by zero; no bounds checks: kernels are checked in the interpreter, which has them.
JIT_OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True}


def lowers(model: Any, *, literal: bool = False) -> Callable[[Definition], Definition]:
    """Register a definition as what a call of `model` means in compiled code, in place, without a function.

    The definition is that of `numba.extending.intrinsic`: the typing context and the argument types go in, a
    signature and a generator of IR come out, or None for types that are none of its business.  `literal` asks
    for the types of literal arguments with their values.
    """
    def register(definition: Definition) -> Definition:
        template = make_intrinsic_template(model, definition, model.__name__, prefer_literal=literal)
        infer(template)
        infer_global(model, types.Function(template))
        return definition

    return register


def emits(model: Definition) -> Callable[[Definition], Definition]:
    """Register a function that emits IR as what a call of `model` means in compiled code.

    It takes the builder and the values, of an array a pointer to its first item, and returns a value, or a list of
    those of a tuple.  The types are those `model` is annotated with; an array may be one of anything.
    """
    *wanted, result = [_type_of(hint) for hint in get_type_hints(model, include_extras=True).values()]
    typing = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.Signature([typing, *inspect.signature(model).parameters.values()])

    def register(emit: Definition) -> Definition:
        def definition(typing: Any, *given: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                values = [data_of(context, builder, kind, value) if isinstance(kind, types.Array) else value
                          for kind, value in zip(signature.args, arguments)]
                emitted = emit(builder, *values)
                if result == types.void:
                    return context.get_dummy_value()
                return context.make_tuple(builder, result, emitted) if isinstance(emitted, list) else emitted

            return result(*(kind or passed for kind, passed in zip(wanted, given))), generate

        definition.__signature__ = parameters  # type: ignore[attr-defined]
        lowers(model)(definition)
        return emit

    return register


def _type_of(hint: Any) -> Any:
    """Numba's type for an annotation of the dialect; None for an array."""
    if get_origin(hint) is tuple:
        return types.Tuple([_type_of(item) for item in get_args(hint)])
    if hint is int or hint is type(None):
        return types.int64 if hint is int else types.void
    name = str(getattr(hint, "__metadata__", ("any array",))[0])
    if vector := re.fullmatch(r"vector of (\d+) (\w+)", name):
        return Vector(getattr(types, vector[2]), int(vector[1]))
    return getattr(types, name, None)


def lowers_to(model: Definition, source: Definition) -> None:
    """Register a function of the dialect as what a call of `model`, which may be itself, means in compiled code."""
    def typing(*arguments: Any) -> Definition:
        return source

    typing.__name__ = model.__name__
    overload(model, jit_options=JIT_OPTIONS, strict=False)(typing)
