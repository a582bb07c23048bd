"""What a hosted machine's network card is to be like, and what befalls it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A network card of which the host's own sockets are the cable.

    `addresses` are those the network gives it, each from how many seconds on after it was asked ("": it takes the last
    one back).  `unplugged` are the spans, in seconds from power-on, in which its cable is out.  Of one that is `asleep`
    the firmware's drivers are there only when its controller is connected.  Of one that is `outgoing` the program may
    connect to the host's own ports, at the address of its gateway, and to nobody else.
    """

    addresses: tuple[tuple[float, str], ...] = ((0.05, "10.0.2.15"),)
    unplugged: tuple[tuple[float, float], ...] = ()
    asleep: bool = False
    outgoing: bool = False

    def address_at(self, seconds: float) -> str:
        """The address so long after it was asked for; "" where there is none."""
        return next((address for since, address in reversed(self.addresses) if since <= seconds), "")

    def has_cable_at(self, seconds: float) -> bool:
        """Whether its cable is in, so long after power-on."""
        return not any(start <= seconds < end for start, end in self.unplugged)

    def changes(self) -> bool:
        """Whether anything befalls it at all."""
        return bool(self.unplugged) or len(self.addresses) > 1
