"""EFI_FILE_INFO and EFI_FILE_SYSTEM_INFO as bytes, from what a volume holds (UEFI 13.5.16, 13.5.17)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from barelm.contract import uefi
from barelm.contract.uefi_protocols import FileInfo, FileSystemInfo, Time
from barelm.disk import Editor
from barelm.disk.directory import ATTR_DIRECTORY, Facts, Folder, Node, moment_of, stamp_of
from barelm.machine.firmware.process import guest

_UNSPECIFIED_TIMEZONE = 0x07FF


@dataclass(frozen=True)
class ChangedFile:
    """What EFI_FILE_INFO asks for: a name or path, a size, attributes; times as FAT has them, None to leave them."""

    name: str
    size: int
    attributes: int
    created: tuple[int, int] | None
    accessed: tuple[int, int] | None
    modified: tuple[int, int] | None

    def facts(self, before: Facts) -> Facts:
        """What an entry says when it is changed to this."""
        return replace(before, attributes=self.attributes, created=self.created or before.created,
                       accessed=self.accessed[0] if self.accessed else before.accessed,
                       modified=self.modified or before.modified)


def file_size(node: Node) -> int:
    """Bytes of a file, or of the clusters a directory has."""
    return len(node.content) if isinstance(node, Folder) else node.size


def pack_file_info(volume: Editor, node: Node, alias: str | None = None) -> bytes:
    """EFI_FILE_INFO of a file or directory, also under an `alias` as "."; the name of the root is empty."""
    content = np.zeros(FileInfo.BYTES, np.uint8)
    info, facts, size = FileInfo.over(content), node.facts, file_size(node)
    info.file_size, info.physical_size = size, -(-size // volume.cluster_bytes) * volume.cluster_bytes
    put_time(info.create_time, moment_of(*facts.created))
    put_time(info.last_access_time, moment_of(facts.accessed, 0))
    put_time(info.modification_time, moment_of(*facts.modified))
    info.attribute = facts.attributes & uefi.VALID_ATTRIBUTES | (ATTR_DIRECTORY if isinstance(node, Folder) else 0)
    info.size = _named(content, uefi.INFO_NAME, node.name if alias is None else alias)
    return content[:info.size].tobytes()


def parse_file_info(content: bytes) -> ChangedFile:
    """EFI_FILE_INFO that a program gave, with a name; ValueError, with the reason, where it is malformed."""
    info = FileInfo.over(np.frombuffer(content.ljust(FileInfo.BYTES, b"\0"), np.uint8))
    name = content[uefi.INFO_NAME:len(content) & ~1].decode("utf-16-le", "surrogatepass").partition("\0")[0]
    return ChangedFile(name, int(info.file_size) & guest.MASK, int(info.attribute) & guest.MASK,
                       _stamp(info.create_time), _stamp(info.last_access_time), _stamp(info.modification_time))


def pack_file_system_info(volume: Editor) -> bytes:
    """EFI_FILE_SYSTEM_INFO."""
    content = np.zeros(FileSystemInfo.BYTES, np.uint8)
    info = FileSystemInfo.over(content)
    info.read_only, info.block_size = not volume.writable, volume.cluster_bytes
    info.volume_size, info.free_space = volume.total_bytes, volume.free_bytes
    info.size = _named(content, FileSystemInfo.offset_of("volume_label"), volume.label)
    return content[:info.size].tobytes()


def put_time(time: Time, moment: tuple[int, ...], nanosecond: int = 0, zone: int = _UNSPECIFIED_TIMEZONE) -> None:
    """EFI_TIME (8.3.1) from year, month, day, hour, minute, second; FAT knows no time zone."""
    guest.put_bytes(time.address, bytes(Time.BYTES))
    time.year, time.month, time.day, time.hour, time.minute, time.second = moment
    time.nanosecond, time.time_zone = nanosecond, zone


def _named(content: NDArray[np.uint8], at: int, name: str) -> int:
    """Put a name and its zero into a structure; returns how long that is with it."""
    raw = name.encode("utf-16-le") + bytes(2)
    content[at:at + len(raw)] = np.frombuffer(raw, np.uint8)
    return at + len(raw)


def _stamp(time: Time) -> tuple[int, int] | None:
    """FAT's date and time of an EFI_TIME; None for zeros, which leave a time as it is."""
    if not any(guest.read_bytes(time.address, Time.BYTES)):
        return None
    year, month, day, hour, minute, second = moment = tuple(
        map(int, (time.year, time.month, time.day, time.hour, time.minute, time.second)))
    if not (1980 <= year <= 2107 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError("a time in it is none")
    return stamp_of(*moment)
