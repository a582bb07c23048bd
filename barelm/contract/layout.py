"""THE contract between host and metal: the header of a `.blm` file, and what its numbers mean.

A file is a header of HEADER_BYTES and then the sections of `contract.sections`.  All is little-endian.  Sections start
on multiples of PAGE, so that a read into page-aligned memory keeps file offset and address congruent; the gaps are
zeros.
"""

from barelm.dialect.structs import Array, Struct, UInt32, room
from barelm.dialect.types import I64, Real

MAGIC = int.from_bytes(b"barelm\x1a\x0a", "little")
VERSION = 5
HEADER_BYTES = 4096
PAGE = 4096

N_EOS, MOST_STAGES, NAME_WORDS, SECTION_NAME_WORDS, MOST_SECTIONS = 12, 8, 8, 2, 32
GOLDEN_PROMPT, GOLDEN_MOST = 8, 24


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
    name: I64 = room(SECTION_NAME_WORDS)  # UTF-8, zero padded
    optional: int  # 1: a reader that does not know this section may pass over it


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
    q_dim: int  # n_heads * head_dim
    kv_dim: int  # n_kv_heads * head_dim
    vocab_size: int
    seq_len: int
    norm_eps: Real
    batch: int = room(align=8)  # tokens a forward pass takes at once while reading the prompt
    max_cores: int  # processors the state has room for
    kv_kind: int  # how keys and values are kept (see `kernels.cache`)
    n_sections: int  # in the table below
    rotary: int  # which components of a head turn together

    # The tokenizer.
    tokenizer_kind: int = room(at=8 * 24)
    bos_id: int  # -1: none
    add_bos: int
    add_space: int
    max_piece_bytes: int
    n_chars: int
    n_merges: int
    n_categories: int
    n_words: int
    n_specials: int
    n_chat_pieces: int  # CHAT_PIECES, or 0: no chat
    chat_flags: int  # which of its texts are stripped, and whether it takes a system text

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

    # The tokenizer again.
    eos_ids: I64 = room(N_EOS)  # the tokens that end a text; unused ones are -1
    stages: I64 = room(MOST_STAGES)  # how text is cut into words (`kernels.text.pretokenizer`); unused ones are 0
    unused: I64 = room(52)


FIRST_SIZE, LAST_SIZE = Header.offset_of("dim"), Header.offset_of("seq_len")
"""Where in the header the sizes lie, none below 1."""
FIRST_COUNT, LAST_COUNT = Header.offset_of("n_chars"), Header.offset_of("n_chat_pieces")
"""Where the counts lie, none below 0."""

# Forms of the key-value cache.
KV_F32, KV_F16, KV_Q8 = range(3)
KV_NAMES = ("f32", "f16", "q8")

# Rotary pairs of a head of d components: (0, 1), (2, 3), ...; or (0, d / 2), (1, d / 2 + 1), ...
PAIRS, HALVES = range(2)
ROTARY_NAMES = ("pairs", "halves")

# Tokenizers.
SENTENCEPIECE, BYTELEVEL = range(2)

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
SYSTEM, USER_AFTER_SYSTEM, FIRST_USER, NEXT_USER = range(4)
CHAT_SLOTS = 4
TAKES_SYSTEM = 1 << 8


class SpecialToken(Struct):
    """A row of the directory in front of the special tokens' texts."""

    begin: UInt32  # of its text, in bytes of the section
    end: UInt32
    id: UInt32
    traits: UInt32  # IN_ANY_TEXT, STRIPS_AFTER


# Special tokens: it is found in what a person types too; white space behind it goes.
IN_ANY_TEXT, STRIPS_AFTER = 1, 2

# The state's fixed parts.
DEFAULT_BATCH = 32
DEFAULT_MAX_CORES = 64
TEXT_BYTES = 65536  # the longest configuration file, prompt included
WORKSPACE = 4 << 20  # bytes

KEYBOARDS = ("us", "uk", "de", "fr", "es", "it", "pt", "se", "no", "dk", "ch", "be", "br")
"""The keyboards a configuration may name, in the order of their numbers."""
