"""EFI_FILE_INFO and EFI_FILE_SYSTEM_INFO as bytes, from what a volume holds (UEFI 13.5.16, 13.5.17)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from barelm.disk import Editor
from barelm.disk.directory import ATTR_DIRECTORY, Facts, Folder, Node, moment_of, stamp_of

ATTRIBUTE_READ_ONLY, ATTRIBUTE_DIRECTORY = 0x01, 0x10
VALID_ATTRIBUTES = 0x37
FILE_INFO_BYTES = 80

_UNSPECIFIED_TIMEZONE = 0x07FF
_FILE_INFO = struct.Struct("<QQQ16s16s16sQ")
_FILE_SYSTEM_INFO = struct.Struct("<QB7xQQI")
_TIME = struct.Struct("<HBBBBBxIhBx")


@dataclass(frozen=True)
class FileInfo:
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
    name = (node.name if alias is None else alias).encode("utf-16-le") + bytes(2)
    facts, size = node.facts, file_size(node)
    occupied = -(-size // volume.cluster_bytes) * volume.cluster_bytes
    return _FILE_INFO.pack(FILE_INFO_BYTES + len(name), size, occupied, _time(*facts.created),
                           _time(facts.accessed), _time(*facts.modified),
                           facts.attributes & VALID_ATTRIBUTES | (ATTR_DIRECTORY if isinstance(node, Folder) else 0),
                           ) + name


def parse_file_info(content: bytes) -> FileInfo:
    """EFI_FILE_INFO that a program gave; ValueError, with the reason, where it is malformed."""
    if len(content) < FILE_INFO_BYTES + 2:
        raise ValueError("it is too short")
    _, size, _, created, accessed, modified, attributes = _FILE_INFO.unpack_from(content)
    name = content[FILE_INFO_BYTES:len(content) & ~1].decode("utf-16-le", "surrogatepass").partition("\0")[0]
    return FileInfo(name, size, attributes, _stamp(created), _stamp(accessed), _stamp(modified))


def pack_file_system_info(volume: Editor) -> bytes:
    """EFI_FILE_SYSTEM_INFO."""
    label = volume.label.encode("utf-16-le") + bytes(2)
    return _FILE_SYSTEM_INFO.pack(_FILE_SYSTEM_INFO.size + len(label), not volume.writable, volume.total_bytes,
                                  volume.free_bytes, volume.cluster_bytes) + label


def _time(date: int, clock: int = 0) -> bytes:
    """EFI_TIME (8.3.1); FAT knows no time zone."""
    return _TIME.pack(*moment_of(date, clock), 0, _UNSPECIFIED_TIMEZONE, 0)


def _stamp(time: bytes) -> tuple[int, int] | None:
    """FAT's date and time of an EFI_TIME; None for zeros, which leave a time as it is."""
    year, month, day, hour, minute, second, *_ = _TIME.unpack(time)
    if not any(time):
        return None
    if not (1980 <= year <= 2107 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError("a time in it is none")
    return stamp_of(year, month, day, hour, minute, second)
