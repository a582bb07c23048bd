"""Images made to deceive: the reader ends in a BarelmError or in bytes of the image, never in anything else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barelm.disk import open_volume, write_image
from barelm.disk.fat32 import parse_boot_sector
from barelm.errors import BarelmError

_MANY = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
_FILES = {"EFI/BOOT/BOOTX64.EFI": b"p" * 3000, "a name too long for 8.3": b"m" * 70_000, "empty": b"", "x/y/z": b"1"}
_SECTOR = 512
_READ_AT_MOST = 1 << 20


class Victim:
    """An image to damage: its file, and where the parts of it are that a reader believes."""

    def __init__(self, path: Path, plain: bool) -> None:
        layout = write_image(path, _FILES, plain=plain)
        self.path = path
        self.bytes = layout.bytes
        self.volume = layout.esp_offset
        with open(path, "rb") as file:
            file.seek(self.volume)
            geometry = parse_boot_sector(file.read(_SECTOR), layout.bytes)
        self.table = self.volume + geometry.fat_offset
        self.root = self.volume + geometry.data_offset

    @contextmanager
    def damaged(self, pieces: list[tuple[int, bytes]]) -> Iterator[None]:
        """The image with `pieces` written over it, as long as the block lasts."""
        with open(self.path, "r+b") as file:
            before = []
            for offset, content in pieces:
                file.seek(offset)
                before.append((offset, file.read(len(content))))
                file.seek(offset)
                file.write(content)
                file.flush()
        try:
            yield
        finally:
            with open(self.path, "r+b") as file:
                for offset, content in reversed(before):
                    file.seek(offset)
                    file.write(content)


def _explore(path: Path) -> None:
    """Do all a reader does; BarelmError is a fine end."""
    try:
        with open_volume(path) as volume:
            for entry in volume.files():
                assert volume.lookup(entry.path) is not None
                try:
                    for offset, n in volume.extents(entry):
                        assert 0 <= offset and offset + n <= path.stat().st_size + volume.cluster_bytes
                    for at in (0, max(entry.size - 100, 0)):
                        content = volume.read(entry, at, _READ_AT_MOST)
                        assert len(content) == min(entry.size - at, _READ_AT_MOST)
                except BarelmError as error:
                    assert error.message and error.hint
    except BarelmError as error:
        assert error.message.startswith(str(path)) and error.hint


@pytest.fixture(scope="module", params=[False, True], ids=["gpt", "plain"])
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return Victim(tmp_path_factory.mktemp("hostile") / "a.img", request.param)


@pytest.fixture(scope="module")
def gpt_victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    return Victim(tmp_path_factory.mktemp("hostile") / "a.img", False)


_WORDS = st.sampled_from([0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x200, 0xFFFF, 0x0FFFFFF6, 0x0FFFFFF7, 0x0FFFFFFF,
                          0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])


@_MANY
@given(st.lists(st.tuples(st.sampled_from([("volume", 96), ("table", 600), ("root", 2048)]), st.integers(0, 2047),
                          st.binary(min_size=1, max_size=4) | _WORDS.map(lambda w: struct.pack("<I", w))),
                min_size=1, max_size=4))
def test_bytes_of_the_file_system(victim: Victim, damage: list[tuple[tuple[str, int], int, bytes]]) -> None:
    pieces = [(getattr(victim, part) + at % span, content) for (part, span), at, content in damage]
    with victim.damaged(pieces):
        _explore(victim.path)


@_MANY
@given(st.lists(st.tuples(st.integers(2, 200), st.integers(0, 220) | _WORDS), min_size=1, max_size=6))
def test_cluster_chains_that_lead_anywhere(victim: Victim, links: list[tuple[int, int]]) -> None:
    with victim.damaged([(victim.table + 4 * at, struct.pack("<I", to)) for at, to in links]):
        _explore(victim.path)


@_MANY
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 11, 12, 20, 26, 28, 30]), _WORDS),
                min_size=1, max_size=4))
def test_directory_fields(victim: Victim, fields: list[tuple[int, int, int]]) -> None:
    with victim.damaged([(victim.root + 32 * slot + at, struct.pack("<I", word)[:min(4, 32 - at)])
                         for slot, at, word in fields]):
        _explore(victim.path)


@_MANY
@given(st.sampled_from([11, 13, 14, 16, 17, 19, 22, 32, 36, 40, 44, 48]), _WORDS, st.integers(1, 4))
def test_boot_sector_fields(victim: Victim, at: int, word: int, width: int) -> None:
    with victim.damaged([(victim.volume + at, struct.pack("<I", word)[:width])]):
        _explore(victim.path)


_GPT_WORDS = st.integers(0, 40) | _WORDS | st.sampled_from([1 << 63, (1 << 64) - 1, 1 << 55])


@_MANY
@given(start=_GPT_WORDS, count=_WORDS | st.integers(0, 8193), size=_WORDS | st.integers(100, 260),
       first=_GPT_WORDS, last=_GPT_WORDS, header_bytes=st.integers(0, 600), own=_GPT_WORDS, honest=st.booleans())
def test_partition_tables_with_the_right_checksums(gpt_victim: Victim, start: int, count: int, size: int, first: int,
                                                   last: int, header_bytes: int, own: int, honest: bool) -> None:
    with open(gpt_victim.path, "rb") as file:
        file.seek(_SECTOR)
        header = bytearray(file.read(_SECTOR))
        table = bytearray(file.read(16384))
    struct.pack_into("<QQ", table, 32, first, last)
    if not honest:
        struct.pack_into("<I", header, 12, header_bytes)
        struct.pack_into("<Q", header, 24, own)
        struct.pack_into("<QII", header, 72, start, count, size)
    covered = min(struct.unpack_from("<I", header, 80)[0] * struct.unpack_from("<I", header, 84)[0], len(table))
    struct.pack_into("<I", header, 88, zlib.crc32(table[:covered]))
    struct.pack_into("<I", header, 16, 0)
    summed = min(struct.unpack_from("<I", header, 12)[0], _SECTOR)
    struct.pack_into("<I", header, 16, zlib.crc32(header[:summed]))
    backup = gpt_victim.bytes - _SECTOR
    with gpt_victim.damaged([(_SECTOR, bytes(header + table)), (backup, bytes(_SECTOR))]):
        _explore(gpt_victim.path)


@_MANY
@given(st.integers(0, 36 << 20) | st.integers(0, 2 << 20) | st.integers(0, 1024))
def test_images_cut_short(victim: Victim, length: int) -> None:
    cut = victim.path.with_name("cut.img")
    with open(victim.path, "rb") as whole, open(cut, "wb") as file:
        file.write(whole.read(min(length, 3 << 20)))
        file.truncate(length)
    _explore(cut)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=2000), st.integers(0, 1 << 20))
def test_noise(tmp_path_factory: pytest.TempPathFactory, noise: bytes, padding: int) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.img"
    path.write_bytes(noise + bytes(padding))
    with pytest.raises(BarelmError):
        open_volume(path)


def test_the_backup_table_serves_where_the_first_is_damaged(gpt_victim: Victim) -> None:
    for offset in (_SECTOR, 2 * _SECTOR):
        with gpt_victim.damaged([(offset, b"\xff" * 16)]), open_volume(gpt_victim.path) as volume:
            assert {entry.path for entry in volume.files()} == set(_FILES)


def test_both_tables_damaged(gpt_victim: Victim) -> None:
    pieces = [(_SECTOR + 20, b"\xff"), (gpt_victim.bytes - _SECTOR + 20, b"\xff")]
    with gpt_victim.damaged(pieces), pytest.raises(BarelmError, match="checksum of its GPT header"):
        open_volume(gpt_victim.path)


def test_a_directory_that_contains_itself(victim: Victim) -> None:
    with open(victim.path, "rb") as file:
        file.seek(victim.root)
        slots = file.read(4096)
    at = next(i for i in range(0, 4096, 32) if slots[i + 11] == 0x10)
    with victim.damaged([(victim.root + at + 26, struct.pack("<H", 2))]):
        with pytest.raises(BarelmError, match="share clusters"):
            open_volume(victim.path)


def test_files_that_are_absent_or_no_files(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(BarelmError, match="cannot read"):
            open_volume(path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(BarelmError, match="too short"):
        open_volume(tmp_path / "empty")
