"""A volume that is written: against a dictionary, other people's tools, and power that fails after any write."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from barelm.disk import Editor, VolumeFullError, open_editor, open_volume, write_image
from barelm.disk.directory import Folder, Node
from barelm.errors import BarelmError
from tests.disk.oracles import check_volume, extract

BASE = {"EFI/BOOT/BOOTX64.EFI": b"program" * 1000, "model.blm": bytes(range(256)) * 300, "barelm.toml": b"tokens = 5\n"}
NAMES = ["a", "B.TXT", "notes of a long day.md", "x" * 60 + ".json", "Ü 語.dat", "c.d.e", "NOTES.MD", "report.json"]
WIDE = 300 << 20        # free bytes with which clusters have 4 KiB


def volume(folder: Path, free_bytes: int = 0, files: dict[str, bytes] | None = None) -> Path:
    """A plain volume."""
    image = folder / "a.img"
    write_image(image, BASE if files is None else files, plain=True, free_bytes=free_bytes)
    return image


def contents(image: Path) -> dict[str, bytes]:
    """Every file as the read-only reader sees it."""
    with open_volume(image) as reader:
        return {entry.path: reader.read(entry, 0, entry.size) for entry in reader.files()}


def file(editor: Editor, path: str) -> Node:
    """What is at a path, and something is."""
    node = editor.find(path)
    assert node is not None, path
    return node


def folder_of(editor: Editor, path: str) -> Folder:
    """The directory at a path."""
    node = file(editor, path)
    assert isinstance(node, Folder)
    return node


def used_clusters(image: Path) -> int:
    """Clusters in use, as the summary counts them."""
    with open_editor(image, writable=False) as editor:
        return (editor.total_bytes - editor.free_bytes) // editor.cluster_bytes


CHANGES = st.lists(st.tuples(
    st.sampled_from(["write", "resize", "rename", "delete", "save", "create"]), st.sampled_from(["", "dir", "dir/sub"]),
    st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 9000), st.integers(0, 5000)), max_size=25)


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
          suppress_health_check=[HealthCheck.too_slow])
@given(CHANGES, st.sampled_from([0, WIDE]))
def test_any_changes_give_what_a_dictionary_gives(changes: list[tuple[str, str, str, str, int, int]],
                                                  free: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        image = volume(Path(name), free)
        model = {path.lower(): content for path, content in BASE.items()}
        with open_editor(image) as editor:
            editor.make_directories("dir/sub")
            for kind, where, first, second, at, n in changes:
                change(editor, model, kind, where, first, second, at, n)
                assert {node.path.lower(): editor.read(node, 0, node.size) for node in files_of(editor.root)} == model
        assert {path.lower(): content for path, content in contents(image).items()} == model
        check_volume(image)
        assert {path.lower(): content for path, content in extract(image, 0, Path(name, "out")).items()} == model


def files_of(folder: Folder) -> Iterator[Node]:
    """All files in a directory and below."""
    for node in folder.listed():
        if isinstance(node, Folder):
            yield from files_of(node)
        else:
            yield node


def change(editor: Editor, model: dict[str, bytes], kind: str, where: str, first: str, second: str, at: int,
           n: int) -> None:
    """One change of a volume, and of the dictionary that says what it has to hold."""
    path, other = (f"{where}/{name}".lstrip("/") for name in (first, second))
    node, old = editor.find(path), model.get(path.lower())
    assert (node is None) == (old is None)
    new = random.Random(n).randbytes(n)
    if kind == "save":
        editor.save(path, new)
        model[path.lower()] = new
    elif kind == "create":
        if node is None:
            editor.create(folder_of(editor, where), first)
            model[path.lower()] = b""
        else:
            with pytest.raises(BarelmError, match="there is already"):
                editor.create(folder_of(editor, where), first)
    elif node is None or old is None:
        return
    elif kind == "write":
        editor.write(node, at, new)
        model[path.lower()] = (old.ljust(at, b"\0")[:at] + new + old[at + n:])
    elif kind == "resize":
        editor.resize(node, at)
        model[path.lower()] = old[:at].ljust(at, b"\0")
    elif kind == "delete":
        editor.delete(node)
        del model[path.lower()]
    elif other.lower() not in model or other.lower() == path.lower():
        editor.rename(node, folder_of(editor, where), second)
        model[other.lower()] = model.pop(path.lower())
    else:
        with pytest.raises(BarelmError, match="there is already"):
            editor.rename(node, folder_of(editor, where), second)


class PowerCut(Exception):
    """The power fails."""


def after_every_write(image: Path, operation: Callable[[Editor], object]) -> Iterator[tuple[int, dict[str, bytes]]]:
    """(n, contents) as a reader finds them where the power failed after the n-th write of an operation."""
    log: list[tuple[int, bytes, bytes]] = []
    with open_editor(image) as editor:
        plain = editor.medium.write

        def write(offset: int, content: bytes | memoryview) -> None:
            log.append((offset, editor.medium.read(offset, len(content)), bytes(content)))
            plain(offset, content)

        editor.medium.write = write  # type: ignore[method-assign]
        operation(editor)
    assert log
    with open(image, "r+b") as raw:
        for offset, before, _ in reversed(log):
            raw.seek(offset)
            raw.write(before)
    for n, (offset, _, after) in enumerate(log, 1):
        with open(image, "r+b") as raw:
            raw.seek(offset)
            raw.write(after)
        yield n, contents(image)


def test_power_that_fails_is_noticed_at_once(tmp_path: Path) -> None:
    image = volume(tmp_path)
    for n in range(1, 4):
        with open_editor(image) as editor, cut_after(editor, n), pytest.raises(PowerCut):
            editor.save(f"new folder {n}/barelm.toml", b"other")
        assert contents(image) == BASE


@contextmanager
def cut_after(editor: Editor, n: int) -> Iterator[None]:
    """Let the power fail after the n-th write."""
    def written(number: int) -> None:
        assert number <= n, "written without power"
        if number == n:
            raise PowerCut

    editor.medium.after_write = written
    yield


def crowded(folder: Path, free_bytes: int) -> tuple[Path, dict[str, bytes]]:
    """A volume with a directory of many long names, so that entries cross sectors and clusters."""
    files = {f"logs/the log of day {i} of a long journey.txt": bytes([i]) * 700 for i in range(30)}
    return volume(folder, free_bytes, {**BASE, **files}), {**BASE, **files}


OPERATIONS: dict[str, tuple[set[str], Callable[[Editor], object]]] = {
    "replace": ({"barelm.toml"}, lambda editor: editor.save("barelm.toml", b"new" * 3000)),
    "new": ({"logs/a new file with a long name that crosses.txt"},
            lambda editor: editor.save("logs/a new file with a long name that crosses.txt", b"new" * 3000)),
    "new directories": ({"one/two/three.txt"}, lambda editor: editor.save("one/two/three.txt", b"new" * 3000)),
    "append": ({"barelm.toml"}, lambda editor: editor.write(file(editor, "barelm.toml"), 11, b"more" * 1000)),
    "truncate": ({"model.blm"}, lambda editor: editor.resize(file(editor, "model.blm"), 5000)),
    "delete": ({"model.blm"}, lambda editor: editor.delete(file(editor, "model.blm"))),
}


@pytest.mark.parametrize("free", [0, WIDE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_power_cut_spares_every_other_file(tmp_path: Path, name: str, free: int) -> None:
    image, files = crowded(tmp_path, free)
    touched, operation = OPERATIONS[name]
    states = []
    for _, found in after_every_write(image, operation):
        assert {path: content for path, content in found.items() if path not in touched} == {
            path: content for path, content in files.items() if path not in touched}
        states.append([found.get(path) for path in touched])
    if name in ("replace", "new", "new directories", "delete"):
        path, = touched
        last, = states[-1]
        assert all(state in ([files.get(path)], [last]) for state in states)      # the old or the new, never a part


@pytest.mark.parametrize("free", [0, WIDE])
@pytest.mark.parametrize("day", range(0, 8, 2))
@pytest.mark.parametrize("new", ["SHORT.TXT", "another name as long as before.txt", "z" * 120])
def test_power_cut_leaves_a_file_one_of_its_names(tmp_path: Path, day: int, new: str, free: int) -> None:
    image, files = crowded(tmp_path, free)
    old, renamed = f"logs/the log of day {day} of a long journey.txt", f"logs/{new}"
    content = files.pop(old)

    def rename(editor: Editor) -> None:
        node = file(editor, old)
        assert node.parent is not None
        editor.rename(node, node.parent, new)

    for _, found in after_every_write(image, rename):
        names = {path for path in found if path not in files}
        assert names and all(found[path] == content for path in names)
        assert {path: found[path] for path in files} == files
        assert names <= {old, renamed}
    assert contents(image) == {**files, renamed: content}
    check_volume(image)


def test_deleting_many_by_power_cut(tmp_path: Path) -> None:
    image, files = crowded(tmp_path, WIDE)

    def clear(editor: Editor) -> None:
        for node in folder_of(editor, "logs").listed()[:6]:
            editor.delete(node)

    for _, found in after_every_write(image, clear):
        assert all(files[path] == content for path, content in found.items())
        assert set(BASE) <= set(found)


def test_a_full_volume_says_so_and_keeps_its_room(tmp_path: Path) -> None:
    image = volume(tmp_path)
    with open_editor(image) as editor:
        editor.resize(editor.create(editor.root, "filler"), editor.free_bytes - 10 * 512)
        node, free, writes = file(editor, "barelm.toml"), editor.free_bytes, editor.medium.writes
        for refused in (lambda: editor.write(node, 0, bytes(20 * 512)), lambda: editor.resize(node, 20 * 512),
                        lambda: editor.store(editor.root, "new", 20 * 512, [bytes(20 * 512)]),
                        lambda: editor.store(editor.root, "barelm.toml", 20 * 512, [bytes(20 * 512)])):
            with pytest.raises(VolumeFullError, match="5,120 bytes free") as raised:
                refused()
            assert raised.value.hint
        assert (editor.free_bytes, editor.medium.writes) == (free, writes)
        with pytest.raises(VolumeFullError):
            editor.save("some/new/folder", bytes(20 * 512))
        assert editor.free_bytes >= free - 512 and editor.find("some") is None
        with pytest.raises(VolumeFullError):
            for i in range(20):
                editor.create(editor.root, f"directory {i}", directory=True)
        assert editor.free_bytes <= 512
    assert contents(image)["barelm.toml"] == BASE["barelm.toml"]
    check_volume(image)


def test_source_that_changes_leaves_nothing(tmp_path: Path) -> None:
    image = volume(tmp_path)
    with open_editor(image) as editor:
        free = editor.free_bytes
        for pieces in ([b"123"], [b"1234", b"56"], []):
            with pytest.raises(BarelmError, match="changed while"):
                editor.store(editor.root, "barelm.toml", 4, pieces)
        assert editor.free_bytes == free
    assert contents(image) == BASE
    check_volume(image)


def test_many_megabytes_take_few_writes_and_little_time(tmp_path: Path) -> None:
    image = volume(tmp_path, 200 << 20)
    source = tmp_path / "big"
    source.write_bytes(random.Random(1).randbytes(1 << 20) * 100)
    seen = []
    with open_editor(image) as editor:
        began = time.monotonic()
        editor.save("big", source, lambda done, total: seen.append((done, total)))
        assert time.monotonic() - began < 10
        assert editor.medium.writes < 1000
    assert seen[-1] == (100 << 20, 100 << 20)
    assert contents(image)["big"] == source.read_bytes()


def test_names_are_found_as_firmware_finds_them(tmp_path: Path) -> None:
    image = volume(tmp_path)
    with open_editor(image) as editor:
        folder = folder_of(editor, "efi\\boot")
        node = editor.create(folder, "A rather long name.text")
        assert editor.find("/EFI/../efi/./boot/ARATHE~1.TEX") is node
        assert editor.find("..\\..\\barelm.toml", folder) is editor.find("BARELM.TOML")
        assert editor.find("..") is editor.find("barelm.toml/x") is editor.find("nowhere") is None
        assert editor.find("\\", folder) is editor.find("") is editor.root
        for bad in ("", "a/b", "a:b", "end.", "x" * 300):
            with pytest.raises(BarelmError, match="which FAT32 forbids"):
                editor.create(folder, bad)
        with pytest.raises(BarelmError, match="is a file"):
            editor.make_directories("new/../barelm.toml/deeper")
        with pytest.raises(BarelmError, match="not empty"):
            editor.delete(folder)


def test_moves_and_removes(tmp_path: Path) -> None:
    image = volume(tmp_path)
    with open_editor(image) as editor:
        target = editor.make_directories("a/b")
        editor.rename(file(editor, "barelm.toml"), target, "moved by hand.toml")
        editor.rename(folder_of(editor, "a"), editor.root, "another name")
        editor.delete(folder_of(editor, "EFI/BOOT").listed()[0])
        editor.delete(folder_of(editor, "EFI/BOOT"))
    assert set(contents(image)) == {"another name/b/moved by hand.toml", "model.blm"}
    check_volume(image)


def test_garbage_behind_a_directory_stays_unseen(tmp_path: Path) -> None:
    image = volume(tmp_path, WIDE)
    with open_editor(image) as editor:
        at = editor.geometry.cluster_offset(editor.geometry.root_cluster)
    with open(image, "r+b") as raw:
        raw.seek(at + 512)
        raw.write(b"GARBAGE BIN\x20" + bytes(20) + b"x" * 3000)
    with open_editor(image) as editor:
        for i in range(20):
            editor.save(f"a file of number {i}", b"content")
    assert set(contents(image)) == {*BASE, *(f"a file of number {i}" for i in range(20))}
    check_volume(image)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    image = volume(tmp_path)
    with open_editor(image), pytest.raises(BarelmError, match="being written by another"):
        open_editor(image)
    image.chmod(0o444)
    with open_editor(image, writable=False) as editor, pytest.raises(BarelmError, match="cannot write"):
        editor.create(editor.root, "x")


def test_two_tables_and_the_summary_agree(tmp_path: Path) -> None:
    image = volume(tmp_path)
    with open_editor(image) as editor:
        editor.save("x/y", bytes(100_000))
        editor.delete(file(editor, "model.blm"))
        geometry, free = editor.geometry, editor.free_bytes // editor.cluster_bytes
        tables = [editor.medium.read(at, geometry.cluster_count * 4) for at in (geometry.fat_offset, *geometry.mirrors)]
        assert len(tables) == 2 and tables[0] == tables[1]
        assert int.from_bytes(editor.medium.read(geometry.info_offset + 488, 4), "little") == free
    assert used_clusters(image) == geometry.cluster_count - free


@pytest.mark.parametrize("change", ["delete", "resize", "write", "save"])
def test_a_file_that_shares_clusters_is_not_changed(tmp_path: Path, change: str) -> None:
    """What it gave up, or what was written, would be the other's; the other files may be changed as ever."""
    image = tmp_path / "a.img"
    write_image(image, {"one": b"1" * 5000, "two": b"2" * 5000, "three": b"3" * 5000}, plain=True, free_bytes=1 << 20)
    with open_editor(image) as volume:
        one, two = volume.lookup("one"), volume.lookup("two")
        assert one is not None and two is not None
        volume.describe(two, two.facts)
        volume._update(two, replace(two.facts, first_cluster=one.facts.first_cluster))
    before = image.read_bytes()
    with open_editor(image) as volume:
        two = volume.lookup("two")
        assert two is not None
        acts: dict[str, Callable[[Node], object]] = {
            "delete": volume.delete, "resize": lambda node: volume.resize(node, 1),
            "write": lambda node: volume.write(node, 0, b"x"), "save": lambda node: volume.save("two", b"x")}
        with pytest.raises(BarelmError, match="two and one share clusters|one and two share clusters"):
            acts[change](two)
    assert image.read_bytes() == before
    with open_editor(image) as volume:
        volume.save("three", b"new")
        volume.save("four", b"new")
    with open_volume(image) as found:
        assert {node.name for node in found.files()} == {"one", "two", "three", "four"}
