"""Fixtures that several rooms share."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from barelm import host_files
from barelm.checkpoint.checkpoint import Checkpoint
from barelm.checkpoint.read import read_checkpoint
from barelm.contract.failure_record import FailedCall
from barelm.dialect.processor import failed_call
from barelm.host_files import PACKAGE
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from tests.models import shared_model

# Machines of any speed run these; what is slow elsewhere is no failure, and a rerun finds the same.
settings.register_profile("barelm", deadline=None, max_examples=40, derandomize=True,
                          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
settings.load_profile("barelm")


class Pack(Protocol):
    """Packs a checkpoint and opens the result."""

    def __call__(self, checkpoint: Checkpoint, quant: str = "keep") -> Packed:
        """`quant` as for `write_packed`."""


@pytest.fixture(autouse=True)
def no_call_has_failed() -> None:
    """What a program keeps from its start to its end, the interpreter keeps from one test to the next."""
    last = FailedCall(failed_call())
    last.service = last.status = 0


@pytest.fixture(autouse=True)
def boots_take_turns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One emulated machine at a time, over all parallel workers: they would only slow one another down."""
    if request.node.get_closest_marker("boot") is None:
        yield
        return
    with open(tmp_path_factory.getbasetemp().parent / "boots.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """A function that packs a checkpoint and opens the result."""
    def packed(checkpoint: Checkpoint, quant: str = "keep", kv: str = "auto") -> Packed:
        path = tmp_path / f"{checkpoint.name}.{quant}.blm"
        write_packed(checkpoint, path, quant=quant, kv=kv or "auto")
        return read_packed(path)

    return packed


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources that the keys of what is cached are made from: for changing."""
    copies = tmp_path / "sources"
    for path in PACKAGE.rglob("*.py"):
        copy = copies / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(host_files, "PACKAGE", copies)
    return copies


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """stories260K, packed; skips where it is not at hand."""
    path = tmp_path_factory.mktemp("stories") / "stories260K.blm"
    write_packed(read_checkpoint(shared_model("stories260K.bin"), shared_model("tok512.bin")), path)
    return read_packed(path)
