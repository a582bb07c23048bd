"""Disks found in trees like those of the kernel, and judged: what may be overwritten and what never."""

from __future__ import annotations

import dataclasses
import os
import plistlib
from pathlib import Path
from typing import Any

import pytest

from barelm.disk.attached_disks import LinuxDisks, MacDisks, device_at, this_system
from barelm.disk.devices import Device, Identity, human_bytes, refuse
from barelm.errors import BarelmError
from barelm.printed import printable

GB = 1_000_000_000
USB = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block"


class Tree:
    """A fake /sys and /proc."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc, self._number = root / "sys", root / "proc", 0
        self.mounts = ["22 27 0:21 / /proc rw,relatime - proc proc rw"]
        self.swaps = ["Filename Type Size Used Priority"]
        (self.sys / "block").mkdir(parents=True)

    def disk(self, name: str, where: str = "pci0000:00/block", sectors: int = 62_500_000, parts: int = 0,
             **files: str) -> Path:
        """A disk with partitions, where the kernel would put it; `host_files` as "device__model"."""
        folder = self.sys / "devices" / where / name
        self._block(folder, sectors)
        for number in range(1, parts + 1):
            part = folder / f"{name}{'p' if name[-1].isdigit() else ''}{number}"
            self._block(part, sectors // 2)
            (part / "partition").write_text(f"{number}\n")
        for key, text in files.items():
            path = folder / key.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        (self.sys / "block" / name).symlink_to(folder)
        return folder

    def stick(self, name: str = "sdb", parts: int = 1, **more: Any) -> Path:
        """A USB stick."""
        return self.disk(name, USB, parts=parts, removable="1", device__vendor="SanDisk ",
                         device__model="Ultra Fit       ", **more)

    def number(self, name: str) -> str:
        """major:minor."""
        return next(self.sys.glob(f"devices/**/{name}/dev")).read_text().strip()

    def mount(self, where: str, name: str = "", kind: str = "ext4", source: str = "") -> None:
        """A line of mountinfo; without a name the number is one of the kernel's own."""
        number = self.number(name) if name else "0:50"
        self.mounts.append(f"30 27 {number} / {where} rw shared:1 - {kind} {source or '/dev/' + name} rw")

    def stack(self, top: str, mapped: str, *below: str) -> None:
        """A device of the device mapper on others."""
        self.disk(top, "virtual/block", dm__name=mapped)
        for name in below:
            base = next(self.sys.glob(f"devices/**/{name}/dev")).parent
            (base / "holders" / top).mkdir(parents=True)
            (self.sys / "block" / top / "slaves" / name).mkdir(parents=True)

    def disks(self) -> LinuxDisks:
        """What barelm makes of it."""
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "mountinfo").write_text("\n".join(self.mounts) + "\n")
        (self.proc / "swaps").write_text("\n".join(self.swaps) + "\n")
        return LinuxDisks(self.sys, self.proc)

    def device(self, name: str) -> Device:
        """One of them."""
        found = self.disks().numbered(self.number(name))
        assert found is not None
        return found

    def _block(self, folder: Path, sectors: int) -> None:
        folder.mkdir(parents=True)
        self._number += 1
        for name, text in (("dev", f"8:{self._number}"), ("size", str(sectors)), ("ro", "0"), ("removable", "0")):
            (folder / name).write_text(text + "\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A machine with its system on NVMe."""
    tree = Tree(tmp_path)
    tree.disk("nvme0n1", "pci0000:00/0000:01:00.0/nvme/nvme0", sectors=2 * GB, parts=3, device__model="WD Black SN850X")
    tree.mount("/boot/efi", "nvme0n1p1", "vfat")
    tree.mount("/", "nvme0n1p2")
    return tree


def reason(device: Device, image_bytes: int = GB, fixed: bool = False) -> str:
    """Why not; empty where nothing speaks against it."""
    try:
        refuse(device, image_bytes, fixed)
    except BarelmError as error:
        assert error.hint
        return f"{error.message}|{error.hint}"
    return ""


def test_a_stick(tree: Tree) -> None:
    tree.stick()
    device, = tree.disks().removable()
    assert device == Device("/dev/sdb", 32 * GB, "SanDisk Ultra Fit", "usb", removable=True)
    assert reason(device) == "" and device.described() == "/dev/sdb (SanDisk Ultra Fit, 32.0 GB)"


@pytest.mark.parametrize("where", ["/", "/boot", "/boot/efi", "/usr", "/home"])
def test_the_system_disk_is_refused_whatever_is_asked(tree: Tree, where: str) -> None:
    tree.stick()
    tree.mount(where, "sdb1")
    assert f"/dev/sdb holds the running system ({where})" in reason(tree.device("sdb"), fixed=True)


def test_the_internal_disk(tree: Tree) -> None:
    device = tree.device("nvme0n1")
    assert (device.bus, device.model, device.removable) == ("nvme", "WD Black SN850X", False)
    assert "holds the running system" in reason(device, fixed=True)


def test_a_second_internal_disk_only_on_demand(tree: Tree) -> None:
    tree.disk("sda", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block", device__vendor="ATA     ",
              device__model="CT1000MX500SSD1")
    device = tree.device("sda")
    assert device.bus == "sata" and device.model == "CT1000MX500SSD1"
    assert "is a fixed disk (CT1000MX500SSD1)|Add --fixed" in reason(device)
    assert reason(device, fixed=True) == ""


def test_a_mounted_stick_says_where_and_how_to_unmount(tree: Tree) -> None:
    tree.stick()
    tree.mount(r"/media/me/MY\040STICK", "sdb1", "vfat")
    device, = tree.disks().removable()
    assert device.mounts == ("/media/me/MY STICK",)
    assert reason(device) == ("/dev/sdb is in use: /dev/sdb1 is mounted on /media/me/MY STICK"
                              "|Unmount it first: sudo umount '/media/me/MY STICK'")


def test_a_label_cannot_hide_a_mount_nor_reach_the_terminal(tree: Tree) -> None:
    tree.stick(device__name="x")
    tree.mount("/media/me/a\u2028b\x1b[2J\rc", "sdb1", "vfat")
    said = reason(tree.device("sdb"))
    assert "is mounted on /media/me/a" in said and said.isprintable()


def test_a_partition_names_its_disk(tree: Tree) -> None:
    tree.stick()
    assert reason(tree.device("sdb1")) == "/dev/sdb1 is a partition|Give the whole disk: /dev/sdb."


def test_a_loop_is_no_stick(tree: Tree) -> None:
    tree.disk("loop0", "virtual/block")
    assert tree.disks().removable() == []


def test_a_loop_of_the_system_protects_the_disk_of_its_file(tree: Tree) -> None:
    tree.stick()
    tree.disk("loop0", "virtual/block", loop__backing_file="/run/live/fs.squashfs")
    tree.mounts = []
    tree.mount("/run/live", "sdb1", "vfat")
    tree.mount("/", "loop0", "squashfs")
    assert "holds the running system (/)" in reason(tree.device("sdb"))


def test_card_readers(tree: Tree) -> None:
    tree.disk("sdc", USB.replace("1-2", "1-3"), sectors=0, removable="1", device__model="Card Reader")
    tree.disk("mmcblk0", "pci0000:00/mmc_host/mmc0/mmc0:aaaa/block", device__type="SD", device__name="SC32G")
    tree.disk("mmcblk1", "pci0000:00/mmc_host/mmc1/mmc1:0001/block", device__type="MMC", device__name="eMMC")
    disks = tree.disks()
    assert [device.path for device in disks.removable()] == ["/dev/mmcblk0"]
    empty = disks.numbered(tree.number("sdc"))
    assert empty is not None and "there is no medium in /dev/sdc" in reason(empty)


def test_the_system_on_lvm_on_crypt_on_a_partition(tree: Tree) -> None:
    tree.stick(parts=2)
    tree.stack("dm-0", "luks", "sdb2")
    tree.stack("dm-1", "vg-root", "dm-0")
    tree.mounts = []
    tree.mount("/", "", "ext4", "/dev/mapper/vg-root")
    device = tree.device("sdb")
    assert "holds the running system (/)" in reason(device, fixed=True)


def test_crypt_that_is_open_but_not_mounted(tree: Tree) -> None:
    tree.stick()
    tree.stack("dm-0", "luks-5f", "sdb1")
    assert reason(tree.device("sdb")) == ("/dev/sdb is in use by /dev/mapper/luks-5f"
                                          "|Close that first: cryptsetup close, vgchange -an or mdadm --stop.")


def test_swap_on_a_partition_and_in_a_file(tree: Tree) -> None:
    tree.stick()
    tree.stick("sdc")
    tree.swaps += ["/dev/sdb1 partition 1 0 -2", "/data/swapfile file 1 0 -3"]
    tree.mount("/data", "sdc1")
    disks = tree.disks()
    for name in ("sdb", "sdc"):
        device = disks.numbered(tree.number(name))
        assert device is not None and "holds the running system (swap)" in reason(device)


def test_every_disk_of_a_btrfs(tree: Tree) -> None:
    tree.stick()
    tree.stick("sdc")
    for name in ("sdb1", "sdc1"):
        (tree.sys / "fs" / "btrfs" / "5f-uuid" / "devices" / name).mkdir(parents=True)
    tree.mount("/mnt", "", "btrfs", "/dev/sdb1")
    assert [device.mounts for device in tree.disks().removable()] == [("/mnt",), ("/mnt",)]


@pytest.mark.parametrize("change, sentence", [
    ({"bytes": GB - 1}, "is too small: 999,999,999 bytes, and the image has 1,000,000,000"),
    ({"read_only": True}, "is write-protected"), ({"sector_bytes": 4096}, "sectors of 4096 bytes"),
    ({"bytes": 0}, "no medium")])
def test_what_else_is_refused(change: dict[str, Any], sentence: str) -> None:
    device = dataclasses.replace(Device("/dev/sdb", GB, removable=True), **change)
    assert sentence in reason(device)


def test_an_image_for_its_sectors_may_be_written() -> None:
    large = Device("/dev/sdb", GB, removable=True, sector_bytes=4096)
    refuse(large, GB, False, 4096)
    with pytest.raises(BarelmError, match="this image is for 4096"):
        refuse(Device("/dev/sdb", GB, removable=True), GB, False, 4096)


def test_files_and_what_is_no_device(tmp_path: Path, tree: Tree) -> None:
    disks = tree.disks()
    (tmp_path / "file").write_bytes(bytes(5000))
    device = device_at(disks, tmp_path / "file")
    assert device == Device(str(tmp_path / "file"), 5000, is_file=True) and reason(device, 5000) == ""
    for path, sentence in ((tmp_path / "nothing", "there is no device"), (tmp_path, "is no disk"),
                           (Path(os.devnull), "is no disk")):
        with pytest.raises(BarelmError, match=sentence):
            device_at(disks, path)


def test_an_empty_system_is_no_crash(tmp_path: Path) -> None:
    disks = LinuxDisks(tmp_path, tmp_path)
    assert disks.removable() == [] and disks.numbered("8:0") is None


def test_windows_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(BarelmError) as refused:
        this_system()
    assert "Rufus in DD mode" in refused.value.hint


def test_small_things() -> None:
    assert [human_bytes(n) for n in (5, 1000, 31_900_000_000, 5 * 10**15)] == ["5 bytes", "1.0 kB", "31.9 GB",
                                                                                "5000.0 TB"]
    assert printable("a\x1b]0;x\x07\u202e\n") == "a\ufffd]0;x\ufffd\ufffd\ufffd"


def mac(**infos: dict[str, Any]) -> MacDisks:
    """A Mac whose diskutil knows these disks; the root lies in an APFS container on disk0."""
    root = {"ParentWholeDisk": "disk3", "APFSPhysicalStores": [{"APFSPhysicalStore": "disk0s2"}]}

    def run(*arguments: str) -> bytes:
        if arguments[0] == "list" and arguments[-1] == "physical":
            return plistlib.dumps({"WholeDisks": ["disk4"]})
        if arguments[0] == "list":
            parts = [{"DeviceIdentifier": f"{arguments[-1]}s1", "MountPoint": "/Volumes/STICK"}]
            return plistlib.dumps({"AllDisksAndPartitions": [{"Partitions": parts}]})
        return plistlib.dumps(root if arguments[-1] == "/" else infos[arguments[-1]])

    return MacDisks(run)


def test_macos() -> None:
    stick = {"TotalSize": 32 * GB, "MediaName": "Ultra Fit", "BusProtocol": "USB", "Internal": False,
             "WholeDisk": True, "ParentWholeDisk": "disk4", "WritableMedia": True, "DeviceBlockSize": 512}
    disks = mac(disk4=stick, disk0={**stick, "ParentWholeDisk": "disk0", "Internal": True},
                disk4s1={**stick, "WholeDisk": False})
    device, = disks.removable()
    assert (device.path, device.write_to, device.bus, device.model) == ("/dev/disk4", "/dev/rdisk4", "usb", "Ultra Fit")
    assert device.mounts == ("/Volumes/STICK",) and reason(device) == ""       # unmounted by itself
    inner, part = disks.at(Path("/dev/disk0")), disks.at(Path("/dev/rdisk4s1"))
    assert inner is not None and "holds the running system" in reason(inner, fixed=True)
    assert part is not None and "Give the whole disk: /dev/disk4" in reason(part)


def test_macos_that_answers_nonsense() -> None:
    with pytest.raises(BarelmError, match="no answer that can be read"):
        MacDisks(lambda *_: b"<plist><no").removable()


def test_a_disk_is_known_again_by_its_number_serial_and_sequence(tree: Tree) -> None:
    folder = tree.stick(diskseq="17")
    (folder.parents[5] / "serial").write_text("4C530001\n")
    device = tree.device("sdb")
    assert device.identity == Identity(tree.number("sdb"), "4C530001", 17)
    assert device == dataclasses.replace(device, identity=Identity())


@pytest.mark.parametrize("what", ["loop", "swap"])
def test_a_plain_file_in_use_is_refused(tree: Tree, tmp_path: Path, what: str) -> None:
    file, link = tmp_path / "disk.raw", tmp_path / "link"
    file.write_bytes(bytes(1000))
    link.symlink_to(file)
    if what == "loop":
        tree.disk("loop3", "virtual/block", loop__backing_file=str(file))
    else:
        tree.swaps.append(f"{file} file 1000 0 -2")
    for path in (file, link):
        refused = reason(device_at(tree.disks() if path == file else LinuxDisks(tree.sys, tree.proc), path), 100)
        assert ("is in use by /dev/loop3|" in refused) if what == "loop" else ("(swap)" in refused)


def test_a_plain_file_that_nothing_uses_may_be_written(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "free").write_bytes(bytes(1000))
    tree.disk("loop3", "virtual/block", loop__backing_file=str(tmp_path / "other"))
    assert reason(device_at(tree.disks(), tmp_path / "free"), 100) == ""


@pytest.mark.parametrize("top, mapped", [("dm-3", "mpatha"), ("md127", ""), ("bcache0", ""), ("dm-4", "vg-root")])
def test_whatever_is_built_on_a_disk_holds_it(tree: Tree, top: str, mapped: str) -> None:
    tree.stick()
    tree.stack(top, mapped, "sdb1")
    refused = reason(tree.device("sdb"), fixed=True)
    assert f"is in use by {'/dev/mapper/' + mapped if mapped else '/dev/' + top}|" in refused
