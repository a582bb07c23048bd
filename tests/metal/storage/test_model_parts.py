"""A model in several files: all there in order, or one missing, damaged, or of another model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.layout import PART_MAGIC, PART_VERSION, PartHeader
from barelm.metal.console.sinks import flush
from barelm.metal.storage import model_parts
from barelm.pack.sums import own_sum
from barelm.pack.writer import write_packed
from tests.metal.fake import PAGE
from tests.metal.storage.test_model_loader import Loading, header_of, model, refused
from tests.models import BIASES, tiny_checkpoint


def split(name: str, content: bytes, part_bytes: int) -> dict[str, bytes]:
    """A model in files of at most so many bytes."""
    header = header_of(content)
    data = part_bytes - PAGE
    ends = [part_bytes, *range(part_bytes + data, len(content) + data, data)]
    files = {name: content[:part_bytes]}
    for number, (begin, end) in enumerate(zip(ends, ends[1:], strict=False), 2):
        page = PartHeader.over(np.zeros(PAGE, np.uint8))
        page.magic, page.version = PART_MAGIC, PART_VERSION
        page.number, page.n_parts = number, len(ends)
        page.offset, page.n_bytes = begin, min(end, len(content)) - begin
        page.model_sum = header.sum
        page.sum = own_sum(page)
        files[f"{name}.{number}"] = page.base.tobytes() + content[begin:end]
    return files


@pytest.mark.parametrize("part_bytes", [10 * PAGE, 11 * PAGE, 21 * PAGE, 47 * PAGE])
def test_a_model_in_several_files(part_bytes: int) -> None:
    files = split("model.blm", model(), part_bytes)
    assert len(files) == -(-(len(model()) - PAGE) // (part_bytes - PAGE)) > 1
    Loading(files).check(model())


@pytest.mark.parametrize("name, change, status, says", [
    ("model.blm.2", lambda page, content: None, uefi.EFI_NOT_FOUND, "a file of the model is missing"),
    ("model.blm.3", lambda page, content: None, uefi.EFI_NOT_FOUND, "a file of the model is missing"),
    ("model.blm.2", lambda page, content: content[:-1], uefi.EFI_VOLUME_CORRUPTED, "damaged, or of another"),
    ("model.blm.3", lambda page, content: content[:100], uefi.EFI_VOLUME_CORRUPTED, "damaged, or of another"),
    ("model.blm.2", lambda page, content: bytes([content[0] ^ 1]) + content[1:], uefi.EFI_VOLUME_CORRUPTED, "damaged"),
    ("model.blm.2", lambda page, content: content[:4000] + b"x" + content[4001:], uefi.EFI_VOLUME_CORRUPTED, "damaged"),
    ("model.blm.3", lambda page, content: other_part(), uefi.EFI_VOLUME_CORRUPTED, "of another one"),
    ("model.blm.2", lambda page, content: content[:-1] + b"\xff", uefi.EFI_CRC_ERROR, "a checksum does not match")])
def test_several_files_of_which_one_is_not_right(monkeypatch: pytest.MonkeyPatch, name: str,
                                                 change: Callable[[int, bytes], bytes | None], status: int,
                                                 says: str) -> None:
    files = split("model.blm", model(), 12 * PAGE)
    monkeypatch.setattr(model_parts, "PART_BYTES", 12 * PAGE)
    if (content := change(0, files.pop(name))) is not None:
        files[name] = content
    loading = Loading(files)
    failure = refused(loading)
    assert failure.status == status and says in failure.message
    flush(loading.con)
    assert (f"goes on in {name}, " in loading.firmware.screen) == (status != uefi.EFI_CRC_ERROR)


def other_part() -> bytes:
    """The third file of another model of the same sizes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "other.blm"
        write_packed(tiny_checkpoint(4, has=BIASES), path)
        return split("model.blm", path.read_bytes(), 12 * PAGE)["model.blm.3"]
