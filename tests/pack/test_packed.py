"""What is packed comes back: weights, tables, names, the announced memory; the same bytes every time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint
from barelm.contract import layout
from barelm.contract.sections import N_SECTIONS
from barelm.errors import BarelmError
from barelm.kernels import matrices
from barelm.kernels.matrices import Matrix
from barelm.pack.reader import Packed, model_name, read_header, read_packed
from barelm.pack.writer import write_packed
from tests.conftest import Pack
from tests.kernels.agree import arrays
from tests.models import tiny_checkpoint

SIZES = {
    "whole vectors": {},
    "untied": {"tied": False},
    "odd sizes": {"dim": 36, "n_heads": 6, "n_kv_heads": 3, "hidden_dim": 21, "vocab_size": 303, "seq_len": 37},
    "smallest": {"dim": 2, "hidden_dim": 1, "n_layers": 1, "n_heads": 1, "n_kv_heads": 1, "seq_len": 1},
}
sizes = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


def rows_of(matrix: Matrix, layer: int) -> NDArray[np.float32]:
    """A packed float32 matrix as (rows padded, cols): panels of sixteen rows, column after column."""
    size = 4 * matrix.rows * matrix.cols
    raw = matrix.data[layer * size:(layer + 1) * size]
    return raw.view(np.float32).reshape(-1, matrix.cols, 16).transpose(0, 2, 1).reshape(-1, matrix.cols)


def padded_rows(*parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Some matrices' rows one after another, each with zeros up to whole panels."""
    return np.concatenate([np.pad(rows, ((0, -len(rows) % 16), (0, 0))) for rows in parts])


@sizes
def test_weights_come_back(pack: Pack, sizes: dict[str, Any]) -> None:
    checkpoint = tiny_checkpoint(**sizes)
    packed = pack(checkpoint)
    s, w = checkpoint.shape, packed.weights()
    get = {key: tensor.float32() for key, tensor in checkpoint.tensors.items()}
    assert np.array_equal(rows_of(w.embedding, 0), padded_rows(get["token_embedding"]))
    assert np.array_equal(rows_of(w.classifier, 0), padded_rows(get.get("classifier", get["token_embedding"])))
    for l in range(s.n_layers):
        layer = {key.rpartition(".")[2]: value for key, value in get.items() if key.startswith(f"layers.{l}.")}
        assert np.array_equal(rows_of(w.wqkv, l), padded_rows(*(layer[f"w{which}"] for which in "qkv")))
        assert np.array_equal(rows_of(w.wo, l), padded_rows(layer["wo"]))
        assert np.array_equal(rows_of(w.w2, l), padded_rows(layer["w2"]))
        assert np.array_equal(rows_of(w.w13, l), padded_rows(layer["w1"], layer["w3"]))
        for norms, name in ((w.attention_norm, "attention_norm"), (w.ffn_norm, "ffn_norm")):
            assert np.array_equal(norms[l, :s.dim], layer[name][0]) and not norms[l, s.dim:].any()
    assert np.array_equal(w.norm[0, :s.dim], get["final_norm"][0]) and not w.norm[0, s.dim:].any()


@sizes
def test_sizes_and_angles_come_back(pack: Pack, sizes: dict[str, Any]) -> None:
    checkpoint = tiny_checkpoint(**sizes)
    s, packed = checkpoint.shape, pack(checkpoint)
    c = packed.config
    for name in ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len", "head_dim",
                 "q_dim", "kv_dim"):
        assert getattr(c, name) == getattr(s, name), name
    assert c.norm_eps == np.float32(1e-5) and packed.name == "tiny"
    angles = np.arange(s.seq_len)[:, None] / 10000 ** (np.arange(0, s.head_dim, 2) / s.head_dim)
    table = packed.weights().rope.reshape(s.seq_len, s.head_dim // 2, 2)
    assert np.allclose(table, np.stack([np.cos(angles), np.sin(angles)], -1), atol=1e-7)


def test_every_piece_comes_back(pack: Pack) -> None:
    checkpoint = tiny_checkpoint()
    packed = pack(checkpoint)
    v = packed.vocabulary()
    starts = [0, *v.piece_ends[:-1]]
    assert tuple(bytes(v.pieces[lo:hi]) for lo, hi in zip(starts, v.piece_ends)) == checkpoint.vocab.outputs
    assert tuple(v.byte_tokens) == checkpoint.vocab.byte_ids


@pytest.mark.parametrize("quant, tolerance", [("f32", 0.0), ("q8", 1 / 127), ("q4", 1 / 15)])
def test_a_row_of_the_embedding_is_close_in_every_encoding(tmp_path: Path, quant: str, tolerance: float) -> None:
    checkpoint = tiny_checkpoint(dim=40, n_heads=2, n_kv_heads=1)
    write_packed(checkpoint, tmp_path / "model.blm", quant=quant)
    packed = read_packed(tmp_path / "model.blm")
    for token in (0, 17, 319):
        row = np.zeros(64, np.float32)
        matrices.embed(row, packed.weights().embedding, token)
        expected = checkpoint.tensors["token_embedding"].float32(token, token + 1)[0]
        # A step of Q8 is 1/127 of the block's peak, of Q4 1/15 of its range; half of it, and float16's rounding.
        assert np.abs(row[:40] - expected).max() <= tolerance * 1.05 * np.abs(expected).max()


@sizes
def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path, sizes: dict[str, Any]) -> None:
    for name in ("a.blm", "b.blm"):
        write_packed(tiny_checkpoint(**sizes), tmp_path / name)
    assert (tmp_path / "a.blm").read_bytes() == (tmp_path / "b.blm").read_bytes()


@sizes
def test_the_announced_memory_is_what_is_needed(pack: Pack, sizes: dict[str, Any]) -> None:
    packed = pack(tiny_checkpoint(**sizes))
    h = packed.header
    parts = (h.weights_bytes, h.state_bytes, h.workspace_bytes)
    assert h.weights_bytes == packed.path.stat().st_size
    assert h.memory_bytes == packed.memory_bytes == sum(parts)
    assert not any(n_bytes % layout.PAGE for n_bytes in parts)
    assert_apart(packed)


def assert_apart(packed: Packed) -> None:
    """The parts of a state lie one after another in its block, none over another, each on a whole vector."""
    state = arrays(packed.fresh_state())
    spans = sorted((part.ctypes.data, part.ctypes.data + part.nbytes) for part in state)
    assert spans[-1][1] - spans[0][0] <= packed.header.state_bytes
    assert all(end <= begin for (_, end), (begin, _) in zip(spans, spans[1:]))
    assert not any(part.any() for part in state)


def test_sections_start_on_pages_and_gaps_are_zero(pack: Pack) -> None:
    packed = pack(tiny_checkpoint())
    content, end = packed.path.read_bytes(), layout.HEADER_BYTES
    for number in range(N_SECTIONS):
        entry = packed.header.sections[number]
        offset, size = int(entry.offset), int(entry.n_bytes)
        assert offset % layout.PAGE == 0 and not any(content[end:offset])
        end = offset + size
    assert not any(content[end:])


def test_progress_runs_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_packed(tiny_checkpoint(), tmp_path / "model.blm", lambda done, total: seen.append((done, total)))
    done, totals = zip(*seen)
    assert list(done) == sorted(done) and set(totals) == {(tmp_path / "model.blm").stat().st_size}
    assert 0 < totals[0] - done[-1] < N_SECTIONS * layout.PAGE or done[-1] == totals[0]


@pytest.mark.parametrize("name, kept", [
    ("", ""), ("stories260K", "stories260K"), ("a" * 100, "a" * 64), ("é" * 40, "é" * 32),
    ("x" + "世" * 30, "x" + "世" * 21), ("🙂" * 17, "🙂" * 16),
])
def test_a_name_is_cut_between_characters(tmp_path: Path, name: str, kept: str) -> None:
    write_packed(tiny_checkpoint(name=name), tmp_path / "model.blm")
    assert model_name(read_header(tmp_path / "model.blm")) == kept


def test_a_real_model_keeps_its_size(stories: Packed) -> None:
    assert stories.name == "stories260K"
    assert stories.config.vocab_size == 512
    assert stories.memory_bytes < 16 << 20


def test_a_long_context_costs_no_memory(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(dim=2, hidden_dim=1, n_heads=1, n_kv_heads=1, n_layers=1, seq_len=1 << 20)
    tracemalloc.start()
    try:
        write_packed(checkpoint, tmp_path / "model.blm")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20 < (tmp_path / "model.blm").stat().st_size
    finally:
        tracemalloc.stop()


def test_a_checkpoint_that_cannot_be_read_to_the_end_leaves_nothing(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()

    def fail(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise BarelmError("the file went away")

    bad = {**checkpoint.tensors}
    tensor = bad["layers.1.w2"]
    bad["layers.1.w2"] = type(tensor)(tensor.encoding, tensor.rows, tensor.cols, tensor.data, fail)
    broken = Checkpoint("tiny", "", checkpoint.shape, bad, checkpoint.vocab)
    with pytest.raises(BarelmError, match="went away"):
        write_packed(broken, tmp_path / "model.blm")
    assert not list(tmp_path.iterdir())
