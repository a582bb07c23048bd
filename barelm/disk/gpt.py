"""GUID Partition Table: one EFI system partition, written twice and read with its checksums.

Source: UEFI Specification 2.10, section 5 ("GUID Partition Table (GPT) Disk Layout").
"""

import struct
import uuid
import zlib
from collections.abc import Callable, Iterator

SECTOR = 512
ALIGNMENT = 1 << 20                     # of partitions and of the disk's size
EFI_SYSTEM_PARTITION = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")

_SIGNATURE = b"EFI PART"
_REVISION = 0x00010000
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_ENTRIES = 128
SECTORS = (SECTOR, 4096)
"""Bytes of a sector of the disks there are: by these a table is laid out."""
_MAX_TABLE_BYTES = 1 << 20              # far above any real table; bounds what a lying header makes us read
_PROTECTIVE = 0xEE


def align_up(n_bytes: int) -> int:
    """The next multiple of ALIGNMENT, on which partitions start and end for the sake of flash and RAID."""
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT


def table_sectors(sector: int) -> int:
    """How many sectors the entries take."""
    return _ENTRIES * _ENTRY.size // sector


def sector_of(read: Callable[[int, int], bytes], disk_bytes: int) -> int:
    """Bytes of a sector, by where the table of a disk is; the smallest there are where it has none."""
    found = [sector for sector in SECTORS if disk_bytes >= 3 * sector and read(sector, 8) == _SIGNATURE]
    found += [sector for sector in SECTORS if disk_bytes >= 3 * sector
              and read((disk_bytes // sector - 1) * sector, 8) == _SIGNATURE]
    return found[0] if found else SECTOR


def partition_table(sectors: int, first: int, last: int, disk_id: uuid.UUID,
                    partition_id: uuid.UUID, sector: int = SECTOR) -> Iterator[tuple[int, bytes]]:
    """(byte offset, bytes) of the protective MBR and both GPT copies, in order of offset.

    The disk has `sectors` sectors, each of `sector` bytes, and one EFI system partition from sector `first` to `last`,
    inclusive.
    """
    name = "EFI system partition".encode("utf-16-le")
    entry = _ENTRY.pack(EFI_SYSTEM_PARTITION.bytes_le, partition_id.bytes_le, first, last, 0, name)
    table = entry.ljust(_ENTRIES * _ENTRY.size, b"\0")
    end, n_table = sectors - 1, table_sectors(sector)

    def header(own: int, other: int, table_lba: int) -> bytes:
        return _sealed(bytes(sector), _HEADER.size, own, other, 2 + n_table, end - n_table - 1,
                       disk_id.bytes_le, table_lba, _ENTRIES, _ENTRY.size, zlib.crc32(table))

    yield 0, _protective_mbr(end)
    yield sector, header(1, end, 2)
    yield 2 * sector, table
    yield (end - n_table) * sector, table
    yield end * sector, header(end, 1, end - n_table)


def _sealed(sector: bytes, size: int, *fields: int | bytes) -> bytes:
    """A header of `size` bytes in a sector: its fields behind the checksum are filled, then it is summed."""
    header = bytearray(sector)
    _HEADER.pack_into(header, 0, _SIGNATURE, _REVISION, size, 0, 0, *fields)
    struct.pack_into("<I", header, 16, zlib.crc32(header[:size]))
    return bytes(header)


def _protective_mbr(end: int) -> bytes:
    """Section 5.2.3: one record of type 0xEE over the whole disk; CHS fields at their fixed values."""
    record = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", _PROTECTIVE, b"\xff\xff\xff", 1,
                         min(end, 0xFFFFFFFF))
    return bytes(446) + record + bytes(48) + b"\x55\xaa"


def stretched(read: Callable[[int, int], bytes], image_bytes: int, disk_bytes: int) -> list[tuple[int, bytes]]:
    """(byte offset, bytes) of what has to change for the GPT of an image to be that of a larger disk.

    The backup moves to the end of the disk (section 5.3.2), the primary header and the protective MBR learn of it, the
    header of the old backup goes.  Later pieces count where they overlap.  Nothing changes where the size is the same.
    Raises ValueError, with the reason, where the primary table is damaged or the disk is smaller.
    """
    sector = sector_of(read, image_bytes)
    sectors, end = image_bytes // sector, disk_bytes // sector - 1
    table, entry_bytes = _read_table(read, 1, sectors, sector)
    if end < sectors:
        if end == sectors - 1:
            return []
        raise ValueError("the disk is smaller than the image")
    header = read(sector, sector)
    _, _, size, _, _, _, _, first_usable, _, disk_id, primary, count, _, table_crc = _HEADER.unpack_from(header)
    n_table = -(-len(table) // sector)

    def moved(own: int, other: int, table_lba: int) -> bytes:
        return _sealed(header, size, own, other, first_usable, end - n_table - 1, disk_id, table_lba, count,
                       entry_bytes, table_crc)

    mbr = read(0, SECTOR)
    stale = (sectors - 1) * sector
    pieces = [(stale, bytes(sector))] if read(stale, 8) == _SIGNATURE else []
    return [*pieces, (0, mbr[:446] + _protective_mbr(end)[446:]), (sector, moved(1, end, primary)),
            ((end - n_table) * sector, table.ljust(n_table * sector, b"\0")),
            (end * sector, moved(end, 1, end - n_table))]


def find_esp(read: Callable[[int, int], bytes], disk_bytes: int) -> tuple[int, int] | None:
    """(byte offset, size) of the first EFI system partition; None where the disk has no GPT at all.

    `read(offset, n)` returns n bytes of the disk.  Falls back to the backup table, as section 5.3.2 asks.
    Raises ValueError, with the reason, where both tables are damaged or none of the partitions is an ESP.
    """
    if disk_bytes < 3 * SECTOR:
        return None
    mbr = read(0, SECTOR)
    protective = mbr[510:] == b"\x55\xaa" and _PROTECTIVE in mbr[450:510:16]
    sector = sector_of(read, disk_bytes)
    if not protective and read(sector, 8) != _SIGNATURE:
        return None
    sectors = disk_bytes // sector
    try:
        table, entry_bytes = _read_table(read, 1, sectors, sector)
    except ValueError as primary:
        try:
            table, entry_bytes = _read_table(read, sectors - 1, sectors, sector)
        except ValueError:
            raise primary from None
    for at in range(0, len(table), entry_bytes):
        kind, _, first, last, _, _ = _ENTRY.unpack_from(table, at)
        if kind == EFI_SYSTEM_PARTITION.bytes_le:
            if not 2 <= first <= last < sectors:
                raise ValueError("its EFI system partition lies outside the disk")
            return first * sector, (last + 1 - first) * sector
    raise ValueError("its partition table has no EFI system partition")


def is_cut(read: Callable[[int, int], bytes], disk_bytes: int) -> bool:
    """Whether a disk ends before the backup of its partition table does, by what the header says."""
    sector = sector_of(read, disk_bytes) if disk_bytes >= 3 * SECTOR else SECTOR
    raw = read(sector, _HEADER.size).ljust(_HEADER.size, b"\0")
    return raw[:8] == _SIGNATURE and (_HEADER.unpack(raw)[6] + 1) * sector > disk_bytes


def _read_table(read: Callable[[int, int], bytes], lba: int, sectors: int, sector: int) -> tuple[bytes, int]:
    """The partition entries behind the header at `lba`, and the bytes of one entry; ValueError if invalid."""
    raw = read(lba * sector, sector)
    (signature, _, size, crc, _, own, _, _, _, _, start, count, entry_bytes,
     table_crc) = _HEADER.unpack_from(raw)
    if signature != _SIGNATURE:
        raise ValueError("its GPT header is missing")
    if not _HEADER.size <= size <= sector or own != lba:
        raise ValueError("its GPT header is malformed")
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        raise ValueError("the checksum of its GPT header is wrong")
    n_bytes = count * entry_bytes
    if entry_bytes < _ENTRY.size or entry_bytes % 8 or n_bytes > _MAX_TABLE_BYTES:
        raise ValueError("its partition table has an impossible size")
    if start < 2 or start * sector + n_bytes > sectors * sector:
        raise ValueError("its partition table lies outside the disk")
    table = read(start * sector, n_bytes)
    if zlib.crc32(table) != table_crc:
        raise ValueError("the checksum of its partition table is wrong")
    return table, entry_bytes
