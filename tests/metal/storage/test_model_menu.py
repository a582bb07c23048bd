"""Which model: one, several, damaged ones, ones too large; keys, a countdown, and what the configuration names."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.contract import uefi
from barelm.contract.layout import Header
from barelm.dialect.rooms import Failure
from barelm.metal.conversation.talk import keyboard_of
from barelm.metal.storage import model_menu, model_parts
from barelm.metal.storage.model_menu import ask_for_model, choose_model, judged_models
from barelm.metal.uefi import file_protocol
from tests.metal.fake import FakeFirmware
from tests.metal.storage.test_model_parts import split
from tests.metal.talks import Desk, chat_model
from tests.metal.volumes import FakeFile

UP, DOWN, HOME, END, ENTER = 1 << 16, 2 << 16, 5 << 16, 6 << 16, 13
GOOD = chat_model()[1]
SMALL_MAP = [(uefi.CONVENTIONAL_MEMORY, 4096)]  # 16 MiB


def changed(field: str, value: int) -> bytes:
    """A model whose header says something else."""
    content = bytearray(GOOD)
    at = Header.offset_of(field)
    content[at:at + 8] = int(value).to_bytes(8, "little")
    return bytes(content)


FILES = {"b.blm": GOOD, "A.BLM": GOOD, "notes.txt": b"no model", "old.blm": changed("version", 1),
         "bad.blm": changed("dim", 99), "empty.blm": b"", "folder\\c.blm": GOOD}
ORDER = ["b.blm", "A.BLM", "old.blm", "bad.blm", "empty.blm"]


def chosen(patch: pytest.MonkeyPatch, files: dict[str, bytes], *keys: int | None, settings: bytes = b"",
           again: bool = False, firmware: FakeFirmware | None = None) -> tuple[str, Desk]:
    """The name of the model that is chosen; the desk."""
    firmware = firmware or FakeFirmware()
    firmware.files = dict(files)
    desk = Desk(patch, settings=b"chat = true\n" + settings, firmware=firmware, columns=250)
    firmware.keys = list(keys)
    before = firmware.n_open
    with np.errstate(all="ignore"):
        models = judged_models(firmware.fw, desk.b.settings, desk.workspace, desk.t.volume.root, 0)
        if again and not ask_for_model(desk.t.con, keyboard_of(desk.t), models):
            number = -1
        else:
            number = choose_model(desk.t.con, keyboard_of(desk.t), models, desk.b.settings, False)
        entry = models.entries[max(number, 0)]
    assert firmware.n_open == before, "every file is closed"
    return entry.name[:entry.n_units].tobytes().decode("utf-16-le") if number >= 0 else "", desk


def test_the_only_one_is_taken_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    path, desk = chosen(monkeypatch, {"some.blm": GOOD, "readme.txt": b"", "x.blm~": GOOD})
    assert path == "some.blm" and desk.firmware.screen == ""


@pytest.mark.parametrize("keys, name", [
    ([ENTER], "b.blm"), ([DOWN, ENTER], "A.BLM"), ([ord("2"), ENTER], "A.BLM"), ([DOWN, UP, UP, ENTER], "b.blm"),
    ([END, ENTER, HOME, DOWN, ENTER], "A.BLM"), ([ord("3"), ENTER, ord("9"), ord("x"), ord("1"), ENTER], "b.blm"),
    ([None, DOWN, DOWN, DOWN, DOWN, DOWN, DOWN, ENTER, UP, ENTER, UP, ENTER, UP, ENTER], "A.BLM")])
def test_keys(monkeypatch: pytest.MonkeyPatch, keys: list[int | None], name: str) -> None:
    assert chosen(monkeypatch, FILES, *keys)[0] == name, "what cannot be loaded cannot be started"


def test_what_the_menu_says(monkeypatch: pytest.MonkeyPatch) -> None:
    _, desk = chosen(monkeypatch, FILES, ENTER)
    screen = desk.firmware.screen
    for name in ORDER:
        assert f" {name} " in screen
    assert "notes" not in screen and "c.blm" not in screen
    rows = {name: next(row for row in screen.splitlines() if f" {name} " in row) for name in ORDER}
    assert "▶ b.blm" in rows["b.blm"] and "small 8" in rows["A.BLM"] and "context 128" in rows["A.BLM"]
    assert "another version" in rows["old.blm"] and "damaged" in rows["bad.blm"] and "damaged" in rows["empty.blm"]


@pytest.mark.parametrize("left_out, says", [(None, "small 8"), ("b.blm.2", "goes on in another file"),
                                            ("b.blm.3", "goes on in another file")])
def test_one_of_several_files(monkeypatch: pytest.MonkeyPatch, left_out: str | None, says: str) -> None:
    files = split("b.blm", GOOD, 12 * 4096)
    files = {name: content for name, content in files.items() if name != left_out}
    monkeypatch.setattr(model_parts, "PART_BYTES", 12 * 4096)
    _, desk = chosen(monkeypatch, {**files, "z.blm": GOOD}, DOWN, ENTER)
    rows = [row for row in desk.firmware.screen.splitlines() if " b.blm" in row]
    assert rows and says in rows[0] and not any(".blm.2" in row for row in desk.firmware.screen.splitlines())


def test_one_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = FakeFirmware()
    firmware.show_map(SMALL_MAP)
    _, desk = chosen(monkeypatch, {"b.blm": GOOD, "z.blm": GOOD}, None, settings=b"countdown = 0\n", firmware=firmware)
    assert "more than" in desk.firmware.screen and "free" in desk.firmware.screen


@pytest.mark.parametrize("refused", [True, False])
def test_without_a_memory_map_nothing_is_too_large(monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    firmware = FakeFirmware()
    firmware.show_map(None if refused else [])
    _, desk = chosen(monkeypatch, {"b.blm": GOOD, "z.blm": GOOD}, ENTER, firmware=firmware)
    assert "more than" not in desk.firmware.screen


def test_the_countdown_takes_the_marked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]

    def tick() -> int:
        now[0] += 20 * 10**6
        return now[0]

    monkeypatch.setattr(model_menu, "cycles", tick)
    monkeypatch.setattr("barelm.metal.keys.keyboard.cycles", tick)
    path, desk = chosen(monkeypatch, FILES, settings=b'countdown = 3\nmodel = "a.blm"\n')
    assert path == "A.BLM"
    assert all(f"starts in {left} s" in desk.firmware.screen for left in (3, 2, 1))
    assert now[0] >= 3 * 10**9


def test_a_key_stops_the_countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[int | None] = [None, DOWN, *[None] * 50, ENTER]
    now = [0]

    def tick() -> int:
        now[0] += 20 * 10**6
        return now[0]

    monkeypatch.setattr(model_menu, "cycles", tick)
    path, desk = chosen(monkeypatch, FILES, *keys, settings=b"countdown = 1\n")
    assert path == "A.BLM" and not desk.firmware.keys


def test_who_asks_for_another_one_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    path, desk = chosen(monkeypatch, FILES, *[None] * 20, DOWN, ENTER, settings=b"countdown = 0\n", again=True)
    assert path == "A.BLM" and "starts in" not in desk.firmware.screen


@pytest.mark.parametrize("files, settings, name", [
    (FILES, b'model = "a.blm"\n', "A.BLM"), (FILES, b'model = "b.blm"\n', "b.blm"), (FILES, b"", "b.blm"),
    ({**FILES, "MODEL.BLM": GOOD}, b"", "MODEL.BLM"), ({"x.blm": b"", "y.blm": GOOD}, b"", "y.blm"),
    ({"x.blm": b"", "y.blm": b""}, b"", "x.blm")])
def test_a_program_gets_the_default(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], settings: bytes,
                                    name: str) -> None:
    path, desk = chosen(monkeypatch, files, settings=b"report = true\n" + settings)
    assert path == name and desk.firmware.screen == ""


@pytest.mark.parametrize("files, settings, message", [
    ({}, b"", "there is no model on this volume"), ({"a.txt": b""}, b"", "there is no model on this volume"),
    ({"a.blm": GOOD}, b'model = "b.blm"\n', "not on this volume"),
    ({"a.blm": GOOD}, b'model = "a.bl"\n', "not on this volume"), ({"a.blm": GOOD}, b'model = "a.blmx"\n', "not on")])
def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], settings: bytes,
                           message: str) -> None:
    with pytest.raises(Failure, match=message) as failure:
        chosen(monkeypatch, files, settings=settings)
    assert failure.value.status == uefi.EFI_NOT_FOUND and failure.value.hint


def test_a_firmware_that_lists_no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = FakeFirmware()
    firmware.lists_folders = False
    assert chosen(monkeypatch, {"model.blm": GOOD}, firmware=firmware)[0] == "model.blm"
    with pytest.raises(Failure, match="there is no model"):
        chosen(monkeypatch, {"other.blm": GOOD}, firmware=firmware)


def test_more_models_than_the_list_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"model number {k} {'x' * 90}.blm": b"" for k in range(40)}
    files[f"model number 3 {'x' * 90}.blm"] = GOOD
    path, desk = chosen(monkeypatch, files, ENTER)
    assert path.startswith("model number 3 ") and desk.b.model.header != 0


def test_a_name_longer_than_the_list_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut, and so is no model's any more."""
    assert chosen(monkeypatch, {"x" * 200 + ".blm": GOOD, "y.blm": GOOD})[0] == "y.blm"


def test_without_anything_to_type_on_the_default_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    firmware = FakeFirmware(extended=False)
    firmware.table.put(con_in=0)
    assert chosen(monkeypatch, FILES, firmware=firmware)[0] == "b.blm"


def test_folders_and_what_other_systems_hide_are_no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    path, desk = chosen(monkeypatch, {"model.blm": GOOD, "._model.blm": b"Mac OS X" * 512, ".x.blm": GOOD,
                                      "folder.blm\\a": b""})
    assert path == "model.blm" and desk.firmware.screen == ""


@pytest.mark.parametrize("settings, name", [(b'model = "z.blm"\n', "z.blm"), (b"", "model.blm")])
def test_the_wanted_one_is_found_however_many_there_are(monkeypatch: pytest.MonkeyPatch, settings: bytes,
                                                        name: str) -> None:
    files = {**{f"m{k:02}.blm": b"x" for k in range(40)}, "model.blm": GOOD, "z.blm": GOOD}
    assert chosen(monkeypatch, files, settings=b"report = true\n" + settings)[0] == name


def test_where_the_default_is_damaged_another_one_starts_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    path, desk = chosen(monkeypatch, {"model.blm": GOOD[:4000], "good.blm": GOOD}, settings=b"countdown = 0\n")
    assert path == "good.blm" and "model.blm cannot be loaded; good.blm takes its place." in desk.firmware.screen


@pytest.mark.parametrize("key", [23 << 16, 27, 3])
def test_who_asked_for_another_one_can_go_back(monkeypatch: pytest.MonkeyPatch, key: int) -> None:
    path, desk = chosen(monkeypatch, FILES, None, DOWN, key, again=True)
    assert path == "" and "Esc goes back" in desk.firmware.screen


def test_a_menu_of_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stick is gone: names are there still, and no file."""
    path, desk = chosen(monkeypatch, {"a.blm": b"", "b.blm": b""}, again=True)
    assert path == "" and "None of the models" in desk.firmware.screen


def test_esc_takes_the_marked_one_where_there_is_no_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, FILES, DOWN, 23 << 16)[0] == "A.BLM"


def test_a_folder_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firmware that gives one entry for ever, and no model's: what is there all the same is found by its name."""
    firmware = FakeFirmware()
    plain = FakeFile.next_entry

    def again(file: FakeFile, size: int, target: int) -> int:
        file.at = 0
        return plain(file, size, target)

    monkeypatch.setattr(FakeFile, "next_entry", again)
    monkeypatch.setattr(file_protocol, "MOST_ENTRIES", 50)
    assert chosen(monkeypatch, {"a.txt": b"", "model.blm": GOOD}, firmware=firmware)[0] == "model.blm"
