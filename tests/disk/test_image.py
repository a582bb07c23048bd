"""Images against other people's tools, and against themselves."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barelm.disk import ImageLayout, flashing, open_editor, open_volume, write_image
from barelm.disk.fat32 import FILE_LIMIT, MAX_CLUSTERS, MIN_CLUSTERS, plan_volume
from barelm.errors import BarelmError
from barelm.host_files import Portion
from tests.disk.oracles import check_disk, check_volume, extract, run
from tests.disk.trees import trees

_PAGE = 4096
_FEW = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_layout(image: Path, layout: ImageLayout, files: Mapping[str, bytes]) -> None:
    """Each file lies in one piece where the layout says, on a page, and the reader finds just these files."""
    assert image.stat().st_size == layout.bytes
    assert set(layout.extents) == set(files)
    with open(image, "rb") as raw, open_volume(image) as volume:
        assert (volume.offset, volume.cluster_bytes) == (layout.esp_offset, layout.cluster_bytes)
        assert {entry.path for entry in volume.files()} == set(files)
        for path, content in files.items():
            offset, size = layout.extents[path]
            raw.seek(offset)
            assert size == len(content) and offset % _PAGE == 0 and raw.read(size) == content
            entry = volume.lookup(path.swapcase().replace("/", "\\")) or volume.lookup(path)
            assert entry is not None
            assert volume.read(entry, 0, size + 1) == content
            assert volume.read(entry, size // 2, 100) == content[size // 2:size // 2 + 100]
            assert volume.extents(entry) == ([(offset, size)] if size else [])


@_FEW
@given(files=trees(), plain=st.booleans(), free=st.sampled_from([0, 1, 100_000]))
def test_any_tree_is_sound_to_everyone(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], plain: bool,
                                       free: int) -> None:
    folder = tmp_path_factory.mktemp("image")
    image = folder / "a.img"
    layout = write_image(image, files, plain=plain, free_bytes=free)
    _check_layout(image, layout, files)
    if plain:
        check_volume(image)
    else:
        check_disk(image, layout.esp_offset)
    if all(max(path) < "\U00010000" for path in files):     # mtools knows no characters beyond the first plane
        assert extract(image, layout.esp_offset, folder / "out") == files
    image.unlink()


@pytest.mark.parametrize("plain", [False, True])
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, plain: bool) -> None:
    code = (f"from pathlib import Path; import sys; from barelm.disk import write_image; "
            f"write_image(Path(sys.argv[1]), {{'EFI/BOOT/BOOTX64.EFI': b'x' * 5000, 'm.blm': b'y', 'é b': b''}}, "
            f"plain={plain})")
    for name, seed in (("1", "1"), ("2", "2")):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True,
                       env=os.environ | {"PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}", "LC_ALL": "C"})
    write_image(tmp_path / "3", {"EFI/BOOT/BOOTX64.EFI": b"x" * 5000, "m.blm": b"y", "é b": b""}, plain=plain)
    assert len({_digest(tmp_path / name) for name in "123"}) == 1


def test_a_file_and_its_bytes_give_the_same_image(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "source").write_bytes(content)
    write_image(tmp_path / "a", {"m": content})
    write_image(tmp_path / "b", {"m": tmp_path / "source"})
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")


def test_another_label_or_size_is_another_volume(tmp_path: Path) -> None:
    write_image(tmp_path / "a", {"m": b"1"})
    write_image(tmp_path / "b", {"m": b"1"}, label="OTHER")
    write_image(tmp_path / "c", {"m": b"12"})
    assert len({_digest(tmp_path / name) for name in "abc"}) == 3


@pytest.mark.parametrize("delta", [-1, 0, 1])
@pytest.mark.parametrize("cluster_bytes", [512, 4096])
def test_sizes_at_cluster_borders(tmp_path: Path, delta: int, cluster_bytes: int) -> None:
    free = MIN_CLUSTERS * cluster_bytes + (1 << 20)     # what makes clusters of this size the largest possible
    files = {f"{n}": bytes([n + 1]) * (n * cluster_bytes + delta) for n in range(1, 4)}
    layout = write_image(tmp_path / "a", files, plain=True, free_bytes=free)
    assert layout.cluster_bytes == cluster_bytes
    _check_layout(tmp_path / "a", layout, files)
    check_volume(tmp_path / "a")


def test_a_sparse_model_stays_sparse(tmp_path: Path) -> None:
    source = tmp_path / "model"
    with open(source, "wb") as file:
        file.seek(600 << 20)
        file.write(b"end")
        file.truncate(700 << 20)
    layout = write_image(tmp_path / "a", {"model.blm": source})
    assert layout.cluster_bytes == 8192
    assert (tmp_path / "a").stat().st_blocks * 512 < 64 << 20
    with open_volume(tmp_path / "a") as volume:
        entry, = volume.files()
        assert volume.read(entry, 600 << 20, 3) == b"end"
        assert volume.read(entry, 300 << 20, 8) == bytes(8)
    check_disk(tmp_path / "a", layout.esp_offset)


def test_a_volume_far_above_4_gib(tmp_path: Path) -> None:
    """Three parts of one sparse file, each but for its beginning as large as FAT allows; then changed in place."""
    source = tmp_path / "model"
    size = 9 << 30
    marks = {0: b"begin", FILE_LIMIT - 3: b"123456", 2 * FILE_LIMIT - _PAGE - 8: b"on both sides", size - 3: b"end"}
    with open(source, "wb") as file:
        file.truncate(size)
        for at, mark in marks.items():
            file.seek(at)
            file.write(mark)
    if source.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no holes in files")
    parts: dict[str, Path | bytes | Portion] = {"a": Portion(b"", source, 0, FILE_LIMIT)}
    for number, start in enumerate(range(FILE_LIMIT, size, FILE_LIMIT - _PAGE)):
        parts[f"a.{number}"] = Portion(b"h" * _PAGE, source, start, min(size - start, FILE_LIMIT - _PAGE))
    image = tmp_path / "a.img"
    layout = write_image(image, {**parts, "last": b"small"}, plain=True, free_bytes=5 << 30)
    assert layout.cluster_bytes == 32 << 10 and layout.bytes > 14 << 30 and image.stat().st_blocks * 512 < 64 << 20
    with open_editor(image) as volume:
        for path, part in parts.items():
            node = volume.lookup(path)
            assert node is not None and isinstance(part, Portion) and node.size == len(part.head) + part.n_bytes
            assert volume.read(node, 0, len(part.head)) == part.head
            for at, mark in marks.items():
                inside = mark[max(part.start - at, 0):max(part.start + part.n_bytes - at, 0)] if at + len(
                    mark) > part.start else b""
                offset = max(at - part.start, 0) + len(part.head)
                assert volume.read(node, offset, len(inside)) == inside
        volume.save("behind", b"x" * 100_000)
        node = volume.lookup("a.0")
        assert node is not None
        volume.delete(node)
        volume.save("instead", b"y" * 100_000)
    check_volume(image)
    assert run("mtype", "-i", image, "::behind") == "x" * 100_000 and run("mtype", "-i", image, "::last") == "small"


def test_a_directory_of_many_clusters(tmp_path: Path) -> None:
    files = {f"deep/er/a rather long file name, number {i}.txt": b"%d" % i for i in range(700)}
    layout = write_image(tmp_path / "a", files)
    check_disk(tmp_path / "a", layout.esp_offset)
    _check_layout(tmp_path / "a", layout, files)
    assert extract(tmp_path / "a", layout.esp_offset, tmp_path / "out") == files


def test_room_is_left(tmp_path: Path) -> None:
    layout = write_image(tmp_path / "a", {"m": b"1"}, plain=True, free_bytes=50 << 20)
    run("mcopy", "-i", tmp_path / "a", _file(tmp_path / "big", 50 << 20), "::")
    check_volume(tmp_path / "a")
    assert layout.bytes < 60 << 20


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    files: dict[str, Path | bytes] = {"a": _file(tmp_path / "a", 20 << 20), "b": b"12", "c": b""}
    write_image(tmp_path / "i", files, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, (20 << 20) + 2) and seen[-1] == ((20 << 20) + 2,) * 2
    assert seen == sorted(seen)


def _file(path: Path, size: int) -> Path:
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def _refused(tmp_path: Path, files: Mapping[str, Path | bytes], name: str = "a.img", **how: object) -> BarelmError:
    """The error of an image that must not be; nothing may be left of it."""
    folder = tmp_path / "target"
    folder.mkdir(exist_ok=True)
    before = sorted(folder.iterdir())
    with pytest.raises(BarelmError) as caught:
        write_image(folder / name, files, **how)  # type: ignore[arg-type]
    assert caught.value.message and caught.value.hint.endswith(".")
    assert sorted(folder.iterdir()) == before
    return caught.value


@pytest.mark.parametrize("files, what", [
    ({"a:b": b""}, "has the character ':'"),
    ({"a//b": b""}, "is empty"),
    ({"": b""}, "is empty"),
    ({"a/../b": b""}, "reserved"),
    ({"x" * 256: b""}, "longer than 255"),
    ({"/".join(["x" * 100] * 11): b""}, "longer than 1024"),
    ({"a": b"", "A": b""}, "differ only by case"),
    ({"a/x": b"", "A/y": b""}, "differ only by case"),
    ({"a": b"", "a/b": b""}, "both as a file and as a directory"),
    ({"a/b": b"", "a": b""}, "both as a file and as a directory"),
    ({"a": b"", "/a": b""}, "twice"),
])
def test_names_that_cannot_be(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    assert what in _refused(tmp_path, files).message


def test_labels_and_room_that_cannot_be(tmp_path: Path) -> None:
    assert "label" in _refused(tmp_path, {}, label="a.b").message
    assert "-1" in _refused(tmp_path, {}, free_bytes=-1).message
    assert "2 TiB" in _refused(tmp_path, {}, free_bytes=3 << 40).message


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    assert "model.blm has" in _refused(tmp_path, {"model.blm": _file(tmp_path / "m", FILE_LIMIT + 1)}).message


def test_a_file_at_the_limit(tmp_path: Path) -> None:
    plan = plan_volume({"model.blm": FILE_LIMIT}, label="X", volume_id=1)
    assert plan.extents["model.blm"][1] == FILE_LIMIT
    assert MIN_CLUSTERS < plan.n_bytes // plan.cluster_bytes < MAX_CLUSTERS


def test_too_many_files_in_a_directory() -> None:
    with pytest.raises(BarelmError, match="too many files"):
        plan_volume({f"d/{i:05}": 0 for i in range(65_535)}, label="X", volume_id=1)


@pytest.mark.parametrize("source, what", [
    ("absent", "cannot read"), (".", "not a regular file"),
])
def test_sources_that_are_no_files(tmp_path: Path, source: str, what: str) -> None:
    assert what in _refused(tmp_path, {"a": b"1", "b": tmp_path / source}).message


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    source = _file(tmp_path / "source", 10)
    assert "no directory" in _refused(tmp_path, {}, "absent/a.img").message
    assert "is a directory" in _refused(tmp_path, {}, ".").message
    assert "both the image and a file" in _refused(tmp_path, {"a": source}, "../source").message
    assert source.stat().st_size == 10
    if Path("/dev/null").exists():
        assert "a device" in _refused(tmp_path, {}, "/dev/null").message
    if Path("/proc/self").exists():
        assert "cannot write" in _refused(tmp_path, {}, "/proc/barelm.img").message


def test_a_folder_one_may_not_write(tmp_path: Path) -> None:
    folder = tmp_path / "target"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        assert "Permission denied" in _refused(tmp_path, {}).message
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(os.name != "posix", reason="needs resource limits")
def test_no_room_for_an_image(tmp_path: Path) -> None:
    code = ("import resource, sys; from pathlib import Path; from barelm.disk import write_image\n"
            "from barelm.errors import BarelmError\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
            "try: write_image(Path(sys.argv[1]), {'m': b'1'})\n"
            "except BarelmError as error: print(error.message, error.hint)")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.img")],
                          capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout and "Free some space" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_end_in_the_middle_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.img").write_bytes(b"the one before")

    def fail(done: int, total: int) -> None:
        if done > total // 2:
            raise error

    source = tmp_path / "m"
    source.write_bytes(b"1" * (20 << 20))
    with pytest.raises(BarelmError if isinstance(error, OSError) else KeyboardInterrupt):
        write_image(tmp_path / "a.img", {"m": source}, progress=fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.img", "m"]
    assert (tmp_path / "a.img").read_bytes() == b"the one before"


def test_a_source_that_changes_meanwhile(tmp_path: Path) -> None:
    source = tmp_path / "m"
    source.write_bytes(b"1" * (20 << 20))

    def change(done: int, total: int) -> None:
        if 0 < done < total:
            with open(source, "ab") as file:
                file.write(b"more")

    with pytest.raises(BarelmError, match="changed while it was being copied"):
        write_image(tmp_path / "a.img", {"m": source}, progress=change)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.img").write_bytes(b"old")
    (tmp_path / "link.img").symlink_to(tmp_path / "real.img")
    layout = write_image(tmp_path / "link.img", {"m": b"1"})
    assert (tmp_path / "link.img").is_symlink()
    assert (tmp_path / "real.img").stat().st_size == layout.bytes


@pytest.mark.parametrize("plain", [False, True])
def test_an_image_for_large_sectors(tmp_path: Path, plain: bool) -> None:
    """Table and volume are laid out in whole sectors, and what is on it is read, and changed, as ever."""
    image, files = tmp_path / "large.img", {"a/b.txt": b"content", "model.blm": bytes(100_000)}
    layout = write_image(image, files, plain=plain, sector=4096)
    assert image.stat().st_size == layout.bytes and layout.bytes % 4096 == 0

    def piece(at: int, n: int) -> bytes:
        with open(image, "rb") as file:
            file.seek(at)
            return file.read(n)

    if not plain:
        assert piece(4096, 8) == piece(layout.bytes - 4096, 8) == b"EFI PART" and piece(512, 8) == bytes(8)
        first, last = (int.from_bytes(piece(2 * 4096 + at, 8), "little") for at in (32, 40))
        assert first * 4096 == layout.esp_offset and (last + 1) * 4096 <= layout.bytes - 5 * 4096
    with open_volume(image) as volume:
        assert {entry.path: volume.read(entry, 0, entry.size) for entry in volume.files()} == files
    with flashing.Content(image, layout.bytes + (8 << 20)) as content:
        assert content.sector == 4096
        assert content.read(content.spans()[-1])[-4096:-4088] == (bytes(8) if plain else b"EFI PART")
    with open_editor(image) as editor:
        assert editor.geometry.sector_bytes == 4096 and editor.geometry.fat_offset % 4096 == 0
        editor.save("c/d.txt", b"more" * 5000)
    with open_volume(image) as volume:
        assert {entry.path for entry in volume.files()} == {*files, "c/d.txt"}
    run("dd", f"if={image}", f"of={tmp_path / 'volume'}", f"bs={1 << 20}", f"skip={layout.esp_offset >> 20}",
        "conv=sparse")
    check_volume(tmp_path / "volume")


def test_there_are_no_other_sectors(tmp_path: Path) -> None:
    with pytest.raises(BarelmError, match="no disks with sectors of 1024 bytes"):
        write_image(tmp_path / "x.img", {}, sector=1024)
