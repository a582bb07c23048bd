"""Memory a model takes, before it is packed: the same as after, and a context that keeps it in bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barelm.contract.layout import Header
from barelm.errors import BarelmError
from barelm.pack.memory_plan import LEAST_CONTEXT, LEAST_SHARE, machine_holds, needs_at, suiting_context
from barelm.pack.reader import read_header
from barelm.pack.tokenizer_tables import tokenizer_tables
from barelm.pack.writer import plan_header, write_packed
from barelm.pipeline import FIRMWARE_MB, check_memory, fits, in_mb, least_machine_mb, memory_mb, shortened
from tests.models import tiny_checkpoint

GB = 1 << 30


def header_of(seq_len: int, n_layers: int = 2, kv: str = "auto") -> Header:
    """A planned model; nothing is packed."""
    checkpoint = tiny_checkpoint(1, n_layers=n_layers, seq_len=seq_len)
    return plan_header(checkpoint, tokenizer_tables(checkpoint.vocab), kv=kv)[0]


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(own=st.integers(1, 3000), other=st.integers(1, 3000), kv=st.sampled_from(["f32", "f16", "q8"]))
def test_it_is_known_what_another_context_takes(own: int, other: int, kv: str) -> None:
    there = header_of(other, kv=kv)
    assert needs_at(header_of(own, kv=kv), other) == (there.memory_bytes, there.state_bytes)


def test_it_is_what_the_packed_model_says(tmp_path: Path) -> None:
    write_packed(tiny_checkpoint(1, seq_len=500), tmp_path / "a.blm")
    packed = read_header(tmp_path / "a.blm")
    assert needs_at(header_of(2000), 500) == (packed.memory_bytes, packed.state_bytes)


@pytest.mark.parametrize("own, n_layers", [(1, 1), (100, 1), (4096, 3), (5000, 2), (131072, 1), (131072, 64),
                                           (1 << 20, 8), (100_000, 16), (1 << 20, 100)])
def test_a_context_keeps_the_state_in_bounds(own: int, n_layers: int) -> None:
    header = header_of(own, n_layers)
    chosen = suiting_context(header)
    share = max(header.weights_bytes // 4, LEAST_SHARE)
    assert min(own, LEAST_CONTEXT) <= chosen <= own
    assert needs_at(header, chosen)[1] <= share or chosen == min(own, LEAST_CONTEXT)
    if chosen < own:
        assert chosen & chosen - 1 == 0 and needs_at(header, min(2 * chosen, own))[1] > share
    header = header_of(own, n_layers)
    assert chosen == suiting_context(header), "nothing of it was changed"


def test_what_was_chosen_is_said() -> None:
    header = header_of(4096)
    assert shortened(8192, header) == (
        f"The context is 4,096 tokens, with which the model takes {in_mb(header.memory_bytes)} of memory; "
        f"its own is 8,192, with {in_mb(needs_at(header, 8192)[0])} (--context).")


def sized(*sections: int, state: int = 1 << 20) -> Header:
    """A header with sections of so many bytes."""
    header = Header.over(np.zeros(Header.BYTES, np.uint8))
    header.n_sections = len(sections)
    for number, n_bytes in enumerate(sections):
        header.sections[number].n_bytes = n_bytes
    header.state_bytes, header.workspace_bytes = state, 4 << 20
    header.memory_bytes = sum(sections) + state + (4 << 20)
    return header


@pytest.mark.parametrize("sections, machine_gb, holds", [
    ([GB], 2, True), ([GB, GB], 2, False), ([3 * GB], 4, False), ([3 * GB], 5, False), ([3 * GB], 6, True),
    ([2 * GB, GB, GB // 2], 6, True), ([GB] * 5, 5, False), ([GB] * 5, 6, True), ([6 * GB], 8, False),
    ([6 * GB], 16, True), ([], 1, True)])
def test_which_machine_holds_what(sections: list[int], machine_gb: int, holds: bool) -> None:
    header = sized(*sections)
    assert machine_holds(header, machine_gb * GB, FIRMWARE_MB << 20) == holds == fits(header, machine_gb << 10)
    assert (least_machine_mb(header) <= machine_gb << 10) == holds


@given(sections=st.lists(st.integers(1, 3 * GB), min_size=1, max_size=8), machine=st.integers(1, 64 * GB))
def test_a_machine_that_holds_a_model_has_that_much(sections: list[int], machine: int) -> None:
    header = sized(*sections)
    if machine_holds(header, machine, 0):
        assert machine >= header.memory_bytes
    assert machine_holds(header, (memory_mb(int(header.memory_bytes)) + 1 << 20), FIRMWARE_MB << 20)


def test_a_machine_that_is_too_small_is_refused() -> None:
    check_memory("m", 100 << 20, 0)
    check_memory("m", 100 << 20, 116)
    with pytest.raises(BarelmError, match=r"m takes 105 MB of memory, and the machine is to have 115 MiB") as refused:
        check_memory("m", 100 << 20, 115)
    assert "Give it 356 with --memory" in refused.value.hint
