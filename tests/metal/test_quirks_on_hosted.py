"""The real program on a hosted firmware with quirks: it goes on, or says what is the matter; nothing is lost without a
word.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from barelm.contract import sections
from barelm.disk import open_volume, write_image
from barelm.machine.firmware.faults import parse_fault
from barelm.machine.firmware.firmware import PROGRAM
from barelm.machine.hosted import Hosted, HostedSession
from barelm.machine.machine import Spec
from barelm.settings import Settings
from tests.built import program
from tests.metal.talks import chat_model
from tests.metal.test_on_hosted import PATIENCE_S, packed

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

FILE = "EFI_FILE_PROTOCOL."
STORY = Settings("to", 0.0, tokens=4, seed=7, wait=1)
TALK = Settings(temperature=0.0, tokens=4, seed=7, chat=True, wait=1, countdown=2)


class Quirky:
    """A machine with files, faults, and a person who types a line when it is their turn."""

    def __init__(self, folder: Path, settings: Settings | bytes, files: dict[str, bytes], *faults: str,
                 lines: tuple[str, ...] = (), **machine: object) -> None:
        self.image = folder / "quirky.img"
        raw = settings.toml() if isinstance(settings, Settings) else settings
        write_image(self.image, {PROGRAM: program(), "barelm.toml": raw, **files}, free_bytes=4 << 20)
        self.text, self.lines = "", iter(lines)
        hosted = Hosted(tuple(map(parse_fault, faults)), **machine)  # type: ignore[arg-type]
        with hosted.start(Spec(self.image, 128, 1, writable=True)) as session:
            self.hold(session)
            self.status, self.kept = session.status, session.kept

    def hold(self, session: HostedSession) -> None:
        """Read, and type."""
        seen = 0
        while shown := session.read(PATIENCE_S):
            self.text += shown.decode(errors="replace")
            new, asked = self.text[seen:], False
            if "Press any key" in new:
                session.send("x")
                asked = True
            elif new.rstrip(" ").endswith(">") or "Esc goes back" in new:
                session.send(next(self.lines, "/quit") + "\n")
                asked = True
            seen = len(self.text) if asked else seen

    @property
    def files(self) -> dict[str, bytes]:
        """What is on the volume then."""
        with open_volume(self.image) as volume:
            return {entry.path: volume.read(entry, 0, entry.size) for entry in volume.files()}


def models(*names: str) -> dict[str, bytes]:
    """Chat models."""
    return {name: chat_model()[1] for name in names}


@pytest.mark.parametrize("fault", ["Open=EFI_DEVICE_ERROR@1", "Read=EFI_DEVICE_ERROR@1+", "GetPosition=nothing@1"])
def test_a_configuration_that_cannot_be_read_is_never_the_defaults(tmp_path: Path, fault: str) -> None:
    ran = Quirky(tmp_path, STORY, {"model.blm": packed()[1]}, FILE + fault)
    assert ran.status and "barelm stopped: " in ran.text and "disk reports an error" in ran.text and ran.kept == 0


def test_a_configuration_that_was_not_found_is_looked_for_again(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, STORY, {"model.blm": packed()[1]}, f"{FILE}Open=EFI_NOT_FOUND@1")
    assert "4 tokens, " in ran.text and ran.status == 0


@pytest.mark.parametrize("raw, said", [
    (b"\xef\xbb\xbftokens = 3\nwait = 1\n", "\n3 tokens, "),
    ("tokens = 3\n".encode("utf-16"), "barelm.toml is UTF-16 and passed over"),
    (b"tokens = 3\nwait = 1\nnonsense\n", "barelm.toml: line 3 is not understood"),
    (b"tokens = 3\nwait = 1\n#" + b"x" * 70_000, "barelm.toml is too long")])
def test_what_is_wrong_with_the_configuration_is_said_behind_the_start_screen(tmp_path: Path, raw: bytes,
                                                                           said: str) -> None:
    ran = Quirky(tmp_path, raw, {"model.blm": packed()[1]})
    assert said in ran.text[ran.text.index("UEFI"):] and ran.status == 0


def test_a_conversation_is_never_reported_to_a_program(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, TALK.but(report=True), models("model.blm"))
    assert ran.status and "a conversation cannot be reported to a program" in ran.text and ran.kept == 0


def test_a_folder_where_a_file_should_be_is_named(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, STORY, {"model.blm/other.txt": b"x"})
    assert ran.status and "disk reports an error" not in ran.text and ran.kept == 0


@pytest.mark.parametrize("calls", ["1", "1+"])
def test_a_timer_that_does_nothing_is_done_without(tmp_path: Path, calls: str) -> None:
    ran = Quirky(tmp_path, TALK, models("model.blm", "other.blm"), f"EFI_BOOT_SERVICES.SetTimer=nothing@{calls}",
                 lines=("hello", "/quit"))
    assert ran.text.count("Type a message") == 1 and (ran.status, ran.kept) == (0, 0)


def test_renaming_that_is_refused_saves_all_the_same(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, TALK, models("model.blm"), f"{FILE}SetInfo=EFI_ACCESS_DENIED",
                 lines=("hello", "/save a", "more", "/save a", "/load a", "/quit"))
    assert ran.text.count("Saved.") == 2 and "more" in ran.text.rpartition("Saved.")[2] and ran.status == 0
    assert {"sessions/a.session", "sessions/a.md"} <= set(ran.files) and not [n for n in ran.files if "~" in n]


def test_only_files_that_are_conversations_are_listed(tmp_path: Path) -> None:
    others = {"sessions/folder.session/a.txt": b"x", "sessions/._mac.session": b"Mac OS X", "sessions/text.md": b"x"}
    ran = Quirky(tmp_path, TALK, {**models("model.blm"), **others}, lines=("hello", "/save a", "/list", "/quit"))
    listed = ran.text.rpartition("/list")[2]
    assert re.search(r"^a   \d", listed, re.M) and not any(name in listed for name in ("folder", "mac", "text")), listed


def test_an_error_of_opening_is_no_absence(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, TALK, models("model.blm"), f"{FILE}Open=EFI_DEVICE_ERROR@12+",
                 lines=("hello", "/save a", "/load a", "/list", "/quit"))
    assert "Saved." not in ran.text and "There is no conversation" not in ran.text and ran.status == 0
    assert "No conversation is saved" not in ran.text


def test_a_damaged_default_gives_way(tmp_path: Path) -> None:
    good = chat_model()[1]
    ran = Quirky(tmp_path, TALK, {"model.blm": good[:-4096], "good.blm": good, "._good.blm": b"Mac OS X" * 512})
    assert "model.blm cannot be loaded; good.blm takes its place." in ran.text and ran.status == 0
    assert "Type a message" in ran.text and "._" not in ran.text


def test_a_model_that_turns_out_damaged_leads_back_to_the_menu(tmp_path: Path) -> None:
    good, spoilt = chat_model()[1], bytearray(chat_model()[1])
    spoilt[chat_model()[0].header.sections[sections.EMBEDDING].offset + 7] ^= 255
    ran = Quirky(tmp_path, TALK, {"model.blm": bytes(spoilt), "good.blm": good})
    assert "a checksum does not match" in ran.text and "Type a message" in ran.text
    assert (ran.status, ran.kept) == (0, 0)


def test_asking_for_another_model_can_be_taken_back(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, TALK, models("model.blm", "other.blm"), lines=("hello", "/model", "\x03", "and on", "/quit"))
    assert "Esc goes back" in ran.text and ran.text.count("Type a message") == 1 and ran.status == 0


@pytest.mark.parametrize("pixels", ["blt"])
def test_a_screen_that_refuses_leaves_the_console_on(tmp_path: Path, pixels: str) -> None:
    ran = Quirky(tmp_path, STORY, {"model.blm": packed()[1]}, "Blt=EFI_DEVICE_ERROR", screen=(800, 600), pixels=pixels)
    assert "4 tokens, " in ran.text and ran.status == 0


def test_a_line_that_takes_nothing_goes_back(tmp_path: Path) -> None:
    ran = Quirky(tmp_path, STORY, {"model.blm": packed()[1]}, "EFI_SERIAL_IO_PROTOCOL.Write=EFI_DEVICE_ERROR")
    assert (ran.status, ran.kept) == (0, 0)


@pytest.mark.parametrize("service, call", [("GetPosition", 2), ("SetPosition", 4)])
def test_where_the_disk_fails_no_model_is_blamed(tmp_path: Path, service: str, call: int) -> None:
    ran = Quirky(tmp_path, STORY, {"model.blm": packed()[1]}, f"{FILE}{service}=EFI_DEVICE_ERROR@{call}+")
    assert ran.status and "Pack the checkpoint" not in ran.text and "barelm stopped" in ran.text


@pytest.mark.parametrize("call", range(2, 14))
def test_a_warning_is_no_handle(tmp_path: Path, call: int) -> None:
    ran = Quirky(tmp_path, TALK, models("model.blm"), f"{FILE}Open=3@{call}", lines=("hello", "/save t", "/quit"))
    assert ran.status is not None and (ran.status == 0 or "barelm stopped" in ran.text)
