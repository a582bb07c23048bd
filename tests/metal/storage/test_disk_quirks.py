"""Firmware and disks that read a model in ways of their own: it is loaded, or the disk is blamed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from barelm.contract import layout, uefi
from barelm.dialect.memory import memory
from barelm.metal.storage import model_loader
from tests.metal.fake import ERROR, load, store
from tests.metal.storage.test_model_loader import Loading, model, refused
from tests.metal.volumes import FakeFile


@pytest.mark.parametrize("quirk", ["flips a bit", "is short"])
@pytest.mark.parametrize("number", [3, 9])
def test_one_read_that_goes_wrong_is_made_good(quirk: str, number: int) -> None:
    loading = Loading(model())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeFile, "read", read_once_wrong(quirk, number))
        loading.check(model())


def read_once_wrong(quirk: str, number: int) -> Callable[[FakeFile, int, int, int], int]:
    """A read of files that goes wrong once."""
    plain, count = FakeFile.read, itertools.count(1)

    def read(file: FakeFile, this: int, size: int, target: int) -> int:
        wrong = file.path and next(count) == number
        if wrong and quirk == "is short":
            plain(file, this, size, target)
            store(size, load(size) // 2)  # and the file stands behind all of it
            return 0
        status = plain(file, this, size, target)
        if wrong:
            memory(target, 1)[0] ^= 4
        return status

    return read


@pytest.mark.parametrize("quirk", ["fails and is broken", "gives less"])
def test_firmware_that_breaks_a_file_or_gives_less(quirk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, broken = FakeFile.read, set()

    def read(file: FakeFile, this: int, size: int, target: int) -> int:
        if quirk == "gives less":
            store(size, min(load(size), 4096))
        elif file.path and (file in broken or load(size) > layout.HEADER_BYTES):
            broken.add(file)
            return ERROR | uefi.EFI_DEVICE_ERROR
        return plain(file, this, size, target)

    monkeypatch.setattr(model_loader, "LEAST_CHUNK", 4096)
    monkeypatch.setattr(FakeFile, "read", read)
    Loading(model()).check(model())


@pytest.mark.parametrize("service", ["get_position", "set_position"])
def test_where_the_disk_fails_the_model_is_not_blamed(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = Loading(model())
    monkeypatch.setattr(FakeFile, service, lambda *_: ERROR | uefi.EFI_DEVICE_ERROR)
    failure = refused(loading)
    assert failure.status == uefi.EFI_DEVICE_ERROR and "Pack" not in failure.hint
