"""Whole stories: the public transcript of stories260K, and the same ids in both worlds whatever the sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from barelm.checkpoint.checkpoint import Traits
from barelm.dialect.types import f32
from barelm.kernels import session
from barelm.kernels.session import Sampling
from barelm.pack.reader import Packed
from tests.conftest import Pack
from tests.kernels.agree import agree, normal
from tests.models import tiny_checkpoint
from tests.worlds import alone, interpreter, jit, spared, tell

# karpathy/llama2.c, test_all.py: temperature 0, 200 steps, no prompt.
TRANSCRIPT = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
    "big, red ball. She wanted to play with it, but it was too high.\n"
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know what to do. She said, \"I want to "
    "play with your ball, but I can't find it.\"\n"
    "Lily was sad and didn't know what to do. She said, \"I'm sorry, Lily. I didn't know what to do.\"\n"
    "Lily didn't want to help her mom, so she")


def test_the_public_transcript_compiled(stories: Packed) -> None:
    story = tell(jit, stories, n_tokens=200)
    assert story.text == TRANSCRIPT
    assert (len(story.ids), story.n_prompt, story.ids[0]) == (201, 1, 1)


def test_the_public_transcript_interpreted(stories: Packed) -> None:
    assert tell(interpreter, stories, n_tokens=200).text == TRANSCRIPT


@pytest.mark.parametrize("prompt, temperature, top_p, seed", [
    ("", 1.0, 0.9, 1), ("Lily", 1.0, 0.9, 2), ("The café — 🙂", 1.0, 0.9, 3), ("One day", 0.5, 1.0, 2**63 + 1),
    ("A cat", 2.0, 0.3, 4),
])
def test_drawn_stories_are_the_same_in_both_worlds(stories: Packed, prompt: str, temperature: float, top_p: float,
                                                  seed: int) -> None:
    told = [tell(world, stories, prompt, temperature=temperature, top_p=top_p, seed=seed, n_tokens=10)
            for world in (interpreter, jit)]
    assert told[0] == told[1]
    assert told[0].text.startswith(prompt)


@pytest.mark.parametrize("limits", [
    {"top_k": 5}, {"min_p": 0.1}, {"repeat": 1.3}, {"repeat": 1.3, "temperature": 0.0}, {"repeat": 0.5, "top_p": 0.0},
    {"top_k": 40, "min_p": 0.02, "repeat": 1.1}])
def test_every_limit_is_the_same_in_both_worlds(stories: Packed, limits: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"temperature": 1.0, "seed": 5, "n_tokens": 10, **limits}
    told = [tell(world, stories, "One day", **asked) for world in (interpreter, jit)]
    assert told[0] == told[1]


def test_one_candidate_is_the_most_likely(pack: Pack) -> None:
    packed = pack(tiny_checkpoint(vocab_size=301))
    s = packed.fresh_state()
    for only in (Sampling(f32(2), f32(1), 1, f32(0), f32(1)), Sampling(f32(2), f32(1), 0, f32(1), f32(0))):
        for seed in range(1, 9):
            s.logits[0, :301] = normal(seed, 301)
            best = int(np.argmax(s.logits[0, :301]))
            assert agree(session.choose, packed.config, s, only, 0, 0, spared(packed)) == best


@pytest.mark.parametrize("n, place, avoided", [(64, 0, True), (65, 0, False), (65, 1, True), (10, 9, True),
                                               (10, 10, False), (0, 0, False)])
def test_the_penalty_looks_at_the_last_64_tokens_and_holds_for_greedy_choices(pack: Pack, n: int, place: int,
                                                                             avoided: bool) -> None:
    packed = pack(tiny_checkpoint(vocab_size=301, seq_len=128))
    s = packed.fresh_state()
    s.tokens[:] = 7
    s.tokens[place] = 5
    s.logits[0, :301] = -1
    s.logits[0, 4:6] = 2, 3
    none, twice = (Sampling(f32(0), f32(0.9), 0, f32(0), f32(penalty)) for penalty in (0, 2))
    for _ in range(2):
        chosen = agree(session.choose, packed.config, s, none, n, 0, spared(packed))
        assert chosen == 5, "0: no penalty, and nothing changed"
    assert agree(session.choose, packed.config, s, twice, n, 0, spared(packed)) == 5 - avoided


@pytest.mark.parametrize("limits", [
    {"temperature": 0.0}, {"temperature": 0.0, "repeat": 1.3}, {}, {"repeat": 1.3}, {"top_k": 40, "min_p": 0.02}])
@pytest.mark.parametrize("windows", [(), (9, 21)])
def test_guesses_change_no_id(pack: Pack, limits: dict[str, Any], windows: tuple[int, ...]) -> None:
    """Whichever of them are wrong: the draws are the same, and the penalty is put once on every row."""
    packed = pack(tiny_checkpoint(5, seq_len=128, traits=Traits(windows=windows)))
    story = tell(jit, packed, "to the sun", seed=5, n_tokens=80, **{"temperature": 1.0, **limits})
    choice = Sampling(f32(limits.get("temperature", 1.0)), f32(0.9), limits.get("top_k", 0),
                      f32(limits.get("min_p", 0.0)), f32(limits.get("repeat", 1.0)))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        c, w, s, n, row = packed.config, packed.weights(), packed.fresh_state(), story.n_prompt, 0
        s.tokens[:n], s.rng[0], n_read = story.ids[:n], 5, n
        jit(session.prefill)(c, w, s, 0, n, alone())
        while n < len(story.ids):
            token = int(jit(session.choose)(c, s, choice, n, row, spared(packed)))
            assert token == story.ids[n]
            row = row + 1 if n < n_read and s.tokens[n] == token else 0
            s.tokens[n] = token
            n += 1
            if row == 0:
                n_read = n + min(int(rng.integers(0, 8)), len(story.ids) - n)
                s.tokens[n:n_read] = np.where(rng.random(n_read - n) < 0.8, story.ids[n:n_read], 3)
                jit(session.decode)(c, w, s, n - 1, n_read - n + 1, alone())


def test_seeds_tell_different_stories(stories: Packed) -> None:
    told = {tell(jit, stories, temperature=1.0, seed=seed, n_tokens=60).text for seed in range(1, 9)}
    assert len(told) == 8


def test_choose_ends_within_the_vocabulary(pack: Pack) -> None:
    packed = pack(tiny_checkpoint(vocab_size=301))
    s = packed.fresh_state()
    for seed in range(1, 20):
        s.logits[0, :301] = normal(seed, 301)
        # Beyond the vocabulary lies padding, which must never win.
        s.logits[0, 301:] = 99
        s.rng[0] = seed
        any_of_them = Sampling(f32(1), f32(0), 0, f32(0), f32(1))
        assert 0 <= agree(session.choose, packed.config, s, any_of_them, 0, 0, spared(packed)) < 301


@pytest.mark.parametrize("token, ends", [(0, False), (1, True), (2, True), (3, False), (-1, False)])
def test_ends(pack: Pack, token: int, ends: bool) -> None:
    header = pack(tiny_checkpoint()).header
    if token >= 0:
        assert agree(session.ends, header, token) is ends
    header.eos_ids[2] = 300
    assert agree(session.ends, header, 300)
