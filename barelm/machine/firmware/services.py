"""Who answers a call: handlers by the service's name, replaceable, counted, and made to fail on request."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from barelm.contract import uefi
from barelm.dialect.structs import Struct
from barelm.machine.firmware.effects import EFFECTS
from barelm.machine.firmware.faults import Fault, qualified
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError
from barelm.machine.firmware.process.native import Bridge
from barelm.machine.firmware.tables import ERROR, SERVICES, service_name

Handler = Callable[..., int | None]
"""Takes the arguments of the service as unsigned integers; returns a status (None: EFI_SUCCESS) or raises EfiError."""

_H = TypeVar("_H", bound=Handler)
_MASKS = {"n": (1 << 64) - 1, "u": (1 << 32) - 1, "b": (1 << 8) - 1}


def service(table: type[Struct], field: str = "") -> Callable[[_H], _H]:
    """Mark a method as the handler of a table's service: the one it is called like, or another `field`."""
    def mark(method: _H) -> _H:
        method.__dict__["service"] = service_name(table, field or method.__name__)
        return method
    return mark


def handlers_of(*components: object) -> dict[str, Handler]:
    """The marked methods of objects, by service."""
    found = {}
    for component in components:
        for attribute in dir(type(component)):
            name = getattr(getattr(type(component), attribute), "service", None)
            if name is not None:
                found[name] = getattr(component, attribute)
    return found


def unsupported(*arguments: int) -> int:
    """The handler of everything that has none."""
    raise EfiError(uefi.EFI_UNSUPPORTED)


class Services:
    """All services of all tables, each a number behind a thunk.

    `handlers` may be changed at any time; `calls` counts; `on_error(service, error)` gets what a handler raised that
    is no EfiError, and does not return.  `admit(service)` may refuse a call beforehand; `note(number)` is told
    which service is at work, its number from 1 and 0 at the end.
    """

    def __init__(self, on_error: Callable[[str, BaseException], None], faults: Iterable[Fault] = (),
                 bridge: type[Bridge] = Bridge) -> None:
        self.handlers: dict[str, Handler] = {}
        self.calls: Counter[str] = Counter()
        self.admit: Callable[[str], None] = lambda name: None
        self.note: Callable[[int], None] = lambda number: None
        self._thread = threading.local()
        self._on_error = on_error
        self._faults: dict[str, list[Fault]] = {}
        for fault in faults:
            self._faults.setdefault(qualified(fault.service), []).append(fault)
        self._services = [(name, [_MASKS[kind] for kind in kinds]) for name, kinds in SERVICES.items()]
        self._numbers = {name: number for number, name in enumerate(SERVICES)}
        self._bridge = bridge(len(self._services), self._dispatch)
        self.enter = self._bridge.enter
        self.give_way = self._bridge.give_way

    def install(self, handlers: Mapping[str, Handler]) -> None:
        """Put handlers in place of those there are; names as in `qualified`."""
        self.handlers.update({qualified(name): handler for name, handler in handlers.items()})

    def table(self, kind: type[Struct], address: int, **data: int) -> int:
        """Write a table at an address: thunks for its services, `data` for the other fields by name (else 0)."""
        guest.put_bytes(address, bytes(kind.BYTES))
        for name, field in kind.FIELDS.items():
            value = self._bridge.thunk(self._numbers[service_name(kind, name)]) if field.note else data.get(name, 0)
            setattr(kind(address), name, value)
        return address

    @property
    def frame(self) -> int:
        """Where the arguments of the call this thread answers lie in a row."""
        return int(self._thread.frame)

    def call_program(self, function: int, first: int, second: int) -> int:
        """Call a function of the program from within a service it called, further down its stack."""
        return self.enter(function, first, second, (self.frame - 1024) & ~15)

    def _dispatch(self, number: int, frame: int) -> int:
        """Answer a call whose arguments lie in a row at `frame`."""
        name, masks = self._services[number]
        outer = getattr(self._thread, "frame", 0)
        try:
            self.admit(name)
            self._thread.frame = frame
            self.note(number + 1)
            arguments = [value & mask for value, mask in zip(guest.words(frame, len(masks)), masks)]
            return self._answer(name, arguments) & guest.MASK
        except EfiError as refusal:
            return refusal.status
        except BaseException as error:
            self._on_error(name, error)
            return ERROR | uefi.EFI_UNSUPPORTED
        finally:
            self._thread.frame = outer
            self.note(0)

    def _answer(self, name: str, arguments: list[int]) -> int:
        self.calls[name] += 1
        handler = self.handlers.get(name, unsupported)
        for fault in self._faults.get(name, ()):
            if fault.meets(self.calls[name]):
                if not fault.effect:
                    return fault.status
                return EFFECTS[fault.effect](arguments, lambda: handler(*arguments) or uefi.EFI_SUCCESS)
        return handler(*arguments) or uefi.EFI_SUCCESS
