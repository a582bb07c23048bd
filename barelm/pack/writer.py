"""Checkpoint to `.blm`: arrange the weights, compute the tables, sum the sections, write beside and rename."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from barelm.checkpoint.checkpoint import Checkpoint, Shape
from barelm.dialect.types import LANES, padded
from barelm.errors import BarelmError
from barelm.kernels.model import state_bytes
from barelm.pack import layout
from barelm.pack.checksum import checksum
from barelm.pack.tokenizer_tables import TokenizerTables, tokenizer_tables

Bytes = NDArray[np.uint8]
Progress = Callable[[int, int], None]


def write_packed(checkpoint: Checkpoint, out: Path, progress: Progress | None = None) -> None:
    """Write `checkpoint` as a packed model.

    `progress` is called with bytes done and bytes in all.  Raises BarelmError where `out` cannot be written; nothing
    half-written stays behind.
    """
    tables = tokenizer_tables(checkpoint.vocab)
    header, total = plan_header(checkpoint, tables)
    beside = out.with_name(out.name + f".{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            _write_sections(file, header, checkpoint, tables, total, progress)
            _write_header(file, header)
        os.replace(beside, out)
    except OSError as error:
        raise BarelmError(f"cannot write {out}: {error.strerror or error}",
                          "Choose a place that exists, may be written and has room.") from error
    finally:
        beside.unlink(missing_ok=True)


def _write_sections(file: BinaryIO, header: NDArray[np.int64], checkpoint: Checkpoint, tables: TokenizerTables,
                    total: int, progress: Progress | None) -> None:
    for section in range(layout.SECTIONS):
        entry = section_entry(header, section)
        file.seek(int(entry[layout.OFFSET]))
        sums = np.zeros(2, np.uint64)
        for part in section_parts(checkpoint, tables, section):
            checksum(sums, part)
            file.write(part.data)
            if progress:
                progress(file.tell(), total)
        file.write(bytes(-file.tell() % layout.PAGE))
        entry[layout.SUM_A:layout.SUM_B + 1] = sums.view(np.int64)


def _write_header(file: BinaryIO, header: NDArray[np.int64]) -> None:
    sums = np.zeros(2, np.uint64)
    checksum(sums, header.view(np.uint8))
    header[layout.HEADER_SUM_A:layout.HEADER_SUM_B + 1] = sums.view(np.int64)
    file.seek(0)
    file.write(header.tobytes())


def section_entry(header: NDArray[np.int64], section: int) -> NDArray[np.int64]:
    """The words of one section in the table, as a view."""
    at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
    return header[at:at + layout.SECTION_WORDS]


def plan_header(checkpoint: Checkpoint, tables: TokenizerTables) -> tuple[NDArray[np.int64], int]:
    """The header with every size and offset, sums still zero, and the size of the file."""
    header = np.zeros(layout.HEADER_WORDS, np.int64)
    header[layout.MAGIC_WORD], header[layout.VERSION_WORD] = layout.MAGIC, layout.VERSION
    _describe_shape(header, checkpoint.shape)
    _describe_tokenizer(header, checkpoint, tables)
    name = checkpoint.name.encode()[:8 * layout.NAME_WORDS]
    while name and name[-1] & 0x80 and not _decodes(name):
        name = name[:-1]
    header[layout.NAME:layout.NAME + layout.NAME_WORDS] = np.frombuffer(name.ljust(8 * layout.NAME_WORDS, b"\0"), "<i8")
    offset = layout.HEADER_BYTES
    for section in range(layout.SECTIONS):
        entry = section_entry(header, section)
        rows, cols, layers = section_shape(checkpoint, tables, section)
        entry[layout.KIND], entry[layout.ROWS], entry[layout.COLS] = layout.F32, rows, cols
        item = SECTION_ITEM_BYTES.get(section, 4)
        entry[layout.LAYER_BYTES] = rows * cols * item
        # Sums run over whole 64-bit words.
        entry[layout.BYTES] = padded(rows * cols * item * layers, 8)
        entry[layout.OFFSET] = offset
        offset += padded(int(entry[layout.BYTES]), layout.PAGE)
    header[layout.FILE_BYTES] = header[layout.WEIGHTS_BYTES] = offset
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


def _describe_tokenizer(header: NDArray[np.int64], checkpoint: Checkpoint, tables: TokenizerTables) -> None:
    vocab = checkpoint.vocab
    eos = (*vocab.eos_ids, *(-1,) * layout.N_EOS)[:layout.N_EOS]
    header[layout.TOKENIZER_KIND] = layout.BYTELEVEL if vocab.kind == "bytelevel" else layout.SENTENCEPIECE
    header[layout.BOS_ID] = vocab.bos_id
    header[layout.EOS_ID:layout.EOS_ID + layout.N_EOS] = eos
    header[layout.ADD_BOS] = vocab.add_bos
    header[layout.ADD_SPACE] = vocab.add_space_prefix
    header[layout.MAX_PIECE_BYTES] = max(len(piece) for piece in vocab.outputs)
    header[layout.N_CHARS] = len(tables.chars) // 2
    header[layout.N_MERGES] = len(tables.merges) // 2


SECTION_ITEM_BYTES = {layout.PIECES: 1, layout.CHARS: 8, layout.MERGES: 8}


def section_shape(checkpoint: Checkpoint, tables: TokenizerTables, section: int) -> tuple[int, int, int]:
    """Rows, columns and layers of a section, in items of SECTION_ITEM_BYTES (4 where not named)."""
    s = checkpoint.shape
    dim, vocab = padded(s.dim), padded(s.vocab_size)
    return {
        layout.PIECES: (1, len(tables.pieces), 1),
        layout.PIECE_ENDS: (1, s.vocab_size, 1),
        layout.CHARS: (1, len(tables.chars), 1),
        layout.BYTE_TOKENS: (1, 256, 1),
        layout.MERGES: (1, len(tables.merges), 1),
        layout.ROPE: (s.seq_len, s.head_dim, 1),
        layout.ATTENTION_NORM: (1, dim, s.n_layers),
        layout.FFN_NORM: (1, dim, s.n_layers),
        layout.FINAL_NORM: (1, dim, 1),
        layout.EMBEDDING: (vocab, s.dim, 1),
        layout.WQKV: (padded(s.q_dim + 2 * s.kv_dim), s.dim, s.n_layers),
        layout.WO: (dim, s.q_dim, s.n_layers),
        layout.W13: (2 * padded(s.hidden_dim), s.dim, s.n_layers),
        layout.W2: (dim, s.hidden_dim, s.n_layers),
        layout.CLASSIFIER: (0 if checkpoint.tied else vocab, s.dim, 1),
    }[section]


def section_parts(checkpoint: Checkpoint, tables: TokenizerTables, section: int) -> Iterator[Bytes]:
    """The bytes of a section, a few megabytes at a time, padded to whole 64-bit words."""
    tensors, layers = checkpoint.tensors, range(checkpoint.shape.n_layers)
    small: dict[int, NDArray[Any]] = {
        layout.PIECES: tables.pieces, layout.PIECE_ENDS: tables.piece_ends, layout.CHARS: tables.chars,
        layout.BYTE_TOKENS: tables.byte_tokens, layout.MERGES: tables.merges}
    if section in small:
        yield _whole_words(small[section])
    elif section == layout.ROPE:
        yield _whole_words(rope_table(checkpoint.shape))
    elif section == layout.FINAL_NORM:
        yield _padded_vector(tensors["final_norm"].float32())
    elif section in (layout.ATTENTION_NORM, layout.FFN_NORM):
        name = "attention_norm" if section == layout.ATTENTION_NORM else "ffn_norm"
        for l in layers:
            yield _padded_vector(tensors[f"layers.{l}.{name}"].float32())
    elif section in (layout.EMBEDDING, layout.CLASSIFIER):
        key = "token_embedding" if section == layout.EMBEDDING else "classifier"
        if key in tensors:
            for lo in range(0, checkpoint.shape.vocab_size, 4096):
                yield panels(tensors[key].float32(lo, min(lo + 4096, checkpoint.shape.vocab_size)))
    else:
        for l in layers:
            yield layer_matrix(checkpoint, section, l)


def layer_matrix(checkpoint: Checkpoint, section: int, l: int) -> Bytes:
    """One layer of a weight matrix in panels."""
    def weight(name: str) -> NDArray[np.float32]:
        return checkpoint.tensors[f"layers.{l}.{name}"].float32()

    if section == layout.WQKV:
        return panels(np.concatenate([weight("wq"), weight("wk"), weight("wv")]))
    if section == layout.W13:
        w1, w3 = (_padded_rows(weight(name)).reshape(-1, LANES, checkpoint.shape.dim) for name in ("w1", "w3"))
        return panels(np.stack([w1, w3], axis=1).reshape(-1, checkpoint.shape.dim))
    return panels(weight("wo" if section == layout.WO else "w2"))


def panels(matrix: NDArray[np.float32]) -> Bytes:
    """(rows, cols) as [row / 16][col][row % 16], rows padded with zeros."""
    rows = _padded_rows(matrix)
    interleaved = rows.reshape(-1, LANES, matrix.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(interleaved).reshape(-1).view(np.uint8)


def _padded_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.pad(matrix, ((0, -len(matrix) % LANES), (0, 0)))


def _padded_vector(vector: NDArray[np.float32]) -> Bytes:
    return np.pad(vector.reshape(-1), (0, -vector.size % LANES)).view(np.uint8)


def _whole_words(array: NDArray[np.generic]) -> Bytes:
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return np.pad(raw, (0, -len(raw) % 8))


def rope_table(shape: Shape) -> NDArray[np.float32]:
    """cos and sin of pos · θ^(-2i/head_dim) by position and pair, (seq_len, head_dim / 2, 2) (Su et al. 2021)."""
    frequencies = shape.rope_theta ** (-np.arange(0, shape.head_dim, 2, dtype=np.float64) / shape.head_dim)
    angles = np.arange(shape.seq_len, dtype=np.float64)[:, None] * frequencies
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
