"""What came wrong once is read again; what is wrong on the disk is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from barelm.contract import sections, uefi
from barelm.dialect.memory import memory
from barelm.metal.console.sinks import flush
from tests.lying import LyingModel
from tests.metal.fake import load, store
from tests.metal.storage.test_model_loader import Loading, model, refused
from tests.metal.volumes import FakeFile


def spoil_once(monkeypatch: pytest.MonkeyPatch, number: int, spoil: Callable[[bytes], bytes]) -> Loading:
    """A loading of which read number so and so delivers something else than what is on the disk, and only that one."""
    plain, n = FakeFile.read, [0]

    def read(self: FakeFile, this: int, size: int, target: int) -> int:
        status = plain(self, this, size, target)
        n[0] += 1
        if n[0] == number:
            came = spoil(memory(target, load(size)).tobytes())
            memory(target, load(size))[:len(came)] = np.frombuffer(came, np.uint8)
            store(size, len(came))
        return status

    monkeypatch.setattr(FakeFile, "read", read)
    return Loading(model())


def flipped(content: bytes) -> bytes:
    """One bit of it changed."""
    return content[:9] + bytes([content[9] ^ 4]) + content[10:]


@pytest.mark.parametrize("number", [1, 2, 5, 9])
@pytest.mark.parametrize("spoil", [flipped, lambda content: content[:len(content) // 2], lambda content: b""],
                         ids=["a bit", "half of it", "nothing"])
def test_what_came_wrong_once_is_read_again(monkeypatch: pytest.MonkeyPatch, number: int,
                                            spoil: Callable[[bytes], bytes]) -> None:
    spoil_once(monkeypatch, number, spoil).check(model())


def test_a_table_that_lies_is_named() -> None:
    lies = LyingModel(model())
    lies.section(sections.WORDS)[3] = 1 << 20
    loading = Loading(lies.content())
    failure = refused(loading)
    assert (failure.status, failure.message) == (uefi.EFI_CRC_ERROR, "a table of the model holds what cannot be")
    flush(loading.con)
    most = int(lies.header.vocab_size) - 1
    assert f"In its section words, number 3 is not from 0 to {most}." in loading.firmware.screen
    lies = LyingModel(model())
    lies.section(sections.PIECE_ENDS)[40] = 0
    loading = Loading(lies.content())
    refused(loading)
    flush(loading.con)
    assert "In its section piece ends, number 40 does not fit the others." in loading.firmware.screen
