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

N_EOS, NAME_WORDS, SECTION_NAME_WORDS, MOST_SECTIONS = 4, 8, 2, 32
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
    eos_ids: I64 = room(N_EOS)  # unused ones are -1
    add_bos: int
    add_space: int
    max_piece_bytes: int
    n_chars: int
    n_merges: int
    pretokenizer: int  # one of PRETOKENIZERS
    n_categories: int
    n_words: int
    n_specials: int
    n_chat_pieces: int  # CHAT_PIECES for each set of them, or 0: no chat
    chat_flags: int  # what becomes of its texts, and which set of pieces counts

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
    unused: I64 = room(72)


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

# Pre-tokenizers.
PRETOKENIZERS = ("", "gpt-2", "smollm", "llama-bpe", "qwen2")
GPT2, SMOLLM, LLAMA_BPE, QWEN2 = range(1, 5)

# Chat: its pieces, what stands around the texts of a conversation.
BEFORE_SYSTEM = 0
SYSTEM_TO_USER = 1
BEFORE_FIRST_USER = 2  # where no system text is given, with the template's own if it has one
BEFORE_NEXT_USER = 3  # the end of the reply before included
BEFORE_REPLY = 4
AFTER_REPLY = 5  # at the end of a conversation
BEFORE_PAST_REPLY = 6  # one that is not the last
MARKS = 7  # what a reply may hold beside its answer: an effect and a text, a zero behind each (`kernels.text.thoughts`)
CHAT_PIECES = 8
# A date within a piece: a zero, the day of packing in eight digits, a form as `strftime` has it, a zero.

# Chat: the texts put between the pieces.  Bits 2 * slot and 2 * slot + 1 of the flags: the template strips white space
# on the left, on the right.
SYSTEM, USER_AFTER_SYSTEM, FIRST_USER, NEXT_USER = range(4)
CHAT_SLOTS = 4
STRIPS = (1 << 2 * CHAT_SLOTS) - 1
TAKES_SYSTEM, SYSTEM_MOVES, REWRITES, KEEPS_THOUGHTS, THINKS_AT_ONCE = (1 << bit for bit in range(8, 13))
"""It has a place for a system text; that is before the last question; an earlier reply does not stand as it was made;
but its thoughts do; a reply begins within a thought."""
CHAT_FLAG_BITS = 16  # of the flags for each set of pieces
CHAT_CHOICE = 3 * CHAT_FLAG_BITS  # from there on, two bits each: the set that counts for each way to think


class SpecialToken(Struct):
    """A row of the directory in front of the special tokens' texts."""

    begin: UInt32  # of its text, in bytes of the section
    end: UInt32
    id: UInt32


# The state's fixed parts.
DEFAULT_BATCH = 32
DEFAULT_MAX_CORES = 64
TEXT_BYTES = 65536  # the longest configuration file, prompt included
WORKSPACE = 4 << 20  # bytes

KEYBOARDS = ("us", "uk", "de", "fr", "es", "it", "pt", "se", "no", "dk", "ch", "be", "br")
"""The keyboards a configuration may name, in the order of their numbers."""
