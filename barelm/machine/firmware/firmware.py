"""START HERE: a machine from its parts, its tables as the program finds them, and the program's one run."""

import socket
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from barelm.contract import uefi, uefi_protocols
from barelm.contract.network import network_protocols
from barelm.dialect.structs import Struct
from barelm.disk import open_editor
from barelm.errors import BarelmError
from barelm.machine.firmware.devices.graphics import Graphics
from barelm.machine.firmware.devices.hosted_volume import Files
from barelm.machine.firmware.devices.network_interface import NetworkInterface
from barelm.machine.firmware.devices.network_plan import Card
from barelm.machine.firmware.devices.processors import Processors, Slips
from barelm.machine.firmware.devices.serial_device import SerialPort, Wire
from barelm.machine.firmware.devices.tcg2_device import Tpm
from barelm.machine.firmware.devices.tcp_device import TcpDevice
from barelm.machine.firmware.devices.text_console import TextInput, TextOutput
from barelm.machine.firmware.events import Events
from barelm.machine.firmware.fault_report import Report
from barelm.machine.firmware.faults import Fault
from barelm.machine.firmware.pages import LOW_BASE, Memory
from barelm.machine.firmware.process import guest, native
from barelm.machine.firmware.process.code import STACK_BLOCK
from barelm.machine.firmware.process.pe_loader import Image, load_image
from barelm.machine.firmware.protocols import Protocols
from barelm.machine.firmware.services import Services, handlers_of
from barelm.machine.firmware.system import System
from barelm.machine.firmware.tables import guid_of
from barelm.machine.machine import host_processors
from barelm.machine.screen import Screen

PROGRAM = "EFI/BOOT/BOOTX64.EFI"
WATCHDOG_S = 300  # armed before a boot option is started (UEFI 3.1.2)

_REVISION_2_10 = 2 << 16 | 100
_VENDOR = "barelm hosted firmware"
_DEVICE_PATH_END = bytes.fromhex("7fff0400")


@dataclass(frozen=True)
class Setup:
    """A machine to be: what `machine.Spec` says, and what is to go wrong in it."""

    image: Path
    memory_mb: int = 1024
    cores: int = 1
    faults: tuple[Fault, ...] = ()
    screen: Screen | None = None
    screen_fd: int | None = None
    writable: bool = False
    power_cut: int = 0  # right after which sector write, from 1, the power goes off; 0: it stays on
    occupied: tuple[tuple[int, int], ...] = ()  # what of the memory is somebody else's: from which MiB on, how many
    guard_pages: int = 0  # that stay free behind what is allocated, so that whoever goes on there is stopped
    slips: Slips = Slips()  # what its processors do wrong
    tpm: bool = False
    card: Card | None = None  # its network's
    ports: tuple[tuple[int, socket.socket], ...] = ()  # of its own, and the host's socket that listens for each
    low_base: int = LOW_BASE  # where the memory begins: two machines of one process need different places


class Switch(Protocol):
    """How a machine ends.  None of these returns."""

    def off(self, status: int) -> None:
        """The program is through, with a status."""

    def power_cut(self) -> None:
        """The power goes off in the middle of whatever there is."""

    def unplugged(self) -> None:
        """Nobody is at the keyboard any more."""

    def watchdog(self, seconds: int) -> None:
        """The program was not done in time."""

    def broken(self, service: str, error: BaseException) -> None:
        """A service could not go on."""


class HostedFirmware:
    """A machine with a program in its memory.  `services.install` replaces handlers before `run`."""

    def __init__(self, setup: Setup, switch: Switch, report: Report,
                 bridge: type[native.Bridge] = native.Bridge) -> None:
        """Power on; raises BarelmError where the image holds no program for this machine, or memory is short.

        The `bridge` is how a program calls the services: one in Python, in this process, needs no machine code.
        """
        self._switch, self._report, self._power_cut = switch, report, setup.power_cut
        self._before: dict[str, int] = {}
        self.memory = _memory(setup)
        self.services = Services(switch.broken, setup.faults, bridge)
        self.services.note = report.serving
        self.events = Events(self.services.call_program)
        self.volume = open_editor(setup.image, writable=setup.writable, clock=time.gmtime)
        self.volume.medium.after_write = self._wrote
        self.program = self._load()
        report.base, report.size = self.program.base, self.program.size
        self.protocols = Protocols(self.memory, self.services)
        self.files = Files(self.volume, self.memory, self.services, self.events)
        self.wire = Wire(self.events.wake, switch.unplugged)
        self.text_input = TextInput(self.wire, self.events)
        self.text_output = TextOutput(self.wire, self.memory)
        self.serial_port = SerialPort(self.wire, self.memory)
        self.system = System(self.events, self._off, switch.watchdog)
        self.processors = Processors(setup.cores, self.memory, self.events, self.services.enter, setup.slips)
        self.graphics = Graphics(setup.screen, self.memory, setup.screen_fd) if setup.screen else None
        self.tpm = Tpm() if setup.tpm else None
        self.interface = NetworkInterface(setup.card, self.memory) if setup.card else None
        self.tcp = TcpDevice(self.interface, self.memory, self.protocols, self.services, self.events,
                             dict(setup.ports)) if self.interface else None
        self.services.admit = self.processors.admit
        self.services.install(handlers_of(self.memory, self.events, self.protocols, self.files, self.text_input,
                                          self.text_output, self.serial_port, self.system, self.processors,
                                          self.graphics, self.tpm, self.interface, self.tcp))
        self.table = self._write_tables()
        self.image_handle = self._write_image_handle()

    def run(self) -> int:
        """Call the program's entry point with its handle and the system table; returns its status."""
        stack = native.allocate_stack(STACK_BLOCK)  # at least 128 KiB (UEFI 2.3.4)
        self.wire.listen()
        self._before = self.inventory()
        self.system.set_watchdog_timer(WATCHDOG_S, 0, 0, 0)
        status = self.services.enter(self.program.entry, self.image_handle, self.table, stack)
        self._note_left()
        return status

    def _off(self, status: int) -> None:
        self._note_left()
        self._switch.off(status)

    def _note_left(self) -> None:
        if self._before:
            self._report.note_left(self._before, self.inventory())
        self._report.kept = self.memory.kept_by_program()

    def inventory(self) -> dict[str, int]:
        """How many there are of what a program can leave behind (`fault_report.LEFT`)."""
        n_files = self.files.n_open
        return {"files": n_files, "events": len(self.events.events), "pools": self.memory.n_pools - n_files,
                "interfaces": sum(map(len, self.protocols.handles.values())), "exclusive": len(self.protocols.owners),
                "processors": self.processors.n_busy, "console": not self.wire.has_console}

    def _load(self) -> Image:
        found = self.volume.lookup(PROGRAM)
        if found is None:
            raise BarelmError(f"there is no {PROGRAM} in {self.volume.medium.path}",
                              "Build the image with `barelm image`.")
        return load_image(self.volume.read(found, 0, found.size), self.memory)

    def _wrote(self, number: int) -> None:
        self._report.writes = number
        if number == self._power_cut:
            self._switch.power_cut()

    def _table(self, kind: type[Struct], **data: int) -> int:
        address = self.memory.pool(kind.BYTES, uefi.RUNTIME_SERVICES_DATA)
        return self.services.table(kind, address, **data)

    def _headed_table(self, kind: type[uefi_protocols.TableHeader], signature: bytes, **data: int) -> int:
        """A table that begins with EFI_TABLE_HEADER (4.2)."""
        address = self._table(kind, signature=int.from_bytes(signature, "little"), revision=_REVISION_2_10,
                              header_size=kind.BYTES, **data)
        uefi_protocols.TableHeader(address).crc32 = zlib.crc32(guest.read_bytes(address, kind.BYTES))
        return address

    def _protocol(self, handle: int, kind: type[Struct], **data: int) -> int:
        """Put a protocol on a handle (0: a new one); returns the handle."""
        return self.protocols.add(handle, guid_of(kind), self._table(kind, **data))

    def _write_tables(self) -> int:
        """The system table and all it leads to (4.3); returns its address."""
        key = self.text_input.wait_for_key
        con_in = self._table(uefi_protocols.SimpleTextInput, wait_for_key=key)
        con_out = self._table(uefi_protocols.SimpleTextOutput, mode=self.text_output.mode.address)
        console = self.protocols.add(0, guid_of(uefi_protocols.SimpleTextInput), con_in)
        self.protocols.add(console, guid_of(uefi_protocols.SimpleTextOutput), con_out)
        self._protocol(console, uefi_protocols.SimpleTextInputEx, wait_for_key_ex=key)
        if self.graphics is not None:
            self._protocol(console, uefi_protocols.GraphicsOutput, mode=self.graphics.mode.address)
        serial = self._protocol(0, uefi_protocols.SerialIo, revision=0x10000, mode=self.serial_port.mode.address)
        self.protocols.drive(serial, guid_of(uefi_protocols.SerialIo), self.serial_port.connect)
        self._protocol(0, uefi_protocols.MpServices)
        if self.tpm is not None:
            self._protocol(0, uefi_protocols.Tcg2)
        if self.interface is not None:
            self._write_network(self.interface)
        self._protocol(0, uefi_protocols.GiveWay, code=self.services.give_way, at_once=host_processors())
        vendor = _VENDOR.encode("utf-16-le") + bytes(2)
        vendor_address = self.memory.pool(len(vendor), uefi.RUNTIME_SERVICES_DATA)
        guest.put_bytes(vendor_address, vendor)
        return self._headed_table(
            uefi_protocols.SystemTable, b"IBI SYST", firmware_vendor=vendor_address, firmware_revision=1,
            console_in_handle=console, con_in=con_in, console_out_handle=console, con_out=con_out,
            standard_error_handle=console, std_err=con_out,
            runtime_services=self._headed_table(uefi_protocols.RuntimeServices, b"RUNTSERV"),
            boot_services=self._headed_table(uefi_protocols.BootServices, b"BOOTSERV"))

    def _write_network(self, interface: NetworkInterface) -> None:
        """The handle of the network card, and what its drivers put there."""
        def connect(on: bool) -> None:
            if on and binding not in self.protocols.handles[handle]:
                self._protocol(handle, network_protocols.SimpleNetwork, revision=0x10000,
                               mode=interface.mode.address)
                self._protocol(handle, network_protocols.Ip4Config2)
                self.protocols.add(handle, binding, self._table(network_protocols.ServiceBinding))

        binding, controller = bytes(uefi.TCP4_SERVICE_BINDING_PROTOCOL), bytes(uefi.PCI_IO_PROTOCOL)
        handle = self.protocols.add(0, controller, 0)
        self.protocols.drive(handle, controller, connect)
        connect(not interface.card.asleep)

    def _write_image_handle(self) -> int:
        """The handle of the program with EFI_LOADED_IMAGE_PROTOCOL (9.1), and that of its volume."""
        path = (PROGRAM.replace("/", "\\")).join(("\\", "\0")).encode("utf-16-le")
        # MEDIA_FILEPATH_DP (10.3.5.4); the volume itself has the empty path.
        file_path = b"\x04\x04" + (4 + len(path)).to_bytes(2, "little") + path + _DEVICE_PATH_END
        paths = self.memory.pool(len(file_path))
        guest.put_bytes(paths, file_path)
        device = self._protocol(0, uefi_protocols.SimpleFileSystem, revision=0x10000)
        self.protocols.add(device, bytes(uefi.DEVICE_PATH_PROTOCOL), paths + len(file_path) - len(_DEVICE_PATH_END))
        return self._protocol(
            0, uefi_protocols.LoadedImage, revision=0x1000, system_table=self.table, device_handle=device,
            file_path=paths, image_base=self.program.base, image_size=self.program.size,
            image_code_type=uefi.LOADER_CODE, image_data_type=uefi.LOADER_DATA)


def _memory(setup: Setup) -> Memory:
    try:
        memory = Memory(setup.memory_mb, setup.low_base, setup.guard_pages)
        for first, n in setup.occupied:
            memory.occupy(first << 20, first + n << 20)
        return memory
    except MemoryError as error:
        raise BarelmError(f"this process cannot hold a machine of {setup.memory_mb} MiB: {error}",
                          "Give the machine less memory, or raise the limit (ulimit -v).") from error
