"""A tuple of many values is where it lies: it is passed on by its address, and what is wanted of it is read there.

A conversation, a vocabulary, a network: such a tuple has dozens of words, and most functions take one, use a few of its
fields and hand it on.  Passed by value each call of one would be a page of code.  As a tuple never changes its address
is as good, as long as nothing else is put there.  There are three kinds of places, and each is good for long enough:

- what an argument points to lasts longer than the call;
- what a statement makes (a tuple from its fields, a call's result) has a place of its own until the same statement is
  done again, and so has everything that only this statement's value was assigned to;
- a variable that several statements assign to is a copy, and so is what is read from it.

Part of `target`: private surface of Numba is used here too.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.datamodel.packer import ArgPacker

MOST_VALUES = 8
"""Of a tuple that is passed as these."""


class MetalTuple(models.TupleModel):  # type: ignore[misc]
    """A named tuple as Numba holds it, or the address of one, where it is large."""

    def __init__(self, manager: Any, named: Any) -> None:
        super().__init__(manager, named)
        self.is_large = len(ArgPacker(manager, self._members).argument_types) > MOST_VALUES
        if self.is_large:
            self._packers = [ArgPacker(manager, [member]) for member in self._members]
            self._data_type = ir.LiteralStructType([
                model.get_data_type() if is_large(model) else ir.LiteralStructType(packed.argument_types)
                for model, packed in zip(self._models, self._packers)])
            self._value_type = self._data_type.as_pointer()

    def get_argument_type(self) -> Any:
        """An address, or the types of its values."""
        return self.get_value_type() if self.is_large else super().get_argument_type()

    def as_argument(self, builder: Any, value: Any) -> Any:
        """What is passed."""
        return value if self.is_large else super().as_argument(builder, value)

    def from_argument(self, builder: Any, value: Any) -> Any:
        """What was passed."""
        return value if self.is_large else super().from_argument(builder, value)

    def as_data(self, builder: Any, value: Any) -> Any:
        """All of it, wherever it lies."""
        return builder.load(value) if self.is_large else super().as_data(builder, value)

    def from_data(self, builder: Any, value: Any) -> Any:
        """A place for all of it."""
        if not self.is_large:
            return super().from_data(builder, value)
        place = on_stack(builder, self._data_type)
        builder.store(value, place)
        return place

    as_return, from_return = as_data, from_data

    def put_together(self, builder: Any, values: Any) -> Any:
        """A place with these fields."""
        place = on_stack(builder, self._data_type)
        for number, (model, packed, value) in enumerate(zip(self._models, self._packers, values)):
            field = cgutils.gep_inbounds(builder, place, 0, number)
            if is_large(model):
                builder.store(builder.load(value), field)
                continue
            for k, part in enumerate(packed.as_arguments(builder, [value])):
                builder.store(part, cgutils.gep_inbounds(builder, field, 0, k))
        return place

    def field_of(self, builder: Any, place: Any, name: str) -> Any:
        """A field of what lies at a place."""
        number = self._fe_type.fields.index(name)
        field = cgutils.gep_inbounds(builder, place, 0, number)
        if is_large(self._models[number]):
            return field
        packed = self._packers[number]
        parts = [builder.load(cgutils.gep_inbounds(builder, field, 0, k)) for k in range(len(packed.argument_types))]
        return packed.from_arguments(builder, parts)[0]


def is_large(model: Any) -> bool:
    """Whether values of a model are addresses of tuples."""
    return isinstance(model, MetalTuple) and model.is_large


def holds_places(model: Any) -> bool:
    """Whether there are such addresses anywhere in a value."""
    return is_large(model) or any(holds_places(inner) for inner in model.inner_models())


def on_stack(builder: Any, llvm_type: Any, name: str = "") -> Any:
    """Memory of the whole function.  Numba's own is filled with zeros, which nobody reads here."""
    with builder.goto_entry_block():
        return builder.alloca(llvm_type, name=name)


def mark_places(arguments: list[Any], numba_types: Any, manager: Any) -> None:
    """Say of arguments that are addresses of tuples what the optimiser may rely on."""
    large = [isinstance(numba_type, types.NamedTuple) and is_large(manager[numba_type]) for numba_type in numba_types]
    if not any(large):
        return
    for marked, argument in zip(large, ArgPacker(manager, numba_types)._unflattener.unflatten(arguments)):
        if marked:
            argument.add_attribute("captures(none)")
            argument.add_attribute("noalias")
