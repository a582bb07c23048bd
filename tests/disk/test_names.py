"""FAT names: what is allowed, 8.3 aliases, long-name slots."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.disk.names import (
    SLOT_BYTES,
    checksum,
    decode_long,
    decode_short,
    encode_label,
    fold,
    long_slots,
    name_fault,
    refuse_device,
    short_names,
)
from barelm.errors import BarelmError
from tests.disk.trees import NAMES


@settings(deadline=None, max_examples=200)
@given(st.lists(NAMES, unique_by=fold, max_size=30))
def test_aliases_are_legal_distinct_and_short(names: list[str]) -> None:
    shorts = short_names(names)
    assert sorted(shorts) == sorted(names)
    assert len(set(shorts.values())) == len(names)
    for name, short in shorts.items():
        text = decode_short(short, 0)
        assert len(short) == 11 and name_fault(text) is None and text == text.upper() and text.isascii()
        if "~" not in text:
            assert text == name.upper()


@settings(deadline=None, max_examples=200)
@given(NAMES)
def test_long_names_come_back(name: str) -> None:
    short = short_names([name])[name]
    raw = long_slots(name, short)
    slots = [raw[i:i + SLOT_BYTES] for i in range(0, len(raw), SLOT_BYTES)]
    assert (decode_long(slots, short) if slots else decode_short(short, 0)) == name
    if len(slots) > 1:
        assert decode_long(slots[1:], short) is None            # orphaned: its first part is gone
        assert decode_long(slots[::-1], short) is None
    if slots:
        other = b"OTHER   TXT"
        assert decode_long(slots, other) is None or checksum(short) == checksum(other)


def test_aliases_of_many_alike() -> None:
    names = [f"a long name {i}.text" for i in range(1200)]
    shorts = short_names(names)
    assert shorts[names[0]] == b"ALONGN~1TEX"
    assert shorts[names[1199]] == b"ALO~1200TEX"


def test_an_alias_makes_way_for_a_name_that_needs_no_other() -> None:
    assert short_names(["a long name", "ALONGN~1"]) == {"a long name": b"ALONGN~2   ", "ALONGN~1": b"ALONGN~1   "}


@pytest.mark.parametrize("name, fault", [
    ("", "is empty"), (".", "reserved"), ("..", "reserved"), ("a.", "ends in"), ("a ", "ends in"),
    ("a:b", "':'"), ("a*", "'*'"), ("a\nb", "'\\n'"), ("a\\b", "'\\\\'"), ("\x7f", "'\\x7f'"),
    ("\ud800", "surrogate"), ("x" * 256, "longer"), ("😀" * 128, "longer"),
])
def test_faults(name: str, fault: str) -> None:
    assert fault in (name_fault(name) or "")


@pytest.mark.parametrize("name", ["a", "x" * 255, "😀" * 127, ".hidden", "a b.c d", "ü+[,;=]", "CON"])
def test_names_that_are_fine(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize("label", ["", " A", "A ", "TWELVE CHARS", "a.b", "ü", "A\n"])
def test_labels_that_are_none(label: str) -> None:
    with pytest.raises(BarelmError):
        encode_label(label)


def test_labels() -> None:
    assert encode_label("barelm 1") == b"BARELM 1   "


@pytest.mark.parametrize("raw, flags, text", [
    (b"README  TXT", 0, "README.TXT"), (b"README  TXT", 0x18, "readme.txt"), (b"README  TXT", 0x08, "readme.TXT"),
    (b"A          ", 0, "A"), (b"\x05BC        ", 0, "σBC"),
])
def test_short_entries_of_other_systems(raw: bytes, flags: int, text: str) -> None:
    assert decode_short(raw, flags) == text


@pytest.mark.parametrize("name", ["con", "Aux.md", "NUL.session", "com1.txt", "LPT9", "nul .x", "COM\u00b2.a.b"])
def test_names_of_devices_are_given_to_no_new_file_but_are_read(name: str) -> None:
    with pytest.raises(BarelmError, match="is a device's on Windows"):
        refuse_device(name)
    assert name_fault(name) is None


@pytest.mark.parametrize("name", ["console", "com", "comma.txt", "nullable", "lpt", "aux_.md", "com10", "x.con"])
def test_names_that_only_resemble_devices_are_taken(name: str) -> None:
    refuse_device(name)
