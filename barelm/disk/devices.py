"""Which disks may be overwritten, and the reasons against the others."""

import shlex
from dataclasses import dataclass, field
from typing import NamedTuple

from barelm.disk.gpt import SECTOR
from barelm.errors import BarelmError
from barelm.printed import printable

# What is mounted here is the system; a disk that any of it stands on is never written to.
SYSTEM = ("/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home", "swap")
_UNITS = ("kB", "MB", "GB", "TB")


class Identity(NamedTuple):
    """By what a disk is known again, as far as the system tells: another may be plugged in under the same name."""

    number: str = ""  # major:minor
    serial: str = ""
    sequence: int = 0  # of Linux, no two disks since it started have the same


@dataclass(frozen=True)
class Device:
    """What can be written to: a disk, a part of one, or a plain file."""

    path: str
    bytes: int
    model: str = ""
    bus: str = ""
    removable: bool = False  # pulled out by hand: a stick, a card, anything on USB
    read_only: bool = False
    sector_bytes: int = SECTOR
    uses: tuple[tuple[str, str], ...] = ()  # (its part, where that is mounted or "swap")
    holders: tuple[str, ...] = ()  # what the kernel has built on it: LVM, crypt, RAID
    part_of: str = ""  # the disk of a partition
    is_file: bool = False
    write_to: str = ""  # where another name is faster
    frees_itself: bool = False  # what is mounted is unmounted by Disks.release
    identity: Identity = field(default=Identity(), compare=False)

    @property
    def name(self) -> str:
        """The last part of its path, as a person types it."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def mounts(self) -> tuple[str, ...]:
        """Where it is mounted, each place once."""
        return tuple(dict.fromkeys(where for _, where in self.uses))

    def described(self) -> str:
        """For a question: what and how large."""
        facts = ["a plain file" if self.is_file else self.model, human_bytes(self.bytes)]
        return f"{self.path} ({', '.join(filter(None, facts))})"


def refuse(device: Device, image_bytes: int, fixed: bool, sector: int = SECTOR) -> None:
    """Raise BarelmError, with the reason, where an image of so many bytes, for sectors of `sector`, must not be written
    to a device.
    """
    if device.part_of:
        raise BarelmError(f"{device.path} is a partition", f"Give the whole disk: {device.part_of}.")
    system = [where for where in device.mounts if where in SYSTEM]
    if system:
        raise BarelmError(f"{device.path} holds the running system ({system[0]})", "Give another disk.")
    if device.uses and not device.frees_itself:
        part, where = device.uses[0]
        raise BarelmError(f"{device.path} is in use: {part} is mounted on {printable(where)}",
                          "Unmount it first: sudo umount "
                          + " ".join(shlex.quote(printable(place)) for place in device.mounts))
    if device.holders:
        raise BarelmError(f"{device.path} is in use by {', '.join(device.holders)}",
                          "Close that first: losetup -d." if device.is_file else
                          "Close that first: cryptsetup close, vgchange -an or mdadm --stop.")
    if not device.bytes and not device.is_file:
        raise BarelmError(f"there is no medium in {device.path}", "Insert a card.")
    if device.read_only:
        raise BarelmError(f"{device.path} is write-protected", "Move its lock, or take another.")
    if not device.is_file and sector != device.sector_bytes:
        raise BarelmError(f"{device.path} has sectors of {device.sector_bytes} bytes, and this image is for {sector}",
                          f"Write it with `barelm image --sector {device.sector_bytes}`, or take another stick.")
    if device.bytes < image_bytes:
        raise BarelmError(f"{device.path} is too small: {device.bytes:,} bytes, and the image has {image_bytes:,}",
                          "Take a larger one, or make a smaller image.")
    if not (device.removable or device.is_file or fixed):
        raise BarelmError(f"{device.path} is a fixed disk ({device.model or device.bus or 'built in'})",
                          "Add --fixed if it is this disk that is to be overwritten.")


def human_bytes(n_bytes: int) -> str:
    """As it is printed on a stick: 31.9 GB."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    value, units = n_bytes / 1000, list(_UNITS)
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}"
