"""What decides whether a thing has to be made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from barelm import host_files
from barelm.host_files import sources_digest
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


def test_the_program_is_named_after_its_font() -> None:
    assert (host_files.PACKAGE / "metal" / "console" / "font.npz").suffix in host_files.SOURCES


def test_a_packed_model_is_named_after_the_ranges_of_unicode() -> None:
    assert RANGES.suffix in host_files.SOURCES
