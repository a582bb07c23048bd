"""The volume with the model: at the start, after a start from elsewhere, and after the stick was out for a moment."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.dialect.rooms import Failure
from barelm.metal import arena
from barelm.metal.storage.volumes import find_volume, note_model, refresh_volume, volume_in
from barelm.metal.uefi.file_protocol import close_file, open_file
from tests.metal.conversation.test_saved_sessions import ask, talked
from tests.metal.fake import FakeFirmware
from tests.metal.storage.test_whole_files import units
from tests.metal.volumes import ERROR

MEDIA_CHANGED = 13


def pull(firmware: FakeFirmware) -> None:
    """Pull the stick out and put it back: every file that was open fails for ever."""
    for file in list(firmware._memory):
        for name in ("open", "read", "write", "flush", "delete", "set_position"):
            file.table.serve(name, lambda *_: ERROR | MEDIA_CHANGED)


def test_a_stick_that_was_out_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = talked(monkeypatch)
    assert desk.firmware.files is not None
    desk.firmware.files["model.blm"] = b"a model"
    note_model(desk.workspace, units("model.blm"))
    assert ask(desk, b"/save first") == "Saved.  /load first goes on with it.\n"
    pull(desk.firmware)
    assert ask(desk, b"/save second") == "Saved.  /load second goes on with it.\n"
    assert {"sessions\\first.session", "sessions\\second.session"} < set(desk.firmware.files)


def test_another_stick_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = talked(monkeypatch)
    note_model(desk.workspace, units("model.blm"))
    before = int(volume_in(desk.workspace).root)
    refresh_volume(desk.firmware.fw, volume_in(desk.workspace))
    assert volume_in(desk.workspace).root == before and desk.firmware.n_open == 1


@pytest.mark.parametrize("files, status", [(None, uefi.EFI_UNSUPPORTED), ({}, 0)])
def test_without_a_model_the_own_volume_is_taken_if_there_is_one(files: dict[str, bytes] | None, status: int) -> None:
    firmware = FakeFirmware(files)
    workspace = arena.open_workspace(firmware.fw)
    if status:
        with pytest.raises(Failure, match="no file system"):
            find_volume(firmware.fw, workspace)
    else:
        volume = find_volume(firmware.fw, workspace)
        assert volume.root > 0 and firmware.n_open == 1
        close_file(volume.root)


def test_a_volume_that_cannot_be_opened_is_a_failure_of_the_disk() -> None:
    firmware = FakeFirmware({})
    firmware.machine.services.install({"EFI_SIMPLE_FILE_SYSTEM_PROTOCOL.OpenVolume": lambda *_: 1 << 63 | 7})
    with pytest.raises(Failure, match="reports an error"), np.errstate(over="ignore"):
        find_volume(firmware.fw, arena.open_workspace(firmware.fw))


def test_a_warning_gives_no_handle() -> None:
    firmware = FakeFirmware({"a": b"x"})
    root = firmware.root()
    firmware.last_file.table.serve("open", lambda *_: 3)
    assert open_file(root, units("a")) == ERROR | 3


def test_without_a_clock_every_conversation_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = talked(monkeypatch)
    desk.firmware.now = None
    for k in (1, 2, 3):
        assert ask(desk, b"/save") == f"Saved.  /load unnamed {k} goes on with it.\n"
