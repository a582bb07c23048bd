"""The handle database: which protocols are on which handle (UEFI 7.3).

Of what is opened only what is opened exclusively is remembered: it keeps the firmware's own driver off.
"""

from collections.abc import Callable, Iterator

from barelm.contract import uefi
from barelm.contract.uefi_protocols import BootServices, OpenProtocolInformation
from barelm.machine.firmware.pages import Memory
from barelm.machine.firmware.process import guest
from barelm.machine.firmware.process.guest import EfiError, require
from barelm.machine.firmware.services import Services, service

_FIRST_HANDLE, _HANDLE_STEP = 0x800, 0x8  # below the events: no two things share a handle
_MOST_PROTOCOLS = 64


Driver = Callable[[bool], None]
"""What the firmware has on a protocol, to take it up or to let go of it while a program has it for itself alone."""


class Protocols:
    """`handles`, in the order they came to be, each with its protocols and their interfaces; `owners` of what is
    opened exclusively, by handle and protocol.
    """

    def __init__(self, memory: Memory, services: Services) -> None:
        self._memory = memory
        self._services = services
        self.handles: dict[int, dict[bytes, int]] = {}
        self._next = _FIRST_HANDLE
        self._drivers: dict[tuple[int, bytes], Driver] = {}
        self.owners: dict[tuple[int, bytes], int] = {}

    def add(self, handle: int, protocol: bytes, interface: int) -> int:
        """Put a protocol on a handle (0: a new one); returns the handle."""
        if handle == 0:
            self._next += _HANDLE_STEP
            handle = self._next
            self.handles[handle] = {}
        interfaces = self._interfaces(handle)
        require(protocol not in interfaces)
        interfaces[protocol] = interface
        return handle

    def drop(self, handle: int, protocol: bytes) -> None:
        """Take a protocol off a handle again, which goes with its last."""
        self._remove(handle, [(protocol, self._interfaces(handle)[protocol])], uefi.EFI_NOT_FOUND)

    def drive(self, handle: int, protocol: bytes, driver: Driver) -> None:
        """Have a driver on a protocol; it is connected already."""
        self._drivers[handle, protocol] = driver

    @service(BootServices)
    def install_protocol_interface(self, handle: int, protocol: int, interface_type: int, interface: int) -> None:
        """7.3.2"""
        require(handle and protocol and interface_type == 0)
        guest.put_word(handle, self.add(guest.word(handle), guest.guid(protocol), interface))

    @service(BootServices)
    def uninstall_protocol_interface(self, handle: int, protocol: int, interface: int) -> None:
        """7.3.3"""
        self._remove(handle, [(guest.guid(protocol), interface)], uefi.EFI_NOT_FOUND)

    @service(BootServices)
    def reinstall_protocol_interface(self, handle: int, protocol: int, old: int, new: int) -> None:
        """7.3.4"""
        interfaces = self._interfaces(handle)
        require(interfaces.get(guest.guid(protocol)) == old, uefi.EFI_NOT_FOUND)
        interfaces[guest.guid(protocol)] = new

    @service(BootServices)
    def install_multiple_protocol_interfaces(self, handle: int) -> None:
        """7.3.18; all of them or none."""
        require(handle)
        pairs = list(self._pairs())
        found = guest.word(handle)
        if found in self.handles:
            require(not any(protocol in self.handles[found] for protocol, _ in pairs))
        for protocol, interface in pairs:
            found = self.add(found, protocol, interface)
        guest.put_word(handle, found)

    @service(BootServices)
    def uninstall_multiple_protocol_interfaces(self, handle: int) -> None:
        """7.3.19; all of them or none."""
        self._remove(handle, list(self._pairs()), uefi.EFI_INVALID_PARAMETER)

    @service(BootServices)
    def handle_protocol(self, handle: int, protocol: int, interface: int) -> None:
        """7.3.7"""
        require(interface and protocol)
        interfaces = self._interfaces(handle)
        guest.put_word(interface, 0)
        require(guest.guid(protocol) in interfaces, uefi.EFI_UNSUPPORTED)
        guest.put_word(interface, interfaces[guest.guid(protocol)])

    @service(BootServices)
    def open_protocol(self, handle: int, protocol: int, interface: int, agent: int, controller: int,
                      attributes: int) -> None:
        """7.3.9"""
        require(protocol and attributes)
        interfaces = self._interfaces(handle)
        opened = handle, guest.guid(protocol)
        require(opened[1] in interfaces, uefi.EFI_UNSUPPORTED)
        if attributes & uefi.OPEN_EXCLUSIVE:
            require(agent)
            require(opened not in self.owners, uefi.EFI_ACCESS_DENIED)
            self.owners[opened] = agent
            if opened in self._drivers:
                self._drivers[opened](False)
        if attributes != uefi.OPEN_TEST_PROTOCOL:
            guest.put_word(interface, interfaces[opened[1]])

    @service(BootServices)
    def open_protocol_information(self, handle: int, protocol: int, buffer: int, count: int) -> None:
        """7.3.11; of the firmware's own drivers, and of who has it exclusively."""
        require(buffer and count)
        opened = handle, guest.guid(protocol)
        require(opened[1] in self._interfaces(handle), uefi.EFI_NOT_FOUND)
        users = [(self.owners[opened], uefi.OPEN_EXCLUSIVE)] if opened in self.owners else [
            (handle, uefi.OPEN_BY_DRIVER) for on in self._drivers if on == opened]
        size = OpenProtocolInformation.BYTES
        address = self._memory.pool(size * max(len(users), 1))
        for k, (agent, attributes) in enumerate(users):
            entry = OpenProtocolInformation(address + size * k)
            entry.agent_handle, entry.controller_handle, entry.attributes, entry.open_count = agent, 0, attributes, 1
        guest.put_word(buffer, address)
        guest.put_word(count, len(users))

    @service(BootServices)
    def close_protocol(self, handle: int, protocol: int, agent: int, controller: int) -> None:
        """7.3.10; a driver that had to let go stays away until it is connected."""
        require(guest.guid(protocol) in self._interfaces(handle), uefi.EFI_NOT_FOUND)
        if self.owners.get((handle, guest.guid(protocol))) == agent:
            del self.owners[handle, guest.guid(protocol)]

    @service(BootServices)
    def connect_controller(self, handle: int, drivers: int, path: int, recursive: int) -> None:
        """7.3.12; with the firmware's own drivers only."""
        self._interfaces(handle)
        found = [driver for on, driver in self._drivers.items() if on[0] == handle and on not in self.owners]
        require(found, uefi.EFI_NOT_FOUND)
        for driver in found:
            driver(True)

    @service(BootServices)
    def disconnect_controller(self, handle: int, driver: int, child: int) -> None:
        """7.3.13"""
        self._interfaces(handle)
        for on, connected in self._drivers.items():
            if on[0] == handle:
                connected(False)

    @service(BootServices)
    def protocols_per_handle(self, handle: int, buffer: int, count: int) -> None:
        """7.3.14; the GUIDs are behind the pointers to them, in the same pool."""
        require(buffer and count)
        protocols = list(self._interfaces(handle))
        address = self._memory.pool(24 * len(protocols))
        first = address + 8 * len(protocols)
        guest.put_words(address, *(first + 16 * i for i in range(len(protocols))))
        guest.put_bytes(first, b"".join(protocols))
        guest.put_word(buffer, address)
        guest.put_word(count, len(protocols))

    @service(BootServices)
    def locate_handle(self, search: int, protocol: int, key: int, size: int, buffer: int) -> None:
        """7.3.6"""
        found = self._search(search, protocol)
        room = guest.word(size)
        guest.put_word(size, 8 * len(found))
        require(room >= 8 * len(found), uefi.EFI_BUFFER_TOO_SMALL)
        guest.put_words(buffer, *found)

    @service(BootServices)
    def locate_handle_buffer(self, search: int, protocol: int, key: int, count: int, buffer: int) -> None:
        """7.3.15"""
        require(count and buffer)
        found = self._search(search, protocol)
        address = self._memory.pool(8 * len(found))
        guest.put_words(address, *found)
        guest.put_word(count, len(found))
        guest.put_word(buffer, address)

    @service(BootServices)
    def locate_protocol(self, protocol: int, registration: int, interface: int) -> None:
        """7.3.16"""
        require(protocol and interface)
        guest.put_word(interface, 0)
        wanted = guest.guid(protocol)
        for interfaces in self.handles.values():
            if wanted in interfaces:
                guest.put_word(interface, interfaces[wanted])
                return
        raise EfiError(uefi.EFI_NOT_FOUND)

    @service(BootServices)
    def locate_device_path(self, protocol: int, path: int, device: int) -> None:
        """7.3.8; no device path leads anywhere."""
        raise EfiError(uefi.EFI_NOT_FOUND)

    def _interfaces(self, handle: int) -> dict[bytes, int]:
        require(handle in self.handles)
        return self.handles[handle]

    def _remove(self, handle: int, pairs: list[tuple[bytes, int]], otherwise: int) -> None:
        """Take protocols with these interfaces off a handle, which goes with its last; refuse otherwise."""
        interfaces = self._interfaces(handle)
        require(all(interfaces.get(protocol) == interface for protocol, interface in pairs), otherwise)
        for protocol, _ in pairs:
            del interfaces[protocol]
        if not interfaces:
            del self.handles[handle]

    def _search(self, search: int, protocol: int) -> list[int]:
        """The handles of a search, at least one; registrations are never new."""
        require(search <= uefi.BY_PROTOCOL)
        require(search != uefi.BY_REGISTER_NOTIFY, uefi.EFI_NOT_FOUND)
        wanted = guest.guid(protocol) if search == uefi.BY_PROTOCOL else None
        found = [handle for handle, interfaces in self.handles.items() if wanted is None or wanted in interfaces]
        require(found, uefi.EFI_NOT_FOUND)
        return found

    def _pairs(self) -> Iterator[tuple[bytes, int]]:
        """The protocols and interfaces after a call's first argument, up to the null pointer that ends them."""
        at = self._services.frame + 8
        for _ in range(_MOST_PROTOCOLS):
            protocol = guest.word(at)
            if protocol == 0:
                return
            yield guest.guid(protocol), guest.word(at + 8)
            at += 16
        raise EfiError(uefi.EFI_INVALID_PARAMETER)
