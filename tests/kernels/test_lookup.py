"""Guesses at what comes next: what is found, what is learnt of it, and what it costs where it does not pay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barelm.contract.conversation_state import GUESS_CLASSES, MOST_GUESSES, Guesses
from barelm.kernels import lookup
from barelm.kernels.lookup import MOST_ALIKE, ONE
from tests.worlds import interpreter, jit

FEW_IDS = st.lists(st.integers(0, 2), min_size=1, max_size=60)
ONE_BY_ONE = [1 + 0.95 * n for n in range(MOST_GUESSES + 1)]
"""What passes take, over one token and n guesses, where nothing is gained by reading several at once;"""
TOGETHER = [1 + 0.2 * n for n in range(MOST_GUESSES + 1)]
"""and where much is."""


def fresh() -> Guesses:
    """Nothing known."""
    return Guesses.over(np.zeros(Guesses.BYTES, np.uint8))


def longest(ids: list[int]) -> tuple[int, int]:
    """The last of the places that have the most ids in front of them alike with the last ids; 0 where none has two."""
    best = (0, 1)
    for at in range(1, len(ids)):
        alike = 0
        while alike < min(at, MOST_ALIKE) and ids[at - 1 - alike] == ids[len(ids) - 1 - alike]:
            alike += 1
        best = (at, alike) if alike > 1 and alike >= best[1] else best
    return best


@given(FEW_IDS)
def test_the_longest_and_last_place_alike_is_found_in_both_worlds(ids: list[int]) -> None:
    for world in (interpreter, jit):
        g = fresh()
        world(lookup.look_up)(g, np.array(ids, np.int64), len(ids))
        assert (g.at, g.alike) == longest(ids)


@given(FEW_IDS, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10**6), st.integers(0, 9)), max_size=40))
def test_the_worlds_learn_the_same(ids: list[int], steps: list[tuple[int, int, int]]) -> None:
    known = []
    for world in (interpreter, jit):
        g, tokens, n = fresh(), np.array(ids + [0] * len(steps), np.int64), len(ids)
        world(lookup.begin_guesses)(g, tokens, n)
        for token, took, most in steps:
            tokens[n] = token
            n += 1
            world(lookup.follow)(g, tokens, n)
            n_guesses = world(lookup.guesses_that_pay)(g, most)
            assert 0 <= n_guesses <= min(most, MOST_GUESSES) and (n_guesses == 0 or 0 < g.at < n)
            assert list(tokens[g.at - g.alike:g.at]) == list(tokens[n - g.alike:n]) or g.at == 0
            world(lookup.count_pass)(g, n_guesses, took)
        known.append([int(g.at), int(g.alike), int(g.single), *map(int, g.share), *map(int, g.cost)])
        assert all(0 <= share <= ONE for share in g.share) and all(cost >= 0 for cost in g.cost)
    assert known[0] == known[1]


@pytest.mark.parametrize("alike, number", [(2, 0), (3, 0), (4, 1), (7, 1), (8, 2), (15, 2), (16, 3), (999, 3)])
def test_classes(alike: int, number: int) -> None:
    assert interpreter(lookup.class_of)(alike) == jit(lookup.class_of)(alike) == number < GUESS_CLASSES


def faster(prompt: Sequence[int], answer: Sequence[int], costs: list[float]) -> float:
    """How much faster an answer is made with guesses, by what passes are held to take."""
    g, n, guessed, took = fresh(), len(prompt), 0, 0.0
    tokens = np.array([*prompt, *answer, *[0] * MOST_GUESSES], np.int64)
    jit(lookup.begin_guesses)(g, tokens, n)
    while n < len(prompt) + len(answer):
        right = 0
        while right < guessed and n + right < len(prompt) + len(answer) and (
                tokens[n + right] == tokens[g.at]):  # what would have been put there
            right += 1
            jit(lookup.follow)(g, tokens, n + right)
        n += right
        if n >= len(prompt) + len(answer):
            break
        n += 1
        jit(lookup.follow)(g, tokens, n)
        guessed = jit(lookup.guesses_that_pay)(g, MOST_GUESSES)
        jit(lookup.count_pass)(g, guessed, int(1e6 * costs[guessed]))
        took += costs[guessed]
    return len(answer) / took


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 4, 30, 10**6]), st.sampled_from([ONE_BY_ONE, TOGETHER]))
def test_an_answer_that_repeats_nothing_loses_nothing(seed: int, words: int, costs: list[float]) -> None:
    """Even where some ids in a row come again by chance, or every time, but what follows them does not."""
    rng = np.random.default_rng(seed)
    answer = rng.integers(0, words, 400)
    assert faster(list(range(5)), list(answer), costs) >= 0.98


@pytest.mark.parametrize("length", [60, 200])
def test_an_answer_that_repeats_its_source_gains(length: int) -> None:
    source = [int(token) for token in np.random.default_rng(1).integers(0, 10**5, length)]
    assert faster(source, source, TOGETHER) > 1.7
    edited = [token if k % 20 else -1 for k, token in enumerate(source)]
    assert faster(source, edited, TOGETHER) > 1.4
    assert faster(source, source, ONE_BY_ONE) * (length + 7) >= 0.98 * length, "one try, once, at most"


def test_what_was_dear_once_is_tried_again() -> None:
    g, source = fresh(), [int(token) for token in np.random.default_rng(1).integers(0, 10**5, 400)]
    tokens = np.array(source * 2, np.int64)
    jit(lookup.begin_guesses)(g, tokens, 400)
    jit(lookup.count_pass)(g, 0, 1000)
    g.cost[:] = 9 * ONE
    tried = 0
    for n in range(401, 800):
        jit(lookup.follow)(g, tokens, n)
        tried += int(jit(lookup.guesses_that_pay)(g, MOST_GUESSES) > 0)
    assert tried > 0
