"""A model cut into the files of a volume: what is written comes back, and what does not belong together is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barelm.contract.layout import PAGE, PART_BYTES
from barelm.disk import Volume, open_editor, open_volume, write_image
from barelm.disk.directory import Node
from barelm.disk.fat32 import FILE_LIMIT
from barelm.errors import BarelmError
from barelm.pack.parts import header_on, parts_after, parts_of, pieces_of
from barelm.pack.writer import write_packed
from tests.models import BIASES, tiny_checkpoint

SMALL = 12 * PAGE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model."""
    path = tmp_path_factory.mktemp("model") / "tiny.blm"
    write_packed(tiny_checkpoint(1, has=BIASES), path)
    return path


def joined(volume: Volume, node: Node) -> bytes:
    """A model as its pieces have it."""
    return b"".join(volume.read(piece.node, piece.offset, piece.n_bytes) for piece in pieces_of(volume, node))


def found(volume: Volume, path: str) -> Node:
    """A file that is there."""
    node = volume.lookup(path)
    assert node is not None
    return node


def test_a_part_is_as_large_as_a_file_can_be() -> None:
    assert PART_BYTES == FILE_LIMIT and PART_BYTES % PAGE == 0


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(pages=st.integers(10, 45), name=st.sampled_from(["model.blm", "a/b.blm", "x"]), edited=st.booleans())
def test_what_is_cut_comes_back(model: Path, tmp_path_factory: pytest.TempPathFactory, pages: int, name: str,
                                edited: bool) -> None:
    image = tmp_path_factory.mktemp("image") / "a.img"
    files = parts_of(name, model, pages * PAGE)
    if edited:
        write_image(image, {"y/y": b"z"}, free_bytes=4 << 20)
        with open_editor(image) as editor:
            for path, source in files.items():
                editor.save(path, source)
    else:
        layout = write_image(image, {"first": b"1", **files, "last": model})
        assert all(size <= pages * PAGE for path, (_, size) in layout.extents.items() if path.startswith(name))
    with open_volume(image) as volume:
        node = found(volume, name)
        assert joined(volume, node) == model.read_bytes()
        assert len(pieces_of(volume, node)) == len(files)
        assert all(piece.offset in (0, PAGE) for piece in pieces_of(volume, node))
        assert header_on(volume, node).file_bytes == model.stat().st_size
        assert not [*parts_after(volume, node, len(files))]


def test_what_fits_stays_one_file(model: Path, tmp_path: Path) -> None:
    assert parts_of("model.blm", model) == {"model.blm": model}
    assert parts_of("model.blm", model, model.stat().st_size) == {"model.blm": model}
    other = tmp_path / "notes.blm"
    other.write_bytes(bytes(SMALL * 2))
    assert parts_of("n", other, SMALL) == {"n": other}
    with pytest.raises(BarelmError, match="more than 64 files"):
        parts_of("m", sparse(tmp_path, model, 400 * PAGE), 4 * PAGE)


def sparse(folder: Path, model: Path, n_bytes: int) -> Path:
    """A file that begins as a model does and is longer."""
    path = folder / "long.blm"
    path.write_bytes(model.read_bytes())
    with open(path, "r+b") as file:
        file.truncate(n_bytes)
    return path


@pytest.mark.parametrize("name, content, says", [
    ("model.blm.2", None, "model.blm goes on in model.blm.2, which is not in"),
    ("model.blm.3", None, "model.blm goes on in model.blm.3, which is not in"),
    ("model.blm.3", b"x" * PAGE, "model.blm.3 in .* is damaged, or not of the model"),
    ("model.blm.2", b"", "model.blm.2 in .* is damaged"), ("model.blm.3", "model.blm.2", "model.blm.3 in .* damaged")])
def test_parts_that_are_not_right(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                  content: bytes | str | None, says: str) -> None:
    monkeypatch.setattr("barelm.pack.parts.PART_BYTES", SMALL)
    files = parts_of("model.blm", model, SMALL)
    source = files[content] if isinstance(content, str) else content
    del files[name]
    files |= {name: source} if source is not None else {}
    write_image(tmp_path / "a.img", files)
    with open_volume(tmp_path / "a.img") as volume:
        with pytest.raises(BarelmError, match=says) as refused:
            pieces_of(volume, found(volume, "model.blm"))
        assert "barelm cp" in refused.value.hint


def test_a_file_that_is_cut_short_is_no_part(model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.img", {"model.blm": model.read_bytes()[:-PAGE], "other": b"12345"})
    with open_volume(tmp_path / "a.img") as volume:
        assert [piece.n_bytes for piece in pieces_of(volume, found(volume, "model.blm"))] == [
            model.stat().st_size - PAGE]
        with pytest.raises(BarelmError, match="cut short"):
            header_on(volume, found(volume, "model.blm"))
        with pytest.raises(BarelmError, match="other in .* is not a packed model"):
            header_on(volume, found(volume, "other"))


def test_a_file_that_changes_while_it_is_copied(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m.blm"
    copy.write_bytes(model.read_bytes())
    files = parts_of("model.blm", copy, SMALL)
    with open(copy, "r+b") as file:
        file.truncate(SMALL + 5)
    with pytest.raises(BarelmError, match="changed while"):
        write_image(tmp_path / "a.img", files)
    write_image(tmp_path / "b.img", {"x": b"y"}, free_bytes=4 << 20)
    with open_editor(tmp_path / "b.img") as editor, pytest.raises(BarelmError, match="changed while"):
        editor.save("model.blm.3", files["model.blm.3"])
    assert not (tmp_path / "a.img").exists()
