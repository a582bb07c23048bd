"""A quantized chat model gives the same bits in every world: interpreter, JIT, and the program on hosted cores.

The program prints ids, not logits: greedy ones show which logit is the greatest, drawn ones the distribution.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barelm import pipeline
from barelm.checkpoint.gguf_model import read_gguf
from barelm.dialect.types import f32
from barelm.kernels import session
from barelm.kernels.text import tokenizer
from barelm.machine.hosted import Hosted
from barelm.machine.machine import Machine, Spec
from barelm.machine.qemu import Qemu
from barelm.outcome import Outcome
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from barelm.settings import Settings
from tests.built import program
from tests.gguf_files import write_small_gguf
from tests.quiet import Quiet
from tests.worlds import World, alone, interpreter, jit, spared

hosted = pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))

MODELS: dict[str, dict[str, Any]] = {
    "Q4_1": {"type": "Q4_1", "types": {"token_embd.weight": "Q8_0"}},  # as the default model is
    "Q4_0": {"type": "Q4_0", "tied": False, "n_kv_heads": 1},
    "Q8_0": {"type": "Q8_0", "n_kv_heads": 4},
    "qwen2": {"architecture": "qwen2", "type": "Q8_0", "tied": False},
    "Q6_K": {"type": "Q6_K", "n_layers": 1},
    "Q5_0": {"type": "Q5_0", "types": {"ffn_up.weight": "Q8_0"}},
    "K": {"type": "Q4_K", "n_layers": 1, "types": {"token_embd.weight": "Q6_K", "ffn_down.weight": "Q5_K"}},
    "low": {"type": "Q3_K", "n_layers": 1, "types": {"token_embd.weight": "Q2_K", "ffn_down.weight": "Q2_K"}},
    "tables": {"type": "IQ4_XS", "n_layers": 1, "types": {"token_embd.weight": "IQ4_NL", "ffn_down.weight": "MXFP4"}},
    "halves": {"type": "F16", "n_layers": 1, "types": {"token_embd.weight": "BF16", "ffn_down.weight": "Q5_1"}},
}
KV = ("f32", "f16", "q8")
N_TOKENS = 24


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where the models lie; gone with the process."""
    return tempfile.TemporaryDirectory(prefix="same-bits-")


@functools.cache
def model(name: str, kv: str = "f16") -> Packed:
    """One of the models, packed."""
    path = Path(folder().name) / f"{name}.{kv}"
    write_packed(read_gguf(write_small_gguf(path.with_suffix(".gguf"), seed=8, **MODELS[name])), path, kv=kv)
    return read_packed(path)



def some_ids(packed: Packed, n: int) -> list[int]:
    """n ids out of the vocabulary."""
    return [int(token) for token in np.random.default_rng(n).integers(3, packed.config.vocab_size, n)]


def hashes(world: World, packed: Packed, ids: list[int], n_prompt: int) -> list[str]:
    """The logits after the prompt, read at once, and after each of the other ids."""
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    s.tokens[:len(ids)] = ids
    world(session.prefill)(c, w, s, 0, n_prompt, alone())
    found = [hashlib.sha256(s.logits.tobytes()).hexdigest()]
    for pos in range(n_prompt, len(ids)):
        world(session.decode)(c, w, s, pos, 1, alone())
        found.append(hashlib.sha256(s.logits.tobytes()).hexdigest())
    return found


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("name", MODELS)
def test_interpreter_and_jit_have_the_same_logits(name: str, kv: str) -> None:
    packed = model(name, kv)
    ids = some_ids(packed, 7)
    found = hashes(interpreter, packed, ids, 5)
    assert found == hashes(jit, packed, ids, 5) and len(set(found)) == 3


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_read_at_once_or_id_by_id_has_the_same_logits(name: str, kv: str) -> None:
    packed = model(name, kv)
    ids = some_ids(packed, 72)
    one_by_one = hashes(jit, packed, ids, 1)
    for n_prompt in (2, 3, 4, 5, 8, 31, 33, 70):
        assert hashes(jit, packed, ids, n_prompt) == one_by_one[n_prompt - 1:]


def answer(packed: Packed, ids: list[int], settings: Settings) -> list[int]:
    """What the JIT world answers: prompt, then generated."""
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    choice = session.Sampling(f32(settings.temperature or 0.0), f32(settings.top_p), settings.top_k,
                              f32(settings.min_p), f32(settings.repeat))
    s.tokens[:len(ids)] = ids
    s.rng[0] = settings.seed
    jit(session.prefill)(c, w, s, 0, len(ids), alone())
    ids = list(ids)
    first = len(ids) if settings.template and packed.chat else 0
    for _ in range(settings.tokens):
        token = int(jit(session.choose)(c, s, choice, len(ids), 0, spared(packed, first)))
        if session.ends(packed.header, token):
            break
        s.tokens[len(ids)] = token
        ids.append(token)
        jit(session.decode)(c, w, s, len(ids) - 1, 1, alone())
    return ids


def encoded(packed: Packed, text: str, special: int = 0) -> list[int]:
    """The ids of a text."""
    raw = np.frombuffer(text.encode(), np.uint8)
    ids, ranks = np.zeros(len(raw) + 2, np.int64), np.zeros(len(raw) + 2, np.int64)
    n = interpreter(tokenizer.encode)(packed.vocabulary(), raw, len(raw), special, ids, ranks)
    return [int(token) for token in ids[:n]]


def on_hosted(folder: Path, packed: Packed, settings: Settings, cores: int, machine: Machine | None = None) -> Outcome:
    """The program's own run, on the hosted firmware or on another machine."""
    image = pipeline.bootable_image(folder / "test.img", program(), packed.path, settings, Quiet())
    spec = Spec(image, pipeline.memory_mb(packed.memory_bytes), cores)
    outcome = pipeline.boot(spec, machine or Hosted(), packed, Quiet(), lambda text: None)
    assert outcome.cores == cores
    return outcome


def asked(prompt: str, temperature: float, *, template: bool = False, seed: int = 5) -> Settings:
    """The settings of a run that reports."""
    return Settings(prompt, temperature, 0.95, seed, N_TOKENS, at_end="shutdown", report=True, template=template)


@hosted
@pytest.mark.parametrize("temperature", [0.0, 1.0], ids=["greedy", "drawn"])
@pytest.mark.parametrize("n_prompt, cores", [(1, 1), (5, 2), (33, 3), (70, 1), (70, 2), (70, 3)])
def test_the_program_says_what_the_jit_does(tmp_path: Path, n_prompt: int, cores: int, temperature: float) -> None:
    packed = model("Q4_1")
    settings = asked("x" * n_prompt, temperature)  # nothing merges with an x: an id for each
    outcome = on_hosted(tmp_path, packed, settings, cores)
    assert outcome.n_prompt == n_prompt
    assert outcome.token_ids == answer(packed, encoded(packed, settings.prompt), settings)


@hosted
@pytest.mark.parametrize("limits", [{"top_k": 7}, {"min_p": 0.3}, {"repeat": 1.5}, {"repeat": 3.0, "temperature": 0.0},
                                    {"top_k": 20, "min_p": 0.05, "repeat": 1.2, "top_p": 1.0}])
def test_the_program_keeps_to_the_limits(tmp_path: Path, limits: dict[str, float]) -> None:
    packed = model("Q4_1")
    settings = asked("x" * 70, 1.0).but(**limits)
    outcome = on_hosted(tmp_path, packed, settings, 2)
    assert outcome.token_ids == answer(packed, encoded(packed, settings.prompt), settings)


@hosted
@pytest.mark.parametrize("name, kv, cores", [
    ("Q4_0", "q8", 2), ("Q8_0", "f32", 3), ("Q4_1", "q8", 1), ("Q6_K", "f16", 2), ("Q5_0", "f32", 2)])
def test_every_encoding_does_on_the_program(tmp_path: Path, name: str, kv: str, cores: int) -> None:
    packed = model(name, kv)
    settings = asked("the world, hello 世界 " * 2, 0.8)
    outcome = on_hosted(tmp_path, packed, settings, cores)
    assert outcome.token_ids == answer(packed, encoded(packed, settings.prompt), settings)


LOOPING = "the world, hello 世界 " * 3


@hosted
@pytest.mark.parametrize("cores", [1, 2, 3, 4])
@pytest.mark.parametrize("lookup", [True, False])
def test_guesses_change_no_id(tmp_path: Path, cores: int, lookup: bool) -> None:
    """A greedy answer soon goes round in circles, so guesses come true, and some do not."""
    packed = model("Q4_1")
    settings = asked(LOOPING, 0.0).but(tokens=70, lookup=lookup)
    outcome = on_hosted(tmp_path, packed, settings, cores)
    assert outcome.token_ids == answer(packed, encoded(packed, settings.prompt), settings)
    assert (outcome.n_right > 0) == lookup and outcome.n_right <= outcome.n_guessed


@hosted
def test_guesses_change_no_draw(tmp_path: Path) -> None:
    packed = model("Q4_1")
    settings = asked(LOOPING, 0.3).but(tokens=70, repeat=1.1)
    assert on_hosted(tmp_path, packed, settings, 2).token_ids == answer(packed, encoded(packed, LOOPING), settings)


@hosted
@pytest.mark.parametrize("cores", [1, 2])
def test_a_question_goes_through_the_template(tmp_path: Path, cores: int) -> None:
    packed = model("Q4_1")
    assert packed.chat is not None
    settings = asked("hello world?", 1.0, template=True)
    expected = answer(packed, encoded(packed, packed.chat.turn(settings.prompt), special=1), settings)
    assert on_hosted(tmp_path, packed, settings, cores).token_ids == expected


@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason=str(Qemu().why_not()))
def test_guesses_change_no_id_in_qemu(tmp_path: Path) -> None:
    packed = model("Q4_1")
    settings = asked(LOOPING, 0.0).but(tokens=70)
    outcome = on_hosted(tmp_path, packed, settings, 2, Qemu())
    assert outcome.token_ids == answer(packed, encoded(packed, LOOPING), settings) and outcome.n_right > 0


@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason=str(Qemu().why_not()))
@pytest.mark.parametrize("cores", [1, 2])
def test_qemu_says_what_the_jit_does(tmp_path: Path, cores: int) -> None:
    packed = model("Q4_1")
    settings = asked("x" * 33, 1.0)
    outcome = on_hosted(tmp_path, packed, settings, cores, Qemu())
    assert outcome.token_ids == answer(packed, encoded(packed, settings.prompt), settings)


@hosted
@pytest.mark.boot
@pytest.mark.skipif(Qemu().why_not() is not None, reason=str(Qemu().why_not()))
def test_the_public_transcript_in_qemu_and_hosted(tmp_path: Path, stories: Packed) -> None:
    settings = Settings("", 0.0, 0.9, 1, 200, at_end="shutdown", report=True)
    here, there = (on_hosted(tmp_path, stories, settings, 1, machine) for machine in (Hosted(), Qemu()))
    assert here.token_ids == there.token_ids and here.text == there.text
    assert there.text.startswith("Once upon a time, there was a little girl named Lily.")
    assert there.text.endswith("Lily didn't want to help her mom, so she")
