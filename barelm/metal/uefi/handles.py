"""Calls into the firmware: which protocol is on which handle, and who has it (UEFI 7.3)."""

from barelm.contract import uefi
from barelm.contract.regions import EXCLUSIVE
from barelm.contract.uefi_protocols import BootServices
from barelm.dialect.memory import address_of, cells, load_i64
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8
from barelm.metal.uefi.boot_services import Firmware
from barelm.metal.uefi.noting import note, strike


def protocol_of(fw: Firmware, handle: int, guid: U8) -> int:
    """The interface of a protocol on a handle, or 0."""
    interface = cells(1)
    status = call_efi(BootServices(fw.boot).handle_protocol, (handle, address_of(guid), address_of(interface)))
    return interface[0] if status == 0 else 0


def locate_protocol(fw: Firmware, guid: U8) -> int:
    """The first interface of a protocol anywhere, or 0."""
    interface = cells(1)
    status = call_efi(BootServices(fw.boot).locate_protocol, (address_of(guid), 0, address_of(interface)))
    return interface[0] if status == 0 else 0


def publish_interface(fw: Firmware, guid: U8, interface: int) -> int:
    """Put an interface of our own on this program's handle, so that whatever else runs of it finds it."""
    handle = cells(1)
    handle[0] = fw.image
    return call_efi(BootServices(fw.boot).install_protocol_interface,
                    (address_of(handle), address_of(guid), 0, interface))


def withdraw_interface(fw: Firmware, guid: U8, interface: int) -> int:
    """Take it off again."""
    return call_efi(BootServices(fw.boot).uninstall_protocol_interface, (fw.image, address_of(guid), interface))


def open_exclusively(fw: Firmware, guid: U8) -> tuple[int, int]:
    """The first handle with a protocol this program can have for itself alone, and the interface; 0 where none is."""
    boot = BootServices(fw.boot)
    words = cells(3)
    if call_efi(boot.locate_handle_buffer, (
            uefi.BY_PROTOCOL, address_of(guid), 0, address_of(words), address_of(words) + 8)) != 0:
        return 0, 0
    found = 0
    for i in range(words[0]):
        handle = load_i64(words[1] + 8 * i)
        if found == 0 and call_efi(boot.open_protocol, (
                handle, address_of(guid), address_of(words) + 16, fw.image, 0, uefi.OPEN_EXCLUSIVE)) == 0:
            found = handle
            note(fw.ledger, EXCLUSIVE, handle, address_of(guid))
    call_efi(boot.free_pool, (words[1],))
    return found, words[2] if found != 0 else 0


def close_exclusive(fw: Firmware, handle: int, guid: U8) -> int:
    """Let go of it, and have the firmware's drivers take it up again."""
    boot = BootServices(fw.boot)
    strike(fw.ledger, EXCLUSIVE, handle)
    call_efi(boot.close_protocol, (handle, address_of(guid), fw.image, 0))
    return call_efi(boot.connect_controller, (handle, 0, 0, 1))
