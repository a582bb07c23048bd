"""The signed program on the hosted firmware: what it was signed with runs, anything else is refused in a sentence."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from barelm import pipeline
from barelm.contract import uefi
from barelm.disk import write_image
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Spec
from barelm.settings import Settings
from barelm.trust.authenticode import signed_by
from barelm.trust.binding import bound_and_signed
from tests.appliance.chatty import Chatty
from tests.appliance.talk import Talk, talk
from tests.built import program
from tests.quiet import Quiet
from tests.trust.signing import BOOT, SETTINGS, files, image, model, signer

pytestmark = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))
PATIENCE_S = 60


def ran(folder: Path, content: dict[str, bytes]) -> tuple[str, int | None]:
    """The screen and the status of an image of files; all memory goes back."""
    screen = ""
    with Hosted().start(Spec(image(folder, content), 128)) as session:
        while shown := session.read(PATIENCE_S):
            screen += shown.decode()
            if "Press any key" in shown.decode():
                session.send("x")
        assert session.kept == 0
        return screen, session.status


def refused(folder: Path, content: dict[str, bytes], what: str) -> None:
    """Refused, with a reason and a remedy, and no token is made."""
    screen, status = ran(folder, content)
    assert f"barelm stopped: {what}\n" in screen, screen
    assert "`barelm image --sign`" in screen and "BARELM IDS" not in screen
    assert status is not None and status & 0xFFFF == uefi.EFI_SECURITY_VIOLATION


def ids(screen: str) -> list[str]:
    """What was made."""
    return [word for line in screen.splitlines() if line.startswith("BARELM IDS") for word in line.split()[2:]]


def test_what_it_was_signed_with_runs_as_the_unsigned_program_does(tmp_path: Path) -> None:
    signed, status = ran(tmp_path, files())
    plain, _ = ran(tmp_path, {**files(), BOOT: program().read_bytes()})
    assert status == 0 and len(ids(signed)) > 12 and ids(signed) == ids(plain)
    assert signed_by(files()[BOOT]) == signer().certificate


CONFIGURATION = "barelm.toml is not the one this program was signed with"
MODEL = "this model is not the one this program was signed with"
PREFIX = "prefix.session is not the one this program was signed with"


@pytest.mark.parametrize("settings", [b"", SETTINGS.toml() + b"\n", SETTINGS.but(seed=8).toml()])
def test_another_configuration_is_refused(tmp_path: Path, settings: bytes) -> None:
    refused(tmp_path, {**files(), "barelm.toml": settings}, CONFIGURATION)


def test_a_missing_configuration_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {name: content for name, content in files().items() if name != "barelm.toml"}, CONFIGURATION)


def test_another_model_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {**files(), "model.blm": model(6)}, MODEL)


def test_the_same_model_under_another_name_is_refused(tmp_path: Path) -> None:
    content = files()
    refused(tmp_path, {BOOT: content[BOOT], "barelm.toml": content["barelm.toml"], "other.blm": model()}, MODEL)


@pytest.mark.parametrize("prefix", [b"", bytes(4096), b"anything"])
def test_a_prefix_it_was_not_signed_with_is_refused(tmp_path: Path, prefix: bytes) -> None:
    refused(tmp_path, {**files(), "prefix.session": prefix}, PREFIX)


def test_a_damaged_list_is_refused(tmp_path: Path) -> None:
    content = bytearray(files()[BOOT])
    content[content.index(b"barelmB\n")] ^= 1
    screen, status = ran(tmp_path, {**files(), BOOT: bytes(content)})
    assert "the list of files this program is bound to cannot be read" in screen and status


def test_an_unsigned_program_takes_anything(tmp_path: Path) -> None:
    screen, status = ran(tmp_path, {**files(), BOOT: program().read_bytes(), "model.blm": model(6)})
    assert status == 0 and ids(screen)


@functools.cache
def chatting() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of an image that holds a conversation, signed with its beginning; and the same, not signed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chatty.blm"
        packed = Chatty(5, 512).write(path)
        settings = Settings("", 0.0, tokens=6, chat=True, wait=0, system="hello to the world " * 20)
        prefix = pipeline.prefix_of(packed, settings, program(), Quiet())
        assert prefix is not None
        content = {"barelm.toml": settings.toml(), "model.blm": path.read_bytes(), "prefix.session": prefix}
    bound: dict[str, Path | bytes] = dict(content)
    return {BOOT: bound_and_signed(program(), bound, signer()), **content}, {BOOT: program().read_bytes(), **content}


def spoken(folder: Path, content: dict[str, bytes], *lines: str) -> Talk:
    """A conversation."""
    sources: dict[str, Path | bytes] = dict(content)
    write_image(folder / "chat.img", sources, free_bytes=8 << 20)
    return talk(folder / "chat.img", *lines)


def said(heard: Talk, line: str) -> str:
    """The answer without the figures below it."""
    return heard.answer_to(line).rpartition("\n[")[0]


def test_the_beginning_it_was_signed_with_is_taken(tmp_path: Path) -> None:
    signed, plain = (spoken(tmp_path, content, "hello world", "/stats") for content in chatting())
    assert signed.stats == plain.stats and signed.stats[0].read < 100
    assert said(signed, "hello world") == said(plain, "hello world")


def test_one_bit_of_its_keys_and_values_is_noticed(tmp_path: Path) -> None:
    content = dict(chatting()[0])
    prefix = content["prefix.session"]
    content["prefix.session"] = prefix[:-9] + bytes([prefix[-9] ^ 1]) + prefix[-8:]
    write_image(tmp_path / "chat.img", {**content})
    screen = ""
    with Hosted().start(Spec(tmp_path / "chat.img", 128)) as session:
        while "any key" not in screen and (shown := session.read(PATIENCE_S)):
            screen += shown.decode()
    assert PREFIX in screen


def test_saved_texts_are_read_again_saved_keys_and_values_are_not_taken(tmp_path: Path) -> None:
    """The signed program reads what the other takes from the file; the answers are the same."""
    lines = "hello world", "/save a", "/clear", "/load a", "and what else", "/stats"
    signed, plain = (spoken(tmp_path, content, *lines) for content in chatting())
    assert said(signed, "and what else") == said(plain, "and what else")
    assert signed.stats[0].last_read > plain.stats[0].last_read
