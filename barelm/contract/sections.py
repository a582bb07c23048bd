"""The sections of a `.blm`, a row each, in the order of the file.

Their sizes and the checks of them, the writer, what is bound on the metal, `barelm show` and the table in docs/MODEL.md
come out of these rows.  A row added at the end leaves the version of the layout as it is: a file without it is still
one of this version, and what a reader does not know it refuses by name (see `layout.SectionEntry`).

A weight matrix of rows x columns lies in panels of 16 rows.  In float32, value (row r, column j) is element
[r // 16][j][r % 16], so that one vector load gives column j of sixteen rows and every output is a plain sum in the
order of j; `kernels.encodings` describes the panels of the other encodings.  All layers follow one another, in each
the tensors of the section, every one encoded as the header's directory says.  The rows of a tensor are padded with
zeros to whole panels, those of vectors to blocks of 32.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from barelm.contract.conversation_state import Turn
from barelm.contract.layout import (
    COUNT,
    LAYER_WORDS,
    MOST_SECTIONS,
    TOKEN,
    TOKEN_OR_NONE,
    Header,
    SectionEntry,
    Within,
)
from barelm.contract.session_file import SessionHeader
from barelm.dialect.structs import Struct
from barelm.dialect.types import BLOCK, LANES

Size = int | str
"""A number, or the header's word of that name."""


class Form(NamedTuple):
    """What a section is made of."""

    name: str
    item_bytes: int  # 0: as the encoding says
    lanes: int  # to a multiple of which rows are padded


BYTES = Form("bytes", 1, 1)
INT32 = Form("int32", 4, 1)
INT64 = Form("int64", 8, 1)
FLOAT32 = Form("float32", 4, 1)
VECTOR = Form("vector", 4, BLOCK)
MATRIX = Form("matrix", 0, LANES)


ANY_NUMBER = Within(0, (1 << 63) - 1)
ANY_ORDER, NOT_FALLING, RISING = range(-1, 2)
"""How far a number has to be above the one before it; -1: wherever it is."""


class Column(NamedTuple):
    """What the numbers in a column of a table are."""

    within: Within  # of it all, where a name may be that of a section too: its bytes
    order: int = ANY_ORDER
    low: Within | None = None  # what its low bits may be,
    low_bits: int = 0  # so many


class Section(NamedTuple):
    """A row.  Tables may have texts behind them."""

    name: str
    form: Form
    rows: Size | Mapping[str, Size]  # or the tensors of a checkpoint that follow one another, each with its rows
    cols: Size
    holds: str
    per_layer: bool = False
    may_be_absent: bool = False
    columns: tuple[Column, ...] = ()  # of a table

    @property
    def tensors(self) -> Mapping[str, Size]:
        """The tensors it is made of, each with its rows; none where it is made of something else."""
        return self.rows if isinstance(self.rows, Mapping) else {}

    @property
    def parts(self) -> tuple[Size, ...]:
        """What its rows are the sum of."""
        return tuple(self.rows.values()) if isinstance(self.rows, Mapping) else (self.rows,)


SECTIONS = (
    Section("pieces", BYTES, 0, 1, "what every token prints, one after another"),
    Section("piece ends", INT32, "vocab_size", 1, "where each token's piece ends",
            columns=(Column(Within(0, "pieces"), NOT_FALLING),)),
    Section("characters", INT64, "n_chars", 2, "sorted: a character's UTF-8 as a big-endian number, its token",
            columns=(Column(Within(0, (1 << 32) - 1), RISING), Column(TOKEN))),
    Section("byte tokens", INT32, 256, 1, "the token of each byte, or -1", columns=(Column(TOKEN_OR_NONE),)),
    Section("merges", INT64, "n_merges", 2, "sorted: `left << 32 | right`, `rank << 32 | merged`",
            columns=(Column(ANY_NUMBER, RISING, TOKEN, 32), Column(ANY_NUMBER, ANY_ORDER, TOKEN, 32))),
    Section("rope", FLOAT32, "seq_len", "rope_dim", "cosine and sine of every rotary pair", may_be_absent=True),
    Section("attention norm", VECTOR, {"attention_norm": "dim"}, 1, "what scales the attention's input", True, True),
    Section("ffn norm", VECTOR, {"ffn_norm": "dim"}, 1, "what scales the feed-forward network's input", True, True),
    Section("final norm", VECTOR, {"final_norm": "dim"}, 1, "what scales the classifier's input"),
    Section("embedding", MATRIX, {"token_embedding": "vocab_size"}, "dim", "a row for every token"),
    Section("wqkv", MATRIX, {"wq": "q_dim", "wk": "kv_dim", "wv": "kv_dim"}, "dim",
            "queries, keys and values, one after another", True),
    Section("wo", MATRIX, {"wo": "dim"}, "q_dim", "what puts the heads together", True),
    Section("w13", MATRIX, {"w1": "gate_rows", "w3": "up_rows"}, "dim", "gate and up, of each all experts", True),
    Section("w2", MATRIX, {"w2": "down_rows"}, "hidden_dim", "down", True),
    Section("classifier", MATRIX, {"classifier": "vocab_size"}, "dim", "where the embedding does not serve as it",
            may_be_absent=True),
    Section("categories", INT32, "n_categories", 1, "sorted: `first code point << 3 | category`, Unicode 16.0",
            columns=(Column(Within(0, 0x10FFFF << 3 | 7), RISING, Within(0, 6), 3),)),
    Section("words", INT32, "n_words", 1, "ids in the order of their bytes: words not cut, or all SentencePiece makes",
            columns=(Column(TOKEN),)),
    Section("special tokens", INT32, "n_specials", 4, "begin and end of its text, id, traits; then the texts",
            columns=(*2 * (Column(Within(0, "special tokens")),), Column(TOKEN), Column(Within(0, 3)))),
    Section("chat", INT32, "n_chat_pieces", 1,
            "ends of the pieces around a conversation's texts; then these; without a chat the reason alone",
            columns=(Column(Within(0, "chat"), NOT_FALLING),)),
    Section("bqkv", VECTOR, {"bq": "q_dim", "bk": "kv_dim", "bv": "kv_dim"}, 1,
            "what is added to queries, keys and values", True, may_be_absent=True),
    Section("layers", INT32, "n_layers", LAYER_WORDS, "window of each (0: none), table that turns it, windowed before",
            columns=(Column(COUNT), Column(Within(-1, 1)), Column(Within(0, "n_layers"), NOT_FALLING))),
    Section("local rope", FLOAT32, "seq_len", "rope_dim", "the same as `rope`, of other angles", may_be_absent=True),
    Section("query norm", VECTOR, {"query_norm": "query_norm_dim"}, 1, "what scales queries", True, True),
    Section("key norm", VECTOR, {"key_norm": "key_norm_dim"}, 1, "what scales keys", True, True),
    Section("attention post", VECTOR, {"attention_post_norm": "dim"}, 1, "what scales what attention adds", True, True),
    Section("ffn post", VECTOR, {"ffn_post_norm": "dim"}, 1, "what scales what the network adds", True, True),
    Section("bo", VECTOR, {"bo": "dim"}, 1, "what is added to the attention's output", True, True),
    Section("b13", VECTOR, {"b1": "gate_rows", "b3": "up_rows"}, 1, "what is added to gate and up", True, True),
    Section("b2", VECTOR, {"b2": "down_rows"}, 1, "what is added to down", True, True),
    Section("attention shift", VECTOR, {"attention_shift": "dim"}, 1, "what follows the attention's norm", True, True),
    Section("ffn shift", VECTOR, {"ffn_shift": "dim"}, 1, "what follows the feed-forward network's", True, True),
    Section("final shift", VECTOR, {"final_shift": "dim"}, 1, "what follows the final norm", may_be_absent=True),
    Section("sinks", VECTOR, {"sinks": "n_heads"}, 1, "a score of each head that no position has", True, True),
    Section("router", MATRIX, {"router": "n_experts"}, "dim", "which experts a token takes", True, True),
    Section("router bias", VECTOR, {"router_bias": "n_experts"}, 1, "what is added to the router's output", True, True),
    Section("positions", MATRIX, {"positions": "n_positions"}, "dim", "a row for every position", may_be_absent=True),
    Section("ranks", INT32, "n_words", 1, "SentencePiece: beside each of the words when it is made, the lowest first",
            may_be_absent=True, columns=(Column(ANY_NUMBER),)),
    Section("tools", INT32, "n_tool_pieces", 1,
            "ends of the pieces around tools, calls and results; then these; without them the reason alone",
            may_be_absent=True, columns=(Column(Within(0, "tools"), NOT_FALLING),)),
)
N_SECTIONS = len(SECTIONS)
(PIECES, PIECE_ENDS, CHARS, BYTE_TOKENS, MERGES, ROPE, ATTENTION_NORM, FFN_NORM, FINAL_NORM, EMBEDDING, WQKV, WO, W13,
 W2, CLASSIFIER, CATEGORIES, WORDS, SPECIALS, CHAT, BQKV, LAYERS, LOCAL_ROPE, QUERY_NORM, KEY_NORM, ATTENTION_POST_NORM,
 FFN_POST_NORM, BO, B13, B2, ATTENTION_SHIFT, FFN_SHIFT, FINAL_SHIFT, SINKS, ROUTER, ROUTER_BIAS, POSITIONS,
 RANKS, TOOL_TEXTS) = range(N_SECTIONS)
assert N_SECTIONS <= MOST_SECTIONS, "the header has no room for so many sections"

MATRICES = tuple(number for number, row in enumerate(SECTIONS) if row.form is MATRIX)


def _code(size: Size) -> int:
    """A size as kernels look it up: where in the header it is, a number n as -1 - n; of a section its bytes."""
    if isinstance(size, int):
        return -1 - size
    if size in _NUMBERS:
        return (Header.offset_of("sections") + _NUMBERS[size] * SectionEntry.BYTES + SectionEntry.offset_of("n_bytes"))
    return Header.offset_of(size)


_NUMBERS = {row.name: number for number, row in enumerate(SECTIONS)}


# The rows again, as compiled code can index them.
MOST_PARTS = 3
PARTS = tuple(_code(size) for row in SECTIONS for size in (*row.parts, 0, 0)[:MOST_PARTS])
N_PARTS = tuple(len(row.parts) for row in SECTIONS)
PART_LANES = tuple(LANES if row.tensors else 1 for row in SECTIONS)
IS_MATRIX = tuple(row.form is MATRIX for row in SECTIONS)
ROW_LANES = tuple(row.form.lanes for row in SECTIONS)
COLS = tuple(_code(row.cols) for row in SECTIONS)
ITEM_BYTES = tuple(row.form.item_bytes for row in SECTIONS)
PER_LAYER = tuple(row.per_layer for row in SECTIONS)
MAY_BE_ABSENT = tuple(row.may_be_absent for row in SECTIONS)


def _columns(of: Callable[[Column], int]) -> tuple[int, ...]:
    """A number of every column of every table, MOST_COLUMNS a section."""
    return tuple(of(column) for row in SECTIONS for column in (*row.columns, *MOST_COLUMNS * (_ALL,))[:MOST_COLUMNS])


# The columns of tables.
MOST_COLUMNS = 4
_ALL = Column(ANY_NUMBER)
N_COLUMNS = tuple(len(row.columns) for row in SECTIONS)
COLUMN_LEAST, COLUMN_MOST = _columns(lambda it: it.within.least), _columns(lambda it: _code(it.within.most))
COLUMN_PLUS, COLUMN_ORDER = _columns(lambda it: it.within.plus), _columns(lambda it: it.order)
COLUMN_LOW_BITS = _columns(lambda it: it.low_bits)
COLUMN_LOW_MOST = _columns(lambda it: _code(it.low.most) if it.low else -1)
COLUMN_LOW_PLUS = _columns(lambda it: it.low.plus if it.low else 0)


class Bound(NamedTuple):
    """What a number of a struct in a file may be."""

    place: int  # where in the struct it is
    is_float: bool
    within: Within


def bounds_of(kind: type[Struct]) -> list[Bound]:
    """What is declared of the fields of a struct, of an array's elements one by one."""
    return [Bound(field.offset + k * field.n_bytes // (field.count or 1), field.kind is np.float32, field.note)
            for field in kind.FIELDS.values() if isinstance(field.note, Within) for k in range(field.count or 1)]


# The numbers of all structs in files, one after another; those of struct k from BOUNDS_FIRST[k] on.
IN_HEADER, IN_SESSION, IN_TURN = range(3)
_BOUNDS = [bounds_of(kind) for kind in (Header, SessionHeader, Turn)]
BOUNDS_FIRST = tuple(sum(map(len, _BOUNDS[:k])) for k in range(len(_BOUNDS) + 1))
_EACH = [bound for bounds in _BOUNDS for bound in bounds]
BOUND_PLACE, BOUND_IS_FLOAT = tuple(it.place for it in _EACH), tuple(it.is_float for it in _EACH)
BOUND_LEAST, BOUND_MOST = tuple(it.within.least for it in _EACH), tuple(_code(it.within.most) for it in _EACH)
BOUND_PLUS = tuple(it.within.plus for it in _EACH)
