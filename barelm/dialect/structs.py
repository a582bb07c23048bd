"""Memory by field name: a class of annotated fields is a layout, an object of it an address.

    class KeyQueue(Struct):
        put: int
        keys: I64 = room(256)

    queue = KeyQueue(address)
    queue.keys[queue.put % 256] = key
    queue.put += 1

Fields lie one after another, each aligned to its own size, as in C.  A field is an `int` (int64), one of UInt8, UInt16
and UInt32 (widened when read, cut when written), a `Real`, a one-dimensional array of the dialect with `room(n)`, a
Struct, or an `Array` of one with `room(n)`.  Arrays and structs are views; only single numbers can be assigned.
A subclass continues behind the fields of its base.  `view.address` is where it lies, unless a field is called so.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from barelm.dialect.memory import memory
from barelm.dialect.types import padded

UInt8 = Annotated[int, "uint8"]
UInt16 = Annotated[int, "uint16"]
UInt32 = Annotated[int, "uint32"]

STRUCTS: list[type[Struct]] = []
"""Every layout; the compiler reads it, nothing else does."""

Element = TypeVar("Element", bound="Struct")


@dataclass(frozen=True)
class Field:
    """One field of a layout."""

    name: str
    offset: int  # bytes
    kind: Any  # the NumPy type of a number or of an array's elements, or a Struct
    count: int | None  # of an array; None: one value
    note: Any  # what was given to `room`

    @property
    def is_service(self) -> bool:
        """Whether it is the address of a service, whose arguments the note says (`contract.uefi_protocols`)."""
        return self.kind is np.int64 and isinstance(self.note, str)

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return _size(self.kind) * (1 if self.count is None else self.count)


@dataclass(frozen=True)
class Room:
    """What `room` says of a field."""

    count: int | None = None
    align: int = 1
    at: int | None = None
    note: Any = None


def room(count: int | None = None, *, align: int = 1, at: int | None = None, note: Any = None) -> Any:
    """Room for `count` elements (None: one value), on a multiple of `align` bytes or `at` an offset behind what was
    declared before; `note` is for whoever reads the layout.
    """
    return Room(count, align, at, note)


class Service(int):
    """What a field that is a service holds, an address, and what it is called in the contract: "FileProtocol.read"."""

    name = ""


class Struct:
    """A view of memory by the fields of its class."""

    FIELDS: ClassVar[dict[str, Field]] = {}
    BYTES: ClassVar[int] = 0
    ALIGNMENT: ClassVar[int] = 1
    base: Any = None  # of `over`

    def __init__(self, address: int) -> None:
        self._address = int(address)

    @property
    def address(self) -> int:
        """Where it lies."""
        return self._address

    @classmethod
    def over(cls, words: NDArray[Any]) -> Self:
        """A view of an array's memory, which lasts as long as the view."""
        if words.nbytes < cls.BYTES:
            raise ValueError(f"{cls.__name__} takes {cls.BYTES} bytes, not {words.nbytes}")
        view = cls(words.ctypes.data)
        view.base = words
        return view

    def __init_subclass__(cls) -> None:
        fields, end, widest = dict(cls.FIELDS), cls.BYTES, cls.ALIGNMENT
        hints = get_type_hints(cls, include_extras=True)
        for name in cls.__dict__.get("__annotations__", {}):
            if name != "address" and hasattr(Struct, name):
                raise TypeError(f"{cls.__name__}.{name} is a name every Struct has already")
            given = cls.__dict__.get(name, Room())
            kind = _kind(hints[name])
            align = max(_alignment(kind), given.align)
            widest = max(widest, align)
            offset = padded(end, align) if given.at is None else given.at
            if offset < end or offset % align:
                raise TypeError(f"{cls.__name__}.{name} cannot lie at {offset}: {end} bytes are taken before it")
            field = Field(name, offset, kind, given.count, given.note)
            fields[name], end = field, field.offset + field.n_bytes
            setattr(cls, name, _property(field, cls.__name__))
        cls.FIELDS, cls.BYTES, cls.ALIGNMENT = fields, padded(end, widest), widest
        STRUCTS.append(cls)

    @classmethod
    def offset_of(cls, name: str) -> int:
        """Where a field begins, in bytes: for constants, not for compiled code."""
        return cls.FIELDS[name].offset


class Array(Generic[Element]):
    """Structs one after another."""

    def __init__(self, address: int, kind: type[Element], count: int) -> None:
        self.address, self.kind, self.count = address, kind, count

    def __getitem__(self, index: int) -> Element:
        if not 0 <= index < self.count:
            raise IndexError(f"{self.kind.__name__} {index} of {self.count}")
        return self.kind(self.address + int(index) * self.kind.BYTES)


def _kind(hint: Any) -> Any:
    if hint is int:
        return np.int64
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint
    if get_origin(hint) is Array:
        return get_args(hint)[0]
    return np.dtype(str(hint.__metadata__[0]).partition("[")[0]).type


def _size(kind: Any) -> int:
    return kind.BYTES if issubclass(kind, Struct) else int(np.dtype(kind).itemsize)


def _alignment(kind: Any) -> int:
    if issubclass(kind, Struct):
        return kind.ALIGNMENT
    return int(np.dtype(kind).itemsize)


def _property(field: Field, owner: str) -> property:
    """The interpreter's model of a field."""
    kind, count = field.kind, field.count
    if issubclass(kind, Struct):
        if count is None:
            return property(lambda self: kind(self._address + field.offset))
        return property(lambda self: Array(self._address + field.offset, kind, count))
    if count is not None:
        return property(lambda self: memory(self._address + field.offset, field.n_bytes).view(kind))
    number = np.ctypeslib.as_ctypes_type(kind)

    def read(self: Struct) -> Any:
        value = number.from_address(self._address + field.offset).value
        if field.is_service:
            service = Service(value)
            service.name = f"{owner}.{field.name}"
            return service
        return np.float32(value) if number is ctypes.c_float else np.int64(value)

    def write(self: Struct, value: Any) -> None:
        place = number.from_address(self._address + field.offset)
        place.value = float(value) if number is ctypes.c_float else int(value)

    return property(read, write)
