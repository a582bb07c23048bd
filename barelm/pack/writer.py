"""Checkpoint to `.blm`: arrange the weights, compute the tables, sum the sections, write beside and rename."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Shape
from barelm.contract import layout
from barelm.contract.layout import MOST_TENSORS, Header, SectionEntry
from barelm.contract.sections import COLS, LAYERS, LOCAL_ROPE, MATRICES, MATRIX, N_SECTIONS, ROPE, SECTIONS
from barelm.dialect.types import BLOCK, LANES, padded
from barelm.errors import BarelmError
from barelm.host_files import written_beside
from barelm.kernels import encodings
from barelm.kernels.decoder.model import first_tensor, part_rows, section_layers, section_rows, size_of
from barelm.kernels.decoder.state import state_bytes
from barelm.kernels.header import layer_bytes
from barelm.kernels.matrices import panel_bytes
from barelm.pack.golden import Golden
from barelm.pack.sums import checksum, own_sum
from barelm.pack.tokenizer_tables import TokenizerTables, describe_tokenizer, tokenizer_tables
from barelm.pack.weights import finite_values, kind_of, matrix_parts

Bytes = NDArray[np.uint8]
Progress = Callable[[int, int], None]
Example = Callable[[Path], Golden | None]

ROPE_ROWS = 4096
"""Positions whose angles are computed at once: a long context costs no more memory than a short one."""


def write_packed(checkpoint: Checkpoint, out: Path, progress: Progress | None = None, quant: str = "keep",
                 kv: str = "auto", example: Example | None = None, tables: TokenizerTables | None = None) -> None:
    """Write `checkpoint` as a packed model, its matrices encoded as `quant` says (one of `weights.QUANTS`).

    `kv` is the form its keys and values will be kept in, one of `layout.KV_NAMES`; "auto" is f16, but f32 where all
    weights are, so that a model in full precision is computed in full precision.

    `example` computes, from the packed model without one, the example it is to carry; None where it cannot.

    `tables` are those of its vocabulary, where they are known already.

    `progress` is called with bytes done and bytes in all.  Raises BarelmError where `out` cannot be written; nothing
    half-written stays behind.
    """
    tables = tables or tokenizer_tables(checkpoint.vocab)
    header, total = plan_header(checkpoint, tables, quant, kv)
    with written_beside(out) as beside, open(beside, "wb") as file:
        _write_sections(file, header, checkpoint, tables, quant, total, progress)
        _write_header(file, header)
        file.flush()
        if example is not None and (golden := example(beside)) is not None:
            golden.put_into(header)
            _write_header(file, header)


def _write_sections(file: BinaryIO, header: Header, checkpoint: Checkpoint, tables: TokenizerTables,
                    quant: str, total: int, progress: Progress | None) -> None:
    for section in range(N_SECTIONS):
        entry = header.sections[section]
        file.seek(int(entry.offset))
        crc, loss = 0, np.zeros(2)
        for part in section_parts(checkpoint, tables, section, quant, loss):
            crc = checksum(part, crc)
            file.write(part.data)
            if progress:
                progress(file.tell(), total)
        file.write(bytes(-file.tell() % layout.PAGE))
        entry.sum = crc
        entry.error = np.float32(np.sqrt(loss[0] / loss[1]) if loss[1] else 0)


def _write_header(file: BinaryIO, header: Header) -> None:
    header.sum = own_sum(header)
    file.seek(0)
    file.write(header.base.tobytes())


def plan_header(checkpoint: Checkpoint, tables: TokenizerTables, quant: str = "keep", kv: str = "auto"
                ) -> tuple[Header, int]:
    """The header with every size and offset, sums still zero, and the size of the file."""
    header = Header.over(np.zeros(layout.HEADER_BYTES, np.uint8))
    header.magic, header.version = layout.MAGIC, layout.VERSION
    _describe_shape(header, checkpoint.shape)
    describe_tokenizer(header, checkpoint.vocab, tables)
    header.name[:] = _words(checkpoint.name, layout.NAME_WORDS)
    header.n_sections = N_SECTIONS
    offset = layout.HEADER_BYTES
    for section in range(N_SECTIONS):
        entry = header.sections[section]
        _describe_section(header, entry, checkpoint, section, quant)
        if section in tables.sections:
            entry.n_bytes = tables.sections[section].nbytes
        # Sums run over whole 64-bit words.
        entry.n_bytes = padded(int(entry.n_bytes), 8)
        entry.offset = offset
        offset += padded(int(entry.n_bytes), layout.PAGE)
    header.file_bytes = header.weights_bytes = offset
    header.kv_kind = _kv_kind(header, kv)
    header.state_bytes = state_bytes(header)
    header.workspace_bytes = layout.WORKSPACE
    header.memory_bytes = offset + header.state_bytes + layout.WORKSPACE
    return header, offset


def _words(text: str, n_words: int) -> NDArray[np.int64]:
    """A text in zero-padded words, cut between characters."""
    raw = text.encode()[:8 * n_words].decode(errors="ignore").encode()
    return np.frombuffer(raw.ljust(8 * n_words, b"\0"), np.int64)


def _kv_kind(header: Header, kv: str) -> int:
    if kv != "auto":
        return layout.KV_NAMES.index(kv)
    kinds = {int(header.tensors[k].kind) for k in range(first_tensor(header, N_SECTIONS))}
    return layout.KV_F32 if kinds == {encodings.F32} else layout.KV_F16


def _describe_shape(header: Header, shape: Shape) -> None:
    for name in ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "q_dim", "kv_dim",
                 "vocab_size", "seq_len", "norm_eps"):
        setattr(header, name, getattr(shape, name))
    header.rotary = layout.ROTARY_NAMES.index(shape.rotary)
    _describe_traits(header, shape)
    header.batch = min(layout.DEFAULT_BATCH, shape.seq_len)
    header.max_cores = layout.DEFAULT_MAX_CORES


def _describe_traits(header: Header, shape: Shape) -> None:
    traits = shape.traits
    for name in ("gate_rows", "up_rows", "down_rows", "rope_dim", "attention_scale", "n_windowed", "window_room"):
        setattr(header, name, getattr(shape, name))
    for name in ("n_experts", "n_experts_used", "query_norm_dim", "key_norm_dim", "n_positions", "attention_cap",
                 "embedding_scale", "residual_scale", "logit_scale", "logit_cap"):
        setattr(header, name, getattr(traits, name))
    header.norm = layout.NORM_NAMES.index(traits.norm)
    header.activation = layout.ACTIVATION_NAMES.index(traits.activation)


def _describe_section(header: Header, entry: SectionEntry, checkpoint: Checkpoint, section: int, quant: str) -> None:
    row = SECTIONS[section]
    entry.name[:] = _words(row.name, layout.SECTION_NAME_WORDS)
    entry.rows, entry.cols = section_rows(header, section), size_of(header, COLS[section])
    if row.form is MATRIX:
        entry.n_bytes = _describe_tensors(header, entry, checkpoint, section, quant)
    elif checkpoint.sources(section) or not row.tensors and checkpoint.shape.has_table(section):
        entry.n_bytes = section_layers(header, section) * layer_bytes(header, section)


def _describe_tensors(header: Header, entry: SectionEntry, checkpoint: Checkpoint, section: int, quant: str) -> int:
    """Write the directory's rows of a matrix; returns the bytes of its section."""
    at, first, row = 0, first_tensor(header, section), SECTIONS[section]
    if first_tensor(header, section + 1) > MOST_TENSORS:
        raise BarelmError(f"the model has {header.n_layers} layers, more than fit into a packed one",
                          "Choose a smaller model.")
    layers = [f"layers.{l}." for l in range(header.n_layers)] if row.per_layer else [""]
    for k, (layer, (part, name)) in enumerate(itertools.product(layers, enumerate(row.tensors))):
        tensor = header.tensors[first + k]
        if checkpoint.sources(section):
            tensor.rows, tensor.offset = part_rows(header, section, part), at
        if tensor.rows:
            tensor.kind = kind_of(checkpoint.tensors[layer + name], quant)
        at += int(tensor.rows) // LANES * panel_bytes(int(tensor.kind), int(entry.cols))
    return at


def section_parts(checkpoint: Checkpoint, tables: TokenizerTables, section: int, quant: str = "keep",
                  loss: NDArray[np.float64] | None = None) -> Iterator[Bytes]:
    """The bytes of a section, a few megabytes at a time, padded to whole 64-bit words; `loss` as in `matrix_parts`."""
    small, seq_len = tables.sections, checkpoint.shape.seq_len
    if section in small:
        yield _whole_words(small[section])
    elif section == LAYERS:
        yield _whole_words(np.array(checkpoint.shape.layers(), np.int32))
    elif section in (ROPE, LOCAL_ROPE):
        theta = checkpoint.shape.traits.local_theta if section == LOCAL_ROPE else 0.0
        for lo in range(0, seq_len if checkpoint.shape.has_table(section) else 0, ROPE_ROWS):
            yield _whole_words(rope_table(checkpoint.shape, lo, min(lo + ROPE_ROWS, seq_len), theta))
    elif section in MATRICES:
        yield from matrix_parts(checkpoint, section, quant, loss)
    else:
        for names in checkpoint.sources(section):
            parts = [finite_values(name, checkpoint.tensors[name]).reshape(-1) for name in names]
            vector = np.concatenate([np.pad(part, (0, -part.size % LANES)) for part in parts])
            yield np.pad(vector, (0, -vector.size % BLOCK)).view(np.uint8)


def _whole_words(array: NDArray[np.generic]) -> Bytes:
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return np.pad(raw, (0, -len(raw) % 8))


def rope_table(shape: Shape, lo: int = 0, hi: int | None = None, local_theta: float = 0.0) -> NDArray[np.float32]:
    """cos and sin of pos · θ^(-2i/d) / (s · f_i) for positions lo to hi, (hi - lo, d / 2, 2), d being rope_dim.

    Su et al. 2021; s and f_i stretch it to longer contexts, and are 1 where a model does not say.  With a local theta
    nothing stretches it.
    """
    theta = local_theta or shape.rope_theta
    magnitude = 1.0
    with np.errstate(all="ignore"):  # `pipeline.planned` looks whether it is finite
        frequencies = theta ** (-np.arange(0, shape.rope_dim, 2, dtype=np.float64) / shape.rope_dim)
        if not local_theta:
            frequencies /= shape.rope_scale * np.array(shape.frequency_factors or 1.0)
            magnitude = shape.traits.rope_magnitude
        angles = np.arange(lo, shape.seq_len if hi is None else hi, dtype=np.float64)[:, None] * frequencies
        return (np.stack([np.cos(angles), np.sin(angles)], axis=-1) * magnitude).astype(np.float32)
