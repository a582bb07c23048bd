"""Images written to plain files and, for root, to a loop device; checked by reading back and by sgdisk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from barelm.disk import flashing, gpt, open_volume, write_image
from barelm.disk.attached_disks import LinuxDisks, device_at
from barelm.disk.devices import Device, Identity
from barelm.errors import BarelmError
from tests.disk.oracles import run

CONTENT = b"model " * 1_500_000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of several chunks, none of them the same."""
    write_image(tmp_path / "a.img", {"EFI/BOOT/BOOTX64.EFI": b"x" * 5000, "model.blm": CONTENT})
    return tmp_path / "a.img"


def blank(folder: Path, n_bytes: int, fill: bytes = b"") -> Device:
    """A plain file to write to, full of what was there before."""
    path = folder / "stick"
    with open(path, "wb") as file:
        file.write(fill)
        file.truncate(n_bytes)
    return Device(str(path), n_bytes, is_file=True)


def flashed(image: Path, device: Device) -> None:
    """Write and compare, and look at the progress."""
    seen: list[tuple[int, int]] = []
    with flashing.Content(image, device.bytes) as content, flashing.opened(device) as fd:
        for step in (flashing.write, flashing.verify):
            seen.clear()
            step(content, fd, device, lambda done, total: seen.append((done, total)))
            assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] >= content.bytes
        flashing.reread_partitions(fd)


def check_model(path: Path) -> None:
    """The model is found and whole."""
    with open_volume(path) as volume:
        entry = volume.lookup("model.blm")
        assert entry is not None and volume.read(entry, 0, entry.size) == CONTENT


def test_a_disk_of_the_images_size_is_the_image(image: Path, tmp_path: Path) -> None:
    device = blank(tmp_path, image.stat().st_size)
    flashed(image, device)
    assert Path(device.path).read_bytes() == image.read_bytes()


@pytest.mark.parametrize("more", [512, 16 * 512, 33 * 512, 34 * 512, 1 << 20, (7 << 20) + 512])
def test_on_a_larger_disk_the_backup_table_is_at_its_end(image: Path, tmp_path: Path, more: int) -> None:
    size = image.stat().st_size
    device = blank(tmp_path, size + more, b"\xff" * (size + more))
    flashed(image, device)
    report = run("sgdisk", "-v", device.path)
    assert "No problems found" in report and "Caution" not in report
    check_model(Path(device.path))
    with open(device.path, "r+b") as file:
        assert _protected_sectors(file.read(512)) == device.bytes // 512 - 1
        file.seek(512)
        file.write(bytes(512))              # the backup alone has to do
    check_model(Path(device.path))


def _protected_sectors(mbr: bytes) -> int:
    assert mbr[510:] == b"\x55\xaa" and mbr[450] == 0xEE and mbr[462:510] == bytes(48)
    return int.from_bytes(mbr[458:462], "little")


def test_the_old_backup_header_is_gone(image: Path, tmp_path: Path) -> None:
    size = image.stat().st_size
    device = blank(tmp_path, size + (8 << 20))
    flashed(image, device)
    written = Path(device.path).read_bytes()
    assert image.read_bytes()[size - 512:size - 504] == b"EFI PART" and written[size - 512:size] == bytes(512)
    assert written.count(b"EFI PART") == 2


def test_a_disk_beyond_two_terabytes(image: Path) -> None:
    raw, disk = image.read_bytes(), 3 << 40
    pieces = dict(gpt.stretched(lambda at, n: raw[at:at + n], len(raw), disk))
    assert _protected_sectors(pieces[0]) == 0xFFFFFFFF
    assert max(pieces) == disk - 512 and pieces[disk - 512][:8] == b"EFI PART"


def test_a_damaged_table_is_not_stretched(image: Path) -> None:
    raw = bytearray(image.read_bytes())
    raw[520] ^= 1
    with pytest.raises(ValueError, match="GPT header"):
        gpt.stretched(lambda at, n: bytes(raw[at:at + n]), len(raw), len(raw) * 2)
    with pytest.raises(ValueError, match="smaller"):
        good = image.read_bytes()
        gpt.stretched(lambda at, n: good[at:at + n], len(good), len(good) - 512)


def test_a_bare_volume_is_written_as_it_is(tmp_path: Path, image: Path) -> None:
    plain = tmp_path / "plain.img"
    write_image(plain, {"model.blm": CONTENT}, plain=True)
    device = blank(tmp_path, 60 << 20)
    flashed(image, device)
    assert Path(device.path).read_bytes()[-512:].startswith(b"EFI PART")
    flashed(plain, device)
    written = Path(device.path).read_bytes()
    assert written[:plain.stat().st_size] == plain.read_bytes() and written[-512:] == bytes(512)
    check_model(Path(device.path))


@pytest.mark.parametrize("at", [0, 515, flashing.CHUNK, 2 * flashing.CHUNK + 77, -1])
def test_a_byte_that_did_not_arrive(image: Path, tmp_path: Path, at: int) -> None:
    device = blank(tmp_path, image.stat().st_size + (1 << 20))
    at %= device.bytes
    with flashing.Content(image, device.bytes) as content, flashing.opened(device) as fd:
        flashing.write(content, fd, device, lambda *_: None)
        os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ 1]), at)
        with pytest.raises(BarelmError, match=f"from byte {at:,} on") as bad:
            flashing.verify(content, fd, device, lambda *_: None)
    assert "smaller than it pretends" in bad.value.hint


def test_a_counterfeit_that_wraps_around(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, pwrite, pread = 8 << 20, os.pwrite, os.pread
    device = blank(tmp_path, 64 << 20)
    monkeypatch.setattr("os.pwrite", lambda fd, data, at: pwrite(fd, data, at % real))
    monkeypatch.setattr("os.pread", lambda fd, n, at: pread(fd, n, at % real))
    with pytest.raises(BarelmError, match="does not hold what was written to it"):
        flashed(image, device)


@pytest.mark.parametrize("number, sentence", [(errno.EIO, "Input/output error"), (errno.ENOSPC, "No space left")])
def test_a_device_that_fails(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int,
                             sentence: str) -> None:
    def fail(fd: int, data: bytes, at: int) -> int:
        if at > flashing.CHUNK:
            raise OSError(number, os.strerror(number))
        return len(data)

    monkeypatch.setattr("os.pwrite", fail)
    with pytest.raises(BarelmError, match=f"cannot write to .* at byte .*: {sentence}"):
        flashed(image, blank(tmp_path, 64 << 20))


@pytest.mark.parametrize("number, sentence, hint", [
    (errno.EACCES, "no permission to write to /dev/sdz", "sudo"), (errno.EBUSY, "cannot open /dev/sdz", "Unmount"),
    (errno.EROFS, "cannot open /dev/sdz", "lock"), (errno.ENXIO, "cannot open /dev/sdz", "Plug it in again")])
def test_a_device_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, number: int, sentence: str, hint: str) -> None:
    def fail(path: str, flags: int) -> int:
        assert flags & os.O_EXCL
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.open", fail)
    with pytest.raises(BarelmError, match=sentence) as refused, flashing.opened(Device("/dev/sdz", 1)):
        pass
    assert hint in refused.value.hint


def test_short_writes_and_reads_are_gone_on_with(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite, pread = os.pwrite, os.pread
    monkeypatch.setattr("os.pwrite", lambda fd, data, at: pwrite(fd, data[:1_000_000], at))
    monkeypatch.setattr("os.pread", lambda fd, n, at: pread(fd, min(n, 1_000_000), at))
    flashed(image, blank(tmp_path, 64 << 20))


def test_interrupted_it_does_not_boot(image: Path, tmp_path: Path) -> None:
    device = blank(tmp_path, image.stat().st_size)
    flashed(image, device)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with flashing.Content(image, device.bytes) as content, flashing.opened(device) as fd:
        with pytest.raises(KeyboardInterrupt):
            flashing.write(content, fd, device, stop)
    assert Path(device.path).read_bytes()[:1 << 20] == bytes(1 << 20)
    with pytest.raises(BarelmError):
        open_volume(Path(device.path))


def test_an_image_that_changes_meanwhile(image: Path, tmp_path: Path) -> None:
    device = blank(tmp_path, 64 << 20)
    with flashing.Content(image, device.bytes) as content, flashing.opened(device) as fd:
        os.utime(image, ns=(1, 1))
        with pytest.raises(BarelmError, match="changed while it was being copied"):
            flashing.write(content, fd, device, lambda *_: None)


@pytest.mark.parametrize("name", ["nowhere", "folder", "noise", "cut", "bad table"])
def test_what_is_no_image(image: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    raw = image.read_bytes()
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 100)
    (tmp_path / "cut").write_bytes(raw[:3 << 20])
    (tmp_path / "bad table").write_bytes(raw[:520] + b"!" + raw[521:])
    with pytest.raises(BarelmError):
        flashing.Content(tmp_path / name, 64 << 20)


@pytest.mark.parametrize("other", [{"bytes": 4096}, {"identity": Identity("8:1")}, {"identity": Identity("", "", 7)}])
def test_another_disk_under_the_same_name_is_not_written_to(image: Path, tmp_path: Path, other: dict[str, Any],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashing, "_sequence_of", lambda fd: 8)
    device = blank(tmp_path, 64 << 20)
    for is_file in (True, False):
        with pytest.raises(BarelmError, match="no longer the disk that was looked at"):
            with flashing.opened(replace(device, is_file=is_file, **other)):
                pass
    with flashing.opened(replace(device, identity=Identity("", "", 8))):
        pass


def test_a_device_in_the_place_of_a_file_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match="no longer"), flashing.opened(Device(os.devnull, 0, is_file=True)):
        pass


def test_who_has_a_disk_need_not_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of ZFS has no mount of a device and no holder; the kernel knows all the same."""
    def busy(path: str, flags: int) -> int:
        assert flags & os.O_EXCL and not flags & (os.O_RDWR | os.O_WRONLY)
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr("os.open", busy)
    with pytest.raises(BarelmError, match="in use by something that does not show") as refused:
        flashing.check_free(Device("/dev/sdz", 1))
    assert "zpool" in refused.value.hint
    flashing.check_free(Device("/tmp/file", 1, is_file=True))


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Path]:
    """A loop device of 64 MiB; skips where none can be had."""
    losetup = shutil.which("losetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if os.geteuid() != 0 or losetup is None:
        pytest.skip("a loop device needs root and losetup")
    with open(tmp_path / "loop", "wb") as file:
        file.truncate(64 << 20)
    made = subprocess.run([losetup, "-f", "--show", "-P", tmp_path / "loop"], capture_output=True, text=True,
                          check=False)
    if made.returncode:
        pytest.skip(f"losetup: {made.stderr.strip()}")
    try:
        yield Path(made.stdout.strip())
    finally:
        subprocess.run([losetup, "-d", made.stdout.strip()], check=False)


def test_a_real_block_device(image: Path, loop: Path, tmp_path: Path) -> None:
    device = device_at(LinuxDisks(), loop)
    assert (device.path, device.bytes, device.removable) == (str(loop), 64 << 20, False)
    assert device.identity.number == f"7:{loop.name.removeprefix('loop')}" and flashing.check_free(device) is None
    with flashing.opened(device) as fd:
        assert flashing._sequence_of(fd) == device.identity.sequence
    flashed(image, device)
    assert "No problems found" in run("sgdisk", "-v", loop)
    check_model(loop)


def test_a_mounted_block_device(loop: Path, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", "-F", loop)
    place = tmp_path / "mount point"
    place.mkdir()
    mounted = subprocess.run(["mount", str(loop), str(place)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mount: {mounted.stderr.strip()}")
    try:
        device = device_at(LinuxDisks(), loop)
        assert device.uses == ((str(loop), str(place)),)
        with pytest.raises(BarelmError, match="cannot open .*busy"), flashing.opened(device):
            pass
        with pytest.raises(BarelmError, match="in use by something"):
            flashing.check_free(device)
    finally:
        subprocess.run(["umount", str(place)], check=True)
