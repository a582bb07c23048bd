"""The packed example: interpreter, JIT and hosted machine agree on it, and one flipped bit does not pass."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pytest

from barelm import pipeline
from barelm.checkpoint.gguf_model import read_gguf
from barelm.contract import layout, sections
from barelm.dialect.memory import memory
from barelm.dialect.types import f32
from barelm.errors import BarelmError
from barelm.kernels import session
from barelm.kernels.session import sum_with
from barelm.machine.hosted import Hosted
from barelm.metal.conversation.talk import under_test
from barelm.metal.conversation.turns import add_turn
from barelm.metal.measuring import figures, selftest
from barelm.metal.measuring.figures import tell_selftest
from barelm.metal.measuring.selftest import FAILED, NO_EXAMPLE, PASSED, STRIDE, next_count, self_test
from barelm.pack.golden import Golden
from barelm.pack.reader import Packed, read_packed
from barelm.pack.sums import checksum
from barelm.pack.writer import write_packed
from tests.built import program
from tests.gguf_files import write_small_gguf
from tests.metal.talks import Desk, array, chat_model
from tests.quiet import Quiet
from tests.worlds import World, alone, interpreter, jit, spared

SEQ_LENS = (128, 20)  # more and fewer positions than the example has


def computed(world: World, packed: Packed) -> Golden:
    """The example by the kernels alone."""
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    most = min(layout.GOLDEN_MOST, c.seq_len)
    n = layout.GOLDEN_PROMPT
    s.tokens[:n] = [STRIDE * (i + 1) % c.vocab_size for i in range(n)]
    found = 0
    world(session.prefill)(c, w, s, 0, n, alone())
    while True:
        found = checksum(np.ascontiguousarray(s.logits.reshape(-1)[:c.vocab_size]), found)
        if n == most:
            return Golden(tuple(int(token) for token in s.tokens[:n]), found)
        s.tokens[n] = world(session.choose)(c, s, session.Sampling(f32(0), f32(0), 0, f32(0), f32(1)), n, 0,
                                             spared(packed))
        world(session.decode)(c, w, s, n, 1, alone())
        n += 1


@functools.cache
def golden_model(seq_len: int) -> tuple[Packed, bytes]:
    """The chat model with its example."""
    packed = chat_model(seq_len)[0]
    golden = computed(jit, packed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        checkpoint = read_gguf(write_small_gguf(path.with_suffix(".gguf"), seed=8, seq_len=seq_len, dim=32,
                                                hidden_dim=32, n_heads=2, n_kv_heads=2, n_layers=1, type="Q8_0"))
        write_packed(checkpoint, path, kv="f16", example=lambda beside: golden)
        return read_packed(path), path.read_bytes()


@pytest.mark.parametrize("seq_len", SEQ_LENS)
def test_interpreter_and_jit_agree(seq_len: int) -> None:
    packed = chat_model(seq_len)[0]
    assert computed(interpreter, packed) == computed(jit, packed)


@pytest.mark.skipif(Hosted().why_not() is not None, reason=str(Hosted().why_not()))
@pytest.mark.parametrize("seq_len", SEQ_LENS)
def test_the_hosted_machine_agrees(tmp_path: Path, seq_len: int) -> None:
    packed, raw = chat_model(seq_len)
    (tmp_path / "m.blm").write_bytes(raw)
    assert pipeline.example_of(tmp_path / "m.blm", program(), Quiet()) == computed(jit, packed)


def verdict(desk: Desk) -> int:
    """What the self-test says."""
    with np.errstate(all="ignore"):
        return int(self_test(under_test(desk.t)))


@pytest.mark.parametrize("seq_len", SEQ_LENS)
def test_a_sound_machine_passes_and_the_conversation_stays(monkeypatch: pytest.MonkeyPatch, seq_len: int) -> None:
    desk = Desk(monkeypatch, golden_model(seq_len), b"temperature = 0.7\nrepeat = 1.5\n", watching=False)
    before = desk.tokens.copy()
    before[:] = np.arange(len(before)) % 50
    desk.tokens[:] = before
    before_it = (desk.b.settings.temperature, desk.b.settings.repeat)
    assert verdict(desk) == PASSED
    assert (desk.tokens[:layout.GOLDEN_MOST] == before[:layout.GOLDEN_MOST]).all()
    assert (desk.b.settings.temperature, desk.b.settings.repeat) == before_it == (f32(0.7), f32(1.5))
    assert desk.cached == 0 or desk.cached <= layout.GOLDEN_MOST and verdict(desk) == PASSED
    assert "passed" in desk.heard(lambda: tell_selftest(desk.t.con, under_test(desk.t)))


@pytest.mark.parametrize("section", [
    sections.EMBEDDING, sections.WQKV, sections.WO, sections.W13, sections.W2, sections.FINAL_NORM,
    sections.ATTENTION_NORM, sections.FFN_NORM, sections.ROPE])
def test_one_flipped_bit_is_noticed(monkeypatch: pytest.MonkeyPatch, section: int) -> None:
    desk = Desk(monkeypatch, golden_model(128), watching=False)
    entry = desk.header.sections[section]
    data = memory(int(desk.b.model.sections[section]), int(entry.n_bytes))
    # A value every position reads; of the embedding, a row of the classifier it is too.
    place = {sections.ROPE: 4 * 16 + 2, sections.EMBEDDING: len(data) // 3}.get(section, 2)
    data[place] ^= 0x40
    assert verdict(desk) == FAILED
    assert "FAILED" in desk.heard(lambda: tell_selftest(desk.t.con, under_test(desk.t)))
    data[place] ^= 0x40
    assert verdict(desk) == PASSED


def test_a_model_without_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    assert verdict(desk) == NO_EXAMPLE and desk.engine.commands == []
    assert "without an example" in desk.heard(lambda: tell_selftest(desk.t.con, under_test(desk.t)))


def test_what_was_cached_does_not_count_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, golden_model(128))
    add_turn(desk.t, array(b"hello"))
    verdict(desk)
    desk.check()
    with np.errstate(all="ignore"):
        selftest.measure(under_test(desk.t), 1, desk.end)
    desk.check()
    assert desk.cached == desk.end


@pytest.mark.parametrize("team, counts", [(1, [1]), (2, [1, 2]), (7, [1, 2, 3, 4, 6, 7]),
                                          (64, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])])
def test_counts_of_cores_to_measure(team: int, counts: list[int]) -> None:
    found, n = [], 1
    while n > 0:
        found.append(n)
        n = int(next_count(n, team))
    assert found == counts


def test_an_example_heard() -> None:
    ids = list(range(layout.GOLDEN_PROMPT))
    whole = [1, *ids]
    total = functools.reduce(sum_with, whole, 0)
    assert Golden.heard([*whole, total]) == Golden(tuple(ids), 1)
    assert Golden.heard([]) is None
    for k in range(len(whole) + 1):
        with pytest.raises(BarelmError, match="came damaged"):
            Golden.heard([*whole, total][:k] + [*whole, total][k + 1:] or [1])
        with pytest.raises(BarelmError, match="came damaged"):
            Golden.heard([number ^ (at == k) for at, number in enumerate([*whole, total])])


def test_an_example_is_told_as_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, golden_model(128), watching=False)
    with np.errstate(all="ignore"):
        words = desk.heard(lambda: selftest.tell_example(desk.t.con, under_test(desk.t))).split()
    assert words[:2] == ["BARELM", "GOLDEN"]
    assert Golden.heard([*map(int, words[2:])]) == computed(jit, desk.packed)
    assert hashlib.sha256(golden_model(128)[1]).digest() != hashlib.sha256(chat_model(128)[1]).digest()


@pytest.mark.parametrize("made, best", [({1: 100, 2: 60, 3: 50}, 3), ({1: 100, 2: 50, 3: 49}, 2),
                                        ({1: 9, 2: 50, 3: 9}, 1)])
def test_a_bench_remembers_the_fewest_cores_that_are_as_fast(
        monkeypatch: pytest.MonkeyPatch, made: dict[int, int], best: int) -> None:
    desk = Desk(monkeypatch)
    desk.t.job.team = desk.t.job.n_cores = 3
    monkeypatch.setattr(selftest, "measure", lambda m, n_cores, start: (100, made[int(n_cores)]))
    monkeypatch.setattr(figures, "weigh_cores", lambda job: None)
    said = desk.heard(lambda: figures.tell_bench(desk.t.con, under_test(desk.t), 10**6, 0))
    assert desk.t.job.n_cores == best
    assert said.count("tokens a second") == 3 and (f"`cores = {best}`" in said) == (best < 3)
