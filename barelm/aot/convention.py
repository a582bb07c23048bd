"""How one function of the metal calls another: arguments, failures, and what an array costs on the way.

Part of `target`: private surface of Numba is used here too.
"""

from typing import Any

from numba.core import callconv, cgutils, types
from numba.core.datamodel import models

from barelm.aot.large_tuples import is_large, mark_places, on_stack
from barelm.aot.messages import line_being_compiled, place, place_failure
from barelm.errors import BarelmError


class MetalArray(models.ArrayModel):  # type: ignore[misc]
    """An array as Numba holds it, but passed on as two words, its address and its shape.

    The other five fields follow from these two where an array is contiguous: passing them made every call of a
    function that takes a few arrays a page of IR.
    """

    def __init__(self, manager: Any, array: Any) -> None:
        super().__init__(manager, array)
        plain = array.layout == "C" and isinstance(array.dtype, (types.Integer, types.Float))
        self.item_bytes = array.dtype.bitwidth // 8 if plain else 0

    def get_argument_type(self) -> Any:
        """The types of what is passed."""
        whole = super().get_argument_type()
        return (whole[4], whole[5]) if self.item_bytes else whole

    def as_argument(self, builder: Any, value: Any) -> Any:
        """An array taken apart by the caller."""
        whole = super().as_argument
        if not self.item_bytes:
            return whole(builder, value)
        return tuple(self._models[i].as_argument(builder, self.get(builder, value, i)) for i in (4, 5))

    def from_argument(self, builder: Any, value: Any) -> Any:
        """An array put together again by the callee."""
        if not self.item_bytes:
            return super().from_argument(builder, value)
        data, shape = value
        strides, n_items = [cgutils.intp_t(self.item_bytes)], shape[-1]
        for n in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], n))
        for n in reversed(shape[:-1]):
            n_items = builder.mul(n_items, n)
        nothing = cgutils.voidptr_t(None)
        return super().from_argument(builder, (nothing, nothing, n_items, cgutils.intp_t(self.item_bytes), data, shape,
                                               tuple(strides)))


class MetalCallConv(callconv.CPUCallConv):  # type: ignore[misc]
    """Numba's convention with two changes.

    An exception is a pointer to a constant message (see `messages`).  Nothing of the dialect catches one, so that a
    callee writes it where the caller's caller will look for it, and any status but 0 is handed on.
    """

    def set_static_user_exc(self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None,
                            func_name: Any = None) -> None:
        """Leave a pointer to the message in the caller's exception slot."""
        failure = place_failure(builder.module, exc, exc_args or (), loc or line_being_compiled())
        slot = self._get_excinfo_argument(builder.function)
        builder.store(builder.bitcast(failure, slot.type.pointee), slot)

    def set_dynamic_user_exc(self, builder: Any, exc: Any, exc_args: Any, nb_types: Any, loc: Any = None,
                             func_name: Any = None) -> None:
        """Refuse: the message of a metal exception is a constant."""
        raise BarelmError(f"{place(loc)} raises an exception whose arguments are not constants",
                          "On the metal an exception is a message placed in the program when it is compiled.")

    def return_user_exc(self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None,
                        func_name: Any = None) -> None:
        """Raise: leave the message and return."""
        self.set_static_user_exc(builder, exc, exc_args, loc, func_name)
        self._return_errcode_raw(builder, callconv.RETCODE_USEREXC)

    def return_native_none(self, builder: Any) -> None:
        """Refuse: a function of the dialect returns a value or nothing, never one or the other."""
        raise BarelmError(f"{builder.function.name} returns None in some places and a value in others",
                          "Return the same type everywhere.")

    def return_status_propagate(self, builder: Any, status: Any) -> None:
        """Hand a callee's failure on; the message is in the slot already."""
        self._return_errcode_raw(builder, status.code)

    def call_function(self, builder: Any, callee: Any, resty: Any, argtys: Any, args: Any,
                      attrs: Any = None) -> Any:
        """Emit a call; returns (status, what the callee returned)."""
        result = on_stack(builder, self._get_return_argument(callee.function_type).pointee)
        slot = self._get_excinfo_argument(builder.function)
        values = self._get_arg_packer(argtys).as_arguments(builder, args)
        code = builder.call(callee, [result, slot, *values])
        failed = builder.icmp_signed("!=", code, code.type(0))
        status = callconv.Status(code=code, excinfoptr=None, is_ok=None, is_none=None, is_error=failed,
                                 is_stop_iteration=None, is_python_exc=None, is_user_exc=None)
        if is_large(self.context.data_model_manager[resty]):
            return status, result
        return status, self.context.get_returned_value(builder, resty, builder.load(result))

    def decorate_function(self, fn: Any, args: Any, fe_argtypes: Any, noalias: bool = False) -> None:
        """Names and attributes of arguments."""
        super().decorate_function(fn, args, fe_argtypes, noalias)
        mark_places(self.get_arguments(fn), fe_argtypes, self.context.data_model_manager)
