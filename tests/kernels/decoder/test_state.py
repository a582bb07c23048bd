"""The bytes of the cache that n positions fill: disjoint, inside the state, and all a forward pass writes there."""

from __future__ import annotations

import numpy as np
import pytest

from barelm.checkpoint.gguf_model import read_gguf
from barelm.contract import layout
from barelm.contract.session_file import CACHE_PARTS
from barelm.kernels import session
from barelm.kernels.decoder.model import layers_of
from barelm.kernels.decoder.state import bind_state, cache_part, state_plan
from barelm.pack.reader import Packed, read_packed
from barelm.pack.writer import write_packed
from tests.gguf_files import write_small_gguf
from tests.worlds import World, alone, both_worlds, jit

KV = layout.KV_NAMES


@pytest.fixture(params=KV)
def packed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """A model of each form of the cache, its context no multiple of a vector."""
    path = tmp_path_factory.mktemp("cache") / "model"
    write_packed(read_gguf(write_small_gguf(path.with_suffix(".gguf"), seq_len=70, n_layers=3, head_dim=24, n_heads=2,
                                            n_kv_heads=2, dim=64)), path, kv=request.param)
    return read_packed(path)


def ranges(world: World, packed: Packed, n: int) -> list[tuple[int, int]]:
    """Every range, as metal.sessions goes through them."""
    found = []
    layers = layers_of(packed.header, packed.addresses)
    for part in range(CACHE_PARTS):
        for head in range(int(packed.header.n_layers * packed.header.n_kv_heads)):
            first, n_bytes = (int(x) for x in world(cache_part)(packed.header, layers, part, head, n))
            found += [(first, first + n_bytes)] if n_bytes else []
    return found


@both_worlds
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 69, 70])
def test_ranges_are_disjoint_whole_words_and_inside_the_cache(world: World, packed: Packed, n: int) -> None:
    found = sorted(ranges(world, packed, n))
    plan = state_plan(packed.config, int(packed.header.max_cores))
    keys, order = int(plan.cache.at), int(plan.order.at)
    assert all(keys <= lo < hi <= order for lo, hi in found) and bool(found) == (n > 0)
    assert all(before <= lo for (_, before), (lo, _) in zip(found, found[1:]))
    assert all((hi - lo) % 8 == 0 == lo % 8 for lo, hi in found), "sums run over whole words"


@pytest.mark.parametrize("n", [1, 16, 33, 70])
def test_what_a_forward_pass_writes_is_covered_and_enough_to_go_on(packed: Packed, n: int) -> None:
    plan = state_plan(packed.config, int(packed.header.max_cores))
    keys, order = int(plan.cache.at), int(plan.order.at)
    blocks = [np.zeros(int(packed.header.state_bytes), np.uint8) for _ in range(2)]
    states = [bind_state(packed.header, block) for block in blocks]
    c, w = packed.config, packed.weights()
    ids = np.random.default_rng(2).integers(3, c.vocab_size, 70)
    blocks[0][keys:order] = 0xEE
    for s in states:
        s.tokens[:70] = ids
    jit(session.prefill)(c, w, states[0], 0, n, alone())
    written = np.flatnonzero(blocks[0][keys:order] != 0xEE) + keys
    covered = np.zeros(len(blocks[0]), bool)
    for lo, hi in ranges(jit, packed, n):
        covered[lo:hi] = True
    assert len(written) and covered[written].all()
    for lo, hi in ranges(jit, packed, n):
        blocks[1][lo:hi] = blocks[0][lo:hi]
    logits = []
    for s in states:
        jit(session.decode)(c, w, s, n - 1, 1, alone())
        if n < 70:
            jit(session.prefill)(c, w, s, n, 70, alone())
        logits.append(s.logits.tobytes())
    assert logits[0] == logits[1]
