"""THE contract between host and metal: the header of a `.blm` file, and what its numbers mean.

A file is a header of HEADER_BYTES and then the sections of `contract.sections`.  All is little-endian.  Sections start
on multiples of PAGE, so that a read into page-aligned memory keeps file offset and address congruent; the gaps are
zeros.
"""

from typing import NamedTuple

from barelm.dialect.structs import Array, Struct, UInt32, room
from barelm.dialect.types import I64, Real

MAGIC = int.from_bytes(b"barelm\x1a\x0a", "little")
VERSION = 8
HEADER_BYTES = 40960
PAGE = 4096

N_EOS, MOST_STAGES, NAME_WORDS, SECTION_NAME_WORDS, MOST_SECTIONS, MOST_TENSORS = 12, 8, 8, 2, 64, 1344
GOLDEN_PROMPT, GOLDEN_MOST, SENSELESS_WORDS = 8, 24, 5

LARGEST = 1 << 24
"""No dimension of a model is above this; with it, no product of the checks leaves 64 bits."""


class Within(NamedTuple):
    """What a number of a file may be, the note of its field: from `least` to `most`, a number or the word of that name
    of the model's header, and `plus`.  `contract.sections` has all of them for `kernels.bounds`.
    """

    least: int
    most: int | str
    plus: int = 0


SIZE, COUNT, FLAG = Within(1, LARGEST), Within(0, LARGEST), Within(0, 1)
TOKEN, TOKEN_OR_NONE = Within(0, "vocab_size", -1), Within(-1, "vocab_size", -1)
CHAT_SETS = 3  # of pieces, at most
WORKSPACE = 4 << 20  # bytes


class SectionEntry(Struct):
    """A section in the header's table."""

    offset: int  # from the start of the file
    n_bytes: int  # 0: absent
    sum: int  # CRC-32C, as all sums
    rows: int  # of one layer, padded
    cols: int
    name: I64 = room(SECTION_NAME_WORDS)  # UTF-8, zero padded
    optional: int  # 1: a reader that does not know this section may pass over it
    error: Real  # root of the mean square of what quantizing cost here, by that of what was quantized; 0: nothing


class TensorEntry(Struct):
    """A tensor in the header's directory: the weights of one layer that are encoded alike."""

    kind: int  # its place in `kernels.encodings.TABLE`
    offset: int  # from the start of its section
    rows: int  # padded to whole panels


class Header(Struct):
    """The first pages of a file."""

    # What the file is.
    magic: int
    version: int
    file_bytes: int
    sum: int  # of the header itself, computed with this word zero: it stands for the model

    # The shape, under the usual names.
    dim: int = room(at=8 * 8, note=SIZE)
    hidden_dim: int = room(note=SIZE)
    n_layers: int = room(note=SIZE)
    n_heads: int = room(note=SIZE)
    n_kv_heads: int = room(note=SIZE)
    head_dim: int = room(note=SIZE)
    q_dim: int = room(note=SIZE)  # n_heads * head_dim
    kv_dim: int = room(note=SIZE)  # n_kv_heads * head_dim
    vocab_size: int = room(note=SIZE)
    seq_len: int = room(note=SIZE)
    norm_eps: Real = room(note=FLAG)
    batch: int = room(align=8, note=Within(1, "seq_len"))  # tokens of a forward pass while the prompt is read
    max_cores: int = room(note=Within(1, 4096))  # processors the state has room for
    kv_kind: int = room(note=Within(0, 2))  # how keys and values are kept (see `kernels.decoder.cache`)
    n_sections: int = room(note=Within(0, MOST_SECTIONS))  # in the table below
    rotary: int = room(note=FLAG)  # which components of a head turn together

    # The tokenizer.
    tokenizer_kind: int = room(at=8 * 24, note=FLAG)
    bos_id: int = room(note=TOKEN_OR_NONE)  # -1: none
    add_bos: int = room(note=FLAG)
    add_space: int = room(note=FLAG)
    max_piece_bytes: int = room(note=COUNT)
    n_chars: int = room(note=COUNT)
    n_merges: int = room(note=COUNT)
    n_categories: int = room(note=COUNT)
    n_words: int = room(note=COUNT)
    n_specials: int = room(note=COUNT)
    n_chat_pieces: int = room(note=COUNT)  # CHAT_PIECES for each set of them, or 0: no chat
    chat_flags: int  # what becomes of its texts, and which set of pieces counts

    # Memory the metal will allocate, in bytes, each a multiple of PAGE.
    weights_bytes: int  # the header and all sections
    state_bytes: int  # activations, key-value cache, sampler, text
    workspace_bytes: int = room(note=Within(WORKSPACE, WORKSPACE))  # what the program works in (`contract.regions`)
    memory_bytes: int  # their sum: the announced figure

    # The packed example: what this model makes of fixed ids, for a machine to compute again (see `selftest`).
    golden_sum: int  # of the logits of every step
    golden_n: int = room(note=Within(0, GOLDEN_MOST))  # 0: there is none

    name: I64 = room(NAME_WORDS, at=8 * 48)  # UTF-8, zero padded: what the model is called
    golden_ids: I64 = room(GOLDEN_MOST, at=8 * 64, note=TOKEN)  # golden_n of them, the first GOLDEN_PROMPT given

    # Traits: in what the decoder is not a plain Llama (`kernels.decoder.transformer`).
    gate_rows: int = room(note=COUNT)  # of the up-projection's gate; 0: nothing gates it
    up_rows: int = room(note=COUNT)  # hidden_dim for every expert, as the gate's are
    down_rows: int = room(note=COUNT)  # dim for every expert
    n_experts: int = room(note=COUNT)  # 0: every token goes through the one feed-forward network
    n_experts_used: int = room(note=Within(0, "batch"))  # of them, by a token
    query_norm_dim: int = room(note=Within(0, "q_dim"))  # 0, head_dim, or q_dim: what is normalised together
    key_norm_dim: int = room(note=Within(0, "kv_dim"))
    rope_dim: int = room(note=Within(2, "head_dim"))  # components of a head that turn
    n_positions: int = room(note=COUNT)  # that have learnt vectors
    norm: int = room(note=FLAG)  # one of NORM_NAMES
    activation: int = room(note=Within(0, 2))  # one of ACTIVATION_NAMES
    attention_scale: Real = room(note=COUNT)  # of q · k
    attention_cap: Real = room(align=8, note=COUNT)  # a score s becomes cap · tanh(s / cap); 0: no cap
    embedding_scale: Real = room(align=8, note=COUNT)
    residual_scale: Real = room(align=8, note=COUNT)  # of what a block adds
    logit_scale: Real = room(align=8, note=COUNT)
    logit_cap: Real = room(align=8, note=COUNT)
    n_windowed: int = room(align=8, note=Within(0, "n_layers"))  # layers that keep the last positions alone,
    window_room: int = room(note=COUNT)  # so many of them

    # The tokenizer again.
    eos_ids: I64 = room(N_EOS, note=TOKEN_OR_NONE)  # the tokens that end a text; unused ones are -1
    # How text is cut into words (`kernels.text.pretokenizer`); unused ones are 0.
    stages: I64 = room(MOST_STAGES, note=Within(0, (1 << 40) - 1))

    # Tools in a conversation.
    n_tool_pieces: int = room(note=COUNT)  # TOOL_PIECES for each set of the chat's, or 0: no place for tools
    tool_flags: int
    unused: I64 = room(127)

    sections: Array[SectionEntry] = room(MOST_SECTIONS, at=8 * 256)
    tensors: Array[TensorEntry] = room(MOST_TENSORS, at=8192)  # of every matrix in turn, layer after layer
    rest: I64 = room(64)


# Forms of the key-value cache.
KV_F32, KV_F16, KV_Q8 = range(3)
KV_NAMES = ("f32", "f16", "q8")

# Rotary pairs of a head of d components: (0, 1), (2, 3), ...; or (0, d / 2), (1, d / 2 + 1), ...
PAIRS, HALVES = range(2)
ROTARY_NAMES = ("pairs", "halves")

# Norms; what stands between a feed-forward network's two matrices.
RMS, LAYER = range(2)
NORM_NAMES = ("rms", "layer")
SILU, GELU, CLAMPED = range(3)
ACTIVATION_NAMES = ("silu", "gelu", "clamped")

# A layer's words in the section LAYERS.
WINDOW, ROPE_TABLE, WINDOWED_BEFORE, LAYER_WORDS = range(4)
NOT_TURNED, TURNED, TURNED_LOCALLY = -1, 0, 1  # its ROPE_TABLE

# Tokenizers.
SENTENCEPIECE, BYTELEVEL = range(2)

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

# Tools: the pieces around them, calls of them and their results.  A byte 1 to 8 in a piece is a slot.
OPENING = 0  # what comes before and with the first question: TOOLS, QUESTION
OPENING_WITH_SYSTEM = 1  # SYSTEM_TEXT too
BETWEEN_TOOLS = 2
CALL = 3  # NAME, ARGUMENTS, ID
BEFORE_CALLS = 4  # behind a question
BEFORE_CALLS_AND_CONTENT = 5  # CONTENT, unless the template leaves it out
BETWEEN_CALLS = 6
CALLS_TO_RESULTS = 7
RESULT = 8  # RESULT_TEXT, NAME, ID
BETWEEN_RESULTS = 9
RESULTS_TO_REPLY = 10  # that is asked for
RESULTS_TO_PAST_REPLY = 11  # CONTENT
RESULTS_TO_CALLS = 12
RESULTS_TO_CALLS_AND_CONTENT = 13  # CONTENT
OPENS_CALLS = 14  # what a reply writes before its first call,
CLOSES_CALLS = 15  # and behind its last
TOOL_PIECES = 16
SYSTEM_TEXT, TOOLS, QUESTION, CONTENT, NAME, ARGUMENTS, ID, RESULT_TEXT = range(1, 9)
# The flags: forms in which JSON is printed, of a tool and of arguments, each as `kernels.text.json_text` takes it; that
# only the "function" of a tool is printed; that no two calls may be made at once; that a result is printed as a JSON
# text; and that it loses white space on the left, on the right.
JSON_FORM_BITS = 6
ARGUMENTS_FORM = JSON_FORM_BITS
BARE_TOOLS, ONE_CALL, QUOTES_RESULTS = (1 << bit for bit in range(12, 15))
RESULT_STRIPS = 15


class Senseless(Struct):
    """What is wrong with a file whose sums are right: what one of its numbers is, and what it may be."""

    section: int  # -1: the header
    place: int  # which number of it: in the header its offset, in a table counted through all columns
    value: int
    least: int
    most: int  # below `least`: it is wrong beside the others


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
LOGIT_ROWS = 8  # tokens of a pass that can be chosen from
WINDOW_SLACK = 512  # positions that may be taken back before a windowed layer has forgotten too much
DEFAULT_MAX_CORES = 64
TEXT_BYTES = 65536  # the longest configuration file, prompt included

KEYBOARDS = ("us", "uk", "de", "fr", "es", "it", "pt", "se", "no", "dk", "ch", "be", "br")
"""The keyboards a configuration may name, in the order of their numbers."""

# The files of a model larger than one on FAT can be: NAME.blm, then NAME.blm.2, NAME.blm.3 and so on.  The first is the
# beginning of the `.blm` as it is; each other begins with a page that says what of which model follows, so that offset
# in the file and address stay congruent modulo a page.  All but the last are of PART_BYTES.
PART_MAGIC = int.from_bytes(b"barelmP\n", "little")
PART_VERSION = 2
MOST_PARTS = 64
PART_BYTES = (4 << 30) - (32 << 10)
"""Of the file of a part, the page in front included."""


class PartHeader(Struct):
    """The first page of every part but the first."""

    magic: int
    version: int
    number: int  # of this part, from 2 on
    n_parts: int
    offset: int  # in the model, of the byte that follows this page
    n_bytes: int  # that follow it
    model_sum: int  # that of the model's header
    sum: int  # of this page, computed with itself zero
    unused: I64 = room(PAGE // 8 - 8)
