"""Lines that begin with a slash: whatever follows, one helpful answer, and the conversation goes on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract import layout
from barelm.contract.board import Board
from barelm.dialect.memory import memory
from barelm.metal.conversation import slash_commands
from barelm.metal.conversation.dialogue import hold_conversation
from barelm.metal.conversation.slash_commands import COMMANDS, EDIT, GO_ON, LEAVE, obey
from barelm.metal.conversation.turns import add_turn
from tests.metal.talks import Desk, array, chat_model

SETTINGS = b"tokens = 4\ntemperature = 0.0\nseed = 7\n"
ENDINGS = {"reboot": slash_commands.RESTART, "off": slash_commands.SWITCH_OFF, "quit": LEAVE,
           "model": slash_commands.ANOTHER_MODEL}
LONG = 16384 - 12


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A conversation of two turns."""
    desk = Desk(monkeypatch, settings=SETTINGS)
    for typed in (b"hello", b"again"):
        add_turn(desk.t, array(typed))
    yield desk


def ask(desk: Desk, line: bytes) -> tuple[int, str]:
    """What comes of a line, and what is said."""
    found: list[int] = []
    said = desk.heard(lambda: found.append(int(obey(desk.t, array(line), len(line)))))
    return found[0], said


def answered(desk: Desk, line: bytes, rows: int = 1) -> str:
    """What is said in so many rows, none of them blank; nothing else happens."""
    verdict, said = ask(desk, line)
    assert verdict == GO_ON and said.endswith("\n") and len(said.splitlines()) == rows, (line[:50], said[:300])
    assert all(row.strip() for row in said.splitlines())
    assert said.isprintable() or said.replace("\n", "").isprintable()
    desk.check()
    return said


@pytest.mark.parametrize("name", [name for name in COMMANDS.split() if name not in (
    "help", "stats", "cpu", "bench", "report", "retry", "edit", *ENDINGS)])
def test_every_command_alone(desk: Desk, name: str) -> None:
    answered(desk, f"/{name}".encode())


def test_commands_of_more_rows(desk: Desk) -> None:
    assert answered(desk, b"/help", slash_commands.HELP.count("\n") + 1) == slash_commands.HELP + "\n"
    assert "turns 2, " in answered(desk, b"/stats", 3)
    assert "1 compute" in answered(desk, b"/cpu", 4)
    assert "1 core" in answered(emptied(desk), b"/bench")
    assert "report.json" in answered(desk, b"/report", 2).splitlines()[1]


def emptied(desk: Desk) -> Desk:
    """The same with nothing said."""
    answered(desk, b"/clear")
    assert desk.ids == []
    return desk


@pytest.mark.parametrize("name", ENDINGS)
def test_commands_that_end_it(desk: Desk, name: str) -> None:
    assert desk.firmware.files is not None
    if name == "model":
        desk.firmware.files["one.blm"] = b""
        assert "There is" in answered(desk, b"/model")
        desk.firmware.files |= {"one.blm": chat_model()[1], "two.blm": chat_model()[1]}
        desk.firmware.keys = [13]
        assert ask(desk, b"/model")[0] == ENDINGS[name] and desk.workspace.models.asked_for == 1
        return
    assert ask(desk, f"/{name}".encode()) == (ENDINGS[name], "")


@pytest.mark.parametrize("name", COMMANDS.split())
@pytest.mark.parametrize("argument", [b"\xff\xfe\x80", b"\x1b[31m\x07", b"?*|", b"-1", b"x" * LONG, b"1e9", b"0x10",
                                      b"99999999999999999999", "é世🙂".encode(), b"../../x"])
def test_no_argument_does_harm(desk: Desk, name: str, argument: bytes) -> None:
    desk.b.settings.screen = 0
    said = answered(desk, f"/{name} ".encode() + argument)
    assert len(said) < 400
    assert desk.typed == [b"hello", b"again"] or name == "system"


@pytest.mark.parametrize("line", [b"/", b"/ ", b"/x", b"/helpp", b"/HELP", b"/\xff", b"/" + b"x" * LONG, b"/\x00",
                                  b"/tem", "/é".encode()])
def test_what_is_no_command(desk: Desk, line: bytes) -> None:
    said = answered(desk, line)
    assert said.endswith(" is no command.  /help lists them.\n") and len(said) < 120


@settings(max_examples=150)
@given(st.sampled_from([name for name in COMMANDS.split() if name not in ("bench", "report", "stats", "cpu", "help")]),
       st.binary(max_size=30))
def test_any_bytes_behind_any_command(name: str, argument: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        desk = Desk(patch, settings=SETTINGS)
        add_turn(desk.t, array(b"hello"))
        verdict, said = ask(desk, f"/{name} ".encode() + argument)
        assert 0 <= verdict <= EDIT and len(said.splitlines()) <= 1
        assert said.replace("\n", "").isprintable() or "\xa0" <= max(said)
        desk.check()


@pytest.mark.parametrize("line, name, value", [
    ("/temp 0", "temperature", 0.0), ("/temp 1000", "temperature", 1000.0), ("/temp 0.75", "temperature", 0.75),
    ("/topp 0", "top_p", 0.0), ("/topp 1", "top_p", 1.0), ("/minp 1.0", "min_p", 1.0),
    ("/repeat 0.001", "repeat", 0.001), ("/repeat 1000", "repeat", 1000.0)])
def test_reals_at_their_limits(desk: Desk, line: str, name: str, value: float) -> None:
    answered(desk, line.encode())
    assert getattr(desk.b.settings, name) == np.float32(value)


@pytest.mark.parametrize("line, name, value", [
    ("/topk 0", "top_k", 0), ("/topk 999999999999999999", "top_k", 10**18 - 1), ("/seed 1", "seed", 1),
    ("/seed 999999999999999999", "seed", 10**18 - 1), ("/tokens 0", "tokens", 0), ("/tokens 128", "tokens", 128)])
def test_whole_numbers_at_their_limits(desk: Desk, line: str, name: str, value: int) -> None:
    assert str(value) in answered(desk, line.encode())
    assert getattr(desk.b.settings, name) == value


@pytest.mark.parametrize("line", ["/temp 1000.1", "/temp -0.1", "/temp x", "/temp 1 2", "/topp 1.001", "/minp 2",
                                  "/minp .", "/repeat 0", "/repeat 1001", "/topk 1.5", "/topk 1000000000000000000",
                                  "/seed 0", "/seed", "/seed -5", "/tokens 129", "/tokens 1k", "/temp nan",
                                  "/temp inf"])
def test_numbers_beyond_their_limits(desk: Desk, line: str) -> None:
    kept = memory(desk.b.address, Board.offset_of("figures"))
    before = kept.copy()
    said = answered(desk, line.encode())
    assert line == "/seed" or said.startswith(line.split()[0] + " takes ")
    assert (kept == before).all()


@pytest.mark.parametrize("line, said", [
    ("/temp x", "/temp takes a number from 0 (always the most likely word) to 1000, as in /temp 0.7."),
    ("/topp 2", "/topp takes a number from 0 to 1, as in /topp 0.9; 1 draws from all words."),
    ("/minp 2", "/minp takes a number from 0 to 1, as in /minp 0.05; 0 draws from all words."),
    ("/repeat 0", "/repeat takes a number above 0, as in /repeat 1.1; 1 is no penalty."),
    ("/topk x", "/topk takes a whole number, as in /topk 40; 0 draws from all words."),
    ("/seed 0", "/seed takes a whole number from 1 on, as in /seed 42."),
    ("/tokens x", "/tokens takes a whole number that the context can hold, as in /tokens 200; 0: as many as fit."),
    ("/temp", "temperature 0.0"), ("/topp", "top-p 0.9"), ("/minp 0.05", "min-p 0.05"),
    ("/repeat", "repetition penalty 1.0"), ("/topk 40", "top-k 40"), ("/seed 42", "seed 42"),
    ("/tokens", "tokens an answer may have 4")])
def test_what_numbers_are_called_and_have_to_be(desk: Desk, line: str, said: str) -> None:
    assert answered(desk, line.encode()) == f"{said}\n"


def test_the_help_shows_every_number() -> None:
    assert ("\n/temp 0.7  /topp 0.9  /topk 40  /minp 0.05  /repeat 1.1  /seed 42\n"
            "/tokens 200   how it speaks; each alone says what is set\n") in slash_commands.HELP
    assert len(set(COMMANDS.split())) == len(COMMANDS.split()) == slash_commands.QUIT + 1
    assert COMMANDS.split()[slash_commands.STOP] == "stop" and COMMANDS.split()[slash_commands.QUIT] == "quit"


@pytest.mark.parametrize("value, shown", [("0.7", "0.7"), ("1", "1.0"), ("0.05", "0.05"), ("0.999", "0.999"),
                                          ("1000", "1000.0"), ("0.1", "0.1")])
def test_numbers_are_shown_as_they_are(desk: Desk, value: str, shown: str) -> None:
    assert answered(desk, f"/temp {value}".encode()) == f"temperature {shown}\n" == answered(desk, b"/temp")


def test_a_system_text_where_the_template_has_no_place_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, chat_model(template="no system"), SETTINGS)
    assert "no place" in answered(desk, b"/system be kind") and desk.b.settings.system.n_bytes == 0


def test_taking_back(desk: Desk) -> None:
    assert ask(desk, b"/retry") == (slash_commands.ANSWER, "")
    assert ask(desk, b"/edit") == (EDIT, "") and desk.typed == [b"hello"]
    assert answered(desk, b"/undo") == "Taken back.  Turns left: 0.\n"
    for name in (b"/undo", b"/edit", b"/retry", b"/save x"):
        assert answered(desk, name) == "Nothing was said yet.\n"


def test_stop_texts(desk: Desk) -> None:
    answered(desk, b"/stop END")
    stop = desk.b.settings.stop
    assert memory(stop.address, stop.n_bytes).tobytes() == b"END\0"
    assert "too long" in answered(desk, b"/stop " + b"x" * 1024) and stop.n_bytes == 4
    answered(desk, b"/stop")
    assert stop.n_bytes == 0


def conversation(patch: pytest.MonkeyPatch, typed: str, settings: bytes = SETTINGS) -> tuple[Desk, str, int]:
    """A whole conversation from the keyboard; Ctrl-D at the end."""
    desk = Desk(patch, settings=settings, columns=300)
    # All is typed ahead: an answer must not look for Esc among it, and keep no more than it has room for.
    patch.setattr("barelm.metal.conversation.reply.SHOW_EVERY_MS", 1 << 30)
    desk.firmware.keys = [ord(unit) for unit in typed + "\x03\x04"]
    ends: list[int] = []
    said = desk.heard(lambda: ends.append(int(hold_conversation(desk.t))))
    return desk, said, ends[0]


def test_a_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, said, end = conversation(monkeypatch, "hello\r/nothing\r//slash\r/undo\rmore\r\r")
    assert end == LEAVE and desk.typed == [b"hello", b"more"]
    assert "/nothing is no command" in said and said.count("tokens, ") == 3
    desk.check()


def test_edit_gives_the_question_back_to_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, _, _ = conversation(monkeypatch, "hello there\r/edit\r!\r")
    assert desk.typed == [b"hello there!"]


def test_the_configured_prompt_is_the_first_question(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, said, _ = conversation(monkeypatch, "/quit\r", SETTINGS + b'prompt = "who"\n')
    assert desk.typed == [b"who"] and "> who\n" in said


def test_a_question_longer_than_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, said, _ = conversation(monkeypatch, "hello\r" + "x" * 16384 + "\rand on\r")
    assert "longer than the context" in said and desk.typed == [b"hello", b"and on"]


def test_what_there_was_no_room_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    _, said, _ = conversation(monkeypatch, "hello\r" + "x" * 16390 + "\r")
    assert "There was no room for all of it: 6 characters are left out." in said


def test_a_system_text_leaves_room_and_can_be_taken_away(desk: Desk) -> None:
    assert "too long for a system text" in answered(desk, b"/system " + b"many words " * 400)
    assert "Set, for all" in answered(desk, b"/system be brief")
    assert "be brief   (/system -" in answered(desk, b"/system")
    assert "Set" in answered(desk, b"/system -") and "No system text is set." in answered(desk, b"/system")


def test_a_conversation_that_never_ends_forgets_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, said, _ = conversation(monkeypatch, "hello there\r" * 20)
    assert "Turns forgotten" in said and 0 < len(desk.typed) < 20 and desk.end <= layout.TEXT_BYTES
    desk.check()
