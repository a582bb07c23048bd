"""Packed models that are damaged, cut or hostile, and places that cannot be written."""

from __future__ import annotations

import errno
import os
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barelm.contract import layout
from barelm.contract.layout import Header
from barelm.contract.sections import SECTIONS, WQKV
from barelm.errors import BarelmError
from barelm.pack.reader import Packed, read_header, read_packed
from barelm.pack.sums import own_sum
from barelm.pack.writer import write_packed
from tests.conftest import Pack
from tests.models import BIASES, tiny_checkpoint

NAMES = [row.name for row in SECTIONS]
SMALL = 16 << 20
"""Bytes that reading a header may take: far below what a lying one could ask for."""


@pytest.fixture
def packed(pack: Pack) -> Packed:
    """A tiny model with every section of its kind."""
    return pack(tiny_checkpoint(tied=False, has=BIASES))


def section_span(header: Header, number: int) -> tuple[int, int]:
    """Where a section begins, and its size."""
    entry = header.sections[number]
    return int(entry.offset), int(entry.n_bytes)


def rewrite(path: Path, content: bytes | bytearray) -> None:
    """Give the file other bytes; a new file, since the old one is mapped."""
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("number, name", list(enumerate(NAMES)), ids=NAMES)
def test_one_flipped_bit_names_its_section(packed: Packed, number: int, name: str) -> None:
    offset, size = section_span(packed.header, number)
    if not size:
        pytest.skip(f"a SentencePiece model has no {name}")
    good = packed.path.read_bytes()
    for at, bit in ((0, 1), (size // 2, 64), (size - 1, 128)):
        content = bytearray(good)
        content[offset + at] ^= bit
        rewrite(packed.path, content)
        with pytest.raises(BarelmError, match=f"section '{name}' of .* is damaged") as error:
            read_packed(packed.path)
        assert "barelm pack" in error.value.hint
        if not SECTIONS[number].columns:  # what tables say is looked at in any case
            read_packed(packed.path, verify=False)


def test_swapped_words_are_noticed(packed: Packed) -> None:
    content = bytearray(packed.path.read_bytes())
    at, _ = section_span(packed.header, WQKV)
    content[at:at + 16] = content[at + 8:at + 16] + content[at:at + 8]
    rewrite(packed.path, content)
    with pytest.raises(BarelmError, match="section 'wqkv'"):
        read_packed(packed.path)


@given(st.integers(0, 8 * layout.HEADER_BYTES - 1))
def test_one_flipped_bit_of_the_header_is_noticed(packed: Packed, bit: int) -> None:
    content = bytearray(packed.path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path = packed.path.with_name("flipped.blm")
    path.write_bytes(content)
    with pytest.raises(BarelmError, match="is not a packed model|of the layout|header of .* is damaged"):
        read_header(path)


def with_header(packed: Packed, raw: bytes) -> Path:
    """The model beside itself with another header, whose sum is right."""
    header = Header.over(np.frombuffer(raw, np.uint8).copy())
    header.sum = own_sum(header)
    path = packed.path.with_name("hostile.blm")
    path.write_bytes(header.base.tobytes() + packed.path.read_bytes()[layout.HEADER_BYTES:])
    return path


def _near(value: int, step: int) -> int:
    return max(-2**63, min(value + step, 2**63 - 1))


@given(st.data())
def test_a_hostile_header_never_crashes(packed: Packed, data: st.DataObject) -> None:
    """Words changed and the sum made right again: what is accepted must stay inside its sections."""
    header = np.frombuffer(packed.path.read_bytes()[:layout.HEADER_BYTES], np.int64).copy()
    first, last = Header.offset_of("file_bytes") // 8, Header.offset_of("golden_ids") // 8
    for _ in range(data.draw(st.integers(1, 3))):
        word = data.draw(st.integers(first, last - 1))
        value = data.draw(st.one_of(
            st.integers(-2**63, 2**63 - 1), st.integers(-2, 700), st.sampled_from((-1, 1 << 24, 1 << 40, 1 << 62)),
            st.integers(-64, 64).map(partial(_near, int(header[word])))))
        header[word] = value
    path = with_header(packed, header.tobytes())
    tracemalloc.start()
    try:
        accepted = read_packed(path)
        accepted.weights()
        accepted.vocabulary()
    except BarelmError as error:
        assert str(path) in error.message and error.hint
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < SMALL


@pytest.mark.parametrize("size", [0, 1, 8, 100, layout.HEADER_BYTES - 1, layout.HEADER_BYTES, layout.HEADER_BYTES + 1,
                                  -1, -layout.PAGE])
def test_a_cut_file_is_refused(packed: Packed, size: int) -> None:
    content = packed.path.read_bytes()[:size]
    rewrite(packed.path, content)
    with pytest.raises(BarelmError) as error:
        read_packed(packed.path)
    if len(content) >= layout.HEADER_BYTES:
        missing = int(packed.header.file_bytes) - len(content)
        assert f"{missing} bytes are missing" in error.value.message


def test_no_file_a_folder_and_another_version_are_refused(packed: Packed) -> None:
    for path in (packed.path.with_name("absent"), packed.path.parent):
        with pytest.raises(BarelmError, match="cannot read"):
            read_packed(path)
    content = bytearray(packed.path.read_bytes())
    content[Header.offset_of("version")] = 99
    rewrite(packed.path, content)
    with pytest.raises(BarelmError, match=f"version 99 of the layout, this barelm reads version {layout.VERSION}"):
        read_packed(packed.path)


@pytest.mark.parametrize("error, says", [
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
    (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
])
@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, error: OSError, says: str, after: int) -> None:
    calls = 0

    def full(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise error

    (tmp_path / "model.blm").write_text("what was there before")
    with pytest.raises(BarelmError, match=says) as caught:
        write_packed(tiny_checkpoint(), tmp_path / "model.blm", full)
    assert str(tmp_path / "model.blm") in caught.value.message and "room" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["model.blm"]
    assert (tmp_path / "model.blm").read_text() == "what was there before"


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_packed(tiny_checkpoint(), tmp_path / "model.blm", interrupt)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for out in ("absent/model.blm", "folder", "file/model.blm", "x" * 300):
        with pytest.raises(BarelmError, match="cannot write") as error:
            write_packed(tiny_checkpoint(), tmp_path / out)
        assert out in error.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BarelmError, match="Permission denied"):
            write_packed(tiny_checkpoint(), tmp_path / "model.blm")
    finally:
        tmp_path.chmod(0o700)
