"""What others chose reaches a terminal without what a terminal would act on."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from barelm.errors import BarelmError
from barelm.printed import json_text, printable, spoken

TEXTS = st.text(st.characters() | st.sampled_from("\x1b\x07\x00\n\t\r\x7f\x85\x9b\u200f\u202e\u2066\u2028\ufeff\ud800"))
ACTED_ON = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0))}


@given(TEXTS)
def test_a_name_is_one_line_that_stays_in_order(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text) and shown.isprintable()
    assert all(a in (b, "\ufffd") for a, b in zip(shown, text))
    assert "".join(c for c in text if c.isprintable()) == "".join(a for a, b in zip(shown, text) if b.isprintable())


@given(TEXTS)
def test_what_a_model_says_keeps_all_but_controls(text: str) -> None:
    assert spoken(text) == "".join(c for c in text if c in "\n\t" or c not in ACTED_ON)


@given(TEXTS)
def test_json_says_the_same_and_commands_no_terminal(text: str) -> None:
    written = json_text({text: [text, 1]})
    assert json.loads(written) == {text: [text, 1]}
    assert not set(written) & (ACTED_ON | set("\u202e\u2066\u200f"))


def test_a_script_stays_as_it_is() -> None:
    assert json_text("Grüße, 你好") == '"Grüße, 你好"' and printable("Grüße, 你好") == "Grüße, 你好"
    assert spoken("خط\u200cفاصل 👩\u200d💻") == "خط\u200cفاصل 👩\u200d💻"


def test_every_message_can_be_printed() -> None:
    error = BarelmError("no \x1b]0;x\x07 here", "first\n\u202esecond\n\tthird")
    assert (error.message, str(error)) == ("no \ufffd]0;x\ufffd here",) * 2
    assert error.hint == "first\n\ufffdsecond\n\tthird"


def test_json_of_a_name_that_is_no_text_can_be_written() -> None:
    assert json_text("a\udcff").encode() == b'"a\\udcff"'
