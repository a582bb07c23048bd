"""Finding the disks of this system, and what they are in use for.

Linux tells in /sys/block (the kernel's Documentation/ABI/stable/sysfs-block), /proc/self/mountinfo (proc(5)) and
/proc/swaps, macOS through diskutil(8) in property lists.
"""

from __future__ import annotations

import os
import plistlib
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError

from barelm.disk.devices import Device, Identity
from barelm.disk.gpt import SECTOR
from barelm.errors import BarelmError
from barelm.printed import printable

_VIRTUAL = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd|zd)\d")
_BUSES = ((r"usb\d+", "usb"), (r"nvme\d*", "nvme"), (r"mmc\d+", "mmc"), (r"virtio\d+", "virtio"), (r"ata\d+", "sata"))
_TIMEOUT_S = 60


def this_system() -> LinuxDisks | MacDisks:
    """The disks of the system this runs on; BarelmError where it is none that can be asked."""
    if sys.platform == "linux":
        return LinuxDisks()
    if sys.platform == "darwin":
        return MacDisks()
    raise BarelmError("barelm flash does not write to disks on this system",
                      "Write the .img with Rufus in DD mode or with balenaEtcher (see README.md).")


def device_at(disks: LinuxDisks | MacDisks, path: Path) -> Device:
    """The disk, partition or plain file at a path; BarelmError where there is nothing of the kind."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise BarelmError(f"there is no device {path}: {error.strerror}",
                          "`barelm flash IMAGE` alone lists the devices there are.") from error
    if stat.S_ISREG(status.st_mode):
        return disks.plain_file(path, status.st_size)
    found = disks.at(path)
    if found is None:
        raise BarelmError(f"{path} is no disk", "`barelm flash IMAGE` alone lists the devices there are.")
    return found


class _Mount(NamedTuple):
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

    def plain_file(self, path: Path, n_bytes: int) -> Device:
        """A plain file, and what the system uses it for: a disk of its own, or swap."""
        real = os.path.realpath(path)
        holders = tuple(_path_of(name) for name, folder in self._blocks.items()
                        if _text(folder / "loop" / "backing_file") == real)
        uses = tuple((real, "swap") for used in self._swaps if used == real)
        return Device(str(path), n_bytes, is_file=True, holders=holders, uses=uses)

    def release(self, device: Device) -> None:
        """Nothing: what is mounted here was mounted by somebody, and is refused."""

    @cached_property
    def _blocks(self) -> dict[str, Path]:
        """Every disk and partition: its folder in /sys, by name."""
        disks = _folders(self._sys / "block")
        parts = [part for disk in disks for part in _folders(disk) if (part / "partition").exists()]
        return {folder.name: folder for folder in (*disks, *parts)}

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
        return uses + [(block, "swap") for path in self._swaps for block in self._blocks_of_path(path)]

    @cached_property
    def _swaps(self) -> list[str]:
        """The devices and files there is swap on."""
        return [_unescaped(line.split()[0]) for line in _text(self._proc / "swaps").splitlines()[1:] if line.strip()]

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
            part_of=_path_of(part_of) if part_of else "",
            identity=Identity(_text(folder / "dev"), _serial(folder), _number(folder / "diskseq")))

    def _holder(self, name: str) -> str:
        mapped = _text(self._sys / "block" / name / "dm" / "name")
        return printable(f"/dev/mapper/{mapped}") if mapped else _path_of(name)


def _diskutil(*arguments: str) -> bytes:
    """What diskutil prints; BarelmError where it fails."""
    try:
        return subprocess.run(["/usr/sbin/diskutil", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=_TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        words = printable(" ".join(said.decode(errors="replace").split())) or type(error).__name__
        raise BarelmError(f"diskutil {' '.join(arguments)} failed: {words}",
                          "Try the same in a terminal, and close what uses the disk.") from error


class MacDisks:
    """What diskutil says; `run` is for tests."""

    def __init__(self, run: Callable[..., bytes] = _diskutil) -> None:
        self._run = run

    def removable(self) -> list[Device]:
        """The external physical disks."""
        listed = self._asked("list", "-plist", "external", "physical")
        found = (self._device(str(name)) for name in listed.get("WholeDisks", []))
        return [device for device in found if device.bytes]

    def at(self, path: Path) -> Device | None:
        """/dev/disk4, /dev/rdisk4, or a part of one."""
        name = re.fullmatch(r"/dev/r?(disk\d+(?:s\d+)*)", str(path.resolve()))
        return self._device(name[1]) if name else None

    def plain_file(self, path: Path, n_bytes: int) -> Device:
        """A plain file."""
        return Device(str(path), n_bytes, is_file=True)

    def release(self, device: Device) -> None:
        """Unmount every volume of a disk."""
        if not device.is_file:
            self._run("unmountDisk", device.path)

    def _device(self, name: str) -> Device:
        facts = self._asked("info", "-plist", name)
        whole = str(facts.get("ParentWholeDisk") or name)
        removable = facts.get("Internal") is False or bool(facts.get("RemovableMedia"))
        uses = [*self._system_uses(whole), *(self._uses_of(name) if whole == name else ())]
        return Device(
            f"/dev/{name}", _count(facts.get("TotalSize") or facts.get("Size")),
            printable(str(facts.get("MediaName") or facts.get("IORegistryEntryName") or "")).strip(),
            printable(str(facts.get("BusProtocol") or "")).lower(), removable,
            read_only=facts.get("WritableMedia") is False or facts.get("Writable") is False,
            sector_bytes=_count(facts.get("DeviceBlockSize")) or SECTOR, uses=tuple(uses),
            part_of="" if facts.get("WholeDisk") is not False else f"/dev/{whole}",
            write_to=f"/dev/r{name}", frees_itself=True)

    def _uses_of(self, name: str) -> list[tuple[str, str]]:
        """Where the partitions of a disk are mounted."""
        disks = self._asked("list", "-plist", name).get("AllDisksAndPartitions", [])
        parts = [part for disk in disks if isinstance(disk, dict) for part in (disk, *disk.get("Partitions", []))]
        return [(f"/dev/{part.get('DeviceIdentifier')}", str(part["MountPoint"])) for part in parts
                if isinstance(part, dict) and part.get("MountPoint")]

    def _system_uses(self, whole: str) -> list[tuple[str, str]]:
        """The root, if it lies on a disk: directly, or in an APFS container whose stores are parts of it."""
        facts = self._asked("info", "-plist", "/")
        stores = [str(store.get("APFSPhysicalStore", "")) for store in facts.get("APFSPhysicalStores", [])
                  if isinstance(store, dict)]
        below = [str(facts.get("ParentWholeDisk", "")), *(re.sub(r"(?<=\d)s\d+$", "", store) for store in stores)]
        return [(f"/dev/{whole}", "/")] if whole in below else []

    def _asked(self, *arguments: str) -> dict[str, Any]:
        try:
            answer = plistlib.loads(self._run(*arguments))
        except (plistlib.InvalidFileException, ExpatError, ValueError) as error:
            raise BarelmError(f"diskutil {' '.join(arguments)} gave no answer that can be read",
                              "Give a plain file instead of a disk.") from error
        return answer if isinstance(answer, dict) else {}


def _bus(folder: Path) -> str:
    """The bus nearest to the disk on its path through the devices of the machine."""
    return next((bus for part in reversed(folder.resolve().parts) for pattern, bus in _BUSES
                 if re.fullmatch(pattern, part)), "")


def _model(device: Path) -> str:
    """The maker's words, as the device tells them."""
    words = [_text(device / "vendor"), _text(device / "model") or _text(device / "name")]
    if words[0].startswith("0x") or words[0] == "ATA":
        words[0] = ""  # the number of a PCI maker, or the kernel's own word for SATA
    return printable(" ".join(" ".join(words).split()))


def _serial(folder: Path) -> str:
    """The serial number of a disk, or, as of a stick, of the device on a bus that it is a part of."""
    folders = [folder / "device", *folder.resolve().parents]
    return printable(next(filter(None, (_text(place / "serial") for place in folders[:9])), ""))


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


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
