"""Calls into the firmware: the children of a network service, and the controllers it is for (UEFI 7.3.12, 11.6)."""

from barelm.contract import uefi
from barelm.contract.network.network_protocols import ServiceBinding, Tcp4
from barelm.contract.regions import CHILD
from barelm.contract.uefi_protocols import BootServices
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.metal.uefi.answers import handle_of
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.handles import handle_with, protocol_of
from barelm.metal.uefi.noting import note, strike

MOST_CONTROLLERS = 256


def create_child(fw: Firmware, binding: int) -> int:
    """A child of a service, or 0 where the firmware refuses."""
    handle = cells(1)
    status = call_efi(ServiceBinding(binding).create_child, (binding, address_of(handle)))
    child = max(handle_of(status, handle[0]), 0)
    if child != 0:
        note_child(fw, binding, child)
    return child


def note_child(fw: Firmware, binding: int, child: int) -> None:
    """Note a child that the firmware made when a peer came."""
    note(fw.ledger, CHILD, child, binding)


def destroy_child(fw: Firmware, binding: int, child: int) -> int:
    """Give a child back: all that is under way on it ends, and a connection is reset.

    Where the firmware keeps it, it is reset first: nothing that is under way may outlive the memory it writes into.
    """
    strike(fw.ledger, CHILD, child)
    status = call_efi(ServiceBinding(binding).destroy_child, (binding, child))
    tcp = protocol_of(fw, child, uefi.TCP4_PROTOCOL) if status != 0 else 0
    if tcp != 0:
        call_efi(Tcp4(tcp).configure, (tcp, 0))
        status = call_efi(ServiceBinding(binding).destroy_child, (binding, child))
    return status


def connect_controllers(fw: Firmware) -> None:
    """Have the firmware's drivers take up every device on its buses: what it need not start from it may have left."""
    k = 0
    handle = handle_with(fw, uefi.PCI_IO_PROTOCOL, k)
    while handle != 0 and k < MOST_CONTROLLERS:
        call_efi(BootServices(fw.boot).connect_controller, (handle, 0, 0, 1))
        k += 1
        handle = handle_with(fw, uefi.PCI_IO_PROTOCOL, k)
