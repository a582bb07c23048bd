"""Large tuples, passed by their address, are the values that they are in the interpreter, whatever is done to them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from barelm.dialect.memory import cells
from barelm.dialect.rooms import metal
from barelm.dialect.types import I64
from barelm.machine.hosted import Hosted
from tests.aot import small
from tests.aot.small import Large

MODULUS = 1_000_003


class Wide(NamedTuple):
    """Has a large one in it, an array, and what is not of eight bytes."""

    inner: Large
    k: int
    is_odd: bool
    words: I64
    l: int
    m: int
    n: int
    o: int
    p: int
    q: int


class Narrow(NamedTuple):
    """Few values, one of them an address."""

    wide: Wide
    k: int


@metal
def made(k: int, words: I64) -> Wide:
    """One that k can be told from."""
    inner = Large(k, k + 1, k + 2, k + 3, k + 4, k + 5, k + 6, k + 7, words[k % 3:])
    return Wide(inner, k, k % 2 == 1, words[:1 + k % 4], k * 2, k * 3, k * 5, k * 7, k * 11, k * 13)


@metal
def changed(w: Wide, k: int) -> Wide:
    """Another, from one."""
    return Wide(w.inner, w.l + k, not w.is_odd, w.words, w.m, w.n, w.o, w.p, w.q, w.k)


@metal
def either(a: Wide, b: Wide, first: bool) -> Wide:
    """One of two that are somebody else's."""
    if first:
        return a
    return b


@metal
def weight(w: Wide) -> int:
    """Of all that is in one."""
    total = w.inner.a + 3 * w.inner.h + 5 * int(w.inner.words[0]) + len(w.inner.words)
    total += 7 * w.k + 11 * int(w.is_odd) + 13 * len(w.words) + int(w.words[len(w.words) - 1])
    return (17 * total + w.l + 2 * w.m + 3 * w.n + 5 * w.o + 7 * w.p + 11 * w.q) % MODULUS


@metal
def weight_of_inner(inner: Large) -> int:
    """The same of the inner one."""
    return inner.a + 2 * inner.b + 3 * inner.h + len(inner.words)


@metal
def swapped(words: I64, n: int) -> int:
    """Two variables that change places."""
    a = made(1, words)
    b = made(2, words)
    for k in range(n):
        a, b = b, changed(a, k)
    return weight(a) * 31 + weight(b)


@metal
def kept(words: I64, n: int) -> int:
    """One of those that a statement makes is kept, while it makes others."""
    best = made(0, words)
    narrow = Narrow(made(3, words), 1)
    inner = narrow.wide.inner
    for k in range(n):
        candidate = made(k * 7 % 5, words)
        if candidate.k > best.k:
            best = candidate
        other = Narrow(candidate, k)
        if k == 2:
            narrow = other
            inner = candidate.inner
    return weight(best) + 3 * weight(narrow.wide) + 5 * narrow.k + 7 * weight_of_inner(inner)


@metal
def followed(words: I64, n: int) -> int:
    """Each beside the one before it."""
    total = 0
    previous = made(0, words)
    for k in range(n):
        this = made(k, words)
        total = (total * 10 + weight(previous) + weight(this)) % MODULUS
        previous = this
    return total


@metal
def chosen(words: I64, n: int) -> int:
    """What a function returned of its arguments, after these are others."""
    a = made(n, words) if n > 3 else made(n + 1, words)
    b = made(9, words)
    one = either(a, b, n > 2)
    for k in range(2):
        a = changed(either(b, a, k == 0), k)
        b = changed(one, k)
    return weight(one) + 3 * weight(a) + 5 * weight(b)


@metal
def all_cases(image: int, table: int) -> int:
    """A number that any of them changes."""
    words = cells(8)
    for k in range(8):
        words[k] = k * k + 3
    total = 0
    for n in range(2, 7):
        total = (total * 7 + swapped(words, n)) % MODULUS
        total = (total * 7 + kept(words, n)) % MODULUS
        total = (total * 7 + followed(words, n)) % MODULUS
        total = (total * 7 + chosen(words, n)) % MODULUS
    return total


@pytest.mark.skipif(Hosted().why_not() is not None, reason="the hosted machine does not run here")
def test_a_large_tuple_is_the_value_it_is(tmp_path: Path) -> None:
    ran = small.run(small.build(all_cases), tmp_path / "places.img")
    assert ran.status == all_cases(0, 0)
