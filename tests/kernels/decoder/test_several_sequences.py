"""A pass over tokens of several sequences has the bits of each alone, whatever else is read with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.contract.board import MOST_RUNS
from barelm.kernels import session
from barelm.kernels.decoder.cache_plan import cache_bytes, copy_cache
from barelm.kernels.decoder.transformer import forward
from barelm.pack.reader import Packed
from tests.kernels.batches import batch_of
from tests.kernels.decoder.test_transformer import MODELS, models, on_a_team, some_tokens
from tests.models import tiny_checkpoint
from tests.worlds import alone, interpreter, jit


class Sequence(NamedTuple):
    """Ids with a cache of their own."""

    tokens: NDArray[np.int64]
    cache: NDArray[np.uint8]
    positions: int

    def run(self, first: int, n: int, n_logits: int) -> tuple[Any, ...]:
        """Some of them, to be read."""
        return self.tokens, self.cache, self.positions, first, n, n_logits


def sequence(packed: Packed, ids: list[int], positions: int) -> Sequence:
    """One of which nothing is read."""
    size = cache_bytes(packed.config, positions)
    whole = np.zeros(size + 64, np.uint8)
    at = -whole.ctypes.data % 64
    return Sequence(np.array(ids), whole[at:at + size], positions)


def read_together(packed: Packed, world: Any, *runs: tuple[Any, ...]) -> list[bytes]:
    """The logits that are wanted."""
    s = packed.fresh_state()
    batch = batch_of(*runs)
    world(forward)(packed.config, packed.weights(), s, batch, alone())
    return [s.logits[k, :packed.config.vocab_size].tobytes() for k in range(sum(run[5] for run in runs))]


def logits_alone(packed: Packed, ids: list[int]) -> bytes:
    """Those behind ids read by themselves."""
    s = packed.fresh_state()
    s.tokens[:len(ids)] = ids
    jit(session.prefill)(packed.config, packed.weights(), s, 0, len(ids), alone())
    return s.logits[0, :packed.config.vocab_size].tobytes()


@pytest.mark.parametrize("kv", ["f32", "f16", "q8"])
@models
def test_each_has_the_bits_of_it_alone(pack: Any, sizes: dict[str, Any], kv: str) -> None:
    model = tiny_checkpoint(4, **sizes)
    packed = pack(model, "q8", kv=kv)
    ids = [some_tokens(model, n) for n in (9, 14, 3)]
    a, b, c = (sequence(packed, own, positions) for own, positions in zip(ids, (16, 32, 16)))
    read_together(packed, jit, a.run(0, 4, 0), b.run(0, 11, 0))
    found = read_together(packed, jit, b.run(11, 2, 0), a.run(4, 5, 2), c.run(0, 3, 1))
    assert found == [logits_alone(packed, ids[0][:8]), logits_alone(packed, ids[0]), logits_alone(packed, ids[2])]
    assert read_together(packed, jit, b.run(13, 1, 1)) == [logits_alone(packed, ids[1])]


def test_as_many_as_there_may_be_in_both_worlds(pack: Any) -> None:
    model = tiny_checkpoint(7, dim=16, hidden_dim=16, n_layers=1, n_heads=2, n_kv_heads=1, vocab_size=300)
    packed = pack(model)
    ids = [some_tokens(model, 1 + k) for k in range(MOST_RUNS)]
    for world in (interpreter, jit):
        runs = [sequence(packed, own, 16).run(0, len(own), 1) for own in ids]
        for first in range(0, MOST_RUNS, 4):
            found = read_together(packed, world, *runs[first:first + 4])
            assert found == [logits_alone(packed, own) for own in ids[first:first + 4]]


@pytest.mark.parametrize("name", ["windows", "odd sizes", "experts"])
def test_a_beginning_can_be_taken_over(pack: Any, name: str) -> None:
    model = tiny_checkpoint(5, **MODELS[name])
    packed = pack(model, kv="q8")
    ids = some_tokens(model, 30)
    whole, part = sequence(packed, ids, 32), sequence(packed, [*ids[:17], *ids[:3]], 48)
    read_together(packed, jit, whole.run(0, 30, 0))
    jit(copy_cache)(packed.config, packed.weights().layers, part.cache.ctypes.data, 48, whole.cache.ctypes.data, 32, 17)
    assert read_together(packed, jit, part.run(17, 3, 1)) == [logits_alone(packed, [*ids[:17], *ids[:3]])]


def test_a_team_reads_several(pack: Any) -> None:
    model = tiny_checkpoint(6, **MODELS["odd sizes"])
    packed = pack(model, "q4")
    ids = [some_tokens(model, n) for n in (6, 2)]
    runs = [sequence(packed, own, 16).run(0, len(own), 1) for own in ids]
    batch = batch_of(*runs)

    def read(c: Any, w: Any, s: Any, start: int, end: int, team: Any) -> None:
        if end > start:
            jit(forward)(c, w, s, batch, team)

    s = packed.fresh_state()
    jit(forward)(packed.config, packed.weights(), s, batch, alone())
    expected = s.logits[:2].tobytes()
    assert on_a_team(read, packed, ids[0], 3).logits[:2].tobytes() == expected
