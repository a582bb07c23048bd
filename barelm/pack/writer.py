"""Checkpoint to `.blm`: arrange the weights, compute the tables, sum the sections, write beside and rename."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Shape
from barelm.contract import layout
from barelm.dialect.types import BLOCK, LANES, padded
from barelm.host_files import written_beside
from barelm.kernels import encodings
from barelm.kernels.header import matrix_shape
from barelm.kernels.matrices import panel_bytes
from barelm.kernels.model import read_config, state_bytes
from barelm.pack.golden import Golden
from barelm.pack.sums import checksum
from barelm.pack.tokenizer_tables import TokenizerTables, describe_tokenizer, tokenizer_tables
from barelm.pack.weights import kind_of, matrix_parts

Bytes = NDArray[np.uint8]
Progress = Callable[[int, int], None]
Example = Callable[[Path], Golden | None]

MATRICES = (layout.EMBEDDING, layout.WQKV, layout.WO, layout.W13, layout.W2, layout.CLASSIFIER)

ROPE_ROWS = 4096
"""Positions whose angles are computed at once: a long context costs no more memory than a short one."""


def write_packed(checkpoint: Checkpoint, out: Path, progress: Progress | None = None, quant: str = "keep",
                 kv: str = "auto", example: Example | None = None) -> None:
    """Write `checkpoint` as a packed model, its matrices encoded as `quant` says (one of `weights.QUANTS`).

    `kv` is the form its keys and values will be kept in, one of `layout.KV_NAMES`; "auto" is f16, but f32 where all
    weights are, so that a model in full precision is computed in full precision.

    `example` computes, from the packed model without one, the example it is to carry; None where it cannot.

    `progress` is called with bytes done and bytes in all.  Raises BarelmError where `out` cannot be written; nothing
    half-written stays behind.
    """
    tables = tokenizer_tables(checkpoint.vocab)
    header, total = plan_header(checkpoint, tables, quant, kv)
    with written_beside(out) as beside, open(beside, "wb") as file:
        _write_sections(file, header, checkpoint, tables, total, progress)
        _write_header(file, header)
        file.flush()
        if example is not None and (golden := example(beside)) is not None:
            golden.put_into(header)
            _write_header(file, header)


def _write_sections(file: BinaryIO, header: NDArray[np.int64], checkpoint: Checkpoint, tables: TokenizerTables,
                    total: int, progress: Progress | None) -> None:
    for section in range(layout.SECTIONS):
        entry = section_entry(header, section)
        file.seek(int(entry[layout.OFFSET]))
        sums = np.zeros(2, np.uint64)
        for part in section_parts(checkpoint, tables, section, int(entry[layout.KIND])):
            checksum(sums, part)
            file.write(part.data)
            if progress:
                progress(file.tell(), total)
        file.write(bytes(-file.tell() % layout.PAGE))
        entry[layout.SUM_A:layout.SUM_B + 1] = sums.view(np.int64)


def _write_header(file: BinaryIO, header: NDArray[np.int64]) -> None:
    header[layout.HEADER_SUM_A:layout.HEADER_SUM_B + 1] = 0
    sums = np.zeros(2, np.uint64)
    checksum(sums, header.view(np.uint8))
    header[layout.HEADER_SUM_A:layout.HEADER_SUM_B + 1] = sums.view(np.int64)
    file.seek(0)
    file.write(header.tobytes())


def section_entry(header: NDArray[np.int64], section: int) -> NDArray[np.int64]:
    """The words of one section in the table, as a view."""
    at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
    return header[at:at + layout.SECTION_WORDS]


def plan_header(checkpoint: Checkpoint, tables: TokenizerTables, quant: str = "keep", kv: str = "auto"
                ) -> tuple[NDArray[np.int64], int]:
    """The header with every size and offset, sums still zero, and the size of the file."""
    header = np.zeros(layout.HEADER_WORDS, np.int64)
    header[layout.MAGIC_WORD], header[layout.VERSION_WORD] = layout.MAGIC, layout.VERSION
    _describe_shape(header, checkpoint.shape)
    describe_tokenizer(header, checkpoint.vocab, tables)
    name = checkpoint.name.encode()[:8 * layout.NAME_WORDS]
    while name and name[-1] & 0x80 and not _decodes(name):
        name = name[:-1]
    header[layout.NAME:layout.NAME + layout.NAME_WORDS] = np.frombuffer(name.ljust(8 * layout.NAME_WORDS, b"\0"), "<i8")
    offset = layout.HEADER_BYTES
    for section in range(layout.SECTIONS):
        entry = section_entry(header, section)
        if section in MATRICES:
            _describe_matrix(header, entry, checkpoint, section, quant)
        else:
            entry[layout.BYTES] = section_bytes(checkpoint, tables, section)
        # Sums run over whole 64-bit words.
        entry[layout.BYTES] = padded(int(entry[layout.BYTES]), 8)
        entry[layout.OFFSET] = offset
        offset += padded(int(entry[layout.BYTES]), layout.PAGE)
    header[layout.FILE_BYTES] = header[layout.WEIGHTS_BYTES] = offset
    header[layout.KV_KIND] = _kv_kind(header, kv)
    header[layout.STATE_BYTES] = state_bytes(header)
    header[layout.WORKSPACE_BYTES] = layout.WORKSPACE
    header[layout.MEMORY_BYTES] = offset + header[layout.STATE_BYTES] + layout.WORKSPACE
    return header, offset


def _decodes(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _kv_kind(header: NDArray[np.int64], kv: str) -> int:
    if kv != "auto":
        return layout.KV_NAMES.index(kv)
    kinds = {int(section_entry(header, section)[layout.KIND]) for section in MATRICES}
    return layout.KV_F32 if kinds == {encodings.F32} else layout.KV_F16


def _describe_shape(header: NDArray[np.int64], shape: Shape) -> None:
    header[layout.DIM] = shape.dim
    header[layout.HIDDEN_DIM] = shape.hidden_dim
    header[layout.N_LAYERS] = shape.n_layers
    header[layout.N_HEADS] = shape.n_heads
    header[layout.N_KV_HEADS] = shape.n_kv_heads
    header[layout.HEAD_DIM] = shape.head_dim
    header[layout.VOCAB_SIZE] = shape.vocab_size
    header[layout.SEQ_LEN] = shape.seq_len
    header[layout.NORM_EPS_BITS] = int(np.float32(shape.norm_eps).view(np.uint32))
    header[layout.BATCH] = min(layout.DEFAULT_BATCH, shape.seq_len)
    header[layout.MAX_CORES] = layout.DEFAULT_MAX_CORES


def _describe_matrix(header: NDArray[np.int64], entry: NDArray[np.int64], checkpoint: Checkpoint, section: int,
                     quant: str) -> None:
    rows, cols, layers = matrix_shape(read_config(header), section)
    kind = kind_of(checkpoint, section, quant)
    if section == layout.CLASSIFIER and checkpoint.tied:
        layers = 0
    entry[layout.KIND], entry[layout.ROWS], entry[layout.COLS] = kind, rows, cols
    entry[layout.LAYER_BYTES] = rows // LANES * panel_bytes(kind, cols)
    entry[layout.BYTES] = layers * entry[layout.LAYER_BYTES]


def section_bytes(checkpoint: Checkpoint, tables: TokenizerTables, section: int) -> int:
    """The size of a section that is no matrix."""
    s = checkpoint.shape
    small = tables.sections()
    if section in small:
        return small[section].nbytes
    if section == layout.ROPE:
        return 4 * s.seq_len * s.head_dim
    return 4 * padded(s.dim, BLOCK) * (1 if section == layout.FINAL_NORM else s.n_layers)


def section_parts(checkpoint: Checkpoint, tables: TokenizerTables, section: int, kind: int = encodings.F32
                  ) -> Iterator[Bytes]:
    """The bytes of a section, a few megabytes at a time, padded to whole 64-bit words."""
    tensors, layers = checkpoint.tensors, range(checkpoint.shape.n_layers)
    small = tables.sections()
    if section in small:
        yield _whole_words(small[section])
    elif section == layout.ROPE:
        for lo in range(0, checkpoint.shape.seq_len, ROPE_ROWS):
            yield _whole_words(rope_table(checkpoint.shape, lo, min(lo + ROPE_ROWS, checkpoint.shape.seq_len)))
    elif section == layout.FINAL_NORM:
        yield _padded_vector(tensors["final_norm"].float32())
    elif section in (layout.ATTENTION_NORM, layout.FFN_NORM):
        name = "attention_norm" if section == layout.ATTENTION_NORM else "ffn_norm"
        for l in layers:
            yield _padded_vector(tensors[f"layers.{l}.{name}"].float32())
    else:
        yield from matrix_parts(checkpoint, section, kind)


def _padded_vector(vector: NDArray[np.float32]) -> Bytes:
    return np.pad(vector.reshape(-1), (0, -vector.size % BLOCK)).view(np.uint8)


def _whole_words(array: NDArray[np.generic]) -> Bytes:
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return np.pad(raw, (0, -len(raw) % 8))


def rope_table(shape: Shape, lo: int = 0, hi: int | None = None) -> NDArray[np.float32]:
    """cos and sin of pos · θ^(-2i/head_dim) / (s · f_i) for positions lo to hi, (hi - lo, head_dim / 2, 2).

    Su et al. 2021; s and f_i stretch it to longer contexts, and are 1 where a model does not say.
    """
    frequencies = shape.rope_theta ** (-np.arange(0, shape.head_dim, 2, dtype=np.float64) / shape.head_dim)
    frequencies /= shape.rope_scale * np.array(shape.rope_factors or 1.0)
    angles = np.arange(lo, shape.seq_len if hi is None else hi, dtype=np.float64)[:, None] * frequencies
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
