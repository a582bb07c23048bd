"""Finding disks and judging them: which may be overwritten, and what speaks against the others.

Linux tells in /sys/block (the kernel's Documentation/ABI/stable/sysfs-block), /proc/self/mountinfo (proc(5)) and
/proc/swaps.  For macOS see `diskutil`.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from barelm.disk.gpt import SECTOR
from barelm.errors import BarelmError

# What is mounted here is the system; a disk that any of it stands on is never written to.
SYSTEM = ("/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home", "swap")
_VIRTUAL = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd|zd)\d")
_BUSES = ((r"usb\d+", "usb"), (r"nvme\d*", "nvme"), (r"mmc\d+", "mmc"), (r"virtio\d+", "virtio"), (r"ata\d+", "sata"))
_UNITS = ("kB", "MB", "GB", "TB")


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


class Disks(Protocol):
    """The disks of this system."""

    def removable(self) -> list[Device]:
        """Those that a person could pull out, with a medium in them."""

    def at(self, path: Path) -> Device | None:
        """The device at a path; None where the path is no disk."""

    def release(self, device: Device) -> None:
        """Unmount what may be unmounted without asking; called after the question, before writing."""


def this_system() -> Disks:
    """The disks of the system this runs on; BarelmError where it is none that can be asked."""
    if sys.platform == "linux":
        return LinuxDisks()
    if sys.platform == "darwin":
        from barelm.disk.diskutil import MacDisks

        return MacDisks()
    raise BarelmError("barelm flash does not write to disks on this system",
                      "Write the .img with Rufus in DD mode or with balenaEtcher (see README.md).")


def device_at(disks: Disks, path: Path) -> Device:
    """The disk, partition or plain file at a path; BarelmError where there is nothing of the kind."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise BarelmError(f"there is no device {path}: {error.strerror}",
                          "`barelm flash IMAGE` alone lists the devices there are.") from error
    if stat.S_ISREG(status.st_mode):
        return Device(str(path), status.st_size, is_file=True)
    found = disks.at(path)
    if found is None:
        raise BarelmError(f"{path} is no disk", "`barelm flash IMAGE` alone lists the devices there are.")
    return found


def refuse(device: Device, image_bytes: int, fixed: bool) -> None:
    """Raise BarelmError, with the reason, where an image of so many bytes must not be written to a device."""
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
                          "Close that first: cryptsetup close, vgchange -an or mdadm --stop.")
    if not device.bytes and not device.is_file:
        raise BarelmError(f"there is no medium in {device.path}", "Insert a card.")
    if device.read_only:
        raise BarelmError(f"{device.path} is write-protected", "Move its lock, or take another.")
    if device.sector_bytes != SECTOR:
        raise BarelmError(f"{device.path} has sectors of {device.sector_bytes} bytes, and images are made for {SECTOR}",
                          "Take an ordinary USB stick.")
    if device.bytes < image_bytes:
        raise BarelmError(f"{device.path} is too small: {device.bytes:,} bytes, and the image has {image_bytes:,}",
                          "Take a larger one, or make a smaller image.")
    if not (device.removable or device.is_file or fixed):
        raise BarelmError(f"{device.path} is a fixed disk ({device.model or device.bus or 'built in'})",
                          "Add --fixed if it is this disk that is to be overwritten.")


def printable(text: str) -> str:
    """Text that others chose, fit for a terminal: no controls, no escapes, nothing that turns the line around."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def human_bytes(n_bytes: int) -> str:
    """As it is printed on a stick: 31.9 GB."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    value, units = n_bytes / 1000, list(_UNITS)
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}"


@dataclass(frozen=True)
class _Mount:
    number: str
    where: str
    kind: str
    source: str


class LinuxDisks:
    """What the kernel says of its disks, once: read when first asked for.  `sys` and `proc` are for tests."""

    def __init__(self, sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> None:
        self._sys, self._proc = sys, proc

    def removable(self) -> list[Device]:
        """Sticks, cards and USB disks with a medium in them, by name."""
        found = (self._device(name) for name in self._blocks if name not in self._disk_of and not _VIRTUAL.match(name))
        return [device for device in found if device.removable and device.bytes]

    def at(self, path: Path) -> Device | None:
        """The block device at a path, through any links."""
        status = os.stat(path)
        if not stat.S_ISBLK(status.st_mode):
            return None
        return self.numbered(f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")

    def numbered(self, number: str) -> Device | None:
        """The device of a "major:minor"."""
        name = self._by_number.get(number)
        return None if name is None else self._device(name)

    def release(self, device: Device) -> None:
        """Nothing: what is mounted here was mounted by somebody, and is refused."""

    @cached_property
    def _blocks(self) -> dict[str, Path]:
        """Every disk and partition: its folder in /sys, by name."""
        found: dict[str, Path] = {}
        for disk in _folders(self._sys / "block"):
            found[disk.name] = disk
            found |= {part.name: part for part in _folders(disk) if (part / "partition").exists()}
        return found

    @cached_property
    def _disk_of(self) -> dict[str, str]:
        return {name: folder.parent.name for name, folder in self._blocks.items() if (folder / "partition").exists()}

    @cached_property
    def _by_number(self) -> dict[str, str]:
        return {_text(folder / "dev"): name for name, folder in self._blocks.items()}

    @cached_property
    def _by_alias(self) -> dict[str, str]:
        """Names by what stands below /dev: the kernel's own, and those of the device mapper."""
        aliases = {f"/dev/mapper/{mapped}": name for name, folder in self._blocks.items()
                   if (mapped := _text(folder / "dm" / "name"))}
        return aliases | {_path_of(name): name for name in self._blocks}

    @cached_property
    def _mounts(self) -> list[_Mount]:
        mounts = []
        for line in _text(self._proc / "self" / "mountinfo").split("\n"):  # a label may hold other breaks
            before, _, after = line.partition(" - ")
            fields, behind = before.split(" "), after.split(" ")
            if len(fields) > 4 and len(behind) > 1:
                mounts.append(_Mount(fields[2], _unescaped(fields[4]), behind[0], _unescaped(behind[1])))
        return mounts

    @cached_property
    def _uses(self) -> list[tuple[str, str]]:
        """(block, where it is mounted, or "swap"), of everything in use."""
        uses = [(block, mount.where) for mount in self._mounts for block in self._blocks_of(mount)]
        for line in _text(self._proc / "swaps").splitlines()[1:]:
            path = _unescaped(line.split()[0]) if line.strip() else ""
            uses += [(block, "swap") for block in self._blocks_of_path(path)]
        return uses

    def _blocks_of(self, mount: _Mount) -> list[str]:
        """What a mounted file system lies on: one block, several for btrfs, none for those of the kernel."""
        block = self._by_number.get(mount.number) or self._block_named(mount.source)
        if block is None:
            return []
        if mount.kind == "btrfs":
            for folder in _folders(self._sys / "fs" / "btrfs"):
                members = [member.name for member in _folders(folder / "devices")]
                if block in members:
                    return members
        return [block]

    def _blocks_of_path(self, path: str) -> list[str]:
        """Of a device its block; of a file those of the file system it is in."""
        block = self._block_named(path)
        if block is not None:
            return [block]
        holding = [mount for mount in self._mounts if (path + "/").startswith(mount.where.rstrip("/") + "/")]
        return self._blocks_of(max(holding, key=lambda mount: len(mount.where))) if holding else []

    def _block_named(self, path: str) -> str | None:
        if not path.startswith("/dev/"):
            return None
        return self._by_alias.get(path) or self._by_alias.get(os.path.realpath(path))

    def _beneath(self, block: str) -> set[str]:
        """A block and all it stands on: partition on disk, LVM on crypt on partition, loop on a file on a disk."""
        seen: set[str] = set()
        pending = [block]
        while pending:
            name = pending.pop()
            if name in seen or name not in self._blocks:
                continue
            seen.add(name)
            folder = self._blocks[name]
            pending += [slave.name for slave in _folders(folder / "slaves")]
            if name in self._disk_of:
                pending.append(self._disk_of[name])
            if backing := _text(folder / "loop" / "backing_file"):
                pending += self._blocks_of_path(backing)
        return seen

    def _device(self, name: str) -> Device:
        folder = self._blocks[name]
        part_of = self._disk_of.get(name, "")
        parts = [name, *(part for part, disk in self._disk_of.items() if disk == name)]
        bus = _bus(self._blocks[part_of] if part_of else folder)
        card = bus == "mmc" and _text(folder / "device" / "type") == "SD"  # soldered ones are of type MMC
        return Device(
            _path_of(name), _number(folder / "size") * 512, _model(folder / "device"), bus,
            removable=bus == "usb" or card or _number(folder / "removable") == 1,
            read_only=_number(folder / "ro") == 1,
            sector_bytes=_number(folder / "queue" / "logical_block_size") or SECTOR,
            uses=tuple((_path_of(block), where) for block, where in self._uses if name in self._beneath(block)),
            holders=tuple(sorted({self._holder(holder.name) for part in parts
                                  for holder in _folders(self._blocks[part] / "holders")})),
            part_of=_path_of(part_of) if part_of else "")

    def _holder(self, name: str) -> str:
        mapped = _text(self._sys / "block" / name / "dm" / "name")
        return printable(f"/dev/mapper/{mapped}") if mapped else _path_of(name)


def _bus(folder: Path) -> str:
    """The bus nearest to the disk on its path through the devices of the machine."""
    for part in reversed(folder.resolve().parts):
        for pattern, bus in _BUSES:
            if re.fullmatch(pattern, part):
                return bus
    return ""


def _model(device: Path) -> str:
    """The maker's words, as the device tells them."""
    words = [_text(device / "vendor"), _text(device / "model") or _text(device / "name")]
    if words[0].startswith("0x") or words[0] == "ATA":
        words[0] = ""  # the number of a PCI maker, or the kernel's own word for SATA
    return printable(" ".join(" ".join(words).split()))


def _path_of(name: str) -> str:
    return "/dev/" + name.replace("!", "/")


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if path.is_dir())
    return []


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_bytes().decode(errors="replace").strip()
    return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0


def _unescaped(field: str) -> str:
    """proc(5): blanks and backslashes stand as octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
