"""Calls made to fail on request: which, how, and the same as text for a command line."""

from dataclasses import dataclass

from barelm.contract import uefi
from barelm.errors import BarelmError
from barelm.machine.firmware.effects import EFFECTS
from barelm.machine.firmware.tables import ERROR, SERVICES

_HINT = 'Write it as "Service=EFI_STATUS" or "Service=EFI_STATUS@call": "AllocatePages=EFI_OUT_OF_RESOURCES@2".'

STATUSES: dict[str, int] = {name: value if name == "EFI_SUCCESS" or name.startswith("EFI_WARN_") else ERROR | value
                            for name, value in vars(uefi).items() if name.startswith("EFI_")}
"""Status codes by name, as a program is given them."""


@dataclass(frozen=True)
class Fault:
    """Calls made to go wrong: the `call`-th of `service` (from 1; 0: each), or with `lasting` all from that one on.

    Such a call returns `status` and does nothing; with an `effect`, one of `effects.EFFECTS`, it does what that says.
    """

    service: str
    status: int = 0
    call: int = 0
    lasting: bool = False
    effect: str = ""

    def __str__(self) -> str:
        where = f"@{self.call}{'+' * self.lasting}" if self.call else ""
        return f"{self.service}={self.effect or hex(self.status)}{where}"

    def meets(self, call: int) -> bool:
        """Whether it is that call, of its service, that goes wrong."""
        return self.call in (0, call) or self.lasting and call > self.call


def parse_fault(text: str) -> Fault:
    """A fault from "Service=status", "Service=status@call" or "Service=status@call+", where an effect's name may stand
    for the status; raises BarelmError where it is no such thing.
    """
    service, equals, rest = text.partition("=")
    status, at, call = rest.partition("@")
    effect = status if status in EFFECTS else ""
    try:
        if not equals:
            raise ValueError("it names no status")
        value = 0 if effect else STATUSES[status] if status in STATUSES else int(status, 0)
        return Fault(qualified(service), value, int(call.removesuffix("+")) if at else 0, call.endswith("+"), effect)
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
