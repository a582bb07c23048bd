"""Calls into the firmware: which protocol is on which handle, and who has it (UEFI 7.3)."""

from barelm.contract import uefi
from barelm.contract.regions import EXCLUSIVE
from barelm.contract.uefi_protocols import BootServices, OpenProtocolInformation
from barelm.dialect.memory import address_of, cells, load_i64
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8
from barelm.metal.uefi.answers import handle_of
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.noting import note, strike

NOT_SAID, NOT_ON_IT, ON_IT = 0, 1, 2
MOST_OPENERS = 64


def protocol_of(fw: Firmware, handle: int, guid: U8) -> int:
    """The interface of a protocol on a handle, or 0."""
    interface = cells(1)
    status = call_efi(BootServices(fw.boot).handle_protocol, (handle, address_of(guid), address_of(interface)))
    return max(handle_of(status, interface[0]), 0)


def locate_protocol(fw: Firmware, guid: U8) -> int:
    """The first interface of a protocol anywhere, or 0."""
    interface = cells(1)
    status = call_efi(BootServices(fw.boot).locate_protocol, (address_of(guid), 0, address_of(interface)))
    return max(handle_of(status, interface[0]), 0)


def publish_interface(fw: Firmware, guid: U8, interface: int) -> int:
    """Put an interface of our own on this program's handle, so that whatever else runs of it finds it."""
    handle = cells(1)
    handle[0] = fw.image
    return call_efi(BootServices(fw.boot).install_protocol_interface,
                    (address_of(handle), address_of(guid), 0, interface))


def withdraw_interface(fw: Firmware, guid: U8, interface: int) -> int:
    """Take it off again."""
    return call_efi(BootServices(fw.boot).uninstall_protocol_interface, (fw.image, address_of(guid), interface))


def handle_with(fw: Firmware, guid: U8, k: int) -> int:
    """The k-th handle, from 0, with a protocol; 0: there are not so many."""
    boot = BootServices(fw.boot)
    words = cells(2)
    if call_efi(boot.locate_handle_buffer, (
            uefi.BY_PROTOCOL, address_of(guid), 0, address_of(words), address_of(words) + 8)) != 0 or words[1] <= 0:
        return 0
    found = load_i64(words[1] + 8 * k) if k < words[0] else 0
    call_efi(boot.free_pool, (words[1],))
    return found


def has_protocol(fw: Firmware, handle: int, guid: U8) -> bool:
    """Whether a handle has a protocol, whose interface may be null: a mark."""
    interface = cells(1)
    status = call_efi(BootServices(fw.boot).handle_protocol, (handle, address_of(guid), address_of(interface)))
    return bool(status == 0)


def console_on(fw: Firmware, handle: int, guid: U8) -> int:
    """Whether the firmware's console is on a device with a protocol: ON_IT, NOT_ON_IT, or NOT_SAID.

    A driver has it and, where the firmware marks what is of its console, that driver's child is marked.  A console that
    is this device and nothing else has to stay with the firmware.
    """
    boot = BootServices(fw.boot)
    words = cells(2)
    if call_efi(boot.open_protocol_information, (
            handle, address_of(guid), address_of(words), address_of(words) + 8)) != 0 or words[0] <= 0:
        return NOT_SAID
    found = NOT_ON_IT
    marks = handle_with(fw, uefi.CONSOLE_OUT_DEVICE, 0) != 0
    for k in range(min(words[1], MOST_OPENERS)):
        entry = OpenProtocolInformation(words[0] + k * OpenProtocolInformation.BYTES)
        child = entry.controller_handle if entry.attributes & uefi.OPEN_BY_CHILD != 0 else 0
        if child != 0 and fw.con_out != 0 and protocol_of(fw, child, uefi.SIMPLE_TEXT_OUTPUT_PROTOCOL) == fw.con_out:
            found = NOT_ON_IT
            break
        if (child != 0 and has_protocol(fw, child, uefi.CONSOLE_OUT_DEVICE)
                or not marks and entry.attributes & uefi.OPEN_BY_DRIVER != 0):
            found = ON_IT
    call_efi(boot.free_pool, (words[0],))
    return found


def take_exclusively(fw: Firmware, handle: int, guid: U8) -> int:
    """The interface of a protocol of a handle, for this program alone, or 0."""
    interface = cells(1)
    status = call_efi(BootServices(fw.boot).open_protocol, (
        handle, address_of(guid), address_of(interface), fw.image, 0, uefi.OPEN_EXCLUSIVE))
    if status == 0:
        note(fw.ledger, EXCLUSIVE, handle, address_of(guid))
    return max(handle_of(status, interface[0]), 0)


def close_exclusive(fw: Firmware, handle: int, guid: U8) -> int:
    """Let go of it, and have the firmware's drivers take it up again."""
    boot = BootServices(fw.boot)
    strike(fw.ledger, EXCLUSIVE, handle)
    call_efi(boot.close_protocol, (handle, address_of(guid), fw.image, 0))
    return call_efi(boot.connect_controller, (handle, 0, 0, 1))
