"""Calls into the firmware: TCP (UEFI 28.1).

What takes time is asked for with a token.  Its status is PENDING until it is done, in whatever order; where the call
itself fails it never was under way.
"""

from barelm.contract import uefi
from barelm.contract.network.network_protocols import (
    Tcp4,
    Tcp4CloseToken,
    Tcp4ConfigData,
    Tcp4IoToken,
    Tcp4ListenToken,
    Tcp4Token,
)
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8
from barelm.metal.uefi.answers import ERROR, failure_of

PENDING = ERROR | uefi.EFI_NOT_READY
"""The status of a token that is under way: no firmware ends one so."""
NOT_SAID = -1


def configure_tcp(tcp: int, data: Tcp4ConfigData) -> int:
    """Say to a child who talks to whom; returns the status."""
    return failure_of(call_efi(Tcp4(tcp).configure, (tcp, data.address)))


def add_route(tcp: int, subnet: U8, mask: U8, gateway: U8) -> int:
    """Say where a network is reached; returns the status."""
    return call_efi(Tcp4(tcp).routes, (tcp, 0, address_of(subnet), address_of(mask), address_of(gateway)))


def tcp_state(tcp: int) -> int:
    """How a child's connection stands, an EFI_TCP4_CONNECTION_STATE; NOT_SAID where the firmware fails."""
    state = cells(1)
    status = call_efi(Tcp4(tcp).get_mode_data, (tcp, address_of(state), 0, 0, 0, 0))
    if status != 0:
        return uefi.TCP4_CLOSED if status & 0xFF == uefi.EFI_NOT_STARTED else NOT_SAID
    return state[0] & 0xFFFFFFFF


def tcp_peer(tcp: int, data: Tcp4ConfigData) -> int:
    """Who is at the other end, as a child was configured, or became when a peer came; returns the status."""
    return call_efi(Tcp4(tcp).get_mode_data, (tcp, 0, data.address, 0, 0, 0))


def accept_tcp(tcp: int, token: Tcp4ListenToken) -> int:
    """Wait for a peer; returns the status of the call."""
    token.status = PENDING
    token.new_child_handle = 0
    return failure_of(call_efi(Tcp4(tcp).accept, (tcp, token.address)))


def connect_tcp(tcp: int, token: Tcp4Token) -> int:
    """Go to the peer it is configured for; returns the status of the call."""
    token.status = PENDING
    return failure_of(call_efi(Tcp4(tcp).connect, (tcp, token.address)))


def receive_tcp(tcp: int, token: Tcp4IoToken) -> int:
    """Wait for bytes; returns the status of the call."""
    token.status = PENDING
    return failure_of(call_efi(Tcp4(tcp).receive, (tcp, token.address)))


def transmit_tcp(tcp: int, token: Tcp4IoToken) -> int:
    """Send bytes, which stay where they are until it is done; returns the status of the call."""
    token.status = PENDING
    return failure_of(call_efi(Tcp4(tcp).transmit, (tcp, token.address)))


def close_tcp(tcp: int, token: Tcp4CloseToken) -> int:
    """End a connection in order; returns the status of the call."""
    token.status = PENDING
    token.abort_on_close = 0
    return failure_of(call_efi(Tcp4(tcp).close, (tcp, token.address)))


def poll_tcp(tcp: int) -> int:
    """Give the firmware's network its turn; returns the status, which may be that there is nothing to do."""
    return call_efi(Tcp4(tcp).poll, (tcp,))
