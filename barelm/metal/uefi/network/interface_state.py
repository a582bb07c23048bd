"""Calls into the firmware: the cable of a network interface, and where it has its address from (UEFI 24.1, 28.5)."""

from barelm.contract import uefi
from barelm.contract.network.network_protocols import Ip4Config2, Ip4InterfaceInfo, SimpleNetwork, SimpleNetworkMode
from barelm.dialect.memory import address_of, cells
from barelm.dialect.processor import call_efi
from barelm.dialect.types import U8

NOT_KNOWN, NO_CABLE, CABLE = 0, 1, 2


def look_at_cable(network: int) -> int:
    """Whether a cable is in: NOT_KNOWN where the card cannot tell."""
    if network == 0:
        return NOT_KNOWN
    interrupts = cells(1)
    call_efi(SimpleNetwork(network).get_status, (network, address_of(interrupts), 0))  # it looks only when asked so
    mode = SimpleNetworkMode(SimpleNetwork(network).mode)
    if mode.address == 0 or mode.media_present_supported == 0:
        return NOT_KNOWN
    return CABLE if mode.media_present != 0 else NO_CABLE


def ask_for_address(config: int) -> int:
    """Have an interface ask for its address by DHCP, unless it does already: what is set the firmware keeps in its
    flash memory.  Returns the status.
    """
    words = cells(2)
    words[0] = 4
    status = call_efi(Ip4Config2(config).get_data, (
        config, uefi.IP4_POLICY, address_of(words), address_of(words) + 8))
    if status == 0 and words[1] & 0xFF == uefi.IP4_POLICY_DHCP:
        return uefi.EFI_SUCCESS
    words[1] = uefi.IP4_POLICY_DHCP
    return call_efi(Ip4Config2(config).set_data, (config, uefi.IP4_POLICY, 4, address_of(words) + 8))


def interface_info(config: int, target: U8) -> bool:
    """What an interface is and which address it has (`Ip4InterfaceInfo`), into a buffer."""
    size = cells(1)
    size[0] = len(target)
    status = call_efi(Ip4Config2(config).get_data, (
        config, uefi.IP4_INTERFACE_INFO, address_of(size), address_of(target)))
    return bool(status == 0 and size[0] >= Ip4InterfaceInfo.BYTES)
