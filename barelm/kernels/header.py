"""Is a header of a packed model what it claims to be?  The same questions on the host and on the metal."""

from __future__ import annotations

from barelm.contract import layout
from barelm.dialect.memory import address_of, memory
from barelm.dialect.rooms import kernel
from barelm.dialect.types import BLOCK, I64, LANES, U64, padded, u64
from barelm.kernels.checksum import extend_checksum
from barelm.kernels.matrices import is_stored, panel_bytes
from barelm.kernels.model import Config, read_config, state_bytes

SOUND = 0
NOT_A_MODEL = 1
OTHER_VERSION = 2
DAMAGED = 3
CUT_SHORT = 4

LARGEST = 1 << 24
"""No dimension of a model is above this; with it, no product below leaves 64 bits."""


@kernel
def check_header(header: I64, sums: U64, file_bytes: int) -> int:
    """SOUND, or what is wrong with the header of a file of `file_bytes`; `sums` (2) is working space."""
    if header[layout.MAGIC_WORD] != layout.MAGIC:
        return NOT_A_MODEL
    if header[layout.VERSION_WORD] != layout.VERSION:
        return OTHER_VERSION
    if not sum_matches(header, sums) or not sizes_are_sane(header) or not sections_fit(header):
        return DAMAGED
    if file_bytes < header[layout.FILE_BYTES]:
        return CUT_SHORT
    return SOUND


@kernel
def sum_matches(header: I64, sums: U64) -> bool:
    """Whether the header's own checksum matches: the sum of all its words, those that hold it taken as zero."""
    a = header[layout.HEADER_SUM_A]
    b = header[layout.HEADER_SUM_B]
    header[layout.HEADER_SUM_A] = 0
    header[layout.HEADER_SUM_B] = 0
    sums[0] = u64(0)
    sums[1] = u64(0)
    extend_checksum(sums, memory(address_of(header), layout.HEADER_BYTES), layout.HEADER_BYTES)
    header[layout.HEADER_SUM_A] = a
    header[layout.HEADER_SUM_B] = b
    return bool(sums[0] == u64(a) and sums[1] == u64(b))


@kernel
def sizes_are_sane(header: I64) -> bool:
    """Every size positive, below LARGEST, and in proportion; the memory announced is the memory needed."""
    for word in range(layout.DIM, layout.SEQ_LEN + 1):
        if header[word] < 1 or header[word] > LARGEST:
            return False
    for word in range(layout.N_CHARS, layout.N_CHAT_PIECES + 1):
        if header[word] < 0 or header[word] > LARGEST:
            return False
    if header[layout.GOLDEN_N] < 0 or header[layout.GOLDEN_N] > min(layout.GOLDEN_MOST, header[layout.SEQ_LEN]):
        return False
    c = read_config(header)
    if c.n_heads % c.n_kv_heads != 0 or c.head_dim % 2 != 0 or c.q_dim > LARGEST or c.batch < 1:
        return False
    if c.batch > c.seq_len or header[layout.MAX_CORES] < 1 or header[layout.MAX_CORES] > 4096:
        return False
    if c.kv_kind < 0 or c.kv_kind > layout.KV_Q8:
        return False
    if header[layout.BOS_ID] >= c.vocab_size or header[layout.WORKSPACE_BYTES] != layout.WORKSPACE:
        return False
    return bool(header[layout.STATE_BYTES] == state_bytes(header))


@kernel
def sections_fit(header: I64) -> bool:
    """Sections follow one another inside the file, and each holds at least what its views take."""
    c = read_config(header)
    end = layout.HEADER_BYTES
    for section in range(layout.SECTIONS):
        at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
        offset = header[at + layout.OFFSET]
        n_bytes = header[at + layout.BYTES]
        if offset != end or n_bytes % 8 != 0 or n_bytes < needed_bytes(header, c, section):
            return False
        if n_bytes > header[layout.FILE_BYTES]:
            return False
        if layout.EMBEDDING <= section <= layout.CLASSIFIER and n_bytes > 0 and not is_matrix(header, c, section):
            return False
        end = offset + padded(n_bytes, layout.PAGE)
    return bool(end == header[layout.FILE_BYTES])


@kernel
def needed_bytes(header: I64, c: Config, section: int) -> int:
    """The least a section may hold for the kernels to stay inside it."""
    if section == layout.PIECE_ENDS:
        return 4 * c.vocab_size
    if section == layout.CHARS:
        return 16 * header[layout.N_CHARS]
    if section == layout.BYTE_TOKENS:
        return 1024
    if section == layout.MERGES:
        return 16 * header[layout.N_MERGES]
    if section == layout.CATEGORIES:
        return 4 * header[layout.N_CATEGORIES]
    if section == layout.WORDS:
        return 4 * header[layout.N_WORDS]
    if section == layout.SPECIALS:
        return 12 * header[layout.N_SPECIALS]
    if section == layout.CHAT:
        return layout.CHAT_TEXT * min(header[layout.N_CHAT_PIECES], 1)
    if section == layout.ROPE:
        return 4 * c.seq_len * c.head_dim
    if section == layout.ATTENTION_NORM or section == layout.FFN_NORM:
        return 4 * c.n_layers * padded(c.dim, BLOCK)
    if section == layout.FINAL_NORM:
        return 4 * padded(c.dim, BLOCK)
    if layout.EMBEDDING <= section < layout.CLASSIFIER:
        return 1
    return 0


@kernel
def is_matrix(header: I64, c: Config, section: int) -> bool:
    """Whether a section's entry describes the matrix it has to be, whole."""
    at = layout.SECTION_TABLE + section * layout.SECTION_WORDS
    kind = header[at + layout.KIND]
    rows, cols, layers = matrix_shape(c, section)
    if not is_stored(kind, cols) or header[at + layout.ROWS] != rows or header[at + layout.COLS] != cols:
        return False
    layer_bytes = rows // LANES * panel_bytes(kind, cols)
    return bool(header[at + layout.LAYER_BYTES] == layer_bytes and header[at + layout.BYTES] >= layers * layer_bytes)


@kernel
def matrix_shape(c: Config, section: int) -> tuple[int, int, int]:
    """Rows (padded), columns and layers of a weight."""
    if section == layout.WQKV:
        return padded(c.q_dim + 2 * c.kv_dim), c.dim, c.n_layers
    if section == layout.WO:
        return padded(c.dim), c.q_dim, c.n_layers
    if section == layout.W13:
        return 2 * padded(c.hidden_dim), c.dim, c.n_layers
    if section == layout.W2:
        return padded(c.dim), c.hidden_dim, c.n_layers
    return padded(c.vocab_size), c.dim, 1
