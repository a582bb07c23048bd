"""The reader on volumes that other systems made, and its ways of finding files."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from barelm.disk import Volume, open_volume, write_image
from barelm.errors import BarelmError
from tests.disk.oracles import run


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A volume by mkfs.vfat, filled by mtools so that its last file is in many fragments; and what is in it."""
    folder = tmp_path_factory.mktemp("foreign")
    image = folder / "a.img"
    with open(image, "wb") as file:
        file.truncate(40 << 20)
    run("mkfs.vfat", "-F", "32", "-s", "1", "-n", "FOREIGN", image)
    chance = random.Random(1)
    files = {}
    run("mmd", "-i", image, "::/Some Folder")
    for i in range(40):
        path = f"Some Folder/file {i}" if i % 3 else f"FILE{i}.TXT"
        files[path] = chance.randbytes(50_000 + chance.randrange(5000))
        _put(image, folder, path, files[path])
    for path in list(files)[::2]:
        run("mdel", "-i", image, f"::{path}")
        del files[path]
    filler = folder / "filler"
    with open(filler, "wb") as file:
        file.truncate(37 << 20)                     # so that what comes next must also use the holes
    run("mcopy", "-i", image, filler, "::filler")
    files["scattered"] = chance.randbytes(1 << 20)
    _put(image, folder, "scattered", files["scattered"])
    return image, files


def _put(image: Path, folder: Path, path: str, content: bytes) -> None:
    (folder / "source").write_bytes(content)
    run("mcopy", "-i", image, folder / "source", f"::{path}")


def test_a_foreign_volume(foreign: tuple[Path, dict[str, bytes]]) -> None:
    image, files = foreign
    with open_volume(image) as volume:
        found = {entry.path: volume.read(entry, 0, entry.size) for entry in volume.files() if entry.path != "filler"}
    assert found == files


def test_a_file_in_fragments(foreign: tuple[Path, dict[str, bytes]]) -> None:
    image, files = foreign
    content = files["scattered"]
    chance = random.Random(2)
    with open_volume(image) as volume:
        entry = volume.lookup("SCATTERED")
        assert entry is not None
        pieces = volume.extents(entry)
        assert len(pieces) > 3
        raw = image.read_bytes()
        assert b"".join(raw[offset:offset + n] for offset, n in pieces) == content
        for _ in range(200):
            at, n = chance.randrange(len(content) + 100), chance.randrange(20_000)
            assert volume.read(entry, at, n) == content[at:at + n]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    image = tmp_path_factory.mktemp("volume") / "a.img"
    write_image(image, {"EFI/BOOT/BOOTX64.EFI": b"program", "a longer name.text": b"long", "e": b""})
    return open_volume(image)


@pytest.mark.parametrize("path, found", [
    ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTX64.EFI"),
    (r"\efi\boot\bootx64.efi", "EFI/BOOT/BOOTX64.EFI"),
    ("//efi/./boot/../boot//bootx64.efi", "EFI/BOOT/BOOTX64.EFI"),
    ("ALONGE~1.TEX", "a longer name.text"),
    ("A LONGER NAME.TEXT", "a longer name.text"),
    ("e", "e"),
    ("", None), ("EFI", None), ("EFI/BOOT", None), ("..", None), ("../e", None), ("e/e", None), ("absent", None),
    ("EFI/../../e", None),
])
def test_lookup(volume: Volume, path: str, found: str | None) -> None:
    entry = volume.lookup(path)
    assert (entry.path if entry else None) == found


def test_reading_stays_within_the_file(volume: Volume) -> None:
    entry = volume.lookup("EFI/BOOT/BOOTX64.EFI")
    assert entry is not None
    assert volume.read(entry, 5, 100) == b"am"
    assert volume.read(entry, 7, 1) == volume.read(entry, 100, 1) == volume.read(entry, 0, 0) == b""
    buffer = bytearray(b"..........")
    assert volume.readinto(entry, 4, memoryview(buffer)[1:]) == 3
    assert buffer == b".ram......"
    with pytest.raises(ValueError):
        volume.read(entry, -1, 1)


def test_threads_share_a_volume(tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    write_image(tmp_path / "a", {"m": content})
    with open_volume(tmp_path / "a") as volume:
        entry, = volume.files()
        wrong: list[int] = []

        def read(part: int) -> None:
            for at in range(part * 1000, len(content), 9000):
                if volume.read(entry, at, 5000) != content[at:at + 5000]:
                    wrong.append(at)

        threads = [threading.Thread(target=read, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_an_image_cut_short_after_opening(tmp_path: Path) -> None:
    write_image(tmp_path / "a", {"m": b"1" * 5000})
    with open_volume(tmp_path / "a") as volume:
        entry, = volume.files()
        os.truncate(tmp_path / "a", 1 << 20)
        with pytest.raises(BarelmError, match="cut short"):
            volume.read(entry, 0, 5000)
