"""Models that think: what is shown of a reply, and what is left of it for the next turn, by the template's word."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from barelm.contract import board
from barelm.metal.conversation import slash_commands
from barelm.metal.conversation.dialogue import make_answer
from barelm.metal.conversation.saving import markdown_of
from barelm.metal.conversation.talk import vocabulary_of
from barelm.metal.conversation.turns import add_turn
from tests.metal.talks import TEMPLATES, Desk, array, chat_model

WAYS: tuple[dict[str, object], ...] = ({}, {"enable_thinking": True, "reasoning_effort": "high"},
                                       {"enable_thinking": False, "reasoning_effort": "low"})
NAMES = ("auto", "on", "off")
WRAPPED = {"thinks": "<think>\n{}\n</think>\n\n{}", "thinks at once": "{}\n</think>\n\n{}", "moving": "{}{}",
           "channels": "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}"}
WORDS = st.text("ab <n", min_size=1, max_size=8).filter(str.strip)


@dataclass
class Thinker:
    """A desk whose model says what it is told to, and what was said, as texts."""

    desk: Desk
    template: str
    think: int = 0
    system: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)
    script: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk.engine.chosen = (  # type: ignore[method-assign]
            lambda ids: self.script.pop(0) if self.script else int(self.desk.header.eos_ids[0]))

    def say(self, typed: str) -> None:
        """A question, checked against jinja."""
        assert add_turn(self.desk.t, array(typed.encode()))
        self.turns.append((typed, ""))
        self.check_asked()

    def check_asked(self) -> None:
        """The ids of a conversation that waits for a reply are those of the template's text."""
        talk = [{"role": "system", "content": self.system}] if self.system else []
        for typed, answer in self.turns:
            talk += [{"role": "user", "content": typed}, {"role": "assistant", "content": answer}]
        template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
            TEMPLATES[self.template])
        assert text_of(self.desk, self.desk.ids) == template.render(
            messages=talk[:-1], add_generation_prompt=True, **WAYS[self.think])
        self.desk.check()

    def reply(self, thought: str, answer: str) -> str:
        """A reply, and what is shown of it."""
        said = WRAPPED[self.template].format(thought, answer) if thought else answer
        if self.template == "thinks at once" and not thought:
            said = f"</think>{answer}"
        self.script[:] = [int(self.desk.packed.vocabulary().byte_tokens[byte]) for byte in said.encode()]
        self.turns[-1] = (self.turns[-1][0], answer.strip())
        return self.desk.heard(lambda: make_answer(self.desk.t))

    def command(self, line: str) -> int:
        """A command, and what comes next."""
        raw = array(line.encode())
        verdict = []
        self.desk.heard(lambda: verdict.append(slash_commands.obey(self.desk.t, raw, len(raw))))
        return verdict[0]


def text_of(desk: Desk, ids: list[int]) -> str:
    """What ids stand for, control tokens by their names."""
    v = vocabulary_of(desk.t)
    named = {0: "<|endoftext|>", 1: "<|im_start|>", 2: "<|im_end|>"}
    ends = [0, *map(int, v.piece_ends)]
    return b"".join(named[i].encode() if i in named else v.pieces[ends[i]:ends[i + 1]].tobytes()
                    for i in ids).decode()


STEPS = st.lists(st.one_of(
    st.tuples(st.just("say"), WORDS, st.one_of(st.just(""), WORDS), WORDS), st.tuples(st.just("retry"), WORDS, WORDS,
                                                                                     WORDS),
    st.tuples(st.just("undo"), WORDS, WORDS, WORDS), st.tuples(st.sampled_from(NAMES), WORDS, WORDS, WORDS)),
    min_size=1, max_size=7)


@pytest.mark.parametrize("template", WRAPPED)
@settings(max_examples=8)
@given(STEPS, st.sampled_from(["", "Be brief."]))
def test_what_is_asked_is_what_the_template_prints(template: str, steps: list[tuple[str, str, str, str]],
                                                   system: str) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        system = system if template != "channels" else ""
        thinker = Thinker(Desk(patch, chat_model(1024, template), b"temperature = 0.0\n"), template, system=system)
        if system:
            thinker.command(f"/system {system}")
        for what, typed, thought, answer in steps:
            if what == "say":
                thinker.say(typed)
                thinker.reply(thought if template != "moving" else "", answer)
            elif what == "retry" and thinker.turns:
                assert thinker.command("/retry") == slash_commands.ANSWER
                thinker.check_asked()
                thinker.reply(thought if template != "moving" else "", answer)
            elif what == "undo" and thinker.turns:
                thinker.command("/undo")
                thinker.turns.pop()
            elif what in NAMES:
                before = thinker.desk.ids
                thinker.command(f"/think {what}")
                if len(thinker.desk.packed.vocabulary().chat_ends) > 8:
                    thinker.think = NAMES.index(what)
                else:
                    assert thinker.desk.ids == before
            thinker.desk.check()
        thinker.say("last")


@pytest.mark.parametrize("template", ["thinks", "thinks at once", "channels"])
def test_a_thought_is_shown_apart_and_left_out_of_what_is_kept(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    thinker = Thinker(Desk(monkeypatch, chat_model(1024, template)), template)
    thinker.say("Why?")
    said = thinker.reply("a < b, so", "Because.")
    assert said.startswith("[thinking] a < b, so\n\nBecause.\n")
    with np.errstate(all="ignore"):
        text = markdown_of(thinker.desk.t, array(b"x")).tobytes().decode()
    assert text.endswith("\n\nBecause.\n") and "a < b" not in text
    thinker.say("And?")


@pytest.mark.parametrize("template", ["thinks", "thinks at once", "channels"])
@pytest.mark.parametrize("most", [1, 3, 9, 12])
def test_a_reply_cut_short_within_a_thought_leaves_an_empty_answer(monkeypatch: pytest.MonkeyPatch, template: str,
                                                                    most: int) -> None:
    thinker = Thinker(Desk(monkeypatch, chat_model(1024, template), b"tokens = %d\n" % most), template)
    thinker.say("Why?")
    thinker.reply("a long thought that does not end", "x")
    assert thinker.desk.b.figures.ended == board.ENDED_AT_LIMIT and thinker.desk.b.figures.last_made == most
    if template == "thinks at once" or (template == "thinks" and most > 7):
        thinker.turns[-1] = ("Why?", "")
        thinker.say("And?")


def test_a_stop_ends_the_answer_and_no_thought(monkeypatch: pytest.MonkeyPatch) -> None:
    thinker = Thinker(Desk(monkeypatch, chat_model(1024, "thinks"), b'stop = ["so"]\n'), "thinks")
    thinker.say("Why?")
    assert thinker.reply("a, so b", "Also so it is.").startswith("[thinking] a, so b\n\nAl\n")
    assert thinker.desk.b.figures.ended == board.ENDED_AT_STOP


def test_what_only_begins_like_a_mark_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    thinker = Thinker(Desk(monkeypatch, chat_model(1024, "thinks")), "thinks")
    thinker.say("Why?")
    assert thinker.reply("", "<thin").startswith("<thin\n")
    assert thinker.command("/retry") == slash_commands.ANSWER
    assert thinker.reply("</thin", "a <think> b </think> c").startswith("[thinking] </thin\n\na <think> b </think> c\n")


def test_think_says_what_is_set_and_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, chat_model(1024, "thinks"))

    def said(line: bytes) -> str:
        return desk.heard(lambda: slash_commands.obey(desk.t, array(line), len(line)))

    assert said(b"/think") == "thinking auto\n"
    assert said(b"/think off") == "thinking off\n" and desk.b.settings.think == 2
    assert said(b"/think maybe") == "/think takes on, off or auto.\n" and desk.b.settings.think == 2
    plain = Desk(monkeypatch, chat_model(128))
    assert plain.heard(lambda: slash_commands.obey(plain.t, array(b"/think on"), 9)) == (
        "The chat template of this model knows no thinking on and off.\n")


def test_dates_are_those_of_the_clock_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(86400 * 40))
    template = "Today is {{ strftime_now('%A, %d %B %Y') }}.\n" + TEMPLATES["chatml"]
    monkeypatch.setitem(TEMPLATES, "dated", template)
    for date, day in ((b"packed", "Tuesday, 10 February 1970"), (b"clock", None)):
        desk = Desk(monkeypatch, chat_model(256, "dated"), b'date = "%s"\n' % date)
        assert add_turn(desk.t, array(b"Hi"))
        text = text_of(desk, desk.ids)
        assert text.startswith(f"Today is {day}.\n") if day else not text.startswith("Today is Tuesday, 10 February 19")
