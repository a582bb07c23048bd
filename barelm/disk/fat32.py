"""FAT32 on disk: where everything of a volume goes, its metadata as bytes, and the boot sector read back.

Source: Microsoft, FAT32 File System Specification ("fatgen103"), cited below by section.  No I/O here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from barelm.disk.directory import ATTR_ARCHIVE, ATTR_DIRECTORY, ATTR_VOLUME_ID, pack_dots, pack_entry
from barelm.disk.names import (
    PATH_LIMIT,
    SLOT_BYTES,
    encode_label,
    fold,
    long_slots,
    name_fault,
    short_names,
)
from barelm.errors import BarelmError

SECTOR = 512
PAGE = 4096                             # file data starts on a multiple of this
FILE_LIMIT = (4 << 30) - (32 << 10)     # fsck.fat overflows on a cluster chain of exactly 4 GiB
MIN_CLUSTERS = 65525                    # "FAT Type Determination": fewer would make it FAT16
MAX_CLUSTERS = 0x0FFFFFF5
DIRECTORY_SLOTS = 65536                 # "FAT Directory Structure": at most 2 MiB
VOLUME_SLOTS = 1 << 18                  # ours, over all directories: bounds what a reader builds in memory
END_OF_CHAIN = 0x0FFFFFFF
FIRST_CLUSTER = 2

_MARGIN_CLUSTERS = 16                   # drivers disagree by a few on the limit: "keep away from" it
_RESERVED_SECTORS = 32
_INFO_SECTOR, _BACKUP_SECTOR = 1, 6
_BOOT = struct.Struct("<3s8sHBHBHHBHHHIIIHHIHH12sBBBI11s8s")
_INFO = struct.Struct("<I480sIII12sI")


@dataclass(frozen=True)
class Geometry:
    """Where the parts of a volume are; offsets in bytes from its start."""

    cluster_bytes: int
    fat_offset: int
    data_offset: int
    cluster_count: int
    root_cluster: int
    sector_bytes: int = SECTOR
    mirrors: tuple[int, ...] = ()       # where the other copies of the file allocation table are
    info_offset: int = 0                # of the FSInfo sector; 0: there is none

    def cluster_offset(self, cluster: int) -> int:
        """Where the data of `cluster` starts."""
        return self.data_offset + (cluster - FIRST_CLUSTER) * self.cluster_bytes


def parse_boot_sector(sector: bytes, volume_bytes: int) -> Geometry:
    """The geometry a boot sector of 512 bytes declares ("Boot Sector and BPB").

    Raises ValueError, with the reason, where it is not FAT32 or claims more than `volume_bytes`.
    """
    (_, _, unit, per_cluster, reserved, fats, root_entries, total16, _, fat16_size, _, _, _, total, fat_size,
     flags, _, root, info, *_) = _BOOT.unpack_from(sector)
    if sector[510:512] != b"\x55\xaa" or unit not in (512, 1024, 2048, 4096):
        raise ValueError("it has neither a partition table nor a FAT boot sector")
    if root_entries or fat16_size or total16:
        raise ValueError("its file system is FAT12 or FAT16, not FAT32")
    active = flags & 0x0F if flags & 0x80 else 0
    if per_cluster.bit_count() != 1 or per_cluster * unit > 64 << 10 or not reserved or active >= fats:
        raise ValueError("its FAT boot sector is malformed")
    overhead = reserved + fats * fat_size
    if total * unit > volume_bytes:
        raise ValueError("its file system claims more space than there is")
    count = (total - overhead) // per_cluster
    if count < 1 or count >= MAX_CLUSTERS or (count + FIRST_CLUSTER) * 4 > fat_size * unit:
        raise ValueError("its file allocation table does not cover its clusters")
    if not FIRST_CLUSTER <= root < FIRST_CLUSTER + count:
        raise ValueError("its root directory lies outside the volume")
    mirrored = [] if flags & 0x80 else [fat for fat in range(fats) if fat != active]
    return Geometry(per_cluster * unit, (reserved + active * fat_size) * unit, overhead * unit, count, root, unit,
                    tuple((reserved + fat * fat_size) * unit for fat in mirrored),
                    info * unit if info < reserved else 0)


@dataclass(eq=False)
class _Node:
    """A file, or a directory where `children` is not None."""

    path: str
    size: int = 0
    children: dict[str, _Node] | None = None
    parent: _Node | None = field(default=None, repr=False)
    short: bytes = b""
    slots: int = 0
    first: int = 0
    clusters: int = 0
    long: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class VolumePlan:
    """A FAT32 volume laid out: `extents` per path is (offset from the volume's start, size)."""

    n_bytes: int
    cluster_bytes: int
    extents: dict[str, tuple[int, int]]
    _geometry: Geometry
    _fat_sectors: int
    _hidden_sectors: int
    _volume_id: int
    _label: bytes
    _directories: list[_Node]
    _files: list[_Node]
    _end: int

    def metadata(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of everything but file data, in order of offset; all else is zeros."""
        reserved = {0: self._boot_sector(), 1: self._info_sector(), 2: bytes(510) + b"\x55\xaa"}
        for start in (0, _BACKUP_SECTOR):
            for sector, content in reserved.items():
                yield (start + sector) * SECTOR, content
        table = self._allocation_table()
        yield self._geometry.fat_offset, table
        yield self._geometry.fat_offset + self._fat_sectors * SECTOR, table
        for directory in self._directories:
            yield self._geometry.cluster_offset(directory.first), _directory_bytes(directory, self._label)

    def _boot_sector(self) -> bytes:
        reserved = self._geometry.fat_offset // SECTOR
        boot = _BOOT.pack(b"\xeb\x58\x90", b"MSWIN4.1", SECTOR, self.cluster_bytes // SECTOR, reserved, 2,
                          0, 0, 0xF8, 0, 63, 255, self._hidden_sectors, self.n_bytes // SECTOR,
                          self._fat_sectors, 0, 0, FIRST_CLUSTER, _INFO_SECTOR, _BACKUP_SECTOR, b"",
                          0x80, 0, 0x29, self._volume_id, self._label, b"FAT32   ")
        return boot.ljust(510, b"\0") + b"\x55\xaa"

    def _info_sector(self) -> bytes:
        """"FAT32 FSInfo Sector Structure": free clusters, and where to look for one first."""
        used = sum(node.clusters for node in (*self._directories, *self._files))
        return _INFO.pack(0x41615252, b"", 0x61417272, self._geometry.cluster_count - used,
                          min(self._end, self._geometry.cluster_count + 1), b"", 0xAA550000)

    def _allocation_table(self) -> bytes:
        table = np.zeros(self._end, "<u4")
        table[:FIRST_CLUSTER] = 0x0FFFFFF8, END_OF_CHAIN
        for node in (*self._directories, *self._files):
            if node.clusters:
                last = node.first + node.clusters - 1
                table[node.first:last] = np.arange(node.first + 1, last + 1)
                table[last] = END_OF_CHAIN
        return table.tobytes()


def plan_volume(
    sizes: Mapping[str, int], *, label: str, volume_id: int, hidden_sectors: int = 0, free_bytes: int = 0
) -> VolumePlan:
    """Lay out a volume that holds files of the given sizes in bytes, keyed by path, "/" between the parts.

    Files are contiguous, in the order given, each starting on a 4 KiB boundary of the volume; at least
    `free_bytes` stay free behind them.  `hidden_sectors` is how many sectors of its disk precede it.
    Clusters are the largest (up to 32 KiB) with which the content still makes a FAT32.
    Raises BarelmError for a path, size or label that FAT32 cannot hold.
    """
    if free_bytes < 0:
        raise BarelmError(f"cannot leave {free_bytes} bytes free in an image", "Ask for 0 or more.")
    root = _Node("", children={})
    files = {path: _add_file(root, path, size) for path, size in sizes.items()}
    directories = list(_walk_directories(root))
    for directory in directories:
        _name_children(directory)
    if sum(directory.slots for directory in directories) > VOLUME_SLOTS:
        raise BarelmError("the image has too many files", "Put fewer of them in, or give them shorter names.")
    nodes = [*directories, *files.values()]
    for exponent in range(6, -1, -1):
        cluster_bytes = SECTOR << exponent
        end = _place(nodes, cluster_bytes)
        count = end - FIRST_CLUSTER + -(-free_bytes // cluster_bytes)
        if count >= MIN_CLUSTERS + _MARGIN_CLUSTERS:
            break
    count = max(count, MIN_CLUSTERS + _MARGIN_CLUSTERS)
    geometry, fat_sectors = _geometry(cluster_bytes, count)
    total = geometry.data_offset + count * cluster_bytes
    if count >= MAX_CLUSTERS or total > 0xFFFFFFFF * SECTOR:
        raise BarelmError(f"the image would need {total:,} bytes, more than the 2 TiB of a FAT32 volume",
                          "Put fewer or smaller files in, or leave less room free.")
    extents = {path: (geometry.cluster_offset(node.first) if node.clusters else 0, node.size)
               for path, node in files.items()}
    return VolumePlan(total, cluster_bytes, extents, geometry, fat_sectors, hidden_sectors, volume_id,
                      encode_label(label), directories, list(files.values()), end)


def _add_file(root: _Node, path: str, size: int) -> _Node:
    """Put a file into the tree, and the directories on its path."""
    if size > FILE_LIMIT:
        raise BarelmError(f"{path} has {size:,} bytes, but a file on FAT32 can have {FILE_LIMIT:,} at most",
                          "Quantize the model to fewer bits, or split it over several files.")
    parts = path.removeprefix("/").split("/")
    for part in parts:
        if fault := name_fault(part):
            raise BarelmError(f"the name {part!r} in the image path {path!r} {fault}, which FAT32 forbids",
                              "Give the file another name, with '/' between directories.")
    if len(path) > PATH_LIMIT:
        raise BarelmError(f"the image path {path[:40]!r}... is longer than {PATH_LIMIT} characters",
                          "Give the file a shorter path.")
    node = root
    for depth, part in enumerate(parts, 1):
        if node.children is None:
            raise BarelmError(f"{node.path!r} is in the image both as a file and as a directory",
                              "Rename one of them.")
        is_file = depth == len(parts)
        child = node.children.get(fold(part))
        where = "/".join(parts[:depth])
        if child is None:
            child = _Node(where, size, None, node) if is_file else _Node(where, 0, {}, node)
            node.children[fold(part)] = child
        elif child.path != where:
            raise BarelmError(f"{child.path!r} and {where!r} differ only by case, which FAT32 ignores",
                              "Rename one of them.")
        elif is_file:
            kind = "twice" if child.children is None else "both as a file and as a directory"
            raise BarelmError(f"{where!r} is in the image {kind}", "Rename one of them.")
        node = child
    return node


def _walk_directories(root: _Node) -> Iterator[_Node]:
    """Every directory, parents first."""
    pending = [root]
    for directory in pending:
        yield directory
        pending += [child for child in (directory.children or {}).values() if child.children is not None]


def _name_children(directory: _Node) -> None:
    """Give the entries of a directory their short and long names, and count its slots and bytes."""
    children = {child.path.rpartition("/")[2]: child for child in (directory.children or {}).values()}
    shorts = short_names(list(children))
    directory.slots = 1 if directory.parent is None else 2
    for name, child in children.items():
        child.short = shorts[name]
        child.long = long_slots(name, child.short)
        directory.slots += 1 + len(child.long) // SLOT_BYTES
    if directory.slots > DIRECTORY_SLOTS:
        raise BarelmError(f"the directory {directory.path or '/'!r} has too many files for FAT32",
                          "Spread the files over several directories.")


def _place(nodes: list[_Node], cluster_bytes: int) -> int:
    """Give each node its clusters, in order; returns the first cluster behind them."""
    step = max(PAGE // cluster_bytes, 1)
    cluster = FIRST_CLUSTER
    for node in nodes:
        n_bytes = node.size if node.children is None else node.slots * SLOT_BYTES
        node.clusters = -(-n_bytes // cluster_bytes)
        if node.children is None and node.clusters:
            cluster += -(cluster - FIRST_CLUSTER) % step
        node.first = cluster if node.clusters else 0
        cluster += node.clusters
    return cluster


def _geometry(cluster_bytes: int, count: int) -> tuple[Geometry, int]:
    """The geometry of `count` clusters and two FATs, data aligned to page and cluster; sectors per FAT."""
    fat_sectors = -(-(count + FIRST_CLUSTER) * 4 // SECTOR)
    reserved = _RESERVED_SECTORS
    reserved += -(reserved + 2 * fat_sectors) % (max(cluster_bytes, PAGE) // SECTOR)
    data = (reserved + 2 * fat_sectors) * SECTOR
    return Geometry(cluster_bytes, reserved * SECTOR, data, count, FIRST_CLUSTER), fat_sectors


def _directory_bytes(directory: _Node, label: bytes) -> bytes:
    """The entries of one directory: the root's start with the volume label, the others' with dots."""
    if directory.parent is None:
        head = pack_entry(label, ATTR_VOLUME_ID, 0, 0)
    else:
        head = pack_dots(directory.first, 0 if directory.parent.parent is None else directory.parent.first)
    return head + b"".join(
        child.long + pack_entry(child.short, ATTR_ARCHIVE if child.children is None else ATTR_DIRECTORY,
                                child.first, child.size)
        for child in (directory.children or {}).values())
