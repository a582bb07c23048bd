"""Calls made to fail on request: which, how, and the same as text for a command line."""

from dataclasses import dataclass

from barelm.contract import uefi
from barelm.errors import BarelmError
from barelm.machine.firmware.tables import ERROR, SERVICES

_HINT = 'Write it as "Service=EFI_STATUS" or "Service=EFI_STATUS@call": "AllocatePages=EFI_OUT_OF_RESOURCES@2".'

STATUSES: dict[str, int] = {name: value if name == "EFI_SUCCESS" or name.startswith("EFI_WARN_") else ERROR | value
                            for name, value in vars(uefi).items() if name.startswith("EFI_")}
"""Status codes by name, as a program is given them."""


@dataclass(frozen=True)
class Fault:
    """One call to make fail: the `call`-th of `service` (from 1; 0: each) returns `status` and does nothing."""

    service: str
    status: int
    call: int = 0

    def __str__(self) -> str:
        return f"{self.service}={self.status:#x}" + (f"@{self.call}" if self.call else "")


def parse_fault(text: str) -> Fault:
    """A fault from "Service=status" or "Service=status@call"; raises BarelmError where it is no such thing."""
    service, equals, rest = text.partition("=")
    status, at, call = rest.partition("@")
    try:
        if not equals:
            raise ValueError("it names no status")
        value = STATUSES[status] if status in STATUSES else int(status, 0)
        return Fault(qualified(service), value, int(call) if at else 0)
    except ValueError as error:
        raise BarelmError(f"{text!r} is no fault: {error}", _HINT) from error


def qualified(name: str) -> str:
    """The full name of a service; a bare "AllocatePages" will do where one table has it.  Raises ValueError."""
    if name in SERVICES:
        return name
    found = [full for full in SERVICES if full.endswith("." + name)]
    if len(found) != 1:
        raise ValueError(f"{name} is {'ambiguous' if found else 'not a service of this firmware'}")
    return found[0]
