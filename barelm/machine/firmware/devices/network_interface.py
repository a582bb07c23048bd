"""A network card as the firmware offers it: EFI_SIMPLE_NETWORK_PROTOCOL as far as its cable goes, and
EFI_IP4_CONFIG2_PROTOCOL (UEFI 2.10, 24.1, 28.5).
"""

import ipaddress
import time

from barelm.contract import uefi
from barelm.contract.network.network_protocols import Ip4Config2, Ip4InterfaceInfo, SimpleNetwork, SimpleNetworkMode
from barelm.machine.firmware.devices.network_plan import Card
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError, require
from barelm.machine.firmware.services import service

MASK, GATEWAY = "255.255.255.0", "10.0.2.2"
_INITIALIZED, _ETHERNET, _ROUTE_BYTES = 2, 1, 12
_HARDWARE = bytes.fromhex("525400123456")


class NetworkInterface:
    """The card; `card` may be replaced while it runs, for another cable or another address."""

    def __init__(self, card: Card, memory: Memory) -> None:
        self.card = card
        self.mode = SimpleNetworkMode(memory.pool(SimpleNetworkMode.BYTES))
        guest.put_bytes(self.mode.address, bytes(SimpleNetworkMode.BYTES))
        self.mode.state, self.mode.if_type, self.mode.hw_address_size = _INITIALIZED, _ETHERNET, len(_HARDWARE)
        self.mode.media_present_supported = self.mode.media_present = 1
        guest.put_bytes(self.mode.address + SimpleNetworkMode.offset_of("current_address"), _HARDWARE)
        self._policy = uefi.IP4_POLICY_STATIC
        self._on_at = self._asked_at = time.monotonic()

    @property
    def has_cable(self) -> bool:
        """Whether its cable is in."""
        return self.card.has_cable_at(time.monotonic() - self._on_at)

    @property
    def address(self) -> str:
        """The address it has by DHCP; "": none yet, or none any more."""
        if self._policy != uefi.IP4_POLICY_DHCP:
            return ""
        return self.card.address_at(time.monotonic() - self._asked_at)

    @service(SimpleNetwork)
    def get_status(self, this: int, interrupts: int, buffers: int) -> None:
        """24.1.12; the cable is looked at."""
        require(interrupts or buffers)
        self.mode.media_present = int(self.has_cable)
        if interrupts:
            guest.put_bytes(interrupts, bytes(4))
        if buffers:
            guest.put_word(buffers, 0)

    @service(Ip4Config2)
    def set_data(self, this: int, kind: int, size: int, data: int) -> None:
        """28.5.2; the policy alone, for whoever wants a fixed address says so to TCP."""
        require(kind == uefi.IP4_POLICY, uefi.EFI_UNSUPPORTED)
        require(size == 4, uefi.EFI_BAD_BUFFER_SIZE)
        policy = int.from_bytes(guest.read_bytes(data, 4), "little")
        require(policy in (uefi.IP4_POLICY_STATIC, uefi.IP4_POLICY_DHCP))
        require(policy != self._policy, uefi.EFI_ABORTED)
        self._policy, self._asked_at = policy, time.monotonic()

    @service(Ip4Config2)
    def get_data(self, this: int, kind: int, size: int, data: int) -> None:
        """28.5.3"""
        require(size)
        content = self._content(kind)
        room = guest.word(size)
        guest.put_word(size, len(content))
        require(room >= len(content), uefi.EFI_BUFFER_TOO_SMALL)
        guest.put_bytes(data, content)
        if kind == uefi.IP4_INTERFACE_INFO:
            Ip4InterfaceInfo(data).route_table = data + Ip4InterfaceInfo.BYTES

    def _content(self, kind: int) -> bytes:
        """What there is to know of a kind."""
        if kind == uefi.IP4_POLICY:
            return self._policy.to_bytes(4, "little")
        require(kind == uefi.IP4_INTERFACE_INFO, uefi.EFI_NOT_FOUND)
        info = bytearray(Ip4InterfaceInfo.BYTES)
        address = self.address
        routes = bytes(8) + packed(GATEWAY) + packed(address, MASK) + packed(MASK) + bytes(4) if address else b""
        put = {"name": "eth0".encode("utf-16-le"), "if_type": bytes([_ETHERNET]), "hw_address": _HARDWARE,
               "hw_address_size": len(_HARDWARE).to_bytes(4, "little"),
               "route_table_size": (len(routes) // _ROUTE_BYTES).to_bytes(4, "little")}
        if address:
            put |= {"station_address": packed(address), "subnet_mask": packed(MASK)}
        for field, content in put.items():
            at = Ip4InterfaceInfo.offset_of(field)
            info[at:at + len(content)] = content
        return bytes(info) + routes

    def configured_address(self, asked: bytes, default: bool) -> str:
        """The address of who configures a connection with one of its own, or with the default; raises EfiError."""
        if not default:
            return str(ipaddress.IPv4Address(asked))
        if not self.address:
            raise EfiError(uefi.EFI_NO_MAPPING)
        return self.address

    def reaches(self, address: str) -> bool:
        """Whether bytes come and go there now."""
        return self.has_cable and (self._policy != uefi.IP4_POLICY_DHCP or self.address == address)


def packed(address: str, mask: str = "255.255.255.255") -> bytes:
    """An address as four bytes, what the mask leaves of it."""
    return (int(ipaddress.IPv4Address(address)) & int(ipaddress.IPv4Address(mask))).to_bytes(4, "big")
