"""Console bytes to plain text, however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.machine.terminal import PlainText


@pytest.mark.parametrize("raw, text", [
    (b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[1m\x1b[37m\x1b[40mhello\r\n", "hello\n"),
    (b"a\x1b7b\x1b(Bc\x1b", "abc"),
    (b"a\x1b[1\nb", "a\nb"),
    (b"a\x1b\x1b[1mb", "ab"),
    ("žluťoučký 語 😀\r\n".encode(), "žluťoučký 語 😀\n"),
    (b"\xb3\xc4box\xe2\x82", "\ufffd\ufffdbox\ufffd"),
    (b"\x1b[" + b"1" * 40 + b"mx", "1" * 8 + "mx"),
    (b"\0\r\r\n", "\n"),
])
def test_what_is_shown(raw: bytes, text: str) -> None:
    assert PlainText().feed(raw, final=True) == text


# Mostly what escapes and characters are made of, so that cuts fall inside them.
_RAW = st.lists(st.sampled_from([b"\x1b", b"[", b"0", b";", b"?", b" ", b"m", b"H", b"\xe2", b"\x82", b"\xac", b"\xf0",
                                 b"\r", b"\n", b"x", b"\xff", b"\x1b[2J", "é".encode()]), max_size=60).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(_RAW | st.binary(max_size=200), st.data())
def test_cuts_do_not_show(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    whole, pieces = PlainText(), PlainText()
    parts = [pieces.feed(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)])]
    expected = whole.feed(raw, final=True)
    assert "".join(parts) + pieces.feed(b"", final=True) == expected
    assert "\r" not in expected


def test_an_endless_escape_does_not_pile_up() -> None:
    terminal = PlainText()
    shown = sum(len(terminal.feed(b"\x1b[" + b"1" * 1000)) for _ in range(100))
    assert shown > 90_000
