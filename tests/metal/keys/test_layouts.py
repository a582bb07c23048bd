"""Keyboard layouts: whole, without holes, and what is printed on the keys where Windows and X have it too."""

from __future__ import annotations

import unicodedata

import pytest

from barelm.contract.layout import KEYBOARDS
from barelm.metal.keys import layouts
from barelm.metal.keys.layouts import ACCENTS, BASES, COMBINED, DEAD, KEYS, LAYOUTS, character_at, combined, dead_number
from tests.worlds import World, both_worlds, interpreter

US = "".join(map(chr, LAYOUTS[:2 * KEYS]))


def plane(name: str, level: int) -> str:
    """The keys of a layout: plain, with Shift, with AltGr."""
    at = (3 * KEYBOARDS.index(name) + level) * KEYS
    return "".join(map(chr, LAYOUTS[at:at + KEYS]))


def typed(name: str, keys: str, third: bool = False, world: World = interpreter) -> str:
    """What US keys are in a layout."""
    return "".join(chr(world(character_at)(KEYBOARDS.index(name), ord(key), third)) for key in keys)


@pytest.mark.parametrize("name", KEYBOARDS)
def test_every_layout_has_every_key(name: str) -> None:
    assert len(LAYOUTS) == 3 * KEYS * len(KEYBOARDS)
    assert " " not in plane(name, 0) + plane(name, 1)
    assert len(set(plane(name, 0))) == KEYS and len(set(plane(name, 1))) >= KEYS - 1


@pytest.mark.parametrize("name", KEYBOARDS)
def test_every_character_of_ascii_can_be_typed_on_every_keyboard(name: str) -> None:
    known = set("".join(plane(name, level) for level in range(3)))
    known |= {ACCENTS[DEAD.index(dead)] for dead in known & set(DEAD)}
    assert {chr(code) for code in range(33, 127)} - known == set()


@pytest.mark.parametrize("name", KEYBOARDS)
def test_shift_makes_letters_large(name: str) -> None:
    for small, large in zip(plane(name, 0), plane(name, 1)):
        if small.isalpha() and large.isalpha() and small not in DEAD + "ßçéèàùüöäòºªµ":
            assert small.upper() == large


def test_us_is_what_firmware_gives() -> None:
    assert typed("us", US) == US and typed("us", US, True) == US
    assert len(set(US)) == 2 * KEYS and set(US) == {chr(code) for code in range(33, 127)}


@both_worlds
def test_known_keys(world: World) -> None:
    assert typed("de", "yz[;'-Y{}\\\"", world=world) == "zyüöäßZÜ*#Ä"
    assert typed("de", "qe7890-m]", True, world) == "@€{[]}\\µ~"
    assert typed("fr", "qwaz;1!,m/", world=world) == "azqwm&1;,!"
    assert typed("fr", "0e56", True, world) == "@€[|"
    assert typed("es", ";1[", True, world) == "\x00|[" and typed("es", "=;", world=world) == "¡ñ"
    assert typed("uk", "@\"#\\~", world=world) == "\"@£#¬" and typed("uk", "4", True, world) == "€"


def test_what_is_on_no_key_stays() -> None:
    assert typed("de", "ÿ \x7f€") == "ÿ \x7f€"


@both_worlds
def test_dead_keys_join_as_unicode_says(world: World) -> None:
    marks = {"^": "\u0302", "`": "\u0300", "´": "\u0301", "¨": "\u0308", "~": "\u0303"}
    assert len(COMBINED) == len(BASES) * len(DEAD)
    for number, accent in enumerate(ACCENTS, 1):
        assert world(dead_number)(ord(DEAD[number - 1])) == number
        for base in BASES[:-1]:
            joined = unicodedata.normalize("NFC", base + marks[accent])
            got = world(combined)(number, ord(base))
            assert chr(got) == joined if got else len(joined) == 2 or base in "cnCN"
        assert chr(world(combined)(number, ord(" "))) == accent
        assert world(combined)(number, ord("q")) == 0
    assert world(dead_number)(ord("a")) == 0


def test_names_match_the_tables() -> None:
    assert set(layouts._TABLES) == set(KEYBOARDS)
