"""The disks of macOS, as diskutil(8) tells of them in property lists."""

from __future__ import annotations

import plistlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from barelm.disk.devices import Device, printable
from barelm.disk.gpt import SECTOR
from barelm.errors import BarelmError

_TIMEOUT_S = 60
Run = Callable[..., bytes]


def run_diskutil(*arguments: str) -> bytes:
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

    def __init__(self, run: Run = run_diskutil) -> None:
        self._run = run

    def removable(self) -> list[Device]:
        """The external physical disks."""
        listed = self._asked("list", "-plist", "external", "physical")
        found = [self._device(str(name)) for name in listed.get("WholeDisks", [])]
        return [device for device in found if device.bytes]

    def at(self, path: Path) -> Device | None:
        """/dev/disk4, /dev/rdisk4, or a part of one."""
        name = re.fullmatch(r"/dev/r?(disk\d+(?:s\d+)*)", str(path.resolve()))
        return self._device(name[1]) if name else None

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
            f"/dev/{name}", _number(facts.get("TotalSize") or facts.get("Size")),
            printable(str(facts.get("MediaName") or facts.get("IORegistryEntryName") or "")).strip(),
            printable(str(facts.get("BusProtocol") or "")).lower(), removable,
            read_only=facts.get("WritableMedia") is False or facts.get("Writable") is False,
            sector_bytes=_number(facts.get("DeviceBlockSize")) or SECTOR, uses=tuple(uses),
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


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
