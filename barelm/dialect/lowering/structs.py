"""`dialect.structs`, lowered: a struct is held as its address, a field is a load, a store or a view at an offset."""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import imputils, types
from numba.core.datamodel import models, register_default
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import NativeValue, box, typeof_impl, unbox
from numba.np import numpy_support

from barelm.dialect.lowering.emit import F32, I64, check_span, pointer
from barelm.dialect.lowering.memory import make_view
from barelm.dialect.lowering.registering import lowers
from barelm.dialect.structs import Field, Struct


class StructType(types.Type):  # type: ignore[misc]
    """Numba's name for a struct."""

    def __init__(self, layout: type[Struct]) -> None:
        self.layout = layout
        super().__init__(name=f"{layout.__module__}.{layout.__name__}")


class ArrayOfStructs(types.Type):  # type: ignore[misc]
    """Numba's name for so many structs one after another."""

    def __init__(self, layout: type[Struct], count: int) -> None:
        self.layout, self.count = layout, count
        super().__init__(name=f"{layout.__module__}.{layout.__name__}[{count}]")


class ServiceType(types.Type):  # type: ignore[misc]
    """Numba's name for the address of a service, which knows what the service is called."""

    def __init__(self, service: str) -> None:
        self.service = service
        super().__init__(name=f"service {service}")

    def can_convert_to(self, typing_context: Any, other: Any) -> Any:
        """To an address like any."""
        return Conversion.safe if other == types.int64 else None


@register_default(StructType)
@register_default(ArrayOfStructs)
@register_default(ServiceType)
class AddressModel(models.PrimitiveModel):  # type: ignore[misc]
    """All are held as an address."""

    def __init__(self, dmm: Any, kind: Any) -> None:
        super().__init__(dmm, kind, I64)


def _type_of(field: Field) -> Any:
    if issubclass(field.kind, Struct):
        return StructType(field.kind) if field.count is None else ArrayOfStructs(field.kind, field.count)
    if field.count is not None:
        return types.Array(numpy_support.from_dtype(np.dtype(field.kind)), 1, "C")
    return types.float32 if field.kind is np.float32 else types.int64


@infer_getattr
class StructFields(AttributeTemplate):  # type: ignore[misc]
    """The types of fields, and of `address`."""

    key = StructType

    def generic_resolve(self, kind: StructType, name: str) -> Any:
        """A field's type; None where there is none of that name."""
        field = kind.layout.FIELDS.get(name)
        if field is None:
            return types.int64 if name == "address" else None
        return ServiceType(f"{kind.layout.__name__}.{name}") if field.is_service else _type_of(field)


@imputils.lower_cast(ServiceType, types.int64)  # type: ignore[untyped-decorator]
def _address_of_service(context: Any, builder: Any, given: Any, wanted: Any, value: Any) -> Any:
    return value


def _element(field: Field) -> ir.Type:
    return F32 if field.kind is np.float32 else ir.IntType(8 * np.dtype(field.kind).itemsize)


@imputils.lower_getattr_generic(StructType)  # type: ignore[untyped-decorator]
def _read(context: Any, builder: Any, kind: StructType, value: Any, name: str) -> Any:
    field = kind.layout.FIELDS.get(name)
    if field is None:
        return value
    place = builder.add(value, ir.Constant(I64, field.offset))
    if issubclass(field.kind, Struct):
        return place
    if field.count is not None:
        return make_view(context, builder, _type_of(field), pointer(builder, place, _element(field)),
                         [context.get_constant(types.intp, field.count)])
    element = _element(field)
    loaded = builder.load(pointer(builder, place, element), align=1)
    return loaded if element is F32 else builder.zext(loaded, I64)


@imputils.lower_setattr_generic(StructType)  # type: ignore[untyped-decorator]
def _write(context: Any, builder: Any, sig: Any, args: Any, name: str) -> Any:
    field = sig.args[0].layout.FIELDS[name]
    if field.count is not None or issubclass(field.kind, Struct):
        raise TypeError(f"{sig.args[0].name}.{name} is a view: it cannot be assigned to")
    element = _element(field)
    value = context.cast(builder, args[1], sig.args[1], _type_of(field))
    place = builder.add(args[0], ir.Constant(I64, field.offset))
    builder.store(value if element is F32 else builder.trunc(value, element), pointer(builder, place, element), align=1)


@infer_getattr
class SizeOfStruct(AttributeTemplate):  # type: ignore[misc]
    """`BYTES` of a layout; to Numba a layout is a function, for it can be called."""

    key = types.Function

    def generic_resolve(self, layout: types.Function, name: str) -> Any:
        """An int, where it is ours."""
        known = layout.typing_key
        return types.int64 if name == "BYTES" and isinstance(known, type) and issubclass(known, Struct) else None


@imputils.lower_getattr_generic(types.Function)  # type: ignore[untyped-decorator]
def _size(context: Any, builder: Any, kind: types.Function, value: Any, name: str) -> Any:
    return ir.Constant(I64, kind.typing_key.BYTES)


@infer_global(operator.getitem)
class ElementOfArray(AbstractTemplate):  # type: ignore[misc]
    """array[index] is a struct."""

    def generic(self, args: Any, kws: Any) -> Any:
        """The signature, where it is ours."""
        if len(args) == 2 and isinstance(args[0], ArrayOfStructs) and isinstance(args[1], types.Integer):
            return signature(StructType(args[0].layout), args[0], types.int64)
        return None


@imputils.lower_builtin(operator.getitem, ArrayOfStructs, types.int64)  # type: ignore[untyped-decorator]
def _element_of(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    check_span(context, builder, args[1], I64(1), I64(sig.args[0].count))
    return builder.add(args[0], builder.mul(args[1], ir.Constant(I64, sig.args[0].layout.BYTES)))


def install_struct(layout: type[Struct]) -> None:
    """Let compiled code make one of an address."""
    @lowers(layout)
    def construct(typing: Any, address: Any) -> Any:
        return StructType(layout)(types.int64), lambda context, builder, signature, arguments: arguments[0]


@typeof_impl.register(Struct)  # type: ignore[untyped-decorator]
def _typeof(value: Struct, context: Any) -> StructType:
    return StructType(type(value))


@unbox(StructType)  # type: ignore[untyped-decorator]
def _unbox(kind: StructType, value: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(value, "_address")
    native = c.unbox(types.int64, number)
    c.pyapi.decref(number)
    return native


@box(StructType)  # type: ignore[untyped-decorator]
def _box(kind: StructType, value: Any, c: Any) -> Any:
    layout = c.pyapi.unserialize(c.pyapi.serialize_object(kind.layout))
    number = c.box(types.int64, value)
    made = c.pyapi.call_function_objargs(layout, (number,))
    c.pyapi.decref(number)
    c.pyapi.decref(layout)
    return made
