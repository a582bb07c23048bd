"""THE contract between host and metal: the layout of a `.blm` file.  Constants only; both sides import it.

A file is a header of HEADER_BYTES and then SECTIONS sections.  All is little-endian.  The header is an array of
int64 words: the first ones are named below, the section table starts at word SECTION_TABLE with SECTION_WORDS
words per section.  Sections start on multiples of PAGE, so that a read into page-aligned memory keeps file offset
and address congruent; the gaps are zeros.

A weight matrix of `rows x cols` is stored in panels of 16 rows.  In float32, value (row r, column j) is element
[r // 16][j][r % 16], so that one vector load gives column j of sixteen rows and every output is a plain sum in the
order of j; `kernels.encodings.quantized` describes the panels of the other encodings.  Rows are padded with zeros
to a multiple of 16.  All layers of a matrix follow one another.
"""

from __future__ import annotations

from barelm.dialect.structs import Array, Struct, room
from barelm.dialect.types import I64

MAGIC = int.from_bytes(b"barelm\x1a\x0a", "little")
VERSION = 5
HEADER_BYTES = 4096
HEADER_WORDS = HEADER_BYTES // 8
PAGE = 4096

N_EOS = 4
NAME_WORDS = 8
GOLDEN_PROMPT = 8
GOLDEN_MOST = 24
MOST_SECTIONS = 32


class SectionEntry(Struct):
    """A section in the header's table."""

    offset: int  # from the start of the file
    n_bytes: int  # 0: absent
    sum_a: int
    sum_b: int
    kind: int  # how weights are encoded: F32, Q8_0, ...
    rows: int  # of one layer, padded
    cols: int
    layer_bytes: int


class Header(Struct):
    """The first page of a file."""

    # What the file is.
    magic: int
    version: int
    file_bytes: int
    sum_a: int  # checksum of the header itself, computed with both these words zero
    sum_b: int

    # The shape, under the usual names.
    dim: int = room(at=8 * 8)
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    seq_len: int
    norm_eps_bits: int  # of a float32
    batch: int  # tokens a forward pass takes at once while reading the prompt
    max_cores: int  # processors the state has room for
    kv_kind: int  # how keys and values are kept (see `kernels.cache`)

    # The tokenizer.
    tokenizer_kind: int = room(at=8 * 24)
    bos_id: int  # -1: none
    eos_ids: I64 = room(N_EOS)  # unused ones are -1
    add_bos: int
    add_space: int
    max_piece_bytes: int
    n_chars: int  # from here to n_chat_pieces: counts, none negative
    n_merges: int
    pretokenizer: int  # one of PRETOKENIZERS
    n_categories: int
    n_words: int
    n_specials: int
    n_chat_pieces: int  # 0: no chat

    # Memory the metal will allocate, in bytes, each a multiple of PAGE.
    weights_bytes: int  # the header and all sections
    state_bytes: int  # activations, key-value cache, sampler, text
    workspace_bytes: int  # the loader's bounce buffer, the console's lines, the worker board
    memory_bytes: int  # their sum: the announced figure

    # The packed example: what this model makes of fixed ids, for a machine to compute again (see `selftest`).
    golden_sum_a: int  # of the logits of every step; golden_n 0: there is none
    golden_sum_b: int
    golden_n: int

    name: I64 = room(NAME_WORDS, at=8 * 48)  # UTF-8, zero padded: what the model is called
    sections: Array[SectionEntry] = room(MOST_SECTIONS, at=8 * 64)
    golden_ids: I64 = room(GOLDEN_MOST)  # golden_n of them, the first GOLDEN_PROMPT given
    unused: I64 = room(168)


FIRST_SIZE, LAST_SIZE = (Header.offset_of(name) // 8 for name in ("dim", "seq_len"))
"""Words of the header that hold sizes, none below 1."""
FIRST_COUNT, LAST_COUNT = (Header.offset_of(name) // 8 for name in ("n_chars", "n_chat_pieces"))

# Sections, in file order.
PIECES = 0  # the bytes every token prints, one after another
PIECE_ENDS = 1  # int32 per token: where its piece ends in PIECES
CHARS = 2  # int64 pairs, sorted: a character's UTF-8 bytes as a big-endian number, the token that stands for it
BYTE_TOKENS = 3  # int32 [256]: the token of each single byte, or -1
MERGES = 4  # int64 pairs, sorted: left << 32 | right, rank << 32 | merged
ROPE = 5  # float32 [seq_len][head_dim / 2][2]: cosine and sine
ATTENTION_NORM = 6  # float32 [n_layers][dim padded to 32]
FFN_NORM = 7
FINAL_NORM = 8  # float32 [dim padded to 32]
EMBEDDING = 9  # vocab_size x dim, panels
WQKV = 10  # (q_dim + 2 kv_dim) x dim: the rows of wq, wk and wv, one after another
WO = 11  # dim x q_dim
W13 = 12  # 2 x hidden_dim x dim: panels of w1 and w3 in turn, so that a core gates what it has computed
W2 = 13  # dim x hidden_dim
CLASSIFIER = 14  # vocab_size x dim, absent where the embedding serves
CATEGORIES = 15  # int32, sorted: first code point << 2 | category, up to where the next begins (kernels.pretokenizer)
WORDS = 16  # int32: ids in the order of their pieces' bytes, where a word that is a token is not cut; else absent
SPECIALS = 17  # int32 [N_SPECIALS][3]: text begin, text end (bytes of this section), id; then the texts
CHAT = 18  # int32 [CHAT_WORDS], then texts; with N_CHAT_PIECES 0 the reason alone, as text
SECTIONS = 19

SECTION_NAMES = (
    "pieces", "piece ends", "characters", "byte tokens", "merges", "rope", "attention norm", "ffn norm", "final norm",
    "embedding", "wqkv", "wo", "w13", "w2", "classifier",
    "categories", "words", "special tokens", "chat",
)

# Encodings of a weight matrix (see `kernels.encodings`); quantized columns are padded with zeros to blocks of 32.
F32 = 0
Q8_0 = 1
Q4_0 = 2
Q4_1 = 3
KIND_NAMES = ("F32", "Q8_0", "Q4_0", "Q4_1")
N_KINDS = len(KIND_NAMES)

# Forms of the key-value cache.
KV_F32 = 0
KV_F16 = 1
KV_Q8 = 2
KV_NAMES = ("f32", "f16", "q8")

# Tokenizers.
SENTENCEPIECE = 0
BYTELEVEL = 1

# Pre-tokenizers.
PRETOKENIZERS = ("", "gpt-2", "smollm", "llama-bpe", "qwen2")
GPT2 = 1
SMOLLM = 2
LLAMA_BPE = 3
QWEN2 = 4

# Chat: the words of its section.
CHAT_FLAGS = 0
CHAT_ENDS = 1  # where each piece ends, in bytes of the section; the first begins at CHAT_TEXT
CHAT_WORDS = 8
CHAT_TEXT = 4 * CHAT_WORDS

# Chat: its pieces, what stands around the texts of a conversation.
BEFORE_SYSTEM = 0
SYSTEM_TO_USER = 1
BEFORE_FIRST_USER = 2  # where no system text is given, with the template's own if it has one
BEFORE_NEXT_USER = 3  # the end of the reply before included
BEFORE_REPLY = 4
AFTER_REPLY = 5  # at the end of a conversation
CHAT_PIECES = 6

# Chat: the texts put between the pieces.  Bits 2 * slot and 2 * slot + 1 of the flags: the template strips white space
# on the left, on the right.
SYSTEM = 0
USER_AFTER_SYSTEM = 1
FIRST_USER = 2
NEXT_USER = 3
CHAT_SLOTS = 4
TAKES_SYSTEM = 1 << 8

# The state's fixed parts.
DEFAULT_BATCH = 32
DEFAULT_MAX_CORES = 64
TEXT_BYTES = 65536  # the longest configuration file, prompt included
WORKSPACE = 4 << 20  # bytes

KEYBOARDS = ("us", "uk", "de", "fr", "es", "it", "pt", "se", "no", "dk", "ch", "be", "br")
"""The keyboards a configuration may name, in the order of their numbers."""
