"""Files that are whole or not there, kept from others; and what decides whether a thing has to be made again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from barelm import host_files
from barelm.errors import BarelmError
from barelm.host_files import check_not_read, data_folder, renamed_at_the_end, replace_file, sources_digest
from barelm.pack.categories import RANGES


def test_the_digest_of_a_room_follows_its_sources_and_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_files, "PACKAGE", tmp_path)
    (tmp_path / "room").mkdir()
    source, font = tmp_path / "room" / "a.py", tmp_path / "room" / "font.npz"
    source.write_text("x = 1\n")
    font.write_bytes(b"one")
    digests = [sources_digest("room")]
    font.write_bytes(b"two")
    digests.append(sources_digest("room"))
    source.write_text("x = 2\n")
    digests.append(sources_digest("room"))
    font.unlink()
    digests.append(sources_digest("room"))
    assert len(set(digests)) == 4
    (tmp_path / "room" / "note.txt").write_text("nothing that is compiled")
    assert sources_digest("room") == digests[-1]


@pytest.mark.parametrize("name", ["console/font.npz", "serving/page.html"])
def test_the_program_is_named_after_its_data(name: str) -> None:
    assert (host_files.PACKAGE / "metal" / name).is_file()
    assert host_files.SOURCES.count((host_files.PACKAGE / "metal" / name).suffix) == 1


def test_a_packed_model_is_named_after_the_ranges_of_unicode() -> None:
    assert RANGES.suffix in host_files.SOURCES


def test_a_link_planted_beside_is_never_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can know the name; where somebody does, the file is not made."""
    secret = tmp_path / "secret"
    secret.write_text("keep")
    monkeypatch.setattr("secrets.token_hex", lambda n: "known")
    (tmp_path / ".out.known.part").symlink_to(secret)
    with pytest.raises(BarelmError, match="cannot write .*out"):
        replace_file(tmp_path / "out", b"through")
    (tmp_path / f".out.{os.getpid()}.part").symlink_to(secret)
    monkeypatch.undo()
    replace_file(tmp_path / "out", b"beside")
    assert (secret.read_text(), (tmp_path / "out").read_bytes()) == ("keep", b"beside")


def test_a_target_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("keep")
    (tmp_path / "out").symlink_to(tmp_path / "secret")
    replace_file(tmp_path / "out", b"new")
    assert (tmp_path / "secret").read_text() == "keep" and not (tmp_path / "out").is_symlink()


def test_another_file_in_its_place_is_not_given_the_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="somebody has replaced"), renamed_at_the_end(tmp_path / "out") as beside:
        beside.unlink()
        beside.write_text("somebody's")
    assert list(tmp_path.iterdir()) == []


def test_the_disk_has_a_file_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def replace(old: Path, new: Path) -> None:
        done.append("name")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    replace_file(tmp_path / "out", b"x")
    assert done == ["file", "name", "folder"]
    with renamed_at_the_end(tmp_path / "fleeting", lasting=False):
        pass
    assert done == ["file", "name", "folder", "name"]


def test_files_have_the_mode_a_person_gives_theirs(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        replace_file(tmp_path / "out", b"x")
        replace_file(tmp_path / "private", b"x", 0o600)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("out", "private")] == [0o644, 0o600]


def test_what_a_person_keeps_is_theirs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "barelm").mkdir(mode=0o755)  # by an earlier barelm
    assert stat.S_IMODE(data_folder().stat().st_mode) == 0o700


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    model, other = tmp_path / "model.gguf", tmp_path / "other.blm"
    model.touch()
    check_not_read(other, model, None)
    (tmp_path / "link").symlink_to(model)
    with pytest.raises(BarelmError, match="would be lost"):
        check_not_read(tmp_path / "link", None, model)


@pytest.mark.parametrize("name", ["pipe", ".", ""])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BarelmError, match="cannot write"):
        replace_file(Path(name), b"x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and len(list(tmp_path.iterdir())) == 1
