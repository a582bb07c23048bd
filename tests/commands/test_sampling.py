"""The options of sampling: the same for run, chat and image, and what the metal is asked for is what was typed."""

from __future__ import annotations

from typing import Any

import pytest

from barelm.cli import main
from barelm.pipeline import Order
from barelm.settings import Settings
from tests.commands.conftest import Cli, hosted_only

OPTIONS = ("-t", "0.5", "-p", "0.8", "-k", "40", "--min-p", "0.05", "--repeat", "1.1", "--stop", "a b", "--stop", "\n",
           "-s", "7", "-n", "20")
ASKED = {"temperature": 0.5, "top_p": 0.8, "top_k": 40, "min_p": 0.05, "repeat": 1.1, "stop": ("a b", "\n"), "seed": 7,
         "tokens": 20}
PLACES = {"run": "run.run_model", "chat": "chat.chat_with", "image": "make.make_image"}


def settings_of(monkeypatch: pytest.MonkeyPatch, command: str, *options: str) -> Settings:
    """What a command line asks the metal for."""
    given: list[Any] = []

    def take(*arguments: Any) -> int:
        given.extend(arguments)
        return 0

    monkeypatch.setattr(f"barelm.commands.{PLACES[command]}", take)
    with pytest.raises(SystemExit) as ended:
        main([command, "x.bin", *options])
    assert ended.value.code == 0
    found = [argument.settings if isinstance(argument, Order) else argument for argument in given
             if isinstance(argument, Order | Settings)]
    assert len(found) == 1 and isinstance(found[0], Settings)
    return found[0]


@pytest.mark.parametrize("command", PLACES)
def test_every_command_has_the_same_controls(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, command, *OPTIONS) == Settings(**ASKED)  # type: ignore[arg-type]
    assert settings_of(monkeypatch, command) == Settings()


def test_what_an_image_has_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings_of(monkeypatch, "image", "--keyboard", "de", "--countdown", "0", "--selftest", "--no-screen")
    assert found == Settings(keyboard="de", countdown=0, selftest=True, screen=False)


@hosted_only
def test_the_text_ends_before_a_stop(cli: Cli) -> None:
    on = ("run", "tiny.bin", "to the sun", "-t", "0", "-n", "30", "--machine", "hosted")
    whole = cli(*on).out
    reply = whole.removeprefix("to the sun").rstrip("\n")
    stop = reply[len(reply) // 2:][:3]
    cut = cli(*on, "--stop", "never said", "--stop", stop)
    assert cut.code == 0 and cut.out.rstrip("\n") == whole[:whole.index(stop, len("to the sun"))].rstrip("\n")


@pytest.mark.parametrize("arguments, sentence", [
    (("--top-k=-1",), "top-k cannot be -1"), (("--min-p", "2"), "min-p cannot be 2"),
    (("--repeat", "nan"), "the repetition penalty cannot be nan"), (("--stop", "x" * 300), "is too long"),
    (("--keyboard", "dvorak"), "there is no keyboard 'dvorak'"), (("--countdown=-1",), "the countdown cannot be -1")])
def test_what_cannot_be_is_said(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in cli.refuses("image", "tiny.bin", *arguments)
