"""A model above 4 GiB: imaged, booted where there is room, refused in clear words where there is not.

Its weights are zeros, so that its files take little of the disk, but for the first and the last of them: what it says
is known from these two.  Loaded it is as large as any.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm import pipeline
from barelm.checkpoint.checkpoint import Checkpoint, Tensor, float32_tensor
from barelm.commands.show import facts_of
from barelm.contract import layout, uefi
from barelm.contract.sections import CLASSIFIER, EMBEDDING, MATRICES
from barelm.disk import open_editor, open_volume
from barelm.errors import BarelmError
from barelm.machine.hosted import Hosted, memory_left
from barelm.machine.machine import Spec
from barelm.pack.reader import Packed, read_packed
from barelm.pack.sums import checksum, own_sum
from barelm.pack.tokenizer_tables import tokenizer_tables
from barelm.pack.writer import plan_header, section_parts
from barelm.pipeline import Order, Packing
from barelm.settings import Settings
from tests.built import program
from tests.models import tensor_sizes, tiny_checkpoint
from tests.quiet import Quiet

DISK_BYTES, MEMORY_BYTES = 15 << 30, 10 << 30
PATIENCE_S = 120
TEXT = Settings("to the sun", 0.0, tokens=2)

pytestmark = [
    pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not())),
    pytest.mark.skipif(memory_left() < MEMORY_BYTES, reason="this host has less than 10 GB of memory free"),
    pytest.mark.xdist_group("large")]



def checkpoint() -> Checkpoint:
    """Zeros, but for norms of ones, a random embedding and a random classifier."""
    small = tiny_checkpoint(1)
    shape = replace(small.shape, dim=4096, hidden_dim=16384, n_layers=4, n_heads=32, n_kv_heads=32, head_dim=128)
    rng = np.random.default_rng(1)
    tensors: dict[str, Tensor] = {}
    for name, (rows, cols) in tensor_sizes(shape, tied=False).items():
        if rows == 1:
            tensors[name] = float32_tensor(np.ones(cols, np.float32))
        elif name in ("token_embedding", "classifier"):
            tensors[name] = float32_tensor(rng.normal(0, 1, (rows, cols)).astype(np.float32))
        else:
            raw = np.broadcast_to(np.zeros(1, np.uint8), (rows, 4 * cols))
            tensors[name] = Tensor("F32", rows, cols, raw, lambda raw: raw.view(np.float32))
    return replace(small, name="large", shape=shape, tensors=tensors)


def sum_of_zeros(n_bytes: int) -> int:
    """The checksum of so many."""
    some, crc = np.zeros(1 << 24, np.uint8), 0
    for at in range(0, n_bytes, len(some)):
        crc = checksum(some[:n_bytes - at], crc)
    return crc


def write_sparse(source: Checkpoint, out: Path) -> None:
    """Pack it: what `write_packed` writes, the zeros as holes."""
    tables = tokenizer_tables(source.vocab)
    header, total = plan_header(source, tables)
    with open(out, "wb") as file:
        file.truncate(total)
        for number in range(header.n_sections):
            entry = header.sections[number]
            if number in MATRICES and number not in (EMBEDDING, CLASSIFIER):
                entry.sum = sum_of_zeros(int(entry.n_bytes))
                continue
            crc = 0
            file.seek(int(entry.offset))
            for part in section_parts(source, tables, number):
                crc = checksum(part, crc)
                file.write(part.data)
            entry.sum = crc
        header.sum = own_sum(header)
        file.seek(0)
        file.write(header.base.tobytes())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packed]:
    """The packed model, in a file with holes."""
    folder = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(folder).free < DISK_BYTES:
        pytest.skip("this disk has less than 15 GB free")
    write_sparse(checkpoint(), folder / "large.blm")
    if (folder / "large.blm").stat().st_blocks * 512 > 1 << 30:
        (folder / "large.blm").unlink()
        pytest.skip("this file system has no holes in files")
    yield read_packed(folder / "large.blm", verify=False)  # whoever loads it sums it
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(large: Packed) -> Path:
    """Its image."""
    path = large.path.with_suffix(".img")
    return pipeline.bootable_image(path, program(), large.path, TEXT.but(report=True), Quiet())


def following(packed: Packed, first: int, n: int) -> list[int]:
    """The n ids after a first one: all layers add nothing, so a row of the embedding meets the classifier."""
    source = checkpoint()
    rows: list[NDArray[np.float64]] = [source.tensors[name].float32().astype(np.float64)
                                       for name in ("token_embedding", "classifier")]
    ids = [first]
    for _ in range(n):
        x = rows[0][ids[-1]]
        ids.append(int(np.argmax(rows[1] @ (x / np.sqrt(np.mean(x * x) + packed.config.norm_eps)))))
    return ids[1:]


def boot(image: Path, memory_mb: int, occupied: tuple[tuple[int, int], ...] = ()) -> tuple[str, int | None]:
    """The screen and the status; all memory has to go back."""
    screen = ""
    with Hosted(occupied=occupied).start(Spec(image, memory_mb, 2)) as session:
        while shown := session.read(PATIENCE_S):
            screen += shown.decode()
        assert session.kept == 0
        return screen, session.status


def test_it_is_imaged_in_two_files(large: Packed, image: Path) -> None:
    size = large.path.stat().st_size
    assert size > 4 << 30 and image.stat().st_size > size and image.stat().st_blocks * 512 < 1 << 30
    with open_volume(image) as volume:
        found = {node.path: node.size for node in volume.files()}
    assert found["model.blm"] == layout.PART_BYTES
    assert found["model.blm.2"] == size - layout.PART_BYTES + layout.PAGE
    facts = facts_of(image, Packing(), 4096)
    assert facts["model"]["bytes"] == size and not facts["model"]["fits"]
    assert facts["model"]["least_machine_mb"] in (6144, 8192)


def test_it_is_refused_before_anything_is_done(large: Packed) -> None:
    needed = pipeline.in_mb(large.memory_bytes)
    with pytest.raises(BarelmError, match=f"large.blm takes {needed} of memory, and the machine .* 2,048 MiB"):
        pipeline.run(Order(str(large.path), memory_mb=2048), Hosted(), Quiet(), print)


def test_it_is_refused_at_the_start(large: Packed, image: Path) -> None:
    screen, status = boot(image, 3000)
    assert status == 1 << 63 | uefi.EFI_OUT_OF_RESOURCES
    needed = -(-large.memory_bytes // 10**6)
    assert re.search(rf"This model takes {needed} MB of memory, \d+ MB of it in one piece.\n"
                     r"There are \d+ MB free; the largest of \d+ pieces has \d+ MB.\n", screen)
    assert "the firmware has not enough memory for this model" in screen


def test_it_says_what_it_should(large: Packed, image: Path) -> None:
    """Where no piece of memory is as large as it is: 2.8 GB lie below 4 GiB, twice 1.5 GB above."""
    memory_mb = pipeline.memory_mb(large.memory_bytes)
    screen, status = boot(image, memory_mb, ((4096 + 1536, 64), (4096 + 3136, memory_mb)))
    assert status == 0, screen
    ids = [int(word) for line in screen.splitlines() if line.startswith("BARELM IDS ") for word in line.split()[2:]]
    assert len(ids) > 2 and ids[-2:] == following(large, ids[-3], 2)


def test_without_its_second_file_it_is_refused(image: Path) -> None:
    """This is the last test, for it changes the image."""
    with open_editor(image) as volume:
        node = volume.lookup("model.blm.2")
        assert node is not None
        volume.delete(node)
    screen, status = boot(image, 1024)
    assert status == 1 << 63 | uefi.EFI_NOT_FOUND
    assert "This model goes on in model.blm.2, which is not on the volume." in screen
    with pytest.raises(BarelmError, match=r"goes on in model.blm.2, which is not in"):
        facts_of(image, Packing(), 0)
