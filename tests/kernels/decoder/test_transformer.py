"""The forward pass: against double precision, the same bits in both worlds, in any batches and on any team."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from barelm.checkpoint import checkpoint
from barelm.checkpoint.checkpoint import Checkpoint, Traits
from barelm.contract import layout
from barelm.dialect.lowering.install import install
from barelm.dialect.lowering.registering import JIT_OPTIONS
from barelm.kernels import session, team
from barelm.kernels.decoder.state import State
from barelm.kernels.team import GATE_WORDS, Team
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from tests.conftest import Pack
from tests.kernels import references
from tests.kernels.agree import agree, arrays
from tests.kernels.test_team import paced
from tests.models import BIASES, tiny_checkpoint
from tests.worlds import World, alone, equal_parts, interpreter, jit, same_bits

MODELS: dict[str, dict[str, Any]] = {
    "even": {},
    "untied": {"tied": False, "seq_len": 40},
    "one head": {"dim": 16, "n_heads": 1, "n_kv_heads": 1, "hidden_dim": 16, "n_layers": 1},
    "odd sizes": {"dim": 36, "n_heads": 6, "n_kv_heads": 3, "hidden_dim": 21, "vocab_size": 303, "seq_len": 37},
    "all heads alike": {"dim": 40, "n_heads": 4, "n_kv_heads": 4, "hidden_dim": 50, "vocab_size": 317},
    "wide heads": {"dim": 80, "n_heads": 2, "n_kv_heads": 1, "hidden_dim": 8},
    "halves and biases": {"rotary": "halves", "has": BIASES, "dim": 36, "n_heads": 6, "n_kv_heads": 3},
    "norms of heads": {"rotary": "halves", "head_dim": 16, "has": {"query_norm", "key_norm"},
                       "traits": Traits(query_norm_dim=16, key_norm_dim=16)},
    "windows": {"head_dim": 16, "n_layers": 3, "rotary": "halves", "seq_len": 70,
                "has": {"query_norm", "key_norm", "attention_post_norm", "ffn_post_norm"},
                "traits": Traits(query_norm_dim=16, key_norm_dim=16, activation="gelu", embedding_scale=5.5,
                                 windows=(9, 21, 0), rope_tables=(1, 1, 0), local_theta=100.0, attention_cap=2.0,
                                 logit_cap=3.0)},
    "norms behind": {"has": {"query_norm", "key_norm", "attention_post_norm", "ffn_post_norm"},
                     "lacks": {"attention_norm", "ffn_norm"}, "dim": 64, "n_heads": 4, "n_kv_heads": 2,
                     "traits": Traits(query_norm_dim=64, key_norm_dim=32)},
    "scales": {"traits": Traits(embedding_scale=12.0, residual_scale=0.22, attention_scale=0.05, logit_scale=0.125,
                                rope_dim=4, rope_magnitude=1.2, rope_tables=(0, -1))},
    "layer norms": {"has": {*BIASES, "bo", "b3", "b2", "attention_shift", "ffn_shift", "final_shift", "positions"},
                    "traits": Traits(norm="layer", activation="gelu", gated=False, n_positions=64,
                                     rope_tables=(-1, -1))},
    "experts": {"n_layers": 3, "has": {*BIASES, "bo", "b1", "b3", "b2", "sinks", "router", "router_bias"},
                "traits": Traits(activation="clamped", n_experts=5, n_experts_used=2, windows=(8, 0, 8))},
}
models = pytest.mark.parametrize("sizes", MODELS.values(), ids=MODELS)
quants = pytest.mark.parametrize("quant", ["f32", "q8", "q4"])


def some_tokens(model: Checkpoint, n: int) -> list[int]:
    """Ids out of the vocabulary."""
    return [int(token) for token in np.random.default_rng(n).integers(0, model.shape.vocab_size, n)]


def prefilled(world: World, packed: Packed, tokens: list[int]) -> State:
    """The state after reading the tokens as a prompt."""
    s = packed.fresh_state()
    s.tokens[:len(tokens)] = tokens
    world(session.prefill)(packed.config, packed.weights(), s, 0, len(tokens), alone())
    return s


def bits(s: State) -> list[bytes]:
    """What must not depend on how the work was done."""
    return [s.logits.tobytes(), s.cache.tobytes()]


@models
def test_logits_are_those_of_double_precision(pack: Pack, sizes: dict[str, Any]) -> None:
    model = tiny_checkpoint(3, **sizes)
    packed = pack(model)
    tokens = some_tokens(model, model.shape.seq_len)
    truth = references.logits(model, tokens)
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    s.tokens[:len(tokens)] = tokens
    for pos in range(len(tokens)):
        jit(session.decode)(c, w, s, pos, 1, alone())
        assert np.abs(s.logits[0, :c.vocab_size] - truth[pos]).max() < 2e-5 * np.abs(truth).max()


@pytest.mark.parametrize("quant, tolerance", [("q8", 0.05), ("q4", 0.5)])
@models
def test_quantized_logits_are_near(pack: Pack, sizes: dict[str, Any], quant: str, tolerance: float) -> None:
    model = tiny_checkpoint(3, **sizes)
    packed = pack(model, quant)
    tokens = some_tokens(model, 8)
    truth = references.logits(model, tokens)[-1]
    found = prefilled(jit, packed, tokens).logits[0, :len(truth)]
    assert np.linalg.norm(found - truth) < tolerance * np.linalg.norm(truth)


@quants
@models
def test_batches_do_not_change_a_bit(pack: Pack, sizes: dict[str, Any], quant: str) -> None:
    model = tiny_checkpoint(4, **sizes)
    packed = pack(model, quant)
    tokens = some_tokens(model, model.shape.seq_len - 1)
    whole = prefilled(jit, packed, tokens)
    s = prefilled(jit, packed, tokens[:1])
    s.tokens[:len(tokens)] = tokens
    jit(session.prefill)(packed.config, packed.weights(), s, 1, 6, alone())
    for pos in range(6, len(tokens)):
        jit(session.decode)(packed.config, packed.weights(), s, pos, 1, alone())
    assert bits(s) == bits(whole)


@quants
@models
def test_tokens_read_together_have_the_logits_each_has_alone(pack: Pack, sizes: dict[str, Any], quant: str) -> None:
    """Those written over a wrong guess too, which leaves nothing behind."""
    model = tiny_checkpoint(4, **sizes)
    packed = pack(model, quant)
    tokens = some_tokens(model, 30)
    c, w, s = packed.config, packed.weights(), prefilled(jit, packed, tokens[:9])
    s.tokens[:len(tokens)] = tokens
    alone_rows = [s.logits[0].tobytes()]
    for pos in range(9, len(tokens)):
        jit(session.decode)(c, w, s, pos, 1, alone())
        alone_rows.append(s.logits[0].tobytes())
    kept = s.cache.tobytes()
    s, pos = prefilled(jit, packed, tokens[:9]), 9
    for n, right in ((8, 3), (5, 1), (2, 2), (8, 8), (3, 2), (5, 5)):
        s.tokens[:len(tokens)] = tokens
        s.tokens[pos + right:] = 7
        jit(session.decode)(c, w, s, pos, n, alone())
        for t in range(right):
            assert s.logits[t].tobytes() == alone_rows[pos - 8 + t]
        pos += right
    assert pos == len(tokens) and s.cache.tobytes() == kept


@quants
@models
def test_the_worlds_agree(pack: Pack, sizes: dict[str, Any], quant: str) -> None:
    model = tiny_checkpoint(5, **sizes)
    packed = pack(model, quant)
    tokens = some_tokens(model, 7)
    defined, compiled = (prefilled(world, packed, tokens) for world in (interpreter, jit))
    for world, s in ((interpreter, defined), (jit, compiled)):
        world(session.decode)(packed.config, packed.weights(), s, 4, 3, alone())
    assert len(arrays(defined)) == len(arrays(compiled)) > 10
    for mine, yours in zip(arrays(defined), arrays(compiled)):
        assert same_bits(mine, yours)


@pytest.mark.parametrize("n", [0, 1, 5, 16, 33])
@pytest.mark.parametrize("n_cores", [1, 2, 3, 7])
def test_shares_are_the_whole_in_order(n: int, n_cores: int) -> None:
    gate = np.zeros(GATE_WORDS, np.int64)
    shares = [agree(team.share, n, Team(core, n_cores, gate, equal_parts())) for core in range(n_cores)]
    assert [i for lo, hi in shares for i in range(lo, hi)] == list(range(n))
    assert max(hi - lo for lo, hi in shares) - min(hi - lo for lo, hi in shares) <= 1


@pytest.fixture(scope="module")
def prefill_on_threads() -> Any:
    """`prefill`, compiled so that several threads run it at once."""
    install()
    return njit(**JIT_OPTIONS)(session.prefill)


@quants
@pytest.mark.parametrize("n_cores", [2, 5])
@pytest.mark.parametrize("name", ["even", "odd sizes", "halves and biases", "windows", "norms behind", "experts"])
def test_a_team_gives_the_bits_of_one(pack: Pack, prefill_on_threads: Any, name: str, n_cores: int,
                                      quant: str) -> None:
    model = tiny_checkpoint(6, **MODELS[name])
    packed = pack(model, quant)
    tokens = some_tokens(model, 9)
    expected = bits(prefilled(jit, packed, tokens))
    assert bits(on_a_team(prefill_on_threads, packed, tokens, n_cores)) == expected


@pytest.mark.parametrize("name", ["odd sizes", "windows", "experts"])
def test_cores_of_unequal_speed_give_the_bits_of_one(pack: Pack, prefill_on_threads: Any, name: str) -> None:
    model = tiny_checkpoint(6, **MODELS[name])
    packed = pack(model)
    tokens = some_tokens(model, 9)
    expected = bits(prefilled(jit, packed, tokens))
    assert bits(on_a_team(prefill_on_threads, packed, tokens, 3, 1000, 7000, 2500)) == expected


@pytest.mark.parametrize("kv", layout.KV_NAMES)
def test_layers_with_a_window_keep_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kv: str) -> None:
    """The same logits as with all positions kept, at once and in pieces, and after some were taken back."""
    sizes = {**MODELS["windows"], "seq_len": 150}
    tokens = some_tokens(tiny_checkpoint(3, **sizes), 150)
    expected = []
    for slack in (1000, 40):
        monkeypatch.setattr(checkpoint, "WINDOW_SLACK", slack)
        write_packed(tiny_checkpoint(3, **sizes), tmp_path / "a", kv=kv)
        packed = read_packed(tmp_path / "a")
        assert packed.header.window_room == (0 if slack == 1000 else 64) and packed.header.n_windowed % 2 == 0
        s = prefilled(jit, packed, tokens[:130])
        whole = s.logits.tobytes()
        s.tokens[:150] = tokens
        jit(session.prefill)(packed.config, packed.weights(), s, 130, 150, alone())
        expected.append([whole, s.logits.tobytes()])
        jit(session.prefill)(packed.config, packed.weights(), s, 120, 130, alone())
        assert s.logits.tobytes() == whole
    assert expected[0] == expected[1]


def test_a_team_meets_in_the_interpreter_too(pack: Pack) -> None:
    model = tiny_checkpoint(7, dim=16, hidden_dim=16, n_layers=1, n_heads=2, n_kv_heads=1, vocab_size=300)
    packed = pack(model)
    expected = bits(prefilled(jit, packed, [5, 6, 7]))
    assert bits(on_a_team(interpreter(session.prefill), packed, [5, 6, 7], 2)) == expected


def on_a_team(prefill: Any, packed: Packed, tokens: list[int], n_cores: int, *took: int) -> State:
    """The state after a team of threads read the tokens together; its cores took so many cycles for the same work."""
    c, w, s = packed.config, packed.weights(), packed.fresh_state()
    s.tokens[:len(tokens)] = tokens
    gate: NDArray[np.int64] = np.zeros(GATE_WORDS, np.int64)
    pace = paced(*took)
    # Compiled before the threads start: one that waits for the compiler would keep the others spinning.
    prefill(c, w, packed.fresh_state(), 0, 0, Team(0, 1, gate, pace))
    threads = [threading.Thread(target=prefill, args=(c, w, s, 0, len(tokens), Team(core, n_cores, gate, pace)),
                                daemon=True)
               for core in range(n_cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive(), "the team never met"
    return s
