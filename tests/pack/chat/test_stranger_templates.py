"""A chat template is a stranger's program: it is ended where it takes too much, and never gets what it could misuse."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from barelm.checkpoint.checkpoint import Vocab
from barelm.child_python import bare_environment, child_command
from barelm.errors import BarelmError
from barelm.pack.chat import chat_pieces, cutting_process
from barelm.pack.chat.chat_pieces import chat_of, packed_at
from barelm.pack.chat.chat_template import TemplateSource
from tests.models import synthetic_vocab
from tests.pack.chat.test_chat_pieces import CHATML

GREEDY = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}x",
    "multiplies": "{{ 'x' * 2000000000 }}",
    "pads": "{{ '%2000000000d' % 1 }}",
    "formats": "{{ '{:2000000000}'.format(1) }}",
    "doubles": "{% set n = namespace(t='x') %}{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}{{ n.t }}",
    "powers": "{{ 9 ** 9 ** 9 ** 9 }}",
    "nests": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
}


def with_template(text: str) -> Vocab:
    """A vocabulary with a chat template."""
    return replace(synthetic_vocab(), chat_template=text)


def reason_of(text: str) -> str:
    """Why a template is refused."""
    refused = chat_of(with_template(text))
    assert isinstance(refused, str)
    return refused


@pytest.mark.parametrize("name", GREEDY)
def test_what_takes_too_much_is_refused_in_a_sentence(name: str) -> None:
    reason = reason_of(GREEDY[name])
    assert reason.startswith(chat_pieces.REFUSED) and "Traceback" not in reason and "\n" not in reason


def test_halves_of_characters_are_refused_in_a_sentence() -> None:
    assert "halves of characters" in reason_of(r"{{ '\ud800' }}{% for m in messages %}{{ m.content }}{% endfor %}")


def test_the_limits_hold_for_the_process_that_renders() -> None:
    source = json.dumps(TemplateSource(GREEDY["loops"], "", "", 0, ()))
    before = "import resource, runpy; real = resource.setrlimit; "
    asked = "resource.setrlimit = lambda what, limits: print(what, limits) or real(what, limits); "
    child = [*child_command("x")[:-2], "-c", before + asked + f"import {cutting_process.__name__} as c; c.main()"]
    done = subprocess.run(child, input=source, env=bare_environment(), capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert {line.split(" ", 1)[1] for line in done.stdout.splitlines()} == {
        f"({limit}, {limit})" for limit in (cutting_process.MOST_CPU_S, cutting_process.MOST_MEMORY, 0)}
    assert cutting_process.MOST_MEMORY <= 512 << 20 and cutting_process.MOST_CPU_S <= 10


def test_a_sandbox_that_leaks_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_pieces, "version", lambda name: "3.1.5")
    with pytest.raises(BarelmError, match=r"jinja2 3\.1\.5 is installed") as refused:
        chat_of(with_template(CHATML))
    assert "pip install" in refused.value.hint


@pytest.mark.parametrize("said", ["abc", "-1", "1e9", "1.5", "²", "1" * 30, " "])
def test_a_date_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", said)
    with pytest.raises(BarelmError, match="SOURCE_DATE_EPOCH is") as refused:
        chat_of(with_template(CHATML))
    assert refused.value.hint


def test_a_date_that_is_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    assert packed_at() == 1767225600
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert packed_at() > 1767225600


def test_rendering_needs_nothing_of_the_persons_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    seen = []
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: seen.append(k["env"]) or real(*a, **k))
    chat_of(with_template(CHATML + "{# once more #}"))
    assert seen and "HF_TOKEN" not in seen[0] and sys.path[-1] in seen[0]["PYTHONPATH"]
