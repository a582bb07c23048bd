"""QEMU as a machine: a q35 PC with OVMF, its console on a serial line, its disk the image, written where asked."""

import os
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from barelm.disk import gpt
from barelm.disk.medium import Medium
from barelm.errors import BarelmError
from barelm.machine import accelerator
from barelm.machine.machine import Forward, Spec
from barelm.machine.ovmf import Ovmf, find_ovmf
from barelm.machine.qemu_packages import install_hint
from barelm.machine.qemu_process import LOCALHOST, QemuProcess, Wiring
from barelm.machine.qemu_session import QemuSession

PROGRAM = "qemu-system-x86_64"
PROGRAM_VARIABLE = "BARELM_QEMU"
BUSES: Mapping[str, list[str]] = {
    "virtio": ["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
    "nvme": ["-device", "nvme,drive=disk,serial=barelm,bootindex=0"],
    "ahci": ["-device", "ich9-ahci,id=ahci", "-device", "ide-hd,drive=disk,bus=ahci.0,bootindex=0"],
    "usb": ["-device", "qemu-xhci,id=usb", "-device", "usb-bot,id=stick,bus=usb.0",
            "-device", "scsi-hd,drive=disk,bus=stick.0,bootindex=0"],
}
LEAST_MEMORY_MB = 64                    # OVMF does not come up in less
MOST_CORES = 255                        # of q35 without an interrupt remapper

# What the guest has no use for costs the firmware time to find and to set up.
_BOARD = "q35,smm=off,vmport=off,sata=off,smbus=off,hpet=off"
# Variables that nobody but the firmware changes, as Secure Boot needs them.
_SECURE = ("-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")


@dataclass(frozen=True)
class Host:
    """What of this host the machine is built from."""

    program: str
    accelerator: str
    ovmf: Ovmf
    same_architecture: bool = True


@dataclass(frozen=True, kw_only=True)
class Qemu:
    """The Machine "qemu"."""

    bus: str = "virtio"  # of its disk, one of BUSES
    display: bool = False  # open a window to look at
    screen: bool = False  # let a session take pictures
    accelerate: str | None = None  # QEMU's name for an accelerator; without one, the best that works here is taken
    secure: Path | None = None  # with Secure Boot: the firmware's variables, keys enrolled in them
    card: str = "virtio-net-pci"  # of its network, as QEMU calls it and its properties
    tpm: Path | None = None  # the control socket of a running swtpm
    sector: int = 0  # bytes of a sector of its disk; 0: as the image's partition table has it
    name: str = "qemu"

    def __post_init__(self) -> None:
        if self.bus not in BUSES:
            raise BarelmError(f"there is no disk bus {self.bus!r}", f"Take one of {', '.join(BUSES)}.")

    @property
    def has_screen(self) -> bool:
        """Whether there is a graphics card."""
        return self.display or self.screen

    def why_not(self) -> str | None:
        """One sentence why this machine cannot be used here, naming what to install; None where it can."""
        try:
            find_ovmf(Path(find_program()), secure=self.secure is not None)
        except BarelmError as error:
            return f"{error.message}: {error.hint[:1].lower()}{error.hint[1:]}"
        return None

    def start(self, spec: Spec) -> QemuSession:
        """Power on, as Machine.start says."""
        check(spec)
        program = find_program()
        chosen = self.accelerate or accelerator.best_accelerator(program)
        ovmf = find_ovmf(Path(program), secure=self.secure is not None)
        if self.secure is not None:
            ovmf = replace(ovmf, variables=self.secure)
        host = Host(program, chosen, ovmf, accelerator.is_x86_64())
        machine = replace(self, sector=self.sector or _sector_of(spec.image))
        process = QemuProcess(lambda wiring: command(spec, machine, host, wiring), host.ovmf.variables)
        return QemuSession(process, has_screen=self.has_screen, terminal=spec.terminal,
                           has_forward=spec.forward is not None)


def check(spec: Spec) -> None:
    """Raise BarelmError where no machine can be built to `spec`."""
    if not spec.image.is_file():
        raise BarelmError(f"there is no image {spec.image}", "Write one with `barelm image`.")
    if spec.memory_mb < LEAST_MEMORY_MB:
        raise BarelmError(f"a machine cannot start with {spec.memory_mb} MB of memory",
                          f"Give it {LEAST_MEMORY_MB} or more.")
    if not 1 <= spec.cores <= MOST_CORES:
        raise BarelmError(f"a machine cannot have {spec.cores} cores", f"Give it 1 to {MOST_CORES}.")


def find_program(environment: Mapping[str, str] = os.environ) -> str:
    """The path of QEMU; BarelmError, naming what to install, where there is none."""
    named = environment.get(PROGRAM_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise BarelmError(f"{PROGRAM_VARIABLE} names {named}, which is not a program",
                              f"Set it to the path of {PROGRAM}, or unset it.")
        return found
    places = [environment.get("PATH", os.defpath), *([r"C:\Program Files\qemu"] if os.name == "nt" else [])]
    found = shutil.which(PROGRAM, path=os.pathsep.join(places))
    if found is None:
        raise BarelmError(f"{PROGRAM} is not installed", install_hint(f"{PROGRAM_VARIABLE} to its path"))
    return found


def command(spec: Spec, machine: Qemu, host: Host, wiring: Wiring) -> list[str]:
    """QEMU's command line: a function of its arguments and nothing else."""
    ovmf = host.ovmf
    return [
        host.program,
        "-name", "barelm",
        "-machine", _BOARD if machine.secure is None else _BOARD.replace("smm=off", "smm=on"),
        *(_SECURE if machine.secure is not None else ()),
        *(_tpm(machine.tpm) if machine.tpm is not None else ()),
        *accelerator.arguments(host.accelerator, host.same_architecture),
        "-smp", str(spec.cores),
        "-m", str(spec.memory_mb),
        "-nodefaults", "-no-user-config", "-no-reboot",
        "-boot", "menu=off",
        *([] if machine.display else ["-display", "none"]),
        *(["-device", "VGA"] if machine.has_screen else []),
        "-drive", f"if=pflash,unit=0,format={ovmf.code_format},readonly=on,file={escaped(ovmf.code)}",
        "-drive", f"if=pflash,unit=1,format={ovmf.variables_format},file={escaped(wiring.variables)}",
        "-drive", f"if=none,id=disk,format=raw,snapshot={'off' if spec.writable else 'on'},file={escaped(spec.image)}",
        *(word + _sectors(machine.sector) * ("drive=disk" in word) for word in BUSES[machine.bus]),
        "-chardev", f"socket,id=console,host={LOCALHOST},port={wiring.console_port}",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=monitor,host={LOCALHOST},port={wiring.monitor_port}",
        "-mon", "chardev=monitor,mode=control",
        *(_network(spec.forward, machine.card) if spec.forward is not None else ()),
    ]


def _network(forward: Forward, card: str) -> list[str]:
    """A network of QEMU's own, in which the machine is given an address, with a way in."""
    way = f"hostfwd=tcp:{forward.address}:{forward.port}-:{forward.to}"
    return ["-netdev", f"user,id=network,{way}", "-device", f"{card},netdev=network,id=card"]


def _sector_of(image: Path) -> int:
    with closing(Medium(image)) as medium:
        return gpt.sector_of(medium.read, medium.n_bytes)


def _sectors(n_bytes: int) -> str:
    """The properties of a disk, where its sectors are not those of every bus."""
    of_every_bus = n_bytes in (0, gpt.SECTOR)
    return "" if of_every_bus else f",logical_block_size={n_bytes},physical_block_size={n_bytes}"


def _tpm(socket: Path) -> list[str]:
    """A TPM 2.0 that swtpm plays."""
    return ["-chardev", f"socket,id=tpm,path={escaped(socket)}", "-tpmdev", "emulator,id=tpm,chardev=tpm",
            "-device", "tpm-crb,tpmdev=tpm"]


def escaped(path: Path) -> str:
    """A path as the value of a QEMU option, in which a comma must be doubled."""
    return str(path.absolute()).replace(",", ",,")
