"""`barelm ls` and `barelm cp`: files into an image and out of it, and what people get wrong."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from barelm.commands.image_files import Place, parse_place
from barelm.disk import open_editor, open_volume, write_image
from barelm.pack.parts import parts_of
from barelm.pack.writer import write_packed
from tests.commands.conftest import Cli
from tests.models import tiny_checkpoint

FILES = {"EFI/BOOT/BOOTX64.EFI": b"program", "barelm.toml": b"tokens = 5\n", "a longer name.json": b"{}" * 5000}


PART = 12 * 4096
"""Bytes of a file, where a test says that no more fit."""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line in a fresh folder, without the compiled program: nothing here needs it."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("tiny.bin", "tokenizer.bin"):
        (folder / name).write_bytes(bytes(range(256)) * 20)
    monkeypatch.chdir(folder)
    terminate = signal.getsignal(signal.SIGTERM)
    yield Cli(folder, capsys)
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture
def stick(cli: Cli) -> Path:
    """An image with a few files."""
    image = cli.folder / "stick.img"
    write_image(image, FILES)
    return image


def content(image: Path, path: str) -> bytes | None:
    """A file of an image; None where there is none."""
    with open_volume(image) as volume:
        entry = volume.lookup(path)
        return volume.read(entry, 0, entry.size) if entry is not None else None


@pytest.mark.parametrize("text, place", [
    ("stick.img:report.json", ("stick.img", "report.json")),
    ("stick.img:", ("stick.img", "")),
    ("dir/stick.img:a/b/", ("dir/stick.img", "a/b/")),
    ("stick.img:a\\b", ("stick.img", "a/b")),
    ("C:\\x.img:report.json", ("C:\\x.img", "report.json")),
    ("d:/x.img:a/b", ("d:/x.img", "a/b")),
    ("/dev/disk/by-id/usb-0:0:notes.md", ("/dev/disk/by-id/usb-0:0", "notes.md")),
    ("C:\\x.img", None), ("c:/x/y.img", None), ("plain", None), (":x", None), ("", None), ("/dev/null", None),
])
def test_places(text: str, place: tuple[str, str] | None) -> None:
    assert parse_place(text) == (Place(Path(place[0]), place[1]) if place else None)


def test_a_file_with_a_colon_in_its_name_is_a_file(cli: Cli, stick: Path) -> None:
    (cli.folder / "stick.img:odd").write_bytes(b"odd")
    assert parse_place("stick.img:odd") is None
    assert cli("cp", "stick.img:odd", "stick.img:even").code == 0
    assert content(stick, "even") == b"odd"


def test_ls_shows_files_and_directories(cli: Cli, stick: Path) -> None:
    result = cli("ls", "stick.img")
    assert (result.code, result.err) == (0, "")
    rows = [line.split(maxsplit=3) for line in result.out.splitlines()]
    assert ["11", "1980-01-01", "00:00", "barelm.toml"] in rows
    assert ["10,000", "1980-01-01", "00:00", "a longer name.json"] in rows
    assert any(row[-1] == "EFI/" for row in rows) and rows[-1][1:] == ["bytes", "free"]
    assert "BOOTX64.EFI" in cli("ls", "stick.img:/efi/boot/").out
    assert "11" in cli("ls", "stick.img:BARELM.TOML").out


def test_ls_as_json(cli: Cli, stick: Path) -> None:
    facts = json.loads(cli("ls", "stick.img", "--json").out)
    assert facts["image"] == "stick.img" and facts["path"] == "" and facts["free_bytes"] > 1 << 20
    found = {entry["name"]: entry for entry in facts["entries"]}
    assert found["EFI"]["directory"] and not found["barelm.toml"]["directory"]
    assert found["barelm.toml"]["bytes"] == 11 and found["barelm.toml"]["modified"] == "1980-01-01T00:00"


def test_files_come_out(cli: Cli, stick: Path) -> None:
    before = stick.read_bytes()
    assert cli("cp", "stick.img:barelm.toml", ".").code == 0
    assert cli("cp", "stick.img:a longer name.json", "renamed.json").code == 0
    (cli.folder / "into").mkdir()
    result = cli("cp", "stick.img:efi/boot/bootx64.efi", "stick.img:barelm.toml", "into")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (cli.folder / "barelm.toml").read_bytes() == FILES["barelm.toml"]
    assert (cli.folder / "renamed.json").read_bytes() == FILES["a longer name.json"]
    assert sorted(path.name for path in (cli.folder / "into").iterdir()) == ["BOOTX64.EFI", "barelm.toml"]
    assert stick.read_bytes() == before


def test_files_go_in(cli: Cli, stick: Path) -> None:
    (cli.folder / "notes of today.md").write_bytes(b"# Notes\n" * 1000)
    (cli.folder / "empty").write_bytes(b"")
    result = cli("cp", "notes of today.md", "empty", "stick.img:sessions/2026")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert content(stick, "sessions/2026/notes of today.md") == b"# Notes\n" * 1000
    assert content(stick, "sessions/2026/empty") == b""
    assert cli("cp", "empty", "stick.img:barelm.toml").code == 0
    assert content(stick, "barelm.toml") == b""
    assert cli("cp", "notes of today.md", "stick.img:EFI").code == 0
    assert content(stick, "EFI/notes of today.md") is not None
    assert cli("cp", "empty", "stick.img:").code == 0 and content(stick, "empty") == b""
    assert content(stick, "a longer name.json") == FILES["a longer name.json"]
    assert "1980" not in cli("ls", "stick.img:sessions").out.replace("bytes free", "")


@pytest.mark.parametrize("arguments, sentence", [
    (("ls", "nowhere.img"), "cannot read nowhere.img: No such file"),
    (("ls", "nowhere.img:x"), "cannot read nowhere.img"),
    (("ls", "stick.img:nowhere"), "there is no nowhere in stick.img"),
    (("ls", "stick.img:barelm.toml/"), "there is no barelm.toml/ in"),
    (("ls", "tiny.bin"), "not a sound disk image"),
    (("ls", "."), "cannot read .: Is a directory"),
    (("cp", "tiny.bin"), "nothing to copy"),
    (("cp", "tiny.bin", "other"), "neither tiny.bin nor other is in an image"),
    (("cp", "stick.img:barelm.toml", "stick.img:x"), "both sides"),
    (("cp", "stick.img:barelm.toml", "tiny.bin", "."), "neither tiny.bin nor . is"),
    (("cp", "stick.img:nowhere", "."), "there is no nowhere in stick.img"),
    (("cp", "stick.img:EFI", "."), "stick.img:EFI is a directory"),
    (("cp", "stick.img:barelm.toml", "stick.img"), "stick.img is the image itself"),
    (("cp", "stick.img:barelm.toml", "no/folder/x"), "cannot write no/folder/x"),
    (("cp", "stick.img:barelm.toml", "folder/"), "folder is not a directory"),
    (("cp", "stick.img:barelm.toml", "stick.img:EFI/BOOT/BOOTX64.EFI", "x"), "x is not a directory"),
    (("cp", "nowhere", "stick.img:x"), "there is no file nowhere"),
    (("cp", ".", "stick.img:x"), ". is a directory"),
    (("cp", "stick.img", "stick.img:x"), "stick.img is the image itself"),
    (("cp", "tiny.bin", "stick.img:a/b?c"), "the name 'b?c' has the character '?'"),
    (("cp", "tiny.bin", "stick.img:barelm.toml/x"), "barelm.toml is a file, not a directory"),
    (("cp", "tiny.bin", "stick.img:../x"), "reserved for the directory itself"),
    (("cp", "tiny.bin", "nowhere.img:x"), "cannot write nowhere.img: No such file"),
    (("cp", "tiny.bin", "tokenizer.bin:x"), "not a sound disk image"),
    (("cp", "tiny.bin", "stick.img:" + "x" * 256), "longer than 255"),
    (("cp", "huge", "stick.img:new/folder/huge"), "the volume is full"),
    (("cp", "enormous", "stick.img:enormous"), "can have"),
])
def test_bad_arguments_end_in_a_line(cli: Cli, stick: Path, arguments: tuple[str, ...], sentence: str) -> None:
    for name, size in (("huge", 60 << 20), ("enormous", 5 << 30)):
        with open(cli.folder / name, "wb") as file:
            file.truncate(size)
    before = cli("ls", "stick.img").out
    assert sentence in cli.refuses(*arguments)
    assert cli("ls", "stick.img").out == before


def test_an_error_of_ls_as_json(cli: Cli) -> None:
    result = cli("ls", "nowhere.img", "--json")
    assert result.code == 1 and "nowhere.img" in json.loads(result.out)["error"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_image_that_may_not_be_written(cli: Cli, stick: Path) -> None:
    stick.chmod(0o444)
    assert "cannot write stick.img: Permission denied" in cli.refuses("cp", "tiny.bin", "stick.img:x")
    assert cli("ls", "stick.img").code == 0


def test_an_image_in_use_is_left_alone(cli: Cli, stick: Path) -> None:
    with open_editor(stick):
        assert "being written by another" in cli.refuses("cp", "tiny.bin", "stick.img:x")
        assert cli("cp", "stick.img:barelm.toml", ".").code == 0


def test_a_model_too_large_for_one_file_goes_in_and_comes_out(cli: Cli, stick: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut, put together, replaced by a smaller one, and refused where a part is missing or there is no room."""
    monkeypatch.setattr("barelm.commands.image_files.parts_of", partial(parts_of, part_bytes=PART))
    monkeypatch.setattr("barelm.pack.parts.PART_BYTES", PART)
    write_packed(tiny_checkpoint(1, n_layers=5), cli.folder / "tiny.blm")
    write_packed(tiny_checkpoint(2, n_layers=1), cli.folder / "small.blm")
    n_small, n_tiny = (len(parts_of("m", cli.folder / name, PART)) for name in ("small.blm", "tiny.blm"))
    assert 1 < n_small < n_tiny
    write_packed(tiny_checkpoint(2, n_layers=6, dim=128), cli.folder / "large.blm")
    assert cli("cp", "tiny.blm", "stick.img:MODEL.BLM").code == 0
    assert cli("cp", "tiny.blm", "stick.img:model.blm").code == 0
    names = [row.split()[-1] for row in cli("ls", "stick.img").out.splitlines()]
    assert {"MODEL.BLM", "MODEL.BLM.2", "MODEL.BLM.3"} <= set(names) and "model.blm" not in names
    assert cli("cp", "stick.img:model.blm", "out.blm").code == 0
    assert (cli.folder / "out.blm").read_bytes() == (cli.folder / "tiny.blm").read_bytes()
    assert json.loads(cli("show", "stick.img", "--json").out)["model"]["name"] == "tiny"
    assert cli("cp", "small.blm", "stick.img:model.blm").code == 0
    assert content(stick, f"model.blm.{n_small}")
    assert all(content(stick, f"model.blm.{n}") is None for n in range(n_small + 1, n_tiny + 1))
    assert cli("cp", "stick.img:model.blm", "out.blm").code == 0
    assert (cli.folder / "out.blm").read_bytes() == (cli.folder / "small.blm").read_bytes()
    with open_editor(stick) as volume:
        node = volume.lookup("model.blm.2")
        assert node is not None
        volume.delete(node)
    assert "goes on in MODEL.BLM.2, which is not in" in cli.refuses("cp", "stick.img:model.blm", "out2.blm")
    write_image(cli.folder / "full.img", FILES, plain=True, free_bytes=0)
    with open_editor(cli.folder / "full.img") as volume:
        volume.save("filler", bytes(volume.free_bytes - (64 << 10)))
        before = volume.free_bytes
    assert "bytes free" in cli.refuses("cp", "large.blm", "full.img:model.blm")
    with open_volume(cli.folder / "full.img") as after:
        assert after.free_bytes == before and after.lookup("model.blm") is None
