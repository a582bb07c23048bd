"""How a lowering is registered, and small pieces of IR the lowerings share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import infer, infer_global, make_intrinsic_template
from numba.extending import overload

I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
F32 = ir.FloatType()
VOID = ir.VoidType()


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


def lowers_to(model: Definition, source: Definition) -> None:
    """Register a function of the dialect as what a call of `model`, which may be itself, means in compiled code."""
    def typing(*arguments: Any) -> Definition:
        return source

    typing.__name__ = model.__name__
    overload(model, jit_options=JIT_OPTIONS, strict=False)(typing)


def call(builder: Any, name: str, result: ir.Type, *arguments: Any) -> Any:
    """Call the LLVM intrinsic (or external function) `name`."""
    signature = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def pointer(builder: Any, address: Any, element: ir.Type) -> Any:
    """An address as a pointer to `element`."""
    return builder.inttoptr(address, element.as_pointer())


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Pointer to the first element of a Numba array."""
    return context.data_model_manager[array_type].get(builder, array, "data")


def shuffle(builder: Any, a: Any, lanes: list[int]) -> Any:
    """The named lanes of `a`."""
    return builder.shuffle_vector(a, a, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def assembly(builder: Any, result: ir.Type, code: str, constraints: str, arguments: list[Any]) -> Any:
    """Inline assembly with side effects."""
    signature = ir.FunctionType(result, [a.type for a in arguments])
    return builder.asm(signature, code, constraints, arguments, True)


def pick(builder: Any, a: Any, lanes: Iterable[int]) -> Any:
    """The same, for any run of lanes."""
    return shuffle(builder, a, list(lanes))
