"""FAT32 on disk: where everything of a volume goes, its metadata as bytes, and the boot sector read back.

Source: Microsoft, FAT32 File System Specification ("fatgen103"), cited below by section.  No I/O here.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from barelm.disk.directory import ATTR_ARCHIVE, ATTR_DIRECTORY, ATTR_VOLUME_ID, Facts, Folder, Node, pack_dots
from barelm.disk.gpt import SECTOR
from barelm.disk.names import (
    PATH_LIMIT,
    SLOT_BYTES,
    count_slots,
    encode_label,
    fold,
    name_fault,
    refuse_device,
    short_names,
)
from barelm.errors import BarelmError

FILE_LIMIT = (4 << 30) - (32 << 10)     # fsck.fat overflows on a cluster chain of exactly 4 GiB
MIN_CLUSTERS = 65525                    # "FAT Type Determination": fewer would make it FAT16
MAX_CLUSTERS = 0x0FFFFFF5
DIRECTORY_SLOTS = 65536                 # "FAT Directory Structure": at most 2 MiB
VOLUME_SLOTS = 1 << 18                  # ours, over all directories: bounds what a reader builds in memory
END_OF_CHAIN = 0x0FFFFFFF
FIRST_CLUSTER = 2
INFO_COUNTS = 488                       # where the FSInfo sector has its two counts

_PAGE = 4096                            # file data starts on a multiple of this
_FEWEST = MIN_CLUSTERS + 16             # drivers disagree by a few on the limit: "keep away from" it
_RESERVED_SECTORS = 32
_INFO_SECTOR, _BACKUP_SECTOR = 1, 6
_BOOT = struct.Struct("<3s8sHBHBHHBHHHIIIHHIHH12sBBBI11s8s")
_INFO = struct.Struct("<I480sIII12sI")
_LEAD, _STRUCTURE, _TRAIL = 0x41615252, 0x61417272, 0xAA550000      # signatures of the FSInfo sector

Run = tuple[int, int]
"""The first of some consecutive clusters, and how many they are."""


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


def parse_info(sector: bytes | bytearray) -> tuple[int, int] | None:
    """What an FSInfo sector tells ("FAT32 FSInfo Sector Structure"): free clusters, and where to look for one first.

    None where its signatures are missing.
    """
    lead, _, structure, free, following, _, _ = _INFO.unpack_from(sector)
    return (free, following) if (lead, structure) == (_LEAD, _STRUCTURE) else None


@dataclass(frozen=True)
class VolumePlan:
    """A FAT32 volume laid out: `extents` per path is (offset from the volume's start, size)."""

    n_bytes: int
    cluster_bytes: int
    extents: dict[str, tuple[int, int]]
    metadata: list[tuple[int, bytes]]
    """(offset, bytes) of everything but file data, in order of offset; all else is zeros."""


def plan_volume(sizes: Mapping[str, int], *, label: str, volume_id: int, hidden_sectors: int = 0,
                free_bytes: int = 0, sector: int = SECTOR) -> VolumePlan:
    """Lay out a volume that holds files of the given sizes in bytes, keyed by path, "/" between the parts.

    Files are contiguous, in the order given, each starting on a 4 KiB boundary of the volume; at least
    `free_bytes` stay free behind them.  `hidden_sectors` is how many sectors of its disk precede it, each of `sector`
    bytes: Linux and U-Boot refuse a volume whose sectors are smaller than those of the disk.
    Clusters are the largest (up to 32 KiB) with which the content still makes a FAT32.
    Raises BarelmError for a path, size or label that FAT32 cannot hold.
    """
    if free_bytes < 0:
        raise BarelmError(f"cannot leave {free_bytes} bytes free in an image", "Ask for 0 or more.")
    root = Folder("", None, Facts(ATTR_DIRECTORY))
    files = {path: _add_file(root, path, size) for path, size in sizes.items()}
    folders = list(root.walk())
    for folder in folders:
        _name_children(folder)
    if sum(folder.end for folder in folders) > VOLUME_SLOTS:
        raise BarelmError("the image has too many files", "Put fewer of them in, or give them shorter names.")
    nodes = [*folders, *files.values()]
    for exponent in range(6, sector.bit_length() - SECTOR.bit_length() - 1, -1):
        cluster_bytes = SECTOR << exponent
        runs, end = _place(nodes, cluster_bytes)
        count = end - FIRST_CLUSTER + -(-free_bytes // cluster_bytes)
        if count >= _FEWEST:
            break
    geometry = _geometry(cluster_bytes, max(count, _FEWEST), sector)
    n_bytes = geometry.cluster_offset(FIRST_CLUSTER + geometry.cluster_count)
    if count >= MAX_CLUSTERS or n_bytes > 0xFFFFFFFF * SECTOR:
        raise BarelmError(f"the image would need {n_bytes:,} bytes, more than the 2 TiB of a FAT32 volume",
                          "Put fewer or smaller files in, or leave less room free.")
    for node, (first, _) in zip(nodes, runs):
        node.facts = replace(node.facts, first_cluster=first)
    extents = {path: (geometry.cluster_offset(node.facts.first_cluster) if node.size else 0, node.size)
               for path, node in files.items()}
    volume_label = encode_label(label)
    boot = _boot_sector(geometry, n_bytes, hidden_sectors, volume_id, volume_label)
    return VolumePlan(n_bytes, cluster_bytes, extents, _metadata(geometry, boot, runs, folders, volume_label))


def _add_file(root: Folder, path: str, size: int) -> Node:
    """Put a file into the tree, and the directories on its path."""
    if size > FILE_LIMIT:
        raise BarelmError(f"{path} has {size:,} bytes, but a file on FAT32 can have {FILE_LIMIT:,} at most",
                          "Quantize the model to fewer bits, or split it over several files.")
    parts = path.removeprefix("/").split("/")
    for part in parts:
        if fault := name_fault(part):
            raise BarelmError(f"the name {part!r} in the image path {path!r} {fault}, which FAT32 forbids",
                              "Give the file another name, with '/' between directories.")
        refuse_device(part)
    if len(path) > PATH_LIMIT:
        raise BarelmError(f"the image path {path[:40]!r}... is longer than {PATH_LIMIT} characters",
                          "Give the file a shorter path.")
    node: Node = root
    for depth, part in enumerate(parts, 1):
        if not isinstance(node, Folder):
            raise BarelmError(f"{node.path!r} is in the image both as a file and as a directory",
                              "Rename one of them.")
        is_file = depth == len(parts)
        child = node.children.get(fold(part))
        if child is None:
            child = (Node(part, node, Facts(ATTR_ARCHIVE, 0, size)) if is_file
                     else Folder(part, node, Facts(ATTR_DIRECTORY)))
            node.children[fold(part)] = child
        elif child.name != part:
            raise BarelmError(f"{child.path!r} and {'/'.join(parts[:depth])!r} differ only by case, which FAT32 "
                              "ignores", "Rename one of them.")
        elif is_file:
            kind = "both as a file and as a directory" if isinstance(child, Folder) else "twice"
            raise BarelmError(f"{child.path!r} is in the image {kind}", "Rename one of them.")
        node = child
    return node


def _name_children(folder: Folder) -> None:
    """Give the entries of a directory their short names, and count its slots: the label or the dots come first."""
    folder.end = 1 if folder.parent is None else 2
    shorts = short_names([child.name for child in folder.children.values()])
    for child in folder.children.values():
        child.short = shorts[child.name]
        folder.end += count_slots(child.name, child.short)
    if folder.end > DIRECTORY_SLOTS:
        raise BarelmError(f"the directory {folder.path or '/'!r} has too many files for FAT32",
                          "Spread the files over several directories.")


def _place(nodes: list[Node], cluster_bytes: int) -> tuple[list[Run], int]:
    """The clusters of each node, in order, (0, 0) where it needs none; the first cluster behind them."""
    step = max(_PAGE // cluster_bytes, 1)
    cluster = FIRST_CLUSTER
    runs = []
    for node in nodes:
        n_bytes = node.end * SLOT_BYTES if isinstance(node, Folder) else node.size
        count = -(-n_bytes // cluster_bytes)
        if count and not isinstance(node, Folder):
            cluster += -(cluster - FIRST_CLUSTER) % step
        runs.append((cluster if count else 0, count))
        cluster += count
    return runs, cluster


def _geometry(cluster_bytes: int, count: int, sector: int) -> Geometry:
    """The geometry of `count` clusters and two FATs, data aligned to page and cluster."""
    fat_sectors = -(-(count + FIRST_CLUSTER) * 4 // sector)
    reserved = _RESERVED_SECTORS
    reserved += -(reserved + 2 * fat_sectors) % (max(cluster_bytes, _PAGE) // sector)
    data = (reserved + 2 * fat_sectors) * sector
    return Geometry(cluster_bytes, reserved * sector, data, count, FIRST_CLUSTER, sector,
                    mirrors=((reserved + fat_sectors) * sector,))


def _metadata(geometry: Geometry, boot: bytes, runs: list[Run], folders: list[Folder],
              label: bytes) -> list[tuple[int, bytes]]:
    """(offset, bytes) of the reserved sectors and their backup, both allocation tables, and the directories."""
    free = geometry.cluster_count - sum(count for _, count in runs)
    following = min(max(map(sum, runs)), geometry.cluster_count + 1)
    info = _INFO.pack(_LEAD, b"", _STRUCTURE, free, following, b"", _TRAIL)
    reserved = boot, info, bytes(510) + b"\x55\xaa"
    table = _allocation_table(runs)
    return [*(((start + i) * geometry.sector_bytes, content) for start in (0, _BACKUP_SECTOR)
              for i, content in enumerate(reserved)),
            *((offset, table) for offset in (geometry.fat_offset, *geometry.mirrors)),
            *((geometry.cluster_offset(folder.facts.first_cluster), _directory_bytes(folder, label))
              for folder in folders)]


def _boot_sector(geometry: Geometry, n_bytes: int, hidden_sectors: int, volume_id: int, label: bytes) -> bytes:
    sector = geometry.sector_bytes
    fat_sectors = (geometry.mirrors[0] - geometry.fat_offset) // sector
    boot = _BOOT.pack(b"\xeb\x58\x90", b"MSWIN4.1", sector, geometry.cluster_bytes // sector,
                      geometry.fat_offset // sector, 2, 0, 0, 0xF8, 0, 63, 255, hidden_sectors, n_bytes // sector,
                      fat_sectors, 0, 0, FIRST_CLUSTER, _INFO_SECTOR, _BACKUP_SECTOR, b"", 0x80, 0, 0x29, volume_id,
                      label, b"FAT32   ")
    return boot.ljust(510, b"\0") + b"\x55\xaa"


def _allocation_table(runs: list[Run]) -> bytes:
    """The table up to the last cluster in use; the root directory has one at least."""
    table = np.zeros(max(map(sum, runs)), "<u4")
    table[:FIRST_CLUSTER] = 0x0FFFFFF8, END_OF_CHAIN
    for first, count in runs:
        if count:
            table[first:first + count] = np.r_[first + 1:first + count, END_OF_CHAIN]
    return table.tobytes()


def _directory_bytes(folder: Folder, label: bytes) -> bytes:
    """The entries of one directory: the root's start with the volume label, the others' with dots."""
    head = (Facts(ATTR_VOLUME_ID).pack(label) if folder.parent is None
            else pack_dots(folder.facts.first_cluster, folder.parent))
    return head + b"".join(child.packed() for child in folder.children.values())
